#!/usr/bin/env bash
# coverage.sh [-u] [-r | STEP ...] - statements executed by the tests, by file: builds a copy of the
# tree for gcov, runs the steps named (of test/run.sh; without any: unit, regress, isolation and
# tap) in the copy, and prints a table. With -u the lines that no test came by follow.
# METASD_COVERAGE names a folder to keep copy and counts in, where the servers' user can go: steps
# run one after another add up there, and -r shows what is counted so far. Without it all is thrown
# away at the end.
uncovered='' run=true
while getopts ur option; do
    case $option in
        u) uncovered=-u ;;
        r) run=false ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
root=$(cd "$(dirname "$0")/.." && pwd)

folder=$METASD_COVERAGE
if [ -z "$folder" ]; then
    folder=$(mktemp -d "${TMPDIR:-/tmp}/metasd-coverage.XXXXXX")
    trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder/tree" && folder=$(cd "$folder" && pwd) && chmod 755 "$folder" || exit 1
tar -C "$root" -c --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' . |
    tar -C "$folder/tree" -x && cd "$folder/tree" || exit 1

status=0
if $run; then
    export COVERAGE=1
    make -s -j"$(nproc)" all >"$folder/build.log" 2>&1 || { tail "$folder/build.log"; exit 1; }
    # Counts are written beside the objects, by whoever runs the servers.
    [ "$(id -u)" -ne 0 ] || chown -R postgres "$folder"
    [ $# -gt 0 ] || set -- unit regress isolation tap
    test/run.sh "$@" || status=1
fi
perl test/coverage.pl $uncovered || status=1
exit $status
