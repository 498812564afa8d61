#!/usr/bin/env bash
# run.sh [STEP ...] - runs every test, or those of the steps named: clang-format, cppcheck, layers,
# portability, oracle, unit, unit-sanitize, unit-valgrind, regress, isolation, prove_installcheck, tap.
# The last line is "N passed, M failed". PG=17 tests with Debian's PostgreSQL 17, PG_CONFIG with any.
#
# A step is made of jobs: the programs of unit tests and the TAP files are one each. One job more than
# there are processors runs at a time, for many wait for a server, or METASD_JOBS; what each says is in
# build/test-logs/STEP/JOB.log.
# METASD_TAP names some of the TAP files, with or without their numbers; METASD_VALGRIND=all has valgrind
# run the unit tests in full.
steps="clang-format cppcheck layers portability oracle unit unit-sanitize unit-valgrind regress isolation prove_installcheck tap"
cd "$(dirname "$0")/.." || exit 1
. test/server.sh
wanted=" ${*:-$steps} "
export root=$PWD log=$PWD/build/test-logs bindir pgxs_test WERROR=1
jobs=${METASD_JOBS:-$(($(nproc) + 1))}
rm -rf "$log"
mkdir -p "$log"

# is_wanted STEP...: one of them.
is_wanted() {
    local step
    for step in "$@"; do [[ $wanted == *" $step "* ]] && return 0; done
    return 1
}

names() {
    local file
    for file in "$@"; do basename "${file%.*}"; done
}

# ---- what the jobs of a step do: run_STEP JOB ----

# It leaves comments as they are, so that lists in them stay; only the lines' length is looked at.
run_clang-format() {
    find src test -name "*.[ch]" -print0 | xargs -0 -n 16 -P "$(nproc)" clang-format --dry-run -Werror &&
        ! grep -rnE "^.{101}" --include="*.[ch]" src test && echo ok
}

# It takes the second index of a comparison for one that is checked too late.
run_cppcheck() {
    cppcheck -j "$(nproc)" --quiet --error-exitcode=1 --std=c11 \
        --enable=warning,performance,portability --suppress=arrayIndexThenCheck \
        --suppress=missingIncludeSystem -Isrc src && echo ok
}

# The golden files of the unit tests agree with the oracle.
run_oracle() { test/oracle/make.sh --check; }

# The rooms of src, by their includes and the symbols of the objects.
run_layers() { perl test/layers.pl; }

# Other processors, compilers, servers, folders and libraries.
run_portability() { test/portability.sh; }

run_unit() { "build/unit/$1"; }

run_unit-sanitize() { "build/unit-sanitize/$1"; }

# What valgrind alone finds is the use of what was never set. Each kind of case once is enough for that
# (METASD_UNIT_QUICK): of the rest the sanitizers find more, in a tenth of the time.
# valgrind 3.19 does not know AVX-512, and takes a hundred times as long for fused
# multiply-adds: OpenBLAS and our own kernels take forms without both there.
run_unit-valgrind() {
    [ "$METASD_VALGRIND" = all ] || export METASD_UNIT_QUICK=1
    OPENBLAS_CORETYPE=Nehalem valgrind -q --error-exitcode=9 --leak-check=full "build/unit-plain/$1"
}

# installcheck NAME VARIABLE...: make installcheck as users know it, with these variables, on a server where make
# install has installed metasd. Its superuser, database and order of text are not those of the expected output.
# What differs from that goes to the log.
installcheck() {
    local folder=$work/$1 bin=$work/pg$bindir collation= status
    shift
    ! "$bin/initdb" --help | grep -q -- --icu-locale || collation="--locale-provider=icu --icu-locale=en"
    as_server mkdir -p "$folder/server"
    as_server "$bin/initdb" -D "$folder/server/data" -U "odd user" -A trust -E UTF8 --locale=C.UTF-8 $collation \
        --no-sync >/dev/null || return 1
    as_server tee -a "$folder/server/data/postgresql.conf" <test/server.conf >/dev/null
    printf "%s\n" "unix_socket_directories = '$folder'" "listen_addresses = ''" "port = 5432" "fsync = off" |
        as_server tee -a "$folder/server/data/postgresql.conf" >/dev/null
    as_server cp -r "$work/tree" "$folder"
    # glibc fills memory when it is freed, so that what is read after that is seen to be wrong.
    as_server env MALLOC_PERTURB_=165 "$bin/pg_ctl" -D "$folder/server/data" -s -w -l "$folder/server/log" start || return 1
    as_server env PGHOST="$folder" PGPORT=5432 PGUSER="odd user" \
        make -s -C "$folder/tree" installcheck PG_CONFIG="$bin/pg_config" "$@"
    status=$?
    as_server "$bin/pg_ctl" -D "$folder/server/data" -s -w -m fast stop
    [ "$status" -eq 0 ] || cat "$folder"/tree/regression.diffs "$folder"/tree/*/regression.diffs 2>/dev/null
    return "$status"
}

run_regress() { installcheck regress ISOLATION=; }

run_isolation() {
    if [ -x "$pgxs_test/isolation/pg_isolation_regress" ]; then
        installcheck isolation REGRESS=
    else
        echo "skipped: this PostgreSQL has no pg_isolation_regress"
    fi
}

# Two TAP files as users run them; run_tap runs all.
run_prove_installcheck() {
    as_server cp -r "$work/tree" "$work/prove" &&
        as_server make -s -C "$work/prove" prove_installcheck PG_CONFIG="$work/pg$bindir/pg_config" \
            bindir="$work/pg$bindir" PROVE_FLAGS=--verbose PROVE_TESTS="test/t/001_install.pl test/t/002_update.pl"
}

# Real servers that are stopped, killed and started again. Each file has servers of its own, in folders
# named by it; the ports, which only name sockets, are reserved in the folder that all share.
run_tap() {
    as_server env --chdir="$work" PATH="$tap_bindir:$PATH" PGPORT=65432 \
        PG_REGRESS="$pgxs_test/regress/pg_regress" TEMP_CONFIG="$work/server.conf" \
        TESTDIR="$work" TESTDATADIR="$work/tmp_check" TESTLOGDIR="$work/tmp_check/log" \
        prove --verbose -I "$pgxs_test/perl" -I "$work/test/t" "$work/test/t/$1.pl"
}

# ---- how jobs run ----

# What a step's log says of a test that has passed, and of one that has failed.
declare -A passes=(
    [clang-format]='^ok' [cppcheck]='^ok' [layers]='^ok ' [portability]='^ok ' [build]='^ok' [oracle]='^ok '
    [regress]='^((test |     ) *[a-z_0-9]+ +\.\.\. ok |ok [0-9]+ +[-+] )'
    [tap]='^ok [0-9]' [unit]='^\[       OK \]')
declare -A fails=(
    [clang-format]='^[^o]' [cppcheck]='(error|warning|performance|portability|style): ' [layers]='^not ok ' [portability]='^not ok ' [build]='^!'
    [oracle]='^not ok '
    [regress]='^((test |     ) *[a-z_0-9]+ +\.\.\. FAILED|not ok [0-9]+ +[-+] )'
    [tap]='^not ok [0-9]' [unit]='^\[  FAILED  \] [a-z_0-9]+$')
for step in unit-sanitize unit-valgrind; do passes[$step]=${passes[unit]} fails[$step]=${fails[unit]}; done
passes[isolation]=${passes[regress]} fails[isolation]=${fails[regress]}
passes[prove_installcheck]=${passes[tap]} fails[prove_installcheck]=${fails[tap]}

# run_job STEP JOB: with its output and status beside each other in the logs.
run_job() {
    local begun=$SECONDS status took verdict=ends
    mkdir -p "$(dirname "$log/$1/$2")"
    "run_$1" "$2" >"$log/$1/$2.log" 2>&1 </dev/null
    status=$? took=$((SECONDS - begun))
    echo "$status $took" >"$log/$1/$2.status"
    [ "$status" -eq 0 ] || verdict=FAILS
    [ "$status" -eq 0 ] && [ "$took" -lt 5 ] || echo "$1 $2 $verdict after $took s"
}
export -f run_job as_server installcheck names
for step in $steps; do export -f "run_$step"; done

# count STEP JOB: adds up what its log says. A job that fails without naming a test counts as one
# failure, and so does one that tests nothing without saying that it is skipped (prove says so after the name of
# its file), and one that has no status: it was killed.
passed=0 failed=0
declare -A of_step_passed of_step_failed of_step_seconds
count() {
    local file=$log/$1/$2 good bad status=1 seconds=0
    [ -f "$file.status" ] && read -r status seconds <"$file.status"
    good=$(grep -Ec "${passes[$1]}" "$file.log" 2>/dev/null)
    bad=$(grep -Ec "${fails[$1]}" "$file.log" 2>/dev/null)
    good=${good:-0} bad=${bad:-0}
    [ "$status" -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    [ "$good" -eq 0 ] && [ "$bad" -eq 0 ] &&
        ! sed -nE "s/^(.* \.\. ?)?skipped: /$1 $2 is skipped: /p" "$file.log" 2>/dev/null | grep . && bad=1
    passed=$((passed + good)) failed=$((failed + bad))
    of_step_passed[$1]=$((${of_step_passed[$1]:-0} + good))
    of_step_failed[$1]=$((${of_step_failed[$1]:-0} + bad))
    of_step_seconds[$1]=$((${of_step_seconds[$1]:-0} + seconds))
    [ "$bad" -eq 0 ] || { echo "--- $1 $2: $bad failed; end of $file.log"; tail -n 60 "$file.log"; echo "---"; }
}

# However this ends, nothing stays: jobs are asked to end, as Ctrl-C would, and servers made to.
clean_up() {
    local file tries=0
    [ -z "$runner" ] || kill -INT -- "-$runner" 2>/dev/null
    while [ -n "$runner" ] && kill -0 -- "-$runner" 2>/dev/null && [ $((tries += 1)) -le 100 ]; do sleep 0.1; done
    for file in "$work"{,/prove/build/prove}/tmp_check/*/pgdata/postmaster.pid "$work"/*/server/data/postmaster.pid; do
        [ ! -f "$file" ] || kill -QUIT "$(head -n 1 "$file")" 2>/dev/null
    done
    until rm -rf "$work" 2>/dev/null || [ $((tries += 1)) -gt 200 ]; do sleep 0.1; done
}
# PostgreSQL's tests put sockets there, and do not quote their names.
[[ $TMPDIR != *[[:space:]]* ]] || export TMPDIR=/tmp
runner= # the process group of the jobs
export work=$(mktemp -d "${TMPDIR:-/tmp}/metasd-test.XXXXXX")
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
chmod 755 "$work"

# Before 18 servers of TAP tests find the extension in a folder beside Debian's PostgreSQL; later pg_upgrade looks
# for libraries in PostgreSQL's own folder only: there it is a copy of that.
export tap_bindir=$bindir
[ "$pg_version" -lt 18 ] || tap_bindir=$work/pg$bindir

# ---- build ----

# The tests of the documents need them, and the names of what they may lead to.
cp -rL test Makefile "$work"
# Those of the release what tells its version.
cp -r LICENSE META.json metasd.control packaging sql "$work"
find . \( -path ./build -o -name .git \) -prune -o -printf '%P\n' >"$work/listing"
find . -path ./build -prune -o -name '*.md' -print0 | xargs -0 cp --parents -t "$work"
mkdir "$log/build"
build() {
    if is_wanted regress isolation prove_installcheck tap; then
        prepare "$work" || return 1
        make -s -B -C test/modules && cp test/modules/*.so "$work/stage$("$PG_CONFIG" --pkglibdir)" || return 1
        [ "$tap_bindir" = "$bindir" ] || echo "listen_addresses = ''" >"$work/server.conf"
        cat test/server.conf >>"$work/server.conf"
        as_server mkdir -p "$work/tmp_check/log"
    fi
    if is_wanted regress isolation prove_installcheck || { is_wanted tap && [ "$tap_bindir" != "$bindir" ]; }; then
        prepare_copy "$work" && cp test/modules/*.so "$work/pg$("$PG_CONFIG" --pkglibdir)" || return 1
        mkdir "$work/tree" && cp -r Makefile metasd.control sql src test expected "$work/tree" || return 1
    fi
    ! is_wanted layers || make -s -j"$jobs" all || return 1
    ! is_wanted unit || make -s -j"$jobs" unit-programs || return 1
    ! is_wanted unit-sanitize || make -s -j"$jobs" SANITIZE=1 unit-programs || return 1
    ! is_wanted unit-valgrind || make -s -j"$jobs" PLAIN=1 unit-programs || return 1
}
if ! build >"$log/build/all.log" 2>&1; then
    count build all
    wanted=
fi

# ---- the list of jobs, those that take longest first ----

list=$log/jobs
jobs_of() {
    local step=$1
    shift
    ! is_wanted "$step" || [ $# -eq 0 ] || printf "$step %s\n" "$@" >>"$list"
}
unit_programs=($(cd test/unit && for file in */test_*.c; do echo "${file%.c}"; done))
# tap_named NAME...: the TAP files of these names, or with a number before them.
tap_named() {
    local name file
    for name in "$@"; do
        for file in test/t/[0-9][0-9][0-9]_"$name".pl; do [ -f "$file" ] || file=$name.pl; done
        names "$file"
    done
}
tap_files=($(tap_named ${METASD_TAP:-documents $(names test/t/*.pl | grep -vx 034_documents)}))
: >"$list"
jobs_of tap "${tap_files[0]}"
jobs_of regress all
jobs_of isolation all
jobs_of prove_installcheck all
jobs_of tap "${tap_files[@]:1}"
jobs_of unit-valgrind "${unit_programs[@]}"
jobs_of unit-sanitize "${unit_programs[@]}" $(printf "fuzz_%s " $(names test/fuzz/*.c))
jobs_of unit "${unit_programs[@]}"
jobs_of oracle all
jobs_of layers all
jobs_of portability all
jobs_of cppcheck all
jobs_of clang-format all

# They are a process group of their own, so that they can be ended together.
set -m
xargs -r -a "$list" -L 1 -P "$jobs" bash -c 'run_job "$@"' run_job &
runner=$!
set +m
wait "$runner"
runner=
while read -r step job; do count "$step" "$job"; done <"$list"
for step in $steps; do
    [ -z "${of_step_seconds[$step]}" ] || printf '%-28s %4d passed, %d failed, %d s\n' "$step" \
        "${of_step_passed[$step]}" "${of_step_failed[$step]}" "${of_step_seconds[$step]}"
done
cp "$work"/*/tree/regression.diffs "$work"/*/tree/*/regression.diffs "$log" 2>/dev/null
cp -r "$work/tmp_check/log" "$log/tap-servers" 2>/dev/null

echo
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
