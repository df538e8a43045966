#!/bin/bash
# What the watch costs programs elsewhere on the same disk, and how fast the senses are: on an ext4 of its own, so that
# no other watch of the machine is measured along, and on a tmpfs, where a file operation costs least.
#   tests/bench/sense.sh          as root
set -euo pipefail
program=$(dirname "$0")/../../${BUILD:-build}/tests/bench/sense
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/bench-sense-XXXXXX")
trap 'umount "$scratch/ext4" "$scratch/tmpfs" 2>/dev/null || true; rm -rf "$scratch"' EXIT
mkdir "$scratch/ext4" "$scratch/tmpfs"
truncate -s 1G "$scratch/image"
mkfs.ext4 -q "$scratch/image"
mount -o loop "$scratch/image" "$scratch/ext4"
mount -t tmpfs tmpfs "$scratch/tmpfs"
for system in ext4 tmpfs; do
    echo "# $system"
    "$program" "$scratch/$system"
done
