#!/bin/bash
# The baseline beside tools that do the same work, on one tree, in one run, turn by turn; medians of the rounds.
#   tests/bench/baseline.sh [TREE [ROUNDS]]      TREE: /usr/share, or a copy of /usr until there are 60,000 files
# Everything is read once beforehand. A ratio compares medians; "at most" and "at least" are the goals.
set -euo pipefail
program=$(dirname "$0")/../../${BUILD:-build}/tests/bench/baseline
tree=${1:-}
rounds=${2:-5}
files_wanted=60000
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/bench-baseline-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/times"

count_files() {
    find "$1" -type f -printf x | wc -c
}

choose_tree() {
    tree=/usr/share
    [ "$(count_files "$tree")" -ge $files_wanted ] && return
    tree=$scratch/tree
    mkdir "$tree"
    for part in /usr/share /usr/lib /usr/include /usr/src; do
        [ -d $part ] && cp -a --parents $part "$tree"
        [ "$(count_files "$tree")" -ge $files_wanted ] && return
    done
}

# Runs a command and notes its wall time in milliseconds under a name.
measure() {
    local name=$1 begin end
    shift
    begin=$(date +%s%N)
    "$@" >"$scratch/out" 2>"$scratch/error" || { cat "$scratch/error" >&2; exit 1; }
    end=$(date +%s%N)
    echo $(((end - begin) / 1000)) >>"$scratch/times/$name"
}

run_openssl() {
    find "$tree" -type f -print0 | xargs -0 -P2 -n 500 openssl dgst -sha256
}

run_tar() {
    tar -C / -I 'zstd -T0' -cf "$scratch/tar.zst" "${tree#/}"
}

run_find() {
    find "$tree" -printf '%p %s %m %U %G %T@ %C@ %i\n'
}

take() {
    rm -rf "${scratch:?}/$1"
    mkdir "$scratch/$1"
    measure "take-$1" "$program" take "$scratch/$1" "$tree" "$1"
    read -r _ n_files n_bytes _ _ _ peak rest <"$scratch/out"
    echo "$peak" >>"$scratch/times/peak-$1"
    echo "$rest" >>"$scratch/times/rest-$1"
}

sweep() {
    measure "sweep-$1" "$program" sweep "$scratch/$1" "$tree" "$1"
}

write_aide_config() {
    cat >"$scratch/aide.conf" <<END
database_in=file:$scratch/aide.db
database_out=file:$scratch/aide.db
gzip_dbout=no
report_url=file:$scratch/aide.report
$tree p+u+g+s+m+c+i+n+sha256
END
}

run_aide() {
    rm -f "$scratch/aide.db"
    aide --config="$scratch/aide.conf" --workers=2 --init
}

median() {
    sort -n "$scratch/times/$1" | awk '{v[NR]=$1} END {print (v[int((NR+1)/2)] + v[int((NR+2)/2)]) / 2}'
}

ratio() {
    local label=$1 ours=$2 theirs=$3 word=$4 goal=$5
    awk -v label="$label" -v a="$(median "$ours")" -v b="$(median "$theirs")" -v word="$word" -v goal="$goal" '
        BEGIN {
            r = word == "most" ? a / b : b / a
            met = word == "most" ? r <= goal : r >= goal
            printf "%-44s %8.3f s %8.3f s   %6.2f  at %s %g: %s\n", label, a / 1e6, b / 1e6, r, word, goal,
                   met ? "met" : "MISSED"
        }'
}

[ -n "$tree" ] || choose_tree
write_aide_config
run_openssl >"$scratch/out"
for ((round = 1; round <= rounds; round++)); do
    measure openssl run_openssl
    take watch
    measure tar run_tar
    take mirror
    measure find run_find
    sweep watch
    sweep mirror
    [ "$round" -gt 2 ] || ! command -v aide >"$scratch/out" || measure aide run_aide
done

echo "$tree: $n_files files, $n_bytes bytes, $(nproc) processors, $rounds rounds"
printf '%-44s %10s %10s   %6s\n' '' hinomi tool ratio
ratio 'baseline, watch / openssl dgst -P2' take-watch openssl most 1.3
ratio 'baseline, mirror / tar, zstd -T0' take-mirror tar most 1.3
ratio 're-check, watch / find -printf' sweep-watch find most 2
ratio 're-check, mirror / find -printf' sweep-mirror find most 2
if [ -e "$scratch/times/aide" ]; then
    ratio 'baseline, watch: faster than aide --init' take-watch aide least 10
    ratio 'baseline, mirror: faster than aide --init' take-mirror aide least 1
fi
echo "resident, peak and afterwards: watch $(median peak-watch) and $(median rest-watch) KiB," \
    "mirror $(median peak-mirror) and $(median rest-mirror) KiB"
echo "kept: $(du -sk "$scratch/mirror" | cut -f1) KiB, tar: $(du -k "$scratch/tar.zst" | cut -f1) KiB"
