#!/usr/bin/env bash
# reliability.sh FOLDER [PARAMS [COLUMNS]] - how far probabilities hold, before and after calibration.
#
# test/bench/bench.sh tells of FOLDER, which must hold test.tsv, too, and COLUMNS; PARAMS is a JSON object
# for kg_train. Asks every question that a triple of test.tsv answers, in both directions, and for the relation; an
# answer holds if it is in test.tsv. First what train holds is known, so that valid and test are both missing, as they were
# when the probabilities were calibrated by one of them; then valid is known, too, as to kg_evaluate. Prints, for the
# first answer to each question and for the first ten, Brier score, expected calibration error, and by
# ranges of probability: answers, mean probability, part that holds. Then the same of all answers to 500
# questions a side: by powers of ten what probabilities sum to and how many answers hold, and what those of a
# question with one missing answer sum to.
set -eu
. "$(dirname "$0")/bench.sh"
folder=$(folder_of "${1:-}")
params=${2:-{\}}
start_server
load_triples "$folder" "${3:-}"
"${psql[@]}" -v params="$params" <<'SQL'
SET client_min_messages = warning;
SET metasd.train_mem = 0;
SET metasd.nice = 0;
SELECT kg_train('bench', 'facts', validation => 'valid', params => :'params'::jsonb) AS run \gset
CALL kg_wait(:run);
SELECT round(seconds::numeric) AS seconds, round((metrics #>> '{stored,mrr}')::numeric, 3) AS validation_mrr,
       metrics -> 'calibration' AS calibration
FROM metasd.versions;
SELECT calibration, count(*) AS relations, sum(held_out) AS held_out FROM metasd.relations GROUP BY 1;
\echo 'calibrated, by the facts it was calibrated by:'
SELECT round(brier::numeric, 4) AS brier, round(ece::numeric, 4) AS ece FROM kg_evaluate('bench', 'valid');
CREATE INDEX ON test (head, relation, tail);

CREATE VIEW answers AS
SELECT 'entity' AS asked, p.place AS rank, p.probability,
       EXISTS (SELECT FROM test t WHERE (t.head, t.relation, t.tail) = (q.head, q.relation, p.tail)) AS holds
FROM (SELECT DISTINCT head, relation FROM test) q, LATERAL (SELECT *, row_number() OVER () AS place FROM kg_predict(q.head, q.relation)) p
UNION ALL
SELECT 'entity', p.place, p.probability,
       EXISTS (SELECT FROM test t WHERE (t.head, t.relation, t.tail) = (p.head, q.relation, q.tail))
FROM (SELECT DISTINCT relation, tail FROM test) q, LATERAL (SELECT *, row_number() OVER () AS place FROM kg_predict_heads(q.relation, q.tail)) p
UNION ALL
SELECT 'relation', p.place, p.probability,
       EXISTS (SELECT FROM test t WHERE (t.head, t.relation, t.tail) = (q.head, p.relation, q.tail))
FROM (SELECT DISTINCT head, tail FROM test) q, LATERAL (SELECT *, row_number() OVER () AS place FROM kg_predict_relations(q.head, q.tail)) p;
CREATE VIEW everyone AS
SELECT 'tail' AS side, q.head AS given, q.relation, p.probability,
       EXISTS (SELECT FROM test t WHERE (t.head, t.relation, t.tail) = (q.head, q.relation, p.tail)) AS holds
FROM (SELECT head, relation FROM test GROUP BY 1, 2 ORDER BY md5(head || relation) LIMIT 500) q, kg_predict(q.head, q.relation, 2147483647) p
UNION ALL
SELECT 'head', q.tail, q.relation, p.probability,
       EXISTS (SELECT FROM test t WHERE (t.head, t.relation, t.tail) = (p.head, q.relation, q.tail))
FROM (SELECT relation, tail FROM test GROUP BY 1, 2 ORDER BY md5(relation || tail) LIMIT 500) q,
     kg_predict_heads(q.relation, q.tail, 2147483647) p;
CREATE VIEW ranges AS
SELECT side, given, relation, floor(log(greatest(probability, 1e-7)::numeric))::int AS range, count(*) AS answers,
       sum(probability::float8) AS claimed, count(*) FILTER (WHERE holds) AS held
FROM everyone GROUP BY 1, 2, 3, 4;
CREATE TABLE all_shown (known text, stage text, side text, given text, relation text, range integer, answers bigint, claimed float8, held bigint);
CREATE TABLE shown (known text, stage text, asked text, rank integer, probability real, holds boolean);

INSERT INTO shown SELECT 'train', 'calibrated', * FROM answers;
INSERT INTO all_shown SELECT 'train', 'calibrated', * FROM ranges;
INSERT INTO facts SELECT * FROM valid;
ANALYZE facts;
INSERT INTO shown SELECT 'train, valid', 'calibrated', * FROM answers;
INSERT INTO all_shown SELECT 'train, valid', 'calibrated', * FROM ranges;
\echo 'calibrated, by kg_evaluate:'
SELECT round(brier::numeric, 4) AS brier, round(ece::numeric, 4) AS ece FROM kg_evaluate('bench', 'test');
-- As if nothing had been held out; a new uuid means a new image.
UPDATE metasd.relation SET tail_slope = NULL, tail_offset = NULL, head_slope = NULL, head_offset = NULL;
UPDATE metasd.run SET metrics = metrics - 'calibration', uuid = gen_random_uuid();
INSERT INTO shown SELECT 'train, valid', 'softmax', * FROM answers;
INSERT INTO all_shown SELECT 'train, valid', 'softmax', * FROM ranges;
\echo 'softmax, by kg_evaluate:'
SELECT round(brier::numeric, 4) AS brier, round(ece::numeric, 4) AS ece FROM kg_evaluate('bench', 'test');
DELETE FROM facts f USING valid v WHERE (f.head, f.relation, f.tail) = (v.head, v.relation, v.tail);
INSERT INTO shown SELECT 'train', 'softmax', * FROM answers;
INSERT INTO all_shown SELECT 'train', 'softmax', * FROM ranges;

CREATE VIEW bins AS
SELECT asked, known, stage, most, least(floor(probability * 10), 9)::int AS bin, count(*) AS answers,
       avg(probability) AS mean, avg(holds::int) AS part,
       sum((probability - holds::int) ^ 2) AS squares
FROM shown, (VALUES (1), (10)) v (most) WHERE rank <= most GROUP BY 1, 2, 3, 4, 5;
SELECT asked, known, most AS first, stage, sum(answers) AS answers, round((sum(squares) / sum(answers))::numeric, 4) AS brier,
       round((sum(answers * abs(mean - part::float8)) / sum(answers))::numeric, 4) AS ece
FROM bins GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 DESC;
SELECT asked, known, most AS first, round(bin / 10.0, 1) AS probability,
       sum(answers) FILTER (WHERE stage = 'softmax') AS softmax,
       round(sum(mean) FILTER (WHERE stage = 'softmax')::numeric, 3) AS mean,
       round(sum(part) FILTER (WHERE stage = 'softmax'), 3) AS holds,
       sum(answers) FILTER (WHERE stage = 'calibrated') AS calibrated,
       round(sum(mean) FILTER (WHERE stage = 'calibrated')::numeric, 3) AS mean,
       round(sum(part) FILTER (WHERE stage = 'calibrated'), 3) AS holds
FROM bins GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;
\echo 'all answers, by powers of ten of their probability:'
SELECT known, stage, CASE range WHEN 0 THEN '1' ELSE '1e' || range END AS "from", sum(answers) AS answers,
       round(sum(claimed)::numeric, 1) AS claimed, sum(held) AS held
FROM all_shown GROUP BY known, stage, range ORDER BY known, stage DESC, range DESC;
\echo 'all answers to a question with one that is missing:'
SELECT known, stage, count(*) AS questions, round(avg(sum)::numeric, 3) AS "mean sum",
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY sum)::numeric, 3) AS median, round(max(sum)::numeric, 1) AS most
FROM (SELECT known, stage, sum(claimed) AS sum FROM all_shown GROUP BY known, stage, side, given, relation HAVING sum(held) = 1) q
GROUP BY 1, 2 ORDER BY 1, 2 DESC;
SQL
