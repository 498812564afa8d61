#!/usr/bin/env bash
# portability.sh - whether the sources compile and the build behaves on machines unlike this one, as far as one
# machine can tell: in a moment each, with a file or two. test/matrix.sh has other servers and compilers.
# Each check that holds prints a line that begins with "ok", each other one "not ok".
cd "$(dirname "$0")/.." || exit 1
. test/server.sh
unset WERROR # of the tests that run this
tree=$PWD
work=$(mktemp -d "${TMPDIR:-/tmp}/metasd-portability.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
status=0

# check NAME COMMAND...: the command succeeds; what it says is shown where it does not.
check() {
    local name=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        echo "ok - $name"
    else
        echo "not ok - $name"
        tail -n 20 "$work/said"
        status=1
    fi
}

# says PATTERN COMMAND...: the command fails, and its message is like the pattern.
says() {
    local pattern=$1
    shift
    ! "$@" >"$work/message" 2>&1 && grep -E "$pattern" "$work/message" || { cat "$work/message" && return 1; }
}

# build FOLDER [TREE] ARGUMENT...: make in a folder that is not the source tree's.
build() {
    local folder=$work/$1
    shift
    mkdir -p "$folder" && make -s -C "$folder" -f "$tree/Makefile" "$@"
}

host() { gcc -fsyntax-only -x c "$@" src/core/base/host.h; }
check "a big-endian processor is an error" says "needs a little-endian processor" \
    host -U__BYTE_ORDER__ -D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__
check "a 32-bit processor is an error" says "needs a 64-bit processor" host -U__SIZEOF_POINTER__ -D__SIZEOF_POINTER__=4
check "every file of the core knows" grep -q host.h src/core/base/status.h

# Minor releases of before 2026 have add_size and mul_size only in storage/shmem.h.
old_headers() {
    mkdir -p "$work/old/utils" &&
        grep -vE '^extern Size (add|mul)_size' "$("$PG_CONFIG" --includedir-server)/utils/palloc.h" >"$work/old/utils/palloc.h"
}
old_headers
with_sizes=$(grep -lE '\b(add|mul)_size\(' -r src/pg --include='*.[ch]' | sed 's/[ch]$/c/' | sort -u)
sized=()
for file in $with_sizes; do [ ! -f "$file" ] || sized+=("${file%c}o"); done
check "headers of older minor releases do, and a build in another folder" \
    build elsewhere WERROR=1 COPT="-O1 -I$work/old" "${sized[@]}"

kernels="src/core/serve/dense_columns.o src/core/serve/postings.o src/core/math/sparse_products.o src/core/math/softmax.o"
check "all instructions of a processor do" build native WERROR=1 COPT=-march=native $kernels
if command -v clang >/dev/null; then
    check "clang does" build clang WERROR=1 CC=clang COPT=-fsyntax-only $kernels src/pg/serve/predict.o src/core/math/blas.o
else
    echo "skipped: clang is not installed"
fi

check "a folder without a BLAS is named, with what to install" says "No BLAS library was found in $work/old.*libopenblas-serial-dev" \
    build none BLAS_DIR="$work/old" build/built_with
check "a PostgreSQL that is not there is named, with what to do" says "$work/pg_config is not there" \
    build none PG_CONFIG="$work/pg_config" all
check "and so is a version of Debian's packages" says "postgresql/99/bin/pg_config is not there" build none PG=99 all

# Where nothing can be installed, it is said what to install.
mkdir -p "$work/bare/test" "$work/bin" "$work/apt" && cp test/setup.sh test/which_pg.sh "$work/bare/test" && chmod -R a+rX "$work"
for program in sh sed ls head dirname id env; do ln -s "$(command -v "$program")" "$work/bin"; done
check "without apt" says "There is no apt here" env -i PATH="$work/bin" sh "$work/bare/test/setup.sh"
check "and without a compiler" grep -q "a C compiler" "$work/message"
if command -v apt-get >/dev/null; then
    for program in dpkg-query apt-get apt-cache; do ln -s "$(command -v "$program")" "$work/apt"; done
    check "without sudo" says "no sudo to install them:.* postgresql-99 " \
        as_server env -i PATH="$work/bin:$work/apt" PG=99 sh "$work/bare/test/setup.sh"
else
    echo "skipped: apt is not installed"
fi

# An object is made again for other flags or another server, and only then.
made_again() {
    local before after
    build again "${@:2}" src/core/base/random.o && before=$(stat -c %y "$work/again/src/core/base/random.o") &&
        build again "${@:2}" "$1" src/core/base/random.o && after=$(stat -c %y "$work/again/src/core/base/random.o") &&
        [ "$before" != "$after" ]
}
cat >"$work/other_pg_config" <<END
#!/bin/sh
case " \$* " in *" --version "*) echo "PostgreSQL of another day"; esac
exec "$PG_CONFIG" "\$@"
END
chmod 755 "$work/other_pg_config"
check "nothing is made again without a reason" eval '! made_again WERROR='
check "other flags make objects again" made_again COPT=-DOTHER
check "another server makes objects again" made_again PG_CONFIG="$work/other_pg_config"
check "and so do warnings that stop" made_again WERROR=1
check "but not their absence after them" eval '! made_again WERROR= '

# Newer compilers take sources for C23 if they are not told what they are.
printf '#if __STDC_VERSION__ != 201112L\n#error this is not C11\n#endif\n' >"$work/is_c11.h"
check "C11 is asked for, whatever the compiler's default is" \
    build newer CC="gcc -std=gnu2x" COPT="-include $work/is_c11.h" src/core/base/random.o src/pg/serve/predict.o

# Two builds are the same, wherever they were made.
same_twice() {
    local copy
    for copy in one two-with-a-longer-name; do
        mkdir -p "$work/$copy" && cp -r Makefile src sql test metasd.control "$work/$copy" &&
            find "$work/$copy" -name '*.o' -delete && make -s -C "$work/$copy" src/pg/serve/predict.o || return 1
    done
    cmp "$work/one/src/pg/serve/predict.o" "$work/two-with-a-longer-name/src/pg/serve/predict.o"
}
check "builds in two folders are the same" same_twice
exit "$status"
