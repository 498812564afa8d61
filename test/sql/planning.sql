-- What the planner knows of the functions, the index that a source lacks, and copies of embeddings.
CREATE SCHEMA "Odd one";
CREATE TABLE "Odd one"."Facts" ("Head" text, relation text, "the tail" text, filler text);
INSERT INTO "Odd one"."Facts" SELECT head, relation, tail FROM tools.people();
ALTER TABLE "Odd one"."Facts" ALTER filler SET STORAGE PLAIN;
SELECT kg_train('people', '"Odd one"."Facts"', head => 'Head', tail => 'the tail', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);

-- Rows that the planner expects.
CREATE TABLE persons AS SELECT DISTINCT "Head" AS entity FROM "Odd one"."Facts";
ANALYZE persons;
CREATE FUNCTION expected(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    RETURN plan #>> '{0,Plan,Plan Rows}';
END $$;
SELECT q, expected('SELECT * FROM ' || q) FROM (VALUES
    ($q$kg_predict('p07', 'speaks')$q$),
    ($q$kg_predict('p07', 'speaks', 3)$q$),
    ($q$kg_predict('p07', 'speaks', k => 500)$q$),
    ($q$kg_predict('p07', 'speaks', 0)$q$),
    ($q$kg_predict('p07', 'speaks', NULL)$q$),
    ($q$kg_predict('p07', 'speaks', (random() * 7)::int)$q$),
    ($q$kg_predict('p07', 'speaks', 50, candidate_ids => ARRAY['French', 'Breton'])$q$),
    ($q$kg_predict('p07', 'speaks', 50, candidate_ids => ARRAY['French', current_user])$q$),
    ($q$kg_predict_heads('speaks', 'French', 7)$q$),
    ($q$kg_predict_relations('p07', 'French', 2)$q$),
    ($q$kg_similar('p07', 4)$q$),
    ($q$kg_predict_many(ARRAY['p07', 'p17'], ARRAY['speaks'], 4)$q$),
    ($q$kg_predict_many('persons', 4)$q$)) c (q);
PREPARE wanted(int) AS SELECT * FROM kg_predict('p07', 'speaks', $1);
SELECT expected('EXECUTE wanted(23)');
DEALLOCATE wanted;

-- A question costs more than a row of a table, a batch more than a question.
CREATE FUNCTION cost(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) SELECT * FROM ' || query INTO plan;
    RETURN plan #>> '{0,Plan,Total Cost}';
END $$;
SELECT cost($$kg_predict('p07', 'speaks')$$) > 5 AS question,
       cost($$kg_predict_many(ARRAY['p07', 'p17', 'p27'], ARRAY['speaks'])$$)
           BETWEEN 2.5 * cost($$kg_predict('p07', 'speaks')$$) AND 3.5 * cost($$kg_predict('p07', 'speaks')$$) AS batch;

-- What reads the live source, as all that ask may do for a newcomer, is in no parallel query.
SELECT proname, proparallel, count(*) FROM pg_proc
WHERE proname ~ '^kg_(predict|score|rank|explain|similar|embedding)' GROUP BY 1, 2 ORDER BY 1;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT count(*), count(kg_score(entity, 'speaks', 'French')) AS scores, count(kg_embedding(entity)) AS embeddings FROM persons;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;

-- A small source needs no index.
SELECT count(*) FROM kg_predict('p07', 'speaks', 3);
\c -
-- A large one does: told once a session for each direction, with the statement to copy.
INSERT INTO "Odd one"."Facts" SELECT 'p' || i, 'lives_in', 'Arles', repeat('x', 2000) FROM generate_series(100, 700) i;
SELECT count(*) FROM kg_predict('p07', 'speaks', 3);
SELECT count(*) FROM kg_predict('p07', 'speaks', 3);
SELECT count(*) FROM kg_predict_heads('speaks', 'French', 3);
SELECT count(*) FROM kg_predict_relations('p07', 'French', 2);
SELECT count(*) FROM kg_rank('p07', 'speaks', 'French');
SELECT count(*) FROM kg_predict_many(ARRAY['p07'], ARRAY['speaks'], 3);
\c -
SELECT count(*) FROM kg_predict('p07', 'speaks', 3, known => 'include');
-- The statement helps.
CREATE INDEX ON "Odd one"."Facts" ("Head", relation);
SELECT count(*) FROM kg_predict('p07', 'speaks', 3);
SELECT count(*) FROM kg_predict_relations('p07', 'French', 2);
CREATE INDEX ON "Odd one"."Facts" (relation, "the tail");
SELECT count(*) FROM kg_predict_heads('speaks', 'French', 3);
\c -
-- Some indexes do not: of part of the rows, of the relation alone, of another kind, of an expression, of another collation.
DROP INDEX "Odd one"."Facts_Head_relation_idx", "Odd one"."Facts_relation_the tail_idx";
CREATE INDEX ON "Odd one"."Facts" ("Head", relation) WHERE relation = 'lives_in';
CREATE INDEX ON "Odd one"."Facts" (relation);
CREATE INDEX ON "Odd one"."Facts" USING brin ("Head");
CREATE INDEX ON "Odd one"."Facts" (lower("Head"));
CREATE INDEX ON "Odd one"."Facts" ("Head" COLLATE "C");
SELECT count(*) FROM kg_predict('p07', 'speaks', 3);
\c -
-- A hash index does.
CREATE INDEX ON "Odd one"."Facts" USING hash ("Head");
SELECT count(*) FROM kg_predict('p07', 'speaks', 3);
-- Only who could create it is told.
CREATE ROLE regress_metasd_asker;
GRANT USAGE ON SCHEMA "Odd one" TO regress_metasd_asker;
GRANT SELECT ON "Odd one"."Facts" TO regress_metasd_asker;
SET ROLE regress_metasd_asker;
SELECT count(*) FROM kg_predict_heads('speaks', 'French', 3);
RESET ROLE;
SELECT count(*) FROM kg_predict_heads('speaks', 'French', 3);

-- Partitions count together.
CREATE TABLE parted ("Head" text, relation text, "the tail" text, filler text) PARTITION BY HASH (relation);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
ALTER TABLE parted ALTER filler SET STORAGE PLAIN;
INSERT INTO parted SELECT "Head", relation || i % 2, "the tail", repeat('x', 4000) FROM "Odd one"."Facts", generate_series(1, 2) i;
SELECT kg_train('parted', 'parted', head => 'Head', tail => 'the tail', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT count(*) FROM kg_predict('p07', 'speaks1', 3, 'parted');
SELECT kg_drop('parted');
-- and each may have an index of its own.
CREATE INDEX ON parted_0 ("Head", relation);
CREATE INDEX ON parted_1 ("Head");
SELECT kg_train('parted', 'parted', head => 'Head', tail => 'the tail', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
\c -
SELECT count(*) FROM kg_predict('p07', 'speaks1', 3, 'parted');
DROP INDEX "parted_1_Head_idx";
\c -
SELECT count(*) FROM kg_predict('p07', 'speaks1', 3, 'parted');
SELECT kg_drop('parted');

-- A view has no index of its own. Its owner is told where each question reads it whole, if it is large.
CREATE TABLE spoken AS SELECT * FROM tools.people();
CREATE VIEW learnt AS TABLE spoken EXCEPT SELECT 'p01', 'speaks', 'Dutch';
SELECT kg_train('learnt', 'learnt', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT count(*) FROM kg_predict('p07', 'speaks', 3, 'learnt');
INSERT INTO spoken SELECT 'q' || i, 'speaks', 'Dutch' FROM generate_series(1, 20000) i;
ANALYZE spoken;
\c -
SELECT count(*) FROM kg_predict_many(ARRAY['p07', 'p17'], ARRAY['speaks'], 3, 'learnt');
SELECT count(*) FROM kg_predict('p07', 'speaks', 3, 'learnt');
SELECT count(*) FROM kg_predict('p07', 'speaks', 3, 'learnt');
SELECT count(*) FROM kg_predict_heads('speaks', 'French', 3, 'learnt');
SELECT count(*) FROM kg_predict_relations('p07', 'French', 2, 'learnt');
SELECT count(*) FROM kg_rank('p07', 'speaks', 'French', 'learnt');
-- So it is of a table without an index, but not of one that has it.
CREATE OR REPLACE VIEW learnt AS TABLE spoken;
\c -
SELECT count(*) FROM kg_predict('p07', 'speaks', 3, 'learnt');
CREATE INDEX ON spoken (head, relation);
\c -
SELECT count(*) FROM kg_predict('p07', 'speaks', 3, 'learnt');
SELECT kg_drop('learnt');

-- Embeddings are arrays: COPY writes them, and reads them again.
CREATE TABLE embeddings (entity text PRIMARY KEY, embedding real[]);
INSERT INTO embeddings SELECT entity, kg_embedding(entity) FROM persons;
\copy embeddings TO 'embeddings.copy' (FORMAT binary)
CREATE TABLE copied (LIKE embeddings);
\copy copied FROM 'embeddings.copy' (FORMAT binary)
SELECT count(*), bool_and(c.embedding = e.embedding) AS same, min(cardinality(c.embedding)) AS width
FROM copied c JOIN embeddings e USING (entity);
TRUNCATE copied;
\copy (SELECT entity, kg_embedding(entity) FROM persons) TO 'embeddings.copy'
\copy copied FROM 'embeddings.copy'
SELECT count(*), bool_and(c.embedding = kg_embedding(c.entity)) AS same FROM copied c;

-- The views cost little: a thousand runs, even where no statistics are, do not wake the compiler of queries.
INSERT INTO metasd.run (model, source, head, relation, tail, status, params)
SELECT m.name, m.source, m.head, m.relation, m.tail, 'succeeded', '{"epochs": 60}' FROM metasd.model m, generate_series(1, 1000);
INSERT INTO metasd.epoch (run, epoch, seconds, kept) SELECT r.id, e, 1, false FROM metasd.run r, generate_series(2, 60) e
WHERE r.id > (SELECT serving FROM metasd.model);
CREATE TEMP VIEW dear AS
SELECT view FROM unnest('{models,versions,relations,progress,learning_curve}'::text[]) view
WHERE cost('metasd.' || view) > current_setting('jit_above_cost')::float8 / 10;
TABLE dear;
ANALYZE metasd.run, metasd.epoch;
TABLE dear;
DROP VIEW dear;

SELECT kg_drop('people');
DROP VIEW learnt;
DROP TABLE parted, spoken, persons, embeddings, copied;
DROP SCHEMA "Odd one" CASCADE;
DROP FUNCTION expected(text), cost(text);
DROP ROLE regress_metasd_asker;
