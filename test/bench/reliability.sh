#!/usr/bin/env bash
# reliability.sh FOLDER [PARAMS [COLUMNS]] - how far probabilities hold, before and after calibration.
#
# Trains a folder of triples through SQL, on a throwaway server: train.tsv and valid.tsv, with COLUMNS
# in that order (default head,relation,tail). Then asks every question that a triple of test.tsv answers,
# in both directions, where what train and valid hold is known. An answer holds if it is in test.tsv.
# Prints, for the first answer to each question and for the first ten, bins of probability: answers, mean
# probability, part that holds; and by kg_evaluate, Brier score and calibration error of the first answers.
set -eu
cd "$(dirname "$0")/../.."
. test/server.sh
[ $# -ge 1 ] && [ -r "$1/train.tsv" ] && [ -r "$1/valid.tsv" ] && [ -r "$1/test.tsv" ] || {
    echo "usage: $0 FOLDER [PARAMS [COLUMNS]]; FOLDER holds train.tsv, valid.tsv and test.tsv" >&2
    exit 2
}
folder=$(cd "$1" && pwd)
params=${2:-{\}}
columns=${3:-head,relation,tail}
work=$(mktemp -d "${TMPDIR:-/tmp}/metasd-bench.XXXXXX")
finish() {
    server "$work" -m immediate stop || true
    rm -rf "$work"
}
trap finish EXIT
throwaway "$work" bench
client=(env PGHOST="$work" PGUSER=bench PGDATABASE=postgres "$bindir/psql" -X -q -v ON_ERROR_STOP=1)

"${client[@]}" <<SQL
CREATE EXTENSION metasd;
CREATE TABLE facts (head text, relation text, tail text);
CREATE TABLE valid (head text, relation text, tail text);
CREATE TABLE test (head text, relation text, tail text);
\copy facts ($columns) FROM '$folder/train.tsv'
\copy valid ($columns) FROM '$folder/valid.tsv'
\copy test ($columns) FROM '$folder/test.tsv'
CREATE INDEX ON facts (head, relation);
CREATE INDEX ON facts (tail, relation);
ANALYZE;
SQL
"${client[@]}" -v params="$params" <<'SQL'
SET client_min_messages = warning;
SET metasd.train_mem = 0;
SELECT kg_train('bench', 'facts', validation => 'valid', params => :'params'::jsonb) AS run \gset
CALL kg_wait(:run);
SELECT seconds, metrics #>> '{stored,mrr}' AS validation_mrr, metrics -> 'calibration' AS calibration
FROM metasd.versions;
SELECT calibration, count(*), sum(held_out) AS held_out FROM metasd.relations GROUP BY 1;
\echo 'calibrated, by the facts it learnt from:'
SELECT round(brier::numeric, 4) AS brier, round(ece::numeric, 4) AS ece FROM kg_evaluate('bench', 'valid');
INSERT INTO facts SELECT * FROM valid;

CREATE VIEW answers AS
SELECT 'tail' AS side, p.rank, p.probability,
       EXISTS (SELECT FROM test t WHERE (t.head, t.relation, t.tail) = (q.head, q.relation, p.tail)) AS holds
FROM (SELECT DISTINCT head, relation FROM test) q, kg_predict(q.head, q.relation) p
UNION ALL
SELECT 'head', p.rank, p.probability,
       EXISTS (SELECT FROM test t WHERE (t.head, t.relation, t.tail) = (p.head, q.relation, q.tail))
FROM (SELECT DISTINCT relation, tail FROM test) q, kg_predict_heads(q.relation, q.tail) p;
CREATE TABLE shown (stage text, side text, rank integer, probability real, holds boolean);
CREATE INDEX ON test (head, relation, tail);

INSERT INTO shown SELECT 'calibrated', * FROM answers;
\echo 'calibrated:'
SELECT round(brier::numeric, 4) AS brier, round(ece::numeric, 4) AS ece FROM kg_evaluate('bench', 'test');
-- As if nothing had been held out; a new uuid means a new image.
UPDATE metasd.relation SET tail_slope = NULL, tail_offset = NULL, head_slope = NULL, head_offset = NULL;
UPDATE metasd.run SET metrics = metrics - 'calibration', uuid = gen_random_uuid();
INSERT INTO shown SELECT 'softmax', * FROM answers;
\echo 'softmax:'
SELECT round(brier::numeric, 4) AS brier, round(ece::numeric, 4) AS ece FROM kg_evaluate('bench', 'test');

CREATE VIEW bins AS
SELECT stage, most, least(floor(probability * 10), 9)::int AS bin, count(*) AS answers,
       avg(probability) AS mean, avg(holds::int) AS part,
       sum((probability - holds::int) ^ 2) AS squares
FROM shown, (VALUES (1), (10)) v (most) WHERE rank <= most GROUP BY 1, 2, 3;
SELECT most AS first, stage, sum(answers) AS answers, round((sum(squares) / sum(answers))::numeric, 4) AS brier,
       round((sum(answers * abs(mean - part::float8)) / sum(answers))::numeric, 4) AS ece
FROM bins GROUP BY 1, 2 ORDER BY 1, 2 DESC;
SELECT most AS first, bin / 10.0 AS probability,
       sum(answers) FILTER (WHERE stage = 'softmax') AS softmax,
       round(sum(mean) FILTER (WHERE stage = 'softmax')::numeric, 3) AS mean,
       round(sum(part) FILTER (WHERE stage = 'softmax'), 3) AS holds,
       sum(answers) FILTER (WHERE stage = 'calibrated') AS calibrated,
       round(sum(mean) FILTER (WHERE stage = 'calibrated')::numeric, 3) AS mean,
       round(sum(part) FILTER (WHERE stage = 'calibrated'), 3) AS holds
FROM bins GROUP BY 1, 2 ORDER BY 1, 2;
SQL
