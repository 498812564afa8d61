#!/bin/sh
# setup.sh [test] - installs what building, or testing, needs on Debian and Ubuntu, once: a second run finds
# nothing to do. The PostgreSQL is the one that PG_CONFIG or PG (PG=17) says, the newest that is installed, or
# the release's own. Works as root and as a user with sudo; where it cannot install, it says what to install.
set -eu
cd "$(dirname "$0")/.."
. test/which_pg.sh

# What is missing on a system without apt, by what it is there for.
say_what_to_install() {
    missing=
    command -v "${CC:-gcc}" >/dev/null || missing="$missing
    a C compiler    gcc"
    command -v make >/dev/null || missing="$missing
    make            make"
    command -v perl >/dev/null || missing="$missing
    perl            perl"
    [ -n "${PG_CONFIG:-}" ] && can_build "$PG_CONFIG" || missing="$missing
    PostgreSQL      13 to 18, server and headers. Fedora, RHEL: postgresql-server postgresql-server-devel;
                    Alpine: postgresql-dev; Arch: postgresql. PG_CONFIG=/path/to/pg_config names another one"
    ls /usr/lib*/libopenblas* /usr/lib*/*/libopenblas* /usr/lib/*/openblas*/libopenblas* /usr/local/lib/libopenblas* \
        >/dev/null 2>&1 || missing="$missing
    OpenBLAS        Fedora, RHEL, Alpine: openblas-devel or openblas-dev; Arch: openblas"
    [ -n "$missing" ] || exit 0
    echo "There is no apt here to install what is missing:$missing" >&2
    exit 1
}

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || say_what_to_install

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

as_root=
updated=
root_runs() {
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "These packages are missing, and there is no sudo to install them:${missing:- postgresql}" >&2
            echo "Ask an administrator for: apt-get install${missing:- postgresql}" >&2
            exit 1
        }
        as_root=sudo
    fi
    $as_root env DEBIAN_FRONTEND=noninteractive "$@"
}
update() {
    [ -n "$updated" ] || root_runs apt-get update -qq
    updated=yes
}
is_known() { [ -n "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" ]; }

# The version whose packages are wanted; none where PG_CONFIG names a PostgreSQL of another kind.
find_version() {
    case ${PG_CONFIG:-} in
    /usr/lib/postgresql/*)
        version=${PG_CONFIG#/usr/lib/postgresql/}
        version=${version%%/*}
        return
        ;;
    ?*)
        can_build "$PG_CONFIG" || { echo "$PG_CONFIG does not belong to a server with headers." >&2 && exit 1; }
        case $("$PG_CONFIG" --bindir) in
        /usr/lib/postgresql/*) version=$("$PG_CONFIG" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/') ;;
        *) version= ;;
        esac
        return
        ;;
    esac
    for version in 18 17 16 15 14 13; do
        [ ! -x "/usr/lib/postgresql/$version/bin/postgres" ] || return 0
    done
    is_known postgresql || update
    version=$(apt-cache show --no-all-versions postgresql 2>/dev/null |
        sed -n 's/^Depends:.*postgresql-\([0-9][0-9]*\).*/\1/p' | head -n 1)
    [ -n "$version" ] || { echo "This release has no package postgresql." >&2 && exit 1; }
}
find_version

packages="gcc make libc6-dev perl libopenblas-serial-dev libcmocka-dev libipc-run-perl"
[ -z "$version" ] || packages="$packages postgresql-$version postgresql-client-$version postgresql-server-dev-$version"
# What single tests need: those are skipped where a release does not have it.
useful=
[ "${1:-}" != test ] || useful="valgrind clang-format cppcheck python3 ${version:+postgresql-$version-cron}"

missing=
for package in $packages; do
    is_installed "$package" || missing="$missing $package"
done
for package in $useful; do
    is_installed "$package" && continue
    is_known "$package" || update
    if is_known "$package"; then
        missing="$missing $package"
    else
        echo "This release has no package $package: the tests that need it are skipped."
    fi
done
[ -n "$missing" ] || exit 0
update
for package in $missing; do
    is_known "$package" || {
        echo "No package $package is known here. Version $version of PostgreSQL is in another release or" \
            "repository (https://apt.postgresql.org); PG or PG_CONFIG names one that is installed." >&2
        exit 1
    }
done
echo "Installing:$missing"
root_runs apt-get install -y -qq --no-install-recommends $missing >/dev/null
