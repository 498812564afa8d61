#!/bin/sh
# Installs what building and testing need on Debian, once: a second run finds nothing to do.
# Works as root and as a user with sudo; elsewhere it only says what is missing.
set -eu

packages="gcc make libc6-dev perl postgresql-15 postgresql-client-15 postgresql-server-dev-15
          libopenblas-serial-dev libcmocka-dev libipc-run-perl"
[ "${1:-}" = test ] && packages="$packages valgrind clang-format cppcheck python3 postgresql-15-cron"

command -v dpkg-query >/dev/null || {
    echo "Not a Debian system: please install the equivalents of: $packages" >&2
    exit 0
}

missing=
for package in $packages; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "These packages are missing, and there is no sudo to install them:$missing" >&2
        exit 1
    }
    as_root=sudo
fi
echo "Installing:$missing"
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
