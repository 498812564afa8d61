#!/usr/bin/env bash
# as_postgres.sh TARGET - make installcheck or make prove_installcheck for root. PostgreSQL refuses to run as
# root, so user postgres runs the target, in a copy of the tree. The logs come back to build/TARGET.
set -u
cd "$(dirname "$0")/.." || exit 1
logs=build/$1
copy=$(mktemp -d "${TMPDIR:-/tmp}/metasd-$1.XXXXXX") || exit 1
trap 'rm -rf "$copy"' EXIT
trap 'exit 130' INT TERM HUP
tar -c --exclude=./.git --exclude=./build . | tar -C "$copy" -x && chown -R postgres "$copy" || exit 1

runuser -u postgres -- "${MAKE:-make}" -C "$copy" "$1"
status=$?
rm -rf "$logs" && mkdir -p "$logs"
for result in results output_iso regression.diffs regression.out build/prove/tmp_check/log; do
    [ ! -e "$copy/$result" ] || cp -r "$copy/$result" "$logs"
done
[ "$status" -eq 0 ] || echo "The logs are in $logs." >&2
exit "$status"
