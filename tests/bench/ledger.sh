#!/bin/bash
# The ledger beside the disk's own floor and SQLite; see ledger.c.   tests/bench/ledger.sh [DIRECTORY]
set -euo pipefail
program=$(dirname "$0")/../../${BUILD:-build}/tests/bench/ledger
scratch=$(mktemp -d "${1:-${TMPDIR:-/var/tmp}}/bench-ledger-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
"$program" "$scratch" | tee "$scratch/figures"
awk '$1 == "single_ledger_median_us" { print "goal: median below 5,000 us:", ($2 < 5000 ? "met" : "MISSED") }
     $1 == "single_ledger_p99_us" { print "goal: p99 below 50,000 us:", ($2 < 50000 ? "met" : "MISSED") }' "$scratch/figures"
