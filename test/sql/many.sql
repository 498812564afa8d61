-- kg_predict_many: the questions of a batch, from arrays or from a relation.
CREATE TABLE people AS SELECT * FROM tools.people();
SELECT kg_train('people', 'people', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);

-- Arrays: answers as kg_predict and kg_predict_heads give them, numbered by question.
SELECT query, head, relation, tail, rank, known
FROM kg_predict_many(ARRAY['p07', 'p17', 'p27'], ARRAY['speaks', 'lives_in', 'works_at'], 1);
SELECT query, head, relation, tail, rank FROM kg_predict_many(ARRAY['mill', 'French'], ARRAY['works_at', 'speaks'], 1, side => 'head');
SELECT query, head, relation, tail, rank FROM kg_predict_many(ARRAY['p07', 'p17', 'p27'], ARRAY['speaks'], 1, known => 'include');
CREATE TABLE questions AS SELECT DISTINCT head, relation FROM people UNION ALL VALUES ('p07', 'speaks');
SELECT count(*), count(DISTINCT query) AS questions,
       count(*) FILTER (WHERE (p.rank, p.tail, p.score, p.probability, p.known) IS DISTINCT FROM
                              (m.rank, m.tail, m.score, m.probability, m.known)) AS different
FROM kg_predict_many('questions', 5, known => 'mark') m
     FULL JOIN (questions q CROSS JOIN kg_predict(q.head, q.relation, 5, known => 'mark') p)
     ON (m.head, m.relation, m.rank) = (q.head, q.relation, p.rank);
SELECT count(*), count(DISTINCT query) AS questions,
       count(*) FILTER (WHERE (p.head, p.score, p.probability, p.known) IS DISTINCT FROM
                              (m.head, m.score, m.probability, m.known)) AS different
FROM kg_predict_many('people', 3, side => 'head') m
     FULL JOIN ((SELECT DISTINCT relation, tail FROM people) q CROSS JOIN kg_predict_heads(q.relation, q.tail, 3) p)
     ON (m.tail, m.relation, m.rank) = (q.tail, q.relation, p.rank);

-- Whole triples, in the order of the questions and of the ranks: they can be inserted, or joined.
CREATE TABLE found (LIKE people);
INSERT INTO found SELECT head, relation, tail FROM kg_predict_many(ARRAY['p07', 'p17', 'p27'], ARRAY['speaks', 'lives_in', 'works_at'], 1);
INSERT INTO found SELECT head, relation, tail FROM kg_predict_many(ARRAY['French', 'mill'], ARRAY['speaks', 'works_at'], 1, side => 'head');
SELECT head, relation, tail, count(*) AS sides FROM found GROUP BY 1, 2, 3 ORDER BY 1;
SELECT side, count(*), count(*) FILTER (WHERE f.head IS NOT NULL) AS facts, bool_and((f.head IS NOT NULL) = m.known) AS "as marked"
FROM unnest('{tail,head}'::text[]) side, kg_predict_many('people', 3, known => 'mark', side => side) m LEFT JOIN people f USING (head, relation, tail)
GROUP BY 1 ORDER BY 1;
SELECT bool_and((query, rank) > last) AS "in order"
FROM (SELECT query, rank, lag((query, rank)) OVER (ORDER BY ordinality) AS last
      FROM kg_predict_many('questions', 3) WITH ORDINALITY m (query, head, relation, tail, rank)) o;
DROP TABLE found;

-- NULL, and what the model does not know: no rows, one NOTICE a statement.
SELECT query, head, tail
FROM kg_predict_many(ARRAY['p99', NULL, 'p07', 'p98', 'p17'], ARRAY['speaks', 'speaks', 'speaks', 'speaks', 'eats'], 1);
SELECT count(*) FROM kg_predict_many(ARRAY['p07'], ARRAY[NULL]);
SELECT count(*) FROM kg_predict_many(NULL::text[], ARRAY['speaks']);
SELECT count(*) FROM kg_predict_many(ARRAY['p07'], NULL::text[]);
SELECT count(*) FROM kg_predict_many(ARRAY[]::text[], ARRAY['speaks']);
SELECT count(*) FROM kg_predict_many(ARRAY['p07'], ARRAY['speaks'], NULL);
SELECT count(*) FROM kg_predict_many(ARRAY['p07'], ARRAY['speaks'], known => NULL);
SELECT count(*) FROM kg_predict_many(ARRAY['p07'], ARRAY['speaks'], side => NULL);
SELECT count(*) FROM kg_predict_many(NULL::regclass);
CREATE VIEW unknown AS SELECT NULL::text AS head, 'speaks' AS relation UNION ALL VALUES ('p07', NULL), ('p07', 'speaks');
SELECT query, head, tail FROM kg_predict_many('unknown', 1);

-- Errors.
SELECT * FROM kg_predict_many(ARRAY['p07', 'p17'], ARRAY['speaks', 'speaks', 'speaks']);
SELECT * FROM kg_predict_many(ARRAY['p07', 'p17'], ARRAY[]::text[]);
SELECT * FROM kg_predict_many(ARRAY['p07'], ARRAY['speaks'], -1);
SELECT * FROM kg_predict_many(ARRAY['p07'], ARRAY['speaks'], side => 'relation');
SELECT * FROM kg_predict_many(ARRAY['p07'], ARRAY['speaks'], known => 'no');
SELECT * FROM kg_predict_many(ARRAY['p07'], ARRAY['speaks'], min_probability => 2);
SELECT * FROM kg_predict_many(ARRAY['p07'], ARRAY['speaks'], model => 'nothing');
SELECT * FROM kg_predict_many('questions', side => 'head');
SELECT * FROM kg_predict_many('metasd.run_id_seq');
SELECT * FROM kg_predict_many('{p07}', '{speaks}');

-- Candidates and a least probability, as for one question.
SELECT query, rank, tail
FROM kg_predict_many(ARRAY['p07', 'p01'], ARRAY['speaks'], known => 'include', candidate_ids => '{Flemish,French}') ORDER BY query, rank;
CREATE VIEW languages AS SELECT DISTINCT tail FROM people WHERE relation = 'speaks';
SELECT count(*), bool_and(tail IN (TABLE languages)) AS languages FROM kg_predict_many('questions', candidates => 'languages');
SELECT bool_and(probability >= 0.02) AS probable, count(*) > 0 AS some FROM kg_predict_many('questions', 1000, min_probability => 0.02);
SELECT side, count(*), bool_and(a.probability = c.probability) AS "as without candidates"
FROM unnest('{tail,head}'::text[]) side, LATERAL kg_predict_many('people', 1000, side => side, candidate_ids => '{French,Arles,p07,p17}') c
     JOIN LATERAL kg_predict_many('people', 1000, side => side) a USING (query, head, relation, tail) GROUP BY 1 ORDER BY 1;

-- More questions than are fetched at once, and more answers than fit in work_mem.
CREATE VIEW many_questions AS SELECT head, relation FROM questions, generate_series(1, 30);
SET work_mem = '64kB';
SELECT count(*), count(DISTINCT query) AS questions, max(query) FROM kg_predict_many('many_questions', 1000);
RESET work_mem;

-- A group of known facts that is larger than what is looked up at first.
BEGIN;
INSERT INTO people SELECT head, 'speaks', 'French' FROM (SELECT head FROM people UNION SELECT tail FROM people) e
                   WHERE (head, 'speaks', 'French') NOT IN (TABLE people);
SELECT count(*) FROM kg_predict_heads('speaks', 'French', 1);
SELECT count(*) FROM kg_predict_many(ARRAY['French', 'French'], ARRAY['speaks'], 1, side => 'head');
SELECT query, count(*), bool_and(known) AS known
FROM kg_predict_many(ARRAY['French', 'French'], ARRAY['speaks'], 1000, side => 'head', known => 'mark') GROUP BY query ORDER BY query;
DELETE FROM people WHERE (head, tail) IN (('mill', 'French'), ('Breton', 'French'));
SELECT head FROM kg_predict_heads('speaks', 'French') ORDER BY head;
ROLLBACK;

-- It is interrupted.
SET statement_timeout = '100ms';
SELECT count(*) FROM kg_predict_many(array_fill('p07'::text, ARRAY[5000000]), ARRAY['speaks'], 1);
RESET statement_timeout;

-- Questions are read as the caller.
CREATE ROLE regress_metasd_asker;
GRANT SELECT ON people TO regress_metasd_asker;
SET ROLE regress_metasd_asker;
SELECT * FROM kg_predict_many('questions', 1);
SELECT query, tail FROM kg_predict_many(ARRAY['p07'], ARRAY['speaks'], 1);
RESET ROLE;
DROP OWNED BY regress_metasd_asker;
DROP ROLE regress_metasd_asker;

-- Identifiers come back in the caller's type.
CREATE TABLE numbers AS
SELECT substr(head, 2)::int AS head, CASE relation WHEN 'works_at' THEN 1 WHEN 'lives_in' THEN 2 ELSE 3 END AS relation,
       CASE tail WHEN 'Flemish' THEN 1200 WHEN 'French' THEN 1201 WHEN 'Breton' THEN 1202 ELSE 1000 + ascii(tail) END AS tail
FROM people;
SELECT kg_train('numbers', 'numbers', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SET metasd.model = 'numbers';
SELECT head, pg_typeof(head), relation, pg_typeof(relation), tail, pg_typeof(tail)
FROM kg_predict_many(ARRAY[7], ARRAY[3], 1);
SELECT pg_typeof(head), pg_typeof(relation), pg_typeof(tail) FROM kg_predict_many('{7}'::smallint[], '{3}', 1);
SELECT pg_typeof(head), pg_typeof(relation), pg_typeof(tail) FROM kg_predict_many('{7}'::varchar[], '{3}'::bigint[], 1);
SELECT head, pg_typeof(head), pg_typeof(relation), pg_typeof(tail) FROM kg_predict_many('{1201}'::bigint[], '{3}'::text[], 1, side => 'head');
SELECT head, pg_typeof(head), relation, tail FROM kg_predict_many('numbers', 1, known => 'include') WHERE query = 1;

-- Those of a relation, too, where the caller names it: so they can be joined, and inserted.
CREATE TABLE asked AS VALUES (7, 3), (17, 2), (27, 1);
ALTER TABLE asked RENAME column1 TO head;
ALTER TABLE asked RENAME column2 TO relation;
CREATE TABLE answered (LIKE numbers);
INSERT INTO answered SELECT head, relation, tail
FROM kg_predict_many('asked', 1, identifiers => NULL::integer, relation_identifiers => NULL::integer);
TABLE answered;
SELECT q.head, p.tail, pg_typeof(p.head) AS head, pg_typeof(p.relation) AS relation, pg_typeof(p.tail) AS tail
FROM asked q JOIN kg_predict_many('asked', 1, identifiers => 0, relation_identifiers => NULL::bigint) p USING (head, relation);
SELECT f.head, count(*), pg_typeof(p.head)
FROM kg_predict_many('answered', 2, NULL::bigint, side => 'head', known => 'include') p JOIN numbers f USING (head)
GROUP BY 1, 3 ORDER BY 1 LIMIT 2;
SELECT pg_typeof(head), pg_typeof(relation), pg_typeof(tail) FROM kg_predict_many('asked', 1, NULL::bigint, NULL::smallint) WHERE query = 1;
SELECT pg_typeof(head), pg_typeof(relation), pg_typeof(tail)
FROM kg_predict_many('asked', k => 1, identifiers => NULL::text, model => 'numbers') WHERE query = 1;
SELECT * FROM kg_predict_many('asked', NULL::integer, NULL::integer);
CREATE DOMAIN place AS smallint CHECK (VALUE < 2000);
SELECT pg_typeof(head), pg_typeof(tail), tail FROM kg_predict_many('asked', 1, identifiers => NULL::place) WHERE query = 1;

-- What cannot be one is an error; but not of a question that the model does not know.
INSERT INTO asked SELECT NULL, 3;
CREATE VIEW odd AS SELECT head::text, relation FROM asked UNION ALL SELECT 'x', 3;
SELECT query, head, tail FROM kg_predict_many('odd', 1, identifiers => NULL::integer) ORDER BY 1;
SELECT query, head, tail FROM kg_predict_many('asked', 1, identifiers => NULL::uuid);
SELECT query, head, tail FROM kg_predict_many('asked', 1, identifiers => NULL);
SELECT query, head, tail FROM kg_predict_many('asked', 1, NULL::integer, side => 'relation');
RESET metasd.model;
CREATE TABLE uuids AS
SELECT md5(head)::uuid AS head, relation, md5(tail)::uuid AS tail FROM people;
SELECT kg_train('uuids', 'uuids', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
CREATE TABLE lost AS SELECT md5('p07')::uuid AS head, 'speaks'::text AS relation;
SELECT p.head = l.head AS same, p.tail = md5('French')::uuid AS found, p.relation
FROM lost l JOIN kg_predict_many('lost', 1, identifiers => NULL::uuid, model => 'uuids') p USING (head, relation);
DROP VIEW odd;
DROP TABLE asked, answered, uuids, lost;
DROP DOMAIN place;
SET metasd.model = 'numbers';
RESET metasd.model;

SELECT count(kg_drop(name)) FROM metasd.models;
DROP TABLE people, questions, numbers CASCADE;
DROP VIEW unknown;
