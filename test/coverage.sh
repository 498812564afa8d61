#!/usr/bin/env bash
# coverage.sh [-u] [STEP ...] - statements executed by the tests, by file: builds a copy of the tree
# for gcov, runs the steps named (of test/run.sh; without any: unit, regress, isolation and tap) in
# the copy and prints a table. With -u the lines no test came by follow.
# METASD_COVERAGE names a folder to keep copy and counts in: steps run one after another add up
# there, and the step "none" shows what is counted so far. Without it all is thrown away.
set -u
uncovered=
[ "${1:-}" != -u ] || { uncovered=-u; shift; }
root=$(cd "$(dirname "$0")/.." && pwd)

# Servers run as another user where the tests are run by root: the folder is one that both reach.
folder=${METASD_COVERAGE:-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d "${TMPDIR:-/tmp}/metasd-coverage.XXXXXX")
    trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder/tree" && folder=$(cd "$folder" && pwd) || exit 1
tar -C "$root" -c --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' . |
    tar -C "$folder/tree" -x || exit 1

# Who runs the servers writes counts beside the objects.
writable() {
    find "$folder" -type d -exec chmod 777 {} +
}
chmod 755 "$folder"
export COVERAGE=1
cd "$folder/tree" || exit 1
status=0
if [ "$*" != none ]; then
    make -s -j"$(nproc)" all >"$folder/build.log" 2>&1 || { tail "$folder/build.log"; exit 1; }
    writable
    test/run.sh ${@:-unit regress isolation tap} || status=1
fi
perl test/coverage.pl $uncovered || status=1
exit $status
