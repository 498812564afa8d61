#!/usr/bin/env bash
# discover.sh FOLDER [COLUMNS [PARAMS]] - what kg_discover finds of facts that were taken out of the source.
#
# test/bench/bench.sh tells of FOLDER and COLUMNS; test.tsv counts, too, if it is there. PARAMS is a JSON
# object for kg_train. A tenth of all facts is hidden, and a model is trained from the others. Prints the part of the
# first 100, 1,000 and 10,000 discoveries that was hidden, with what their probabilities claim, beside three plain
# ways: the best answers of random questions, and the answers of the highest probability by kg_predict of all tails,
# and of all heads. Then the probabilities of 10,000 discoveries by tenths, and the seconds that 1,000 discoveries
# take with 0, 1, and 3 workers. Triples that are hidden are the only ones that count as true: where the graph lacks
# other facts, more are.
set -eu
. "$(dirname "$0")/bench.sh"
folder=$(folder_of "${1:-}")
params=${3:-{\}}
start_server
load_triples "$folder" "${2:-}"
"${psql[@]}" -v params="$params" <<'SQL'
SET client_min_messages = warning;
SET metasd.train_mem = 0;
SET metasd.nice = 0;
SET work_mem = '64MB';
CREATE TABLE graph AS SELECT * FROM facts UNION SELECT * FROM valid UNION SELECT * FROM test;
CREATE TABLE hidden AS SELECT * FROM graph WHERE hashtext(concat_ws('|', head, relation, tail)) % 10 = 0;
TRUNCATE facts;
INSERT INTO facts SELECT * FROM graph EXCEPT SELECT * FROM hidden;
CREATE INDEX ON hidden (head, relation, tail);
ANALYZE;
SELECT count(*) AS facts, (SELECT count(*) FROM hidden) AS hidden, (SELECT count(*) FROM hidden h
       WHERE EXISTS (SELECT FROM facts f WHERE (f.head, f.relation) = (h.head, h.relation))) AS "with a known subject"
FROM facts;
SELECT kg_train('bench', 'facts', params => :'params'::jsonb) AS run \gset
CALL kg_wait(:run);
SELECT round(seconds::numeric) AS seconds, round((metrics #>> '{stored,mrr}')::numeric, 3) AS validation_mrr,
       params ->> 'validation_fraction' AS validation_fraction FROM metasd.versions;

CREATE TABLE shown (way text, place bigint, probability real, holds boolean);
CREATE FUNCTION is_hidden(head text, relation text, tail text) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT EXISTS (SELECT FROM hidden h WHERE (h.head, h.relation, h.tail) = ($1, $2, $3)) $$;
INSERT INTO shown SELECT 'kg_discover', row_number() OVER (), probability, is_hidden(head, relation, tail)
FROM kg_discover('bench', 10000);
INSERT INTO shown SELECT 'kg_discover, like', row_number() OVER (), probability, is_hidden(head, relation, tail)
FROM kg_discover('bench', 10000, subjects => 'like');
CREATE TABLE tails AS SELECT DISTINCT head, relation FROM facts;
CREATE TABLE heads AS SELECT DISTINCT relation, tail FROM facts;
CREATE TABLE best_tails AS SELECT * FROM kg_predict_many('tails', 10, 'bench');
CREATE TABLE best_heads AS SELECT * FROM kg_predict_many('heads', 10, 'bench', side => 'head');
INSERT INTO shown SELECT 'random questions', row_number() OVER (ORDER BY md5(concat_ws('|', head, relation))), probability,
                         is_hidden(head, relation, tail) FROM best_tails WHERE rank = 1;
INSERT INTO shown SELECT 'kg_predict', row_number() OVER (ORDER BY probability DESC), probability, is_hidden(head, relation, tail) FROM best_tails;
INSERT INTO shown SELECT 'kg_predict_heads', row_number() OVER (ORDER BY probability DESC), probability, is_hidden(head, relation, tail)
FROM best_heads;
\echo 'the part that was hidden, and what probabilities claim:'
SELECT way, first, count(*) AS found, round(avg(holds::int), 3) AS hidden, round(avg(probability)::numeric, 3) AS claimed
FROM shown, unnest('{100,1000,10000}'::int[]) first WHERE place <= first GROUP BY 1, 2 ORDER BY 2, 1;
\echo 'by tenths of probability:'
SELECT way, round(floor(least(probability, 0.9999) * 10)::numeric / 10, 1) AS "from", count(*) AS found, round(avg(probability)::numeric, 3) AS claimed,
       round(avg(holds::int), 3) AS hidden FROM shown WHERE way ~ 'kg_' AND place <= 10000 GROUP BY 1, 2 ORDER BY 1, 2;
\echo '1,000 discoveries in the whole graph:'
\timing on
SET max_parallel_workers_per_gather = 0;
SELECT count(*), 0 AS workers FROM kg_discover('bench', 1000);
SET max_parallel_workers_per_gather = 1;
SELECT count(*), 1 AS workers FROM kg_discover('bench', 1000);
SET max_parallel_workers_per_gather = 3;
SELECT count(*), 3 AS workers FROM kg_discover('bench', 1000);
SQL
