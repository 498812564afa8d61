#!/usr/bin/env bash
# serving.sh [ENTITIES TRIPLES RELATIONS [PARAMS]] - the shared image of a model, on a throwaway server.
#
# Trains a made-up graph for an epoch (by default of FB15k-237's size, at rank 1000, 90 % pruned),
# which says nothing of quality but gives an image as large as that of a trained model. Prints the
# first question of new sessions, medians and quartiles as log_statement_stats counts them: where
# there is no image, so that it is built, and where there is one; what memory of its own a session
# has before and after; and 16 sessions that ask at once where there is no image.
set -eu
. "$(dirname "$0")/bench.sh"
size=("${1:-14541}" "${2:-272115}" "${3:-237}")
params=${4:-'{"rank": 1000, "sparsity": 0.9, "epochs": 1, "warmup": 0, "ramp": 0, "negatives": 200,
    "quiz": false, "mutual": false, "validation_fraction": 0, "patience": 0}'}
start_server
psql+=(-A -t)
make -s build/bench/synthetic

build/bench/synthetic "${size[@]}" >"$work/train.tsv"
"${psql[@]}" -v params="$params" <<SQL
CREATE TABLE facts (head text, relation text, tail text);
\copy facts FROM '$work/train.tsv'
CREATE INDEX ON facts (head, relation);
CREATE INDEX ON facts (tail, relation);
ANALYZE;
SET metasd.train_mem = 0;
SET client_min_messages = warning;
SELECT kg_train('bench', 'facts', params => :'params'::jsonb) AS run \gset
CALL kg_wait(:run);
\o /dev/null
ALTER SYSTEM SET log_min_messages = debug1;
SELECT pg_reload_conf();
SQL

images() { ls "$work"/data/base/pgsql_tmp/pgsql_tmp_metasd_*; }
question="SELECT count(*) FROM kg_predict('e1', 'r1', 10);"

# first_question N: "processor clock", in ms, of the first statement of a new session.
first_question() {
    echo "SET client_min_messages = log; SET log_statement_stats = on; $question" |
        "${psql[@]}" 2>&1 | awk '/elapsed/ && !done { print 1000 * ($2 + $5), 1000 * $8; done = 1 }'
}

# quartiles COLUMN: its median, and quartiles in brackets.
quartiles() {
    cut -d ' ' -f "$1" | sort -n | awk '{ a[NR] = $1 } END {
        printf "%.2f (%.2f, %.2f)", a[int((NR + 1) / 2)], a[int((NR + 3) / 4)], a[int((3 * NR + 1) / 4)] }'
}

# spread NAME: of lines of first_question.
spread() {
    local lines
    lines=$(cat)
    echo "$1: processor $(quartiles 1 <<<"$lines"), clock $(quartiles 2 <<<"$lines") ms"
}

for _ in $(seq 10); do
    rm -f "$work"/data/base/pgsql_tmp/pgsql_tmp_metasd_*
    first_question
done | spread 'first question, image built'
echo "image: $(stat -c %s "$(images)") bytes"
for _ in $(seq 30); do first_question; done | spread 'first question, image there'

# own PID: kB of its own memory, that of mapped files left out
own() { awk '/^Anonymous/ { print $2 }' "/proc/$1/smaps_rollup"; }
memory() {
    coproc "${psql[@]}" 2>&1
    echo "LOAD 'metasd'; SELECT count(*) FROM metasd.model; SELECT pg_backend_pid();" >&"${COPROC[1]}"
    read -r _ <&"${COPROC[0]}"
    read -r pid <&"${COPROC[0]}"
    before=$(own "$pid")
    echo "$question" >&"${COPROC[1]}"
    read -r _ <&"${COPROC[0]}"
    echo "$1: $before kB, then $(own "$pid") kB"
    echo '\q' >&"${COPROC[1]}"
    wait "$COPROC_PID"
}
memory 'memory of its own, image there'
rm -f "$(images)"
memory 'memory of its own, image built'

echo "\\set h random(0, ${size[0]} - 1)
SELECT count(*) FROM kg_predict('e' || :h, 'r1', 10);" >"$work/question.sql"
for _ in 1 2 3; do
    rm -f "$(images)"
    before=$(grep -c 'built "base' "$work/log")
    "$bindir/pgbench" -n -c 16 -j 2 -t 1 -f "$work/question.sql" 2>&1 |
        awk '/latency average|number of failed|ERROR|WARNING/ { printf "%s; ", $0 }'
    echo "images built: $(($(grep -c 'built "base' "$work/log") - before))"
done
"$bindir/pgbench" -n -c 2 -j 2 -t 500 -f "$work/question.sql" 2>&1 | grep 'latency average'
