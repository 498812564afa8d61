# server.sh - to be sourced: builds into a staging folder and runs PostgreSQL on it as a user
# who is not root. Needs Debian's PostgreSQL, which can take extensions from such a folder.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bindir=$(pg_config --bindir)
pgxs_test=$(dirname "$(dirname "$(pg_config --pgxs)")")/test

# prepare FOLDER: builds, installs into FOLDER/stage, and writes FOLDER/server.conf.
prepare() {
    make -C "$root" -s -j"$(nproc)" all && make -C "$root" -s install DESTDIR="$1/stage" || return 1
    cat >"$1/server.conf" <<CONF
extension_destdir = '$1/stage'
dynamic_library_path = '$1/stage$(pg_config --pkglibdir):\$libdir'
listen_addresses = ''
CONF
    [ "$(id -u)" -ne 0 ] || chown -R postgres "$1"
}

# as_server COMMAND...: PostgreSQL refuses to run as root.
as_server() {
    if [ "$(id -u)" -eq 0 ]; then
        runuser -u postgres -- "$@"
    else
        "$@"
    fi
}
