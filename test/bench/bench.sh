# bench.sh - to be sourced by a script beside it: a throwaway server with the extension, and triples on it.

# folder_of FOLDER: its whole name; it must hold train.tsv and valid.tsv.
folder_of() {
    [ -n "${1:-}" ] && [ -r "$1/train.tsv" ] && [ -r "$1/valid.tsv" ] || {
        echo "usage: $0 FOLDER ...; FOLDER holds train.tsv and valid.tsv" >&2
        return 2
    }
    (cd "$1" && pwd)
}

# start_server: in the folder $work, which goes away at the end; the array `psql` is its client.
start_server() {
    cd "$(dirname "${BASH_SOURCE[0]}")/../.."
    . test/server.sh
    work=$(mktemp -d "${TMPDIR:-/tmp}/metasd-bench.XXXXXX")
    trap 'server "$work" -m immediate stop || true; rm -rf "$work"' EXIT
    throwaway "$work" bench
    export PGHOST=$work PGUSER=bench PGDATABASE=postgres
    psql=("$bindir/psql" -X -q -v ON_ERROR_STOP=1)
    "${psql[@]}" -c 'CREATE EXTENSION metasd'
}

# load_triples FOLDER [COLUMNS]: train.tsv, valid.tsv and test.tsv, which have COLUMNS in that order (by
# default head,relation,tail), become tables facts, valid and test; a file that is not there, an empty one.
load_triples() {
    local folder=$1 columns=${2:-head,relation,tail} part
    for part in train:facts valid:valid test:test; do
        "${psql[@]}" -c "CREATE TABLE ${part#*:} (head text, relation text, tail text)"
        [ ! -r "$folder/${part%:*}.tsv" ] ||
            "${psql[@]}" -c "\\copy ${part#*:} ($columns) FROM '$folder/${part%:*}.tsv'"
    done
    "${psql[@]}" -c 'CREATE INDEX ON facts (head, relation)' -c 'CREATE INDEX ON facts (tail, relation)' \
        -c ANALYZE
}
