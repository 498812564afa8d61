#!/usr/bin/env bash
# run.sh [STEP ...] - runs every test, or those of the steps named: clang-format, cppcheck,
# unit, unit-sanitize, unit-valgrind, regress, isolation, tap. The last line is "N passed, M failed".
wanted=" $* "
cd "$(dirname "$0")/.." || exit 1
. test/server.sh
log=$PWD/build/test-logs
rm -rf "$log"
mkdir -p "$log"
passed=0 failed=0

# count NAME PASSED FAILED STATUS: a step that fails without naming a test counts as one failure.
count() {
    local name=$1 good=$2 bad=$3 status=$4
    [ "$status" -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    [ "$good" -eq 0 ] && [ "$bad" -eq 0 ] && bad=1
    passed=$((passed + good)) failed=$((failed + bad))
    printf '%-28s %4d passed, %d failed\n' "$name" "$good" "$bad"
    [ "$bad" -eq 0 ] || { echo "--- end of $log/$name.log"; tail -n 60 "$log/$name.log"; echo "---"; }
}

# is_wanted STEP: nothing named wants all.
is_wanted() {
    [ "$wanted" = "  " ] || [[ $wanted == *" $1 "* ]]
}

# step NAME PASSED-PATTERN FAILED-PATTERN COMMAND...: counts the lines that match.
step() {
    local name=$1 good=$2 bad=$3 status
    is_wanted "$name" || return 0
    shift 3
    "$@" >"$log/$name.log" 2>&1
    status=$?
    count "$name" "$(grep -Ec "$good" "$log/$name.log")" "$(grep -Ec "$bad" "$log/$name.log")" $status
}

# Programs that are cmocka tests.
unit() {
    local name=$1
    shift
    step "$name" '^\[       OK \]' '^\[  FAILED  \] [a-z_0-9]+$' "$@"
}

# pg_regress and its like; what differs from the expected output goes to the log.
regress() {
    local name=$1 program=$2 input=$3
    shift 3
    step "$name" '^(test |     ) *[a-z_0-9]+ +\.\.\. ok ' '^(test |     ) *[a-z_0-9]+ +\.\.\. FAILED' \
        as_server bash -c 'cd "$0" && out=$1 && shift && "$@" || { cat "$out/regression.diffs"; exit 1; }' \
        "$work" "$work/$name" "$program" --bindir="$bindir" --inputdir="$work/$input" \
        --outputdir="$work/$name" --temp-instance="$work/$name/server" \
        --temp-config="$work/server.conf" --dbname="$name" "$@"
}

# TAP tests: real servers that are stopped, killed and started again. METASD_TAP names some of them.
tap() {
    local files=("$work"/test/t/*.pl)
    [ -z "$METASD_TAP" ] || files=($(printf "$work/test/t/%s.pl " $METASD_TAP))
    step tap '^ok [0-9]' '^not ok [0-9]' \
        as_server env --chdir="$work" PATH="$bindir:$PATH" PGPORT=65432 \
        PG_REGRESS="$pgxs_test/regress/pg_regress" TEMP_CONFIG="$work/server.conf" \
        TESTDIR="$work" TESTDATADIR="$work/tap/data" TESTLOGDIR="$work/tap/log" \
        prove --verbose -I "$pgxs_test/perl" -I "$work/test/t" "${files[@]}"
}

names() {
    local file
    for file in "$@"; do basename "${file%.*}"; done
}

# It leaves comments as they are, so that lists in them stay; only the lines' length is looked at.
step clang-format '^ok' '^[^o]' bash -c \
    'find src test -name "*.[ch]" -print0 | xargs -0 clang-format --dry-run -Werror &&
     ! grep -rnE "^.{101}" --include="*.[ch]" src test && echo ok'
# It takes the second index of a comparison for one that is checked too late.
step cppcheck '^ok' '(error|warning|performance|portability|style): ' bash -c \
    'cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
     --suppress=arrayIndexThenCheck --suppress=missingIncludeSystem -Isrc/core -Isrc/pg src && echo ok'
unit unit make -s unit
unit unit-sanitize make -s unit SANITIZE=1
unit unit-valgrind make -s unit-valgrind

work=$(mktemp -d "${TMPDIR:-/tmp}/metasd-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp -rL test README.md "$work"
if prepare "$work" >"$log/build.log" 2>&1; then
    regress regress "$pgxs_test/regress/pg_regress" test \
        $(awk '{ sub(/#.*/, ""); print }' test/sql/order)
    regress isolation "$pgxs_test/isolation/pg_isolation_regress" test/isolation \
        $(names test/isolation/specs/*.spec)
    tap
    cp "$work"/*/regression.diffs "$log" 2>/dev/null
    cp -r "$work/tmp_check/log" "$log/tap-servers" 2>/dev/null
else
    count build 0 1 1
fi

echo
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
