#!/usr/bin/env bash
# accuracy.sh FOLDER [PARAMS [COLUMNS]] - trains a folder of triples through SQL, on a throwaway server.
#
# test/bench/bench.sh tells of FOLDER and COLUMNS; PARAMS is a JSON object for kg_train. Prints seconds
# an epoch, the worker's peak memory, bytes stored, the time of predictions, and the pruned model's
# MRR: on validation triples as the training saw it, which filters what source and validation hold,
# and by kg_evaluate on validation and test triples, filtered by all three, as published figures are.
set -eu
. "$(dirname "$0")/bench.sh"
folder=$(folder_of "${1:-}")
params=${2:-{\}}
start_server
load_triples "$folder" "${3:-}"
"${psql[@]}" -v params="$params" <<'SQL'
SET metasd.train_mem = 0;
SET metasd.nice = 0;
SELECT kg_train('bench', 'facts', validation => 'valid', params => :'params'::jsonb) AS run \gset
CALL kg_wait(:run);
SELECT params FROM metasd.versions;
SELECT entities, relations, triples,
       (SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds)::numeric, 2)
        FROM metasd.learning_curve WHERE loss_pruned IS NULL) AS warmup_epoch_s,
       (SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds)::numeric, 2)
        FROM metasd.learning_curve WHERE loss_pruned IS NOT NULL) AS epoch_s,
       round(seconds::numeric) AS total_s,
       pg_size_pretty((metrics ->> 'peak_memory')::bigint) AS worker_peak,
       round((metrics #>> '{full,mrr}')::numeric, 3) AS mrr_full,
       round((metrics #>> '{validation,mrr}')::numeric, 3) AS mrr_pruned,
       round((metrics #>> '{stored,mrr}')::numeric, 3) AS mrr_stored,
       round((metrics #>> '{validation,hits_10}')::numeric, 3) AS hits_10,
       pg_size_pretty(bytes) AS stored, pg_size_pretty((metrics ->> 'dense_bytes')::bigint) AS dense
FROM metasd.versions;
\timing on
\echo 'first prediction of a session, then 200 of them:'
SELECT count(*) FROM (SELECT head, relation FROM valid LIMIT 1) q, kg_predict(q.head, q.relation, 10) p;
SELECT count(*) FROM (SELECT head, relation FROM valid LIMIT 200) q, kg_predict(q.head, q.relation, 10) p;
\echo 'ranked by kg_evaluate, filtered by train, valid and test:'
SELECT * FROM kg_evaluate('bench', 'valid', filters => '{test}');
SELECT EXISTS (SELECT FROM test) AS tested \gset
\if :tested
SELECT * FROM kg_evaluate('bench', 'test');
SELECT * FROM kg_evaluate('bench', 'test', by => 'frequency');
\endif
SQL
