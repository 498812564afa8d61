#!/usr/bin/env bash
# demo.sh [psql|clean] - a throwaway server with a model of world geography.
#
# Without an argument: makes the server, trains, shows answers, stops it. psql: starts it again,
# opens psql, stops it afterwards. clean: removes it.
set -eu
cd "$(dirname "$0")/.."
. test/server.sh
demo=${TMPDIR:-/tmp}/metasd-demo-$(id -un)
client=(env PGHOST="$demo" PGUSER=demo PGDATABASE=demo "$bindir/psql" -X)

server() {
    as_server "$bindir/pg_ctl" -D "$demo/data" -s -w -l "$demo/log" "$@"
}

stop() {
    [ ! -e "$demo/data/postmaster.pid" ] || server -m fast stop || true
}

case ${1:-} in
clean)
    stop
    rm -rf "$demo"
    exit 0
    ;;
psql)
    [ -d "$demo/data" ] || { echo "There is no demo server: run make demo first." >&2; exit 1; }
    trap stop EXIT
    server start
    "${client[@]}"
    exit 0
    ;;
esac

stop
rm -rf "$demo"
mkdir -p "$demo"
chmod 755 "$demo"
prepare "$demo"
trap stop EXIT
as_server "$bindir/initdb" -D "$demo/data" -U demo -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
as_server cp "$demo/server.conf" "$demo/data/postgresql.auto.conf"
echo "unix_socket_directories = '$demo'" | as_server tee -a "$demo/data/postgresql.auto.conf" >/dev/null
server start
env PGHOST="$demo" PGUSER=demo "$bindir/createdb" demo
"${client[@]}" -v ON_ERROR_STOP=1 -q <test/demo.sql
cat <<END

The model stays in $demo. To ask it yourself:

    make demo-psql      opens psql on the demo server, and stops it when you leave
    make demo-clean     removes the server

and then for instance

    SELECT * FROM kg_predict('Peru', 'official_language', 5);
    SELECT * FROM kg_similar('Norway', 5);
    SELECT * FROM metasd.versions \gx
END
