#!/usr/bin/env bash
# Runs every test; the last line is "N passed, M failed".
cd "$(dirname "$0")/.." || exit 1
log=build/test-logs
mkdir -p "$log"
passed=0 failed=0

# count NAME PASSED FAILED STATUS: a step that fails without naming a test counts as one failure.
count() {
    local name=$1 good=$2 bad=$3 status=$4
    [ "$status" -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    passed=$((passed + good)) failed=$((failed + bad))
    printf '%-28s %4d passed, %d failed\n' "$name" "$good" "$bad"
    [ "$bad" -eq 0 ] || { echo "--- end of $log/$name.log"; tail -n 40 "$log/$name.log"; echo "---"; }
}

# Steps whose programs are cmocka tests.
unit() {
    local name=$1 status
    shift
    "$@" >"$log/$name.log" 2>&1
    status=$?
    count "$name" "$(grep -c '^\[       OK \]' "$log/$name.log")" \
        "$(grep -c '^\[  FAILED  \] [a-z_]*$' "$log/$name.log")" $status
}

unit unit make unit
unit unit-sanitize make unit SANITIZE=1

echo
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
