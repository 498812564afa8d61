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

stop() {
    [ ! -e "$demo/data/postmaster.pid" ] || server "$demo" -m fast stop || true
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
    server "$demo" start
    "${client[@]}"
    exit 0
    ;;
esac

stop
rm -rf "$demo"
trap stop EXIT
throwaway "$demo" demo
env PGHOST="$demo" PGUSER=demo "$bindir/createdb" demo
"${client[@]}" -v ON_ERROR_STOP=1 -q <test/demo.sql
"${client[@]}" -v ON_ERROR_STOP=1 -At -c "SELECT kg_report('world')" >"$demo/report.html"
cat <<END

A page about the model, with charts and a map of its entities, to open in a browser:

    file://$demo/report.html

The model stays in $demo. To ask it yourself:

    make demo-psql      opens psql on the demo server, and stops it when you leave
    make demo-clean     removes the server

and then for instance

    SELECT * FROM kg_predict('Peru', 'official_language', 5);
    SELECT * FROM kg_similar('Norway', 5);
    SELECT * FROM metasd.versions \gx
END
