-- Known facts of many questions: read from the source at once, they are those that each question finds alone.
CREATE TABLE graph AS
SELECT format('e%s', lpad(h::text, 3, '0')) AS head, format('r%s', r) AS relation, format('e%s', lpad(t::text, 3, '0')) AS tail
FROM generate_series(1, 90) h, generate_series(0, 3) r, generate_series(1, 90) t
WHERE (h * 7 + t * 11 + r * 5) % 29 = 0 OR (t = 17 AND h % 2 = r % 2);
CREATE TABLE unseen AS SELECT * FROM graph WHERE head < 'e009';

-- Sources of every kind. A view of EXCEPT, and one of a function, have to be read whole.
CREATE TABLE bare AS SELECT * FROM graph EXCEPT SELECT * FROM unseen;
CREATE TABLE indexed AS TABLE bare;
CREATE INDEX ON indexed (head, relation);
CREATE INDEX ON indexed (tail, relation);
CREATE TABLE parted (LIKE bare) PARTITION BY HASH (head);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parted TABLE bare;
CREATE VIEW shown AS TABLE graph EXCEPT TABLE unseen;
COPY bare TO PROGRAM 'cat > batches_facts.csv' (FORMAT csv);
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE abroad (head text, relation text, tail text) SERVER files OPTIONS (filename 'batches_facts.csv', format 'csv');
CREATE SEQUENCE reads;
CREATE FUNCTION counted() RETURNS SETOF bare LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('public.reads');
    RETURN QUERY SELECT * FROM public.bare UNION ALL VALUES (NULL, 'r1', 'e002'), ('e001', '', 'e002'), ('e001', 'r1', NULL),
                                                            ('nobody', 'r1', 'e002'), ('e001', 'r1', 'nobody'), ('e001', 'nothing', 'e002');
END $$;
CREATE VIEW counting AS SELECT * FROM counted();
ANALYZE bare, indexed, parted, graph, unseen;
DO $$
DECLARE
    kind text;
BEGIN
    FOREACH kind IN ARRAY '{bare,indexed,parted,shown,abroad,counting}'::text[] LOOP
        PERFORM kg_train(kind, kind::regclass, params => tools.quick());
        COMMIT;
        RAISE NOTICE '%: %', kind, (SELECT tools.ended(last_run) FROM metasd.models WHERE name = kind);
    END LOOP;
END $$;

-- Questions about either side, some of them twice, some that cannot be answered.
CREATE TABLE asked AS
SELECT head, relation, head AS tail FROM (SELECT DISTINCT head, relation FROM graph) g WHERE right(head, 1) IN ('1', '7') ORDER BY head, relation;
INSERT INTO asked VALUES (NULL, 'r1', NULL), ('e001', NULL, 'e001'), ('nobody', 'r1', 'nobody'), ('e001', 'r9', 'e001');
INSERT INTO asked SELECT * FROM asked WHERE relation = 'r2';
SELECT count(*), count(DISTINCT (head, relation)) AS distinct FROM asked;

-- Each question in a statement of its own looks its facts up.
CREATE FUNCTION one_by_one(model text, mode text, side text, k int)
RETURNS TABLE (query bigint, rank int, answer text, score real, probability real, known bool) LANGUAGE plpgsql AS $$
DECLARE
    q asked;
    n bigint = 0;
BEGIN
    FOR q IN SELECT * FROM asked LOOP
        n := n + 1;
        IF side = 'tail' THEN
            RETURN QUERY SELECT n, p.rank, p.tail, p.score, p.probability, p.known
                         FROM kg_predict(q.head, q.relation, k, one_by_one.model, one_by_one.mode) p;
        ELSE
            RETURN QUERY SELECT n, p.rank, p.head, p.score, p.probability, p.known
                         FROM kg_predict_heads(q.relation, q.tail, k, one_by_one.model, one_by_one.mode) p;
        END IF;
    END LOOP;
END $$;
-- Answers of a batch, and of a join, that are not those.
CREATE FUNCTION compared(model text, mode text, side text, k int,
                         OUT answers bigint, OUT some_known boolean, OUT batch bigint, OUT joined bigint)
LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE single AS SELECT * FROM one_by_one(model, compared.mode, side, k);
    SELECT count(*), coalesce(bool_or(s.known), false) INTO answers, some_known FROM single s;
    SELECT count(*) INTO batch
    FROM (SELECT query, rank, CASE side WHEN 'tail' THEN tail ELSE head END AS answer, score, probability, m.known
          FROM kg_predict_many('asked', k, compared.model, compared.mode, side) m) m
         FULL JOIN single s ON (s.query, s.answer) = (m.query, m.answer)
    WHERE m IS DISTINCT FROM s;
    IF side = 'tail' THEN
        SELECT count(*) INTO joined
        FROM (SELECT n AS query, p.rank, p.tail AS answer, p.score, p.probability, p.known
              FROM (SELECT row_number() OVER () AS n, * FROM asked) q, kg_predict(q.head, q.relation, k, compared.model, compared.mode) p) m
             FULL JOIN single s ON (s.query, s.answer) = (m.query, m.answer)
        WHERE m IS DISTINCT FROM s;
    ELSE
        SELECT count(*) INTO joined
        FROM (SELECT n AS query, p.rank, p.head AS answer, p.score, p.probability, p.known
              FROM (SELECT row_number() OVER () AS n, * FROM asked) q, kg_predict_heads(q.relation, q.tail, k, compared.model, compared.mode) p) m
             FULL JOIN single s ON (s.query, s.answer) = (m.query, m.answer)
        WHERE m IS DISTINCT FROM s;
    END IF;
    DROP TABLE single;
END $$;
SET client_min_messages = warning;
SELECT source, known, side, c.*
FROM unnest('{bare,indexed,parted,shown,abroad,counting}'::text[]) source, unnest('{exclude,mark}'::text[]) known, unnest('{tail,head}'::text[]) side,
     compared(source, known, side, 5) c;
SELECT known, c.* FROM unnest('{exclude,mark,include}'::text[]) known, compared('shown', known, 'tail', 1000) c;

-- The same with hardly any memory: more facts than fit are sorted, and kept, on disk. Questions come again after their
-- answers have been forgotten.
BEGIN;
INSERT INTO bare SELECT h.head, r, t.head FROM (SELECT DISTINCT head FROM graph) h, (SELECT DISTINCT head FROM graph) t, unnest('{r0,r3}'::text[]) r
                 WHERE t.head < 'e080' AND (h.head, r, t.head) NOT IN (TABLE bare);
INSERT INTO asked SELECT head, relation, head FROM (SELECT DISTINCT head, relation FROM bare) b ORDER BY md5(head || relation);
INSERT INTO asked SELECT * FROM asked WHERE head = 'e017' OR head = 'e071';
ANALYZE bare;
SET LOCAL work_mem = '64kB';
SELECT side, k, c.* FROM (VALUES ('tail', 20), ('head', 1000)) v (side, k), compared('bare', 'mark', side, k) c;
-- An error, when much has been read already, leaves nothing behind.
CREATE OR REPLACE VIEW shown AS TABLE graph UNION ALL SELECT head, relation, (1 / (length(head) - 4))::text FROM bare;
DO $$
BEGIN
    PERFORM count(*) FROM kg_predict_many('asked', 5, 'shown');
EXCEPTION WHEN division_by_zero THEN
    RAISE WARNING 'caught: %', SQLERRM;
END $$;
CREATE OR REPLACE VIEW shown AS TABLE graph EXCEPT TABLE unseen;
SELECT count(*) FROM kg_predict_many('asked', 5, 'shown');
ROLLBACK;

-- How often the source is read. Once a batch, whatever comes again in it;
CREATE FUNCTION counted_reads(statement text, OUT rows bigint, OUT reads bigint) LANGUAGE plpgsql AS $$
DECLARE
    before bigint = nextval('reads');
BEGIN
    EXECUTE 'SELECT count(*) FROM ' || statement INTO rows;
    reads := nextval('reads') - before - 1;
END $$;
CREATE VIEW many_asked AS SELECT head, relation, tail FROM asked, generate_series(1, 30);
SET metasd.fold_in = off; -- a label that the model does not know is not looked up
SELECT * FROM counted_reads($$kg_predict_many('asked', 2, 'counting')$$);
SELECT * FROM counted_reads($$kg_predict_many('asked', 2, 'counting', 'mark', 'head')$$);
SELECT * FROM counted_reads($$kg_predict_many('many_asked', 2, 'counting')$$);
SELECT * FROM counted_reads($$(SELECT array_agg(head) h, array_agg(relation) r FROM asked) q, kg_predict_many(h, r, 2, 'counting')$$);
SELECT reads FROM counted_reads($$kg_predict_many('asked', 2, 'counting', min_probability => 0.001, candidate_ids => '{e001,e002}'::text[])$$);
-- not at all where nothing is to be known;
SELECT * FROM counted_reads($$kg_predict_many('asked', 2, 'counting', 'include')$$);
SELECT * FROM counted_reads($$kg_predict_many('asked', 0, 'counting')$$);
SELECT * FROM counted_reads($$kg_predict_many(ARRAY['stranger', NULL], ARRAY['r1'], 2, 'counting')$$);
-- some more often where memory is scarce;
SET work_mem = '64kB';
SELECT rows, reads BETWEEN 2 AND 10 AS bounded FROM counted_reads($$kg_predict_many('many_asked', 2000, 'counting')$$);
RESET work_mem;
-- once more for a label that may be a newcomer, however often it is asked;
RESET metasd.fold_in;
SELECT * FROM counted_reads($$kg_predict_many('many_asked', 2, 'counting')$$);
-- and a few times by a statement that asks one by one.
SELECT what, rows, reads BETWEEN 1 AND 10 AS bounded
FROM (VALUES ('join', 'asked a, kg_predict(head, relation, 1, ''counting'')'),
             ('join of heads', 'asked a, kg_predict_heads(relation, tail, 1, ''counting'')'),
             ('join of relations', 'asked a, kg_predict_relations(head, ''e005'', 1, ''counting'')'),
             ('join of ranks', 'asked a, kg_rank(head, relation, ''e005'', ''counting'')'),
             ('select list', '(SELECT kg_rank(head, relation, ''e005'', ''counting'') FROM asked) a'),
             ('subquery', '(SELECT (SELECT max(tail) FROM kg_predict(head, relation, 1, ''counting'')) FROM asked OFFSET 0) a WHERE max IS NOT NULL'),
             ('join of batches', 'asked a, kg_predict_many(ARRAY[head, tail], ARRAY[relation], 1, ''counting'')')) j (what, statement),
     counted_reads(statement);
-- Who asks two models in turn has the facts of each.
SELECT count(*) AS answers, count(*) FILTER (WHERE (p.rank, p.tail) IS DISTINCT FROM (m.rank, m.tail)) AS different
FROM (SELECT a.n, m.model, p.* FROM (SELECT row_number() OVER () AS n, * FROM asked) a, unnest('{counting,shown,bare}'::text[]) m (model),
             kg_predict(a.head, a.relation, 2, m.model) p) p
     FULL JOIN (SELECT m.model, p.* FROM unnest('{counting,shown,bare}'::text[]) m (model), kg_predict_many('asked', 2, m.model) p) m
     ON (p.model, p.n, p.tail) = (m.model, m.query, m.tail);
-- More than memory holds is looked up as before.
SET work_mem = '64kB';
BEGIN;
INSERT INTO bare SELECT h.head, 'r0', t.head FROM (SELECT DISTINCT head FROM graph) h, (SELECT DISTINCT head FROM graph) t;
SELECT count(*), count(*) FILTER (WHERE (a.rank, a.tail, a.known) IS DISTINCT FROM (b.rank, b.tail, b.known)) AS different
FROM (SELECT row_number() OVER () AS query, * FROM asked) q CROSS JOIN kg_predict(q.head, q.relation, 3, 'counting', 'mark') a
     FULL JOIN kg_predict_many('asked', 3, 'counting', 'mark') b ON (q.query, a.tail) = (b.query, b.tail);
ROLLBACK;
RESET work_mem;

-- A statement sees its own snapshot: what comes or goes between two changes their answers.
BEGIN;
SELECT count(*) FROM kg_predict_many('asked', 1000, 'counting', 'mark') WHERE known;
INSERT INTO bare SELECT 'e001', 'r1', head FROM (SELECT DISTINCT head FROM graph) h WHERE ('e001', 'r1', head) NOT IN (TABLE bare);
SELECT count(*) FROM kg_predict_many('asked', 1000, 'counting', 'mark') WHERE known;
SELECT count(*) FROM asked a, kg_predict(a.head, a.relation, 1000, 'counting', 'mark') WHERE known;
ROLLBACK;

-- Other types of identifiers.
CREATE VIEW of_integers AS SELECT substr(head, 2)::int AS head, substr(relation, 2)::smallint AS relation, substr(tail, 2)::bigint AS tail FROM graph EXCEPT SELECT 1, 1, 1;
CREATE VIEW of_uuids AS SELECT md5(head)::uuid AS head, md5(relation)::uuid AS relation, md5(tail)::uuid AS tail FROM graph EXCEPT SELECT NULL, NULL, NULL;
SELECT kg_train('integers', 'of_integers', params => tools.quick()) AS integers, kg_train('uuids', 'of_uuids', params => tools.quick()) AS uuids \gset
SELECT tools.ended(:integers), tools.ended(:uuids);
SELECT count(*), count(*) FILTER (WHERE (p.rank, p.tail, p.score, p.known) IS DISTINCT FROM (m.rank, m.tail, m.score, m.known)) AS different, min(pg_typeof(m.tail)::text)
FROM (SELECT array_agg(substr(head, 2)::int) h, array_agg(substr(relation, 2)::int) r FROM asked WHERE head ~ '^e' AND relation ~ '^r') q
     CROSS JOIN LATERAL unnest(h, r) WITH ORDINALITY u (head, relation, query)
     CROSS JOIN kg_predict(u.head, u.relation, 3, 'integers', 'mark') p
     FULL JOIN (SELECT m.* FROM (SELECT array_agg(substr(head, 2)::int) h, array_agg(substr(relation, 2)::int) r FROM asked WHERE head ~ '^e' AND relation ~ '^r') q,
                       kg_predict_many(h, r, 3, 'integers', 'mark') m) m ON (u.query, p.tail) = (m.query, m.tail);
SELECT count(*), count(*) FILTER (WHERE (p.rank, p.head, p.score, p.known) IS DISTINCT FROM (m.rank, m.head, m.score, m.known)) AS different, min(pg_typeof(m.head)::text)
FROM (SELECT array_agg(md5(tail)::uuid) t, array_agg(md5(relation)::uuid) r FROM asked WHERE head ~ '^e' AND relation ~ '^r') q
     CROSS JOIN LATERAL unnest(t, r) WITH ORDINALITY u (tail, relation, query)
     CROSS JOIN kg_predict_heads(u.relation, u.tail, 3, 'uuids', 'mark') p
     FULL JOIN (SELECT m.* FROM (SELECT array_agg(md5(tail)::uuid) t, array_agg(md5(relation)::uuid) r FROM asked WHERE head ~ '^e' AND relation ~ '^r') q,
                       kg_predict_many(t, r, 3, 'uuids', 'mark', 'head') m) m ON (u.query, p.head) = (m.query, m.head);

-- Reading is interrupted.
CREATE OR REPLACE VIEW counting AS SELECT a.* FROM bare a, generate_series(1, 1000000) WHERE a.head < a.tail OFFSET 0;
SET metasd.fold_in = off;
SET statement_timeout = '200ms';
SELECT count(*) FROM kg_predict_many('asked', 2, 'counting');
SELECT count(*) FROM asked a, kg_rank(head, relation, 'e005', 'counting');
RESET statement_timeout;
RESET metasd.fold_in;

SELECT count(kg_drop(name)) FROM metasd.models;
DROP FOREIGN TABLE abroad;
DROP SERVER files;
DROP EXTENSION file_fdw;
COPY (SELECT) TO PROGRAM 'rm batches_facts.csv';
DROP VIEW counting, shown, many_asked, of_integers, of_uuids;
DROP FUNCTION counted, one_by_one, compared, counted_reads;
DROP TABLE graph, unseen, bare, indexed, parted, asked;
DROP SEQUENCE reads;
RESET client_min_messages;
