#!/usr/bin/env bash
# many.sh FOLDER [RANK [COLUMNS]] - kg_predict_many of all test triples, both sides, on a throwaway server.
#
# test/bench/bench.sh tells of FOLDER, which has a test.tsv too, and COLUMNS. The model is trained for
# one epoch: as large as any other of that rank (by default 200), and as fast to ask. Prints the
# processor's time and the clock's, in seconds, of both batches, of 100,000 different questions, and of a join of
# 2,000 questions beside them.
#
# Then the same facts, 30,000 of them at most, in sources of every kind that look known facts up worse than an
# indexed table: what a batch of 300 questions, one of 20,000 (or as many as there are), and a join of 300 take,
# by how many times what they take that look nothing up; and, for comparison, what the source itself takes to read.
set -eu -o pipefail
. "$(dirname "$0")/bench.sh"
folder=$(folder_of "${1:-}")
rank=${2:-200}
start_server
load_triples "$folder" "${3:-}"
params="{\"epochs\": 1, \"warmup\": 0, \"finetune\": 0, \"negatives\": 500, \"rank\": $rank}"
"${psql[@]}" -v params="$params" <<'SQL' 2>&1 |
SET metasd.train_mem = 0;
SET metasd.nice = 0;
SET client_min_messages = warning;
SELECT kg_train('bench', 'facts', validation => 'valid', params => :'params'::jsonb) AS run \gset
CALL kg_wait(:run);
CREATE TABLE sample AS SELECT * FROM test LIMIT 2000;
CREATE TABLE different AS SELECT head, relation FROM (SELECT DISTINCT head FROM facts) h,
    (SELECT relation FROM facts GROUP BY relation ORDER BY count(*) DESC LIMIT 10) r ORDER BY md5(head || relation) LIMIT 100000;
ANALYZE different;
SELECT count(*) FROM kg_predict_many('sample', 10);
SET client_min_messages = log;
SET log_statement_stats = on;
SELECT count(*) AS "answers, all tails" FROM kg_predict_many('test', 10);
SELECT count(*) AS "answers, all heads" FROM kg_predict_many('test', 10, side => 'head');
SELECT count(*) AS "answers, tails of 100,000 different questions" FROM kg_predict_many('different', 10);
SELECT count(*) AS "answers, some tails" FROM kg_predict_many('sample', 10);
SELECT count(*) AS "answers, some tails, join" FROM sample q, kg_predict(q.head, q.relation, 10) p;
SQL
    awk '/ERROR/ { print }
        /answers/ { name = $0; gsub(/^ *| *$/, "", name) }
        / elapsed/ { cpu = $2 + $5; clock = $8 }
        /^ *[0-9]+$/ && name { printf "%s: %d, processor %.2f s, clock %.2f s\n", name, $1, cpu, clock; name = "" }'

"${psql[@]}" -v params="$params" <<'SQL'
SET metasd.train_mem = 0;
SET metasd.nice = 0;
SET client_min_messages = warning;
CREATE TABLE most AS SELECT head, relation, tail FROM facts LIMIT 33000;
CREATE TABLE hidden AS SELECT * FROM most TABLESAMPLE bernoulli (10) REPEATABLE (1);
CREATE VIEW "view" AS TABLE most EXCEPT TABLE hidden;
CREATE TABLE "table" AS TABLE "view";
CREATE TABLE "indexed table" AS TABLE "view";
CREATE INDEX ON "indexed table" (head, relation);
CREATE TABLE "partitioned table" (LIKE "table") PARTITION BY HASH (tail);
SELECT format('CREATE TABLE part_%s PARTITION OF "partitioned table" FOR VALUES WITH (MODULUS 8, REMAINDER %s)', i, i)
FROM generate_series(0, 7) i \gexec
INSERT INTO "partitioned table" TABLE "table";
COPY "table" TO PROGRAM 'cat > many_facts.csv' (FORMAT csv);
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE "foreign table" (head text, relation text, tail text) SERVER files OPTIONS (filename 'many_facts.csv', format 'csv');
CREATE TABLE many AS SELECT head, relation FROM (SELECT DISTINCT head, relation FROM most) q ORDER BY md5(head || relation) LIMIT 20000;
CREATE TABLE few AS SELECT * FROM many LIMIT 300;
ANALYZE;
CREATE PROCEDURE train(source regclass, params jsonb) LANGUAGE plpgsql AS $$
DECLARE
    run bigint;
BEGIN
    SELECT kg_train(source::text, source, params => params) INTO run;
    COMMIT;
    CALL kg_wait(run);
END $$;
SELECT format('CALL train(%L, %L)', quote_ident(s), :'params')
FROM unnest('{indexed table,table,partitioned table,foreign table,view}'::text[]) s \gexec
-- The least of five, in milliseconds: neighbours only ever add.
CREATE FUNCTION took(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    least float8;
    began timestamptz;
    n bigint;
BEGIN
    FOR i IN 1 .. 5 LOOP
        began := clock_timestamp();
        EXECUTE 'SELECT count(*) FROM ' || query INTO n;
        least := least(least, 1000 * extract(epoch FROM clock_timestamp() - began));
    END LOOP;
    RETURN least;
END $$;
SELECT m.name AS source,
       round(took('(SELECT * FROM ' || m.name || ' OFFSET 0) s')::numeric, 1) AS "reading, ms",
       round((few.all_ / few.include)::numeric, 2) AS "300: times include",
       round(few.include::numeric, 1) AS "of ms",
       round((many.all_ / many.include)::numeric, 2) AS "20,000: times include",
       round(many.include::numeric, 1) AS "of ms",
       round((join_.all_ / join_.include)::numeric, 2) AS "join of 300: times include",
       round(join_.include::numeric, 1) AS "of ms"
FROM (SELECT name FROM metasd.models WHERE name <> 'bench' ORDER BY last_run) m,
     LATERAL (SELECT took(format('kg_predict_many(''few'', 10, %L)', m.name)) AS all_,
                     took(format('kg_predict_many(''few'', 10, %L, ''include'')', m.name)) AS include) few,
     LATERAL (SELECT took(format('kg_predict_many(''many'', 10, %L)', m.name)) AS all_,
                     took(format('kg_predict_many(''many'', 10, %L, ''include'')', m.name)) AS include) many,
     LATERAL (SELECT took(format('few q, kg_predict(q.head, q.relation, 10, %L)', m.name)) AS all_,
                     took(format('few q, kg_predict(q.head, q.relation, 10, %L, ''include'')', m.name)) AS include) join_;
SQL
