# server.sh - to be sourced: builds, installs into a scratch folder and runs PostgreSQL on that as a user
# who is not root.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/test/which_pg.sh"
[ -n "$PG_CONFIG" ] && can_build "$PG_CONFIG" || {
    echo "There is no PostgreSQL with headers${PG_CONFIG:+ at $PG_CONFIG}: test/setup.sh installs one." >&2
    exit 1
}
bindir=$("$PG_CONFIG" --bindir)
pgxs_test=$(dirname "$(dirname "$("$PG_CONFIG" --pgxs)")")/test
pg_version=$("$PG_CONFIG" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')

# stage_settings STAGE: what makes a server find the extension in a folder of its own. Before 18 only Debian's can.
stage_settings() {
    if [ "$pg_version" -ge 18 ]; then
        echo "extension_control_path = '$1$("$PG_CONFIG" --sharedir):\$system'"
    else
        echo "extension_destdir = '$1'"
    fi
    echo "dynamic_library_path = '$1$("$PG_CONFIG" --pkglibdir):\$libdir'"
}

# prepare FOLDER: builds, installs into FOLDER/stage, and writes FOLDER/server.conf. Needs Debian's
# PostgreSQL, which can take extensions from such a folder.
prepare() {
    make -C "$root" -s -j"$(nproc)" all && make -C "$root" -s install DESTDIR="$1/stage" || return 1
    stage_settings "$1/stage" >"$1/server.conf"
    echo "listen_addresses = ''" >>"$1/server.conf"
    [ "$(id -u)" -ne 0 ] || chown -R postgres "$1"
}

# prepare_copy FOLDER: makes FOLDER/pg, a copy of PostgreSQL, and installs there as make install does
# anywhere. PostgreSQL finds its files from where its programs are: links stand for all the others.
prepare_copy() {
    local folder
    mkdir -p "$1/pg" && cp -rL --parents "$bindir" "$1/pg" || return 1
    for folder in "$("$PG_CONFIG" --sharedir)" "$("$PG_CONFIG" --pkglibdir)" "$("$PG_CONFIG" --includedir-server)"; do
        mkdir -p "$1/pg$folder" && cp -rs "$folder/." "$1/pg$folder" || return 1
    done
    make -C "$root" -s -j"$(nproc)" all && make -C "$root" -s install DESTDIR="$1/pg"
}

# as_server COMMAND...: PostgreSQL refuses to run as root.
as_server() {
    if [ "$(id -u)" -eq 0 ]; then
        runuser -u postgres -- "$@"
    else
        "$@"
    fi
}

# server FOLDER ACTION...: pg_ctl on the server of FOLDER.
server() {
    local folder=$1
    shift
    as_server "$bindir/pg_ctl" -D "$folder/data" -s -w -l "$folder/log" "$@"
}

# throwaway FOLDER USER: prepares, makes a server whose socket is in FOLDER, and starts it.
throwaway() {
    mkdir -p "$1"
    chmod 755 "$1"
    prepare "$1" || return 1
    as_server "$bindir/initdb" -D "$1/data" -U "$2" -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
    as_server cp "$1/server.conf" "$1/data/postgresql.auto.conf"
    echo "unix_socket_directories = '$1'" | as_server tee -a "$1/data/postgresql.auto.conf" >/dev/null
    server "$1" start
}
