#!/usr/bin/env bash
# suspects.sh FOLDER [COLUMNS [PARAMS]] - how many wrong facts kg_suspects finds.
#
# test/bench/bench.sh tells of FOLDER and COLUMNS; PARAMS is a JSON object for kg_train. Wrong facts are put
# into train, one for twenty: half of them facts with a random tail (any), half with a random tail of the same
# relation (same); none is in train, valid or test. After a training that knows nothing of this, all facts are
# ordered by suspicion, and as many are taken from the top as are wrong. Prints the part of the wrong facts
# among them, beside that of the lowest plain scores, and the seconds that it took.
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
SET work_mem = '256MB';
-- A number from 0 to 1 that depends on a text alone.
CREATE FUNCTION draw(text) RETURNS float8 IMMUTABLE RETURN ('x' || substr(md5($1), 1, 8))::bit(32)::bigint / 4294967296.0;
CREATE TABLE entities AS SELECT entity, row_number() OVER (ORDER BY entity COLLATE "C") AS n
FROM (SELECT head AS entity FROM facts UNION SELECT tail FROM facts) e;
CREATE TABLE tails AS SELECT relation, tail, row_number() OVER (PARTITION BY relation ORDER BY tail COLLATE "C") AS n
FROM (SELECT DISTINCT relation, tail FROM facts) t;
CREATE INDEX ON entities (n);
CREATE INDEX ON tails (relation, n);
CREATE TABLE known AS SELECT * FROM facts UNION SELECT * FROM valid UNION SELECT * FROM test;
CREATE INDEX ON known (head, relation, tail);
CREATE TABLE drawn AS
SELECT head, relation, head || relation || tail AS salt, row_number() OVER (ORDER BY draw(head || relation || tail)) AS n FROM facts;
ANALYZE;
CREATE TABLE candidates AS
SELECT 'any' AS kind, d.n, d.head, d.relation, e.entity AS tail
FROM drawn d JOIN entities e ON e.n = 1 + floor(draw(d.salt || 'any') * (SELECT count(*) FROM entities))
WHERE d.n % 2 = 0
UNION ALL
SELECT 'same', d.n, d.head, d.relation, t.tail
FROM drawn d JOIN (SELECT relation, count(*) AS all FROM tails GROUP BY 1) c USING (relation)
    JOIN tails t ON t.relation = d.relation AND t.n = 1 + floor(draw(d.salt || 'same') * c.all)
WHERE d.n % 2 = 1;
CREATE TABLE wrong AS
SELECT kind, head, relation, tail
FROM (SELECT c.*, row_number() OVER (PARTITION BY kind ORDER BY n) AS place
      FROM (SELECT DISTINCT ON (head, relation, tail) * FROM candidates ORDER BY head, relation, tail, n) c
      WHERE head <> tail AND NOT EXISTS (SELECT FROM known k WHERE (k.head, k.relation, k.tail) = (c.head, c.relation, c.tail))) c
WHERE place <= (SELECT round(count(*) / 40.0) FROM facts);
INSERT INTO facts SELECT head, relation, tail FROM wrong;
ANALYZE;
SELECT kg_train('bench', 'facts', params => :'params'::jsonb) AS run \gset
CALL kg_wait(:run);
SELECT round(seconds::numeric) AS seconds, round((metrics #>> '{stored,mrr}')::numeric, 3) AS validation_mrr,
       params ->> 'rank' AS rank, params ->> 'regularizer' AS regularizer, params ->> 'reg' AS reg
FROM metasd.versions;
-- The first question builds the image.
SELECT count(*) AS ready FROM kg_suspects('bench', 1) \gset

SELECT clock_timestamp() AS began \gset
CREATE TABLE suspects AS SELECT * FROM kg_suspects('bench', (SELECT count(*)::int FROM facts));
SELECT round(extract(epoch FROM clock_timestamp() - :'began')::numeric, 1) AS seconds, count(*) AS facts FROM suspects;
CREATE TABLE ordered AS
SELECT 'suspects' AS by, s.rank AS place, w.kind
FROM suspects s LEFT JOIN wrong w USING (head, relation, tail)
UNION ALL
SELECT 'score', row_number() OVER (ORDER BY kg_score(f.head, f.relation, f.tail)), w.kind
FROM (SELECT DISTINCT head, relation, tail FROM facts) f LEFT JOIN wrong w USING (head, relation, tail)
UNION ALL
SELECT 'tail_rank of kg_suspects', row_number() OVER (ORDER BY s.tail_rank DESC, s.deviation DESC), w.kind
FROM suspects s LEFT JOIN wrong w USING (head, relation, tail);
\echo 'the part of the wrong facts among the first, as many as are wrong:'
SELECT by, round(avg((place <= n)::int), 3) AS found, round(avg((place <= n)::int) FILTER (WHERE kind = 'any'), 3) AS "any",
       round(avg((place <= n)::int) FILTER (WHERE kind = 'same'), 3) AS same,
       round(avg((place <= n / 5)::int) * 5, 3) AS "right in the first fifth"
FROM ordered, (SELECT count(*) AS n FROM wrong) w WHERE kind IS NOT NULL GROUP BY by ORDER BY by;
SQL
