-- Predictions among some entities only: candidates by a relation or an array, and a least probability.
CREATE TABLE people AS SELECT * FROM tools.people();
SELECT kg_train('people', 'people', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);

-- An array: who is not in it is no answer, and ranks are among who is.
SELECT array_agg(rank ORDER BY rank) AS ranks, array_agg(tail ORDER BY tail) AS tails, min(tail) FILTER (WHERE rank = 1) AS first
FROM kg_predict('p07', 'speaks', candidate_ids => ARRAY['Flemish', 'French', 'Breton']);
SELECT count(*), bool_and(score = kg_score('p07', 'speaks', tail)) AS "the same scores"
FROM kg_predict('p07', 'speaks', candidate_ids => ARRAY['Flemish', 'French', 'Breton']);
SELECT count(*) FROM kg_predict('p07', 'speaks', candidate_ids => ARRAY['Arles', 'mill', 'Breton'], k => 2);
-- An answer is no more probable because others are not asked about: alone, or last of all, it is what it is.
SELECT count(*), max(c.rank) AS rank, bool_and(c.probability = a.probability) AS "as without candidates"
FROM kg_predict('p07', 'speaks', 1000) a,
     LATERAL (SELECT rank, probability FROM kg_predict('p07', 'speaks', candidate_ids => ARRAY[a.tail])) c;
SELECT k.known, count(*), bool_and(c.known IS NOT DISTINCT FROM a.known AND c.probability IS NOT DISTINCT FROM a.probability) AS "as without candidates"
FROM unnest('{exclude,mark,include}'::text[]) k (known), (SELECT DISTINCT head, relation FROM people) q,
     LATERAL kg_predict(q.head, q.relation, 1000, known => k.known, candidate_ids => '{mill,Arles,Flemish,French,p07}') c
     LEFT JOIN LATERAL kg_predict(q.head, q.relation, 1000, known => k.known) a USING (tail) GROUP BY 1 ORDER BY 1;
SELECT k.known, count(*), bool_and(c.known IS NOT DISTINCT FROM a.known AND c.probability IS NOT DISTINCT FROM a.probability) AS "as without candidates"
FROM unnest('{exclude,mark,include}'::text[]) k (known), (SELECT DISTINCT relation, tail FROM people) q,
     LATERAL kg_predict_heads(q.relation, q.tail, 1000, known => k.known, candidate_ids => '{p01,p02,p03,p07,mill}') c
     LEFT JOIN LATERAL kg_predict_heads(q.relation, q.tail, 1000, known => k.known) a USING (head) GROUP BY 1 ORDER BY 1;
SELECT rank, head FROM kg_predict_heads('works_at', 'mill', candidate_ids => ARRAY['p25', 'p26', 'p27'], k => 1);
SELECT head, known
FROM kg_predict_heads('works_at', 'mill', candidate_ids => ARRAY['p24', 'p26', 'p27'], known => 'mark') ORDER BY head;
SELECT count(*), count(DISTINCT tail)
FROM kg_predict('p07', 'speaks', 1000, known => 'include',
                candidate_ids => (SELECT array_agg(tail) FROM people)); -- some are there many times

-- What the model does not know, NULL, and what is there twice.
SELECT rank, tail FROM kg_predict('p07', 'speaks', candidate_ids => ARRAY['Latin', 'French', NULL, 'French', '']);
SELECT rank, tail FROM kg_predict('p07', 'speaks', candidate_ids => ARRAY[['Latin', 'Arles'], ['mill', 'French']], k => 1);
SELECT count(*) FROM kg_predict('p07', 'speaks', candidate_ids => ARRAY['Latin']);
SELECT count(*) FROM kg_predict('p07', 'speaks', candidate_ids => ARRAY[NULL, 'french', 'breton']);
SELECT count(*) FROM kg_predict('p07', 'speaks', candidate_ids => ARRAY[]::text[]);
SELECT count(*) FROM kg_predict('p07', 'speaks', candidate_ids => '{}', known => 'include');
SELECT count(*) FROM kg_predict('p07', 'works_at', candidate_ids => ARRAY['bakery']); -- a fact already
SELECT count(*) FROM kg_predict('p07', 'speaks', 1000, candidate_ids => NULL); -- as if it was not given

-- Literals, columns, parameters, arrays of any type that writes the labels.
SELECT rank, tail, pg_typeof(tail) FROM kg_predict('p07', 'speaks', candidate_ids => '{French,Breton}', k => 1);
SELECT rank, tail, pg_typeof(tail) FROM kg_predict('p07'::varchar, 'speaks', candidate_ids => '{French,Breton}', k => 1);
SELECT rank, tail FROM kg_predict('p07', 'speaks', candidate_ids => '{French,Breton}'::varchar[], k => 1);
SELECT rank, tail FROM kg_predict('p07'::text, 'speaks', candidate_ids => '{French,Breton}'::varchar(10)[], k => 1);
SELECT rank, tail FROM kg_predict('p07', 'speaks', candidate_ids => '{French,Breton}'::name[], k => 1);
SELECT rank, tail FROM kg_predict('p07', 'speaks', candidate_ids => '{French,Breton}'::char(9)[], k => 1);
CREATE DOMAIN languages AS text[];
SELECT rank, tail FROM kg_predict('p07', 'speaks', candidate_ids => '{French,Breton}'::languages, k => 1);
DROP DOMAIN languages;
PREPARE among(text[]) AS SELECT rank, tail FROM kg_predict('p07', 'speaks', candidate_ids => $1);
EXECUTE among('{French}');
EXECUTE among('{}');
DEALLOCATE among;
SELECT q.among, p.tail
FROM (VALUES ('{French,Breton}'::text[]), ('{Breton}'), ('{}'), (NULL)) q (among)
     LEFT JOIN kg_predict('p07', 'speaks', 1, candidate_ids => q.among) p ON true;
SELECT kg_predict('p07', 'speaks', candidate_ids => 'French');
SELECT kg_predict('p07', 'speaks', candidate_ids => 'French'::text);
SELECT kg_predict('p07', 'speaks', candidate_ids => 7);

-- A relation: its first column.
CREATE TABLE languages (name varchar(20), speakers int);
INSERT INTO languages VALUES ('Flemish', 6), ('French', 80), ('Latin', 0), (NULL, 0), ('French', 80), ('', 0);
SELECT tail FROM kg_predict('p07', 'speaks', candidates => 'languages') ORDER BY tail;
SELECT rank, tail FROM kg_predict('p07', 'speaks', 1, candidates => 'languages'::regclass, known => 'include');
SELECT count(*) FROM kg_predict_heads('speaks', 'French', 1000, candidates => 'languages');
ALTER TABLE languages DROP COLUMN name, ADD COLUMN name text;
SELECT count(*) FROM kg_predict('p07', 'speaks', candidates => 'languages'); -- numbers, none of them an entity
CREATE VIEW spoken AS SELECT 'Breton' AS name UNION SELECT 'Fle' || 'mish';
SELECT rank, tail FROM kg_predict('p17', 'speaks', 1, candidates => 'spoken', known => 'include');
CREATE TEMP TABLE "My ""own""" AS SELECT 'French'::text AS "a ""name""";
SELECT rank, tail FROM kg_predict('p07', 'speaks', candidates => '"My ""own"""');
CREATE TABLE empty (name text);
SELECT count(*) FROM kg_predict('p07', 'speaks', candidates => 'empty');
CREATE TABLE without ();
SELECT count(*) FROM kg_predict('p07', 'speaks', candidates => 'without');
SELECT count(*) FROM kg_predict('p07', 'speaks', candidates => 'metasd.run_id_seq');
SELECT count(*) FROM kg_predict('p07', 'speaks', candidates => 'nowhere');
SELECT count(*) FROM kg_predict('p07', 'speaks', candidates => 4294967295::oid::regclass);

-- It is read as it was when the statement began, once, and anew by the next.
CREATE FUNCTION counted() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'read';
    RETURN 'French';
END $$;
CREATE VIEW watched AS SELECT counted();
SELECT q.head, p.tail FROM (VALUES ('p07'), ('p01')) q (head), kg_predict(q.head, 'speaks', 1, candidates => 'watched', known => 'include') p;
BEGIN;
INSERT INTO empty VALUES ('French');
SELECT rank, tail FROM kg_predict('p07', 'speaks', candidates => 'empty');
ROLLBACK;
SELECT h.head, c.among, p.tail
FROM (VALUES ('p07'), ('p17')) h (head), (VALUES ('spoken'::regclass), ('watched')) c (among),
     kg_predict(h.head, 'speaks', 1, candidates => c.among, known => 'include') p;

-- Both are too many.
SELECT * FROM kg_predict('p07', 'speaks', candidates => 'spoken', candidate_ids => '{French}');

-- The relation is read with the caller's own rights and row security, not the model's owner's.
CREATE ROLE regress_metasd_asker;
GRANT SELECT ON people TO regress_metasd_asker;
CREATE TABLE secret AS SELECT 'French'::text AS name;
SET ROLE regress_metasd_asker;
SELECT * FROM kg_predict('p07', 'speaks', candidates => 'secret');
SELECT * FROM kg_predict_heads('speaks', 'French', candidates => 'secret');
SELECT * FROM kg_predict_many(ARRAY['p07'], ARRAY['speaks'], candidates => 'secret');
RESET ROLE;
GRANT SELECT ON secret TO regress_metasd_asker;
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
INSERT INTO secret VALUES ('Breton');
CREATE POLICY half ON secret TO regress_metasd_asker USING (name = 'Breton');
SET ROLE regress_metasd_asker;
SELECT rank, tail FROM kg_predict('p07', 'speaks', candidates => 'secret');
CREATE TEMP TABLE mine AS SELECT 'Flemish'::text AS name;
SELECT rank, tail FROM kg_predict('p07', 'speaks', candidates => 'mine');
RESET ROLE;
SELECT count(*) FROM kg_predict('p07', 'speaks', candidates => 'secret');

-- A least probability.
SELECT bool_and(probability >= 0.02) AS "probable", count(*) < 10 AS "not all",
       count(*) = (SELECT count(*) FROM kg_predict('p07', 'speaks', 1000) WHERE probability >= 0.02::real) AS "nothing left out"
FROM kg_predict('p07', 'speaks', 1000, min_probability => 0.02);
SELECT count(*) FROM kg_predict('p07', 'speaks', 1000, min_probability => 0);
SELECT count(*) FROM kg_predict('p07', 'speaks', 1000, min_probability => 1);
SELECT count(*) FROM kg_predict('p07', 'speaks', candidate_ids => '{Arles}', min_probability => 0.9); -- the only candidate
SELECT count(*) > 0 AS some FROM kg_predict_heads('speaks', 'French', 1000, min_probability => 0.001);
SELECT count(*) FROM kg_predict('p07', 'speaks', min_probability => 1.5);
SELECT count(*) FROM kg_predict('p07', 'speaks', min_probability => -0.1);
SELECT count(*) FROM kg_predict_heads('speaks', 'French', min_probability => 'NaN');

-- In the caller's type.
CREATE TABLE numbers AS
SELECT substr(head, 2)::int AS head, relation, (CASE tail WHEN 'Flemish' THEN 1200 WHEN 'French' THEN 1201 WHEN 'Breton' THEN 1202
       ELSE 1000 + length(tail) END)::smallint AS tail FROM people;
SELECT kg_train('numbers', 'numbers', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
CREATE TABLE uuids AS
SELECT lpad(head::text, 32, '0')::uuid AS head, relation, lpad(tail::text, 32, 'f')::uuid AS tail FROM numbers;
SELECT kg_train('uuids', 'uuids', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SET metasd.model = 'numbers';
SELECT rank, tail, pg_typeof(tail) FROM kg_predict(7, 'speaks', 1, candidate_ids => ARRAY[1200, 1201]);
SELECT rank, tail, pg_typeof(tail) FROM kg_predict(7, 'speaks', 1, candidate_ids => '{1200,1201}');
SELECT rank, tail, pg_typeof(tail) FROM kg_predict(7, 'speaks', 1, candidate_ids => '{1200,1201}'::smallint[]);
SELECT rank, tail, pg_typeof(tail) FROM kg_predict(7::smallint, 'speaks', 1, candidate_ids => ARRAY[1200, 1201]);
SELECT rank, tail, pg_typeof(tail) FROM kg_predict(7::smallint, 'speaks', 1, candidate_ids => '{1200,1201}'::bigint[]);
SELECT rank, tail, pg_typeof(tail) FROM kg_predict('7', 'speaks', 1, candidate_ids => ARRAY[1200, 1201]);
SELECT rank, tail, pg_typeof(tail) FROM kg_predict('7', 'speaks', 1, candidate_ids => '{1200,1201}');
SELECT rank, tail, pg_typeof(tail) FROM kg_predict(7, 'speaks', 1);
SELECT rank, head, pg_typeof(head) FROM kg_predict_heads('speaks', 1201::smallint, 1, candidate_ids => ARRAY[7, 8]);
CREATE TABLE some_numbers AS SELECT n::bigint FROM generate_series(1200, 1201) n;
SELECT rank, tail, pg_typeof(tail) FROM kg_predict(7, 'speaks', 1, candidates => 'some_numbers');
-- Many that the model does not know, and the one that it knows among them.
CREATE TABLE strangers AS SELECT 1000000 + n AS n FROM generate_series(1, 900) n;
SELECT rank, tail FROM kg_predict(7, 'speaks', 1, candidates => 'strangers');
INSERT INTO strangers VALUES (1201);
SELECT rank, tail FROM kg_predict(7, 'speaks', 1, candidates => 'strangers');
DROP TABLE strangers;
SET metasd.model = 'uuids';
SELECT rank, tail, pg_typeof(tail)
FROM kg_predict('00000000-0000-0000-0000-000000000007'::uuid, 'speaks', 1,
                candidate_ids => (SELECT array_agg(DISTINCT tail) FROM uuids WHERE relation = 'speaks'));
SELECT rank, tail, pg_typeof(tail)
FROM kg_predict('00000000-0000-0000-0000-000000000007', 'speaks', 1,
                candidate_ids => '{FFFFFFFFFFFFFFFFFFFFFFFFFFFF1201}'::uuid[]);

RESET metasd.model;
SELECT count(kg_drop(name)) FROM metasd.models;
DROP TABLE people, languages, empty, without, secret, numbers, uuids, some_numbers, mine, "My ""own""";
DROP VIEW spoken, watched;
DROP FUNCTION counted();
DROP ROLE regress_metasd_asker;
