# which_pg.sh - to be sourced by sh or bash: PG_CONFIG, the pg_config of the PostgreSQL that is meant.
#
# That is the one of the variable PG_CONFIG; else that of the version in PG, from Debian's packages; else
# that of the path, and then the newest that packages have put where they do, if it has what extensions are
# built with. Nothing fits: PG_CONFIG stays empty.

# can_build PG_CONFIG: there is a server, and what extensions are built with.
can_build() {
    [ -x "$("$1" --bindir 2>/dev/null)/postgres" ] && [ -f "$("$1" --pgxs 2>/dev/null)" ]
}

if [ -n "${PG:-}" ]; then
    PG_CONFIG=/usr/lib/postgresql/$PG/bin/pg_config
elif [ -z "${PG_CONFIG:-}" ]; then
    for candidate in pg_config /usr/lib/postgresql/18/bin/pg_config /usr/lib/postgresql/17/bin/pg_config \
        /usr/lib/postgresql/16/bin/pg_config /usr/lib/postgresql/15/bin/pg_config \
        /usr/lib/postgresql/14/bin/pg_config /usr/lib/postgresql/13/bin/pg_config \
        /usr/pgsql-18/bin/pg_config /usr/pgsql-17/bin/pg_config /usr/pgsql-16/bin/pg_config \
        /usr/pgsql-15/bin/pg_config /usr/pgsql-14/bin/pg_config /usr/pgsql-13/bin/pg_config \
        /usr/local/pgsql/bin/pg_config; do
        ! can_build "$candidate" || { PG_CONFIG=$candidate && break; }
    done
fi
export PG_CONFIG
