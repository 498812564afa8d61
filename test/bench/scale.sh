#!/usr/bin/env bash
# scale.sh [ENTITIES [RANK [KIND]]] - questions to a model of many entities, on a throwaway server.
#
# By default a million entities, rank 64, rows of the kind "aligned" (search.c). A model of a few entities is trained;
# then its entities are replaced by made-up rows, which say nothing of quality but are stored, imaged and asked like
# those of a trained model. Prints what they take in the table and in the image, how long the image takes to build and
# the largest memory of the session that builds it; then a question, exact and for several values of
# metasd.search_entities: median and what 99 of 100 take, and recall@10.
set -eu
. "$(dirname "$0")/bench.sh"
entities=${1:-1000000} rank=${2:-64} kind=${3:-aligned}
start_server
psql+=(-A -t)
make -s build/bench/synthetic build/bench/search

build/bench/synthetic 2000 20000 20 >"$work/train.tsv"
"${psql[@]}" -v params="{\"rank\": $rank, \"sparsity\": 0.5, \"epochs\": 2, \"warmup\": 1, \"ramp\": 0, \"finetune\": 1, \"reg\": 0.05,
    \"quiz\": false, \"mutual\": false, \"validation_fraction\": 0}" <<SQL
CREATE TABLE facts (head text, relation text, tail text);
\copy facts FROM '$work/train.tsv'
CREATE INDEX ON facts (head, relation);
CREATE INDEX ON facts (tail, relation);
SET client_min_messages = warning;
SELECT kg_train('bench', 'facts', params => :'params'::jsonb) AS run \gset
CALL kg_wait(:run);
DELETE FROM metasd.entity;
CREATE UNLOGGED TABLE rows (id integer, label text, embedding bytea);
ALTER TABLE rows ALTER COLUMN embedding SET STORAGE EXTERNAL;
SQL
build/bench/search rows "$kind" "$entities" "$rank" | "${psql[@]}" -c '\copy rows FROM pstdin'
"${psql[@]}" <<SQL
INSERT INTO metasd.entity SELECT m.run, id, label, 10, embedding FROM rows, (SELECT serving AS run FROM metasd.models) m ORDER BY id;
SQL
"${psql[@]}" <<SQL
UPDATE metasd.run SET entities = $entities;
DROP TABLE rows;
LOAD 'metasd';
ALTER SYSTEM SET metasd.image_cache_size = '100GB';
SELECT pg_reload_conf() \g /dev/null
SELECT format('%s entities, rank %s, %s: table and index %s', $entities, $rank, '$kind',
              pg_size_pretty(pg_total_relation_size('metasd.entity')));
SQL
rm -f "$work"/data/base/pgsql_tmp/pgsql_tmp_metasd_*

# The first question builds the image.
start=$(date +%s.%N)
coproc "${psql[@]}" 2>&1
client=$COPROC_PID
echo "SELECT pg_backend_pid(); SELECT count(*) FROM kg_predict('00000001', 'r1', 10);" >&"${COPROC[1]}"
read -r pid <&"${COPROC[0]}"
read -r answers <&"${COPROC[0]}"
image=$(stat -c %s "$work"/data/base/pgsql_tmp/pgsql_tmp_metasd_*)
awk -v s="$start" -v e="$(date +%s.%N)" -v bytes="$image" -v n="$entities" -v answers="$answers" \
    'BEGIN { printf "image built in %.1f s: %.0f MB, %.0f bytes an entity; %d answers\n", e - s, bytes / 1e6, bytes / n, answers }'
awk '/VmHWM|RssAnon|RssFile/ { printf "%s %.0f MB  ", $1, $2 / 1e3 } END { print "of that session" }' "/proc/$pid/status"
echo '\q' >&"${COPROC[1]}"
wait "$client"

"${psql[@]}" <<SQL
CREATE TABLE questions AS
SELECT lpad((i * ($entities / 100))::text, 8, '0') AS head, 'r' || i % 20 AS relation FROM generate_series(0, 99) i;
CREATE TABLE exact AS SELECT q.*, p.tail, p.score FROM questions q, kg_predict(head, relation, 10) p;
SQL
# quantile COLUMN PART: of the times in ms, processor's and clock's.
quantile() { cut -d ' ' -f "$1" "$work/times" | sort -n | awk -v p="$2" '{ a[NR] = $1 } END { printf "%.2f", a[int(1 + p * (NR - 1))] }'; }
echo
echo '| entities scored | processor, ms | 99 % within | clock, ms | recall@10 |'
echo '|---|---|---|---|---|'
for scored in 0 10000 30000 100000 300000 1000000; do
    [ "$scored" -lt "$entities" ] || continue
    recall=$("${psql[@]}" -c "SET metasd.search_entities = $scored" -c "SELECT round(count(*)::numeric / (SELECT count(*) FROM exact), 3)
        FROM questions q, kg_predict(q.head, q.relation, 10) p JOIN exact e ON e.tail = p.tail
        WHERE (e.head, e.relation) = (q.head, q.relation)")
    {
        echo "LOAD 'metasd'; SET metasd.search_entities = $scored; SET client_min_messages = log; SET log_statement_stats = on;"
        awk -v n="$entities" 'BEGIN { srand(1)
            for (i = 0; i < 200; i++) printf "SELECT count(*) FROM kg_predict(\047%08d\047, \047r%d\047, 10);\n", n * rand(), 20 * rand() }'
    } | "${psql[@]}" 2>&1 | awk '/elapsed/ { print 1000 * ($2 + $5), 1000 * $8 }' | tail -n 199 >"$work/times"
    echo "| $([ "$scored" = 0 ] && echo all || echo "$scored") | $(quantile 1 0.5) | $(quantile 1 0.99) | $(quantile 2 0.5) | $recall |"
done
