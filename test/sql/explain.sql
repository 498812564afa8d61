-- kg_explain: which facts of the source speak for a triple, and which against it.
CREATE TABLE reasons AS SELECT * FROM tools.people();
SELECT kg_train('reasons', 'reasons', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SET metasd.model = 'reasons';

-- p07 works in the bakery and lives in Arles, as others do who speak French: facts of him, and of French.
SELECT rank, tail FROM kg_predict('p07', 'speaks', 1);
SELECT kind, relation, head = 'p07' AS "of him", tail = 'French' AS "of French", count(*), min(share) > 0 AS "speaks for it"
FROM kg_explain('p07', 'speaks', 'French') GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;

-- The k facts with the largest shares, those that speak for the triple first. All shares sum up to 1, as the sizes that they are.
SELECT count(*) FROM kg_explain('p07', 'speaks', 'French', 3);
SELECT count(*) FROM kg_explain('p07', 'speaks', 'French', 0);
SELECT count(*) FROM kg_explain('p07', 'speaks', 'French', NULL);
SELECT count(*) FROM kg_explain('p07', 'speaks', 'French', -1);
SELECT bool_and(rank = n) AS "in order", bool_and(falling) AS falling, round(sum(abs(share))::numeric, 1) AS sum
FROM (SELECT e.*, rank() OVER (ORDER BY share DESC) AS n, share <= lag(share) OVER (ORDER BY rank) AS falling
      FROM kg_explain('p07', 'speaks', 'French', 1000) e) e;
SELECT bool_and(abs(a.share) >= (SELECT max(abs(share)) FROM kg_explain('p07', 'speaks', 'French', 1000) o
                                 WHERE (o.head, o.relation, o.tail) NOT IN
                                       (SELECT head, relation, tail FROM kg_explain('p07', 'speaks', 'French', 4)))) AS "the largest"
FROM kg_explain('p07', 'speaks', 'French', 4) a;

-- Every fact of an explanation is a fact of the source, once; each of its kind. The triple itself is none of them.
SELECT count(*) = count(DISTINCT e) AS once, bool_and(EXISTS (SELECT FROM reasons r WHERE r = (e.head, e.relation, e.tail)::reasons)) AS facts,
       bool_and((kind = 'head') = ('p01' IN (head, tail))) AS heads,
       bool_and((kind = 'tail') = ('p01' NOT IN (head, tail) AND 'bakery' IN (head, tail))) AS tails,
       bool_and((kind = 'like') = ('p01' NOT IN (head, tail) AND 'bakery' NOT IN (head, tail) AND relation = 'works_at')) AS likes,
       array_agg(DISTINCT kind) AS kinds, count(*) FILTER (WHERE head = 'p01' AND tail = 'bakery' AND relation = 'works_at') AS itself
FROM kg_explain('p01', 'works_at', 'bakery', 1000) e;

-- What speaks for the answer of the model speaks against another one.
SELECT rank, tail, (SELECT sum(share) > 0.5 FROM kg_explain('p07', 'speaks', p.tail, 1000)) AS "much for it"
FROM kg_predict('p07', 'speaks', 1) p;
SELECT sum(share) < 0 AS "more against it", bool_or(share > 0) AS "some for it", (array_agg(share ORDER BY rank))[1] > 0 AS "these first"
FROM kg_explain('p07', 'speaks', 'Flemish', 1000);

-- Nothing speaks for it: no rows, and one NOTICE a statement.
BEGIN;
DELETE FROM reasons WHERE head = 'p07' OR tail = 'Flemish';
DELETE FROM reasons WHERE relation = 'speaks';
SELECT count(*) FROM kg_explain('p07', 'speaks', 'Flemish');
SELECT count(*) FROM kg_explain('p07', 'speaks', 'French'), generate_series(1, 3);
TRUNCATE reasons;
SELECT count(*) FROM kg_explain('p07', 'speaks', 'French');
ROLLBACK;

-- The source is read as it is now: a fact that came after the training counts, and what the model does not know is left out.
BEGIN;
INSERT INTO reasons VALUES ('p07', 'lives_in', 'Calais'), ('p07', 'knows', 'p08'), ('p07', 'speaks', 'Latin'), (NULL, 'speaks', 'French'),
                           ('p07', 'works_at', 'bakery');
SELECT kind, count(*), sum(share) < 0 AS "against it" FROM kg_explain('p07', 'speaks', 'French', 1000) WHERE tail = 'Calais' GROUP BY 1;
SELECT count(*) FROM kg_explain('p07', 'speaks', 'French', 1000) WHERE relation = 'knows' OR tail = 'Latin';
SELECT count(*) FROM kg_explain('p07', 'speaks', 'French', 1000) WHERE head = 'p07' AND tail = 'bakery';
ROLLBACK;

-- What the model does not know: a NOTICE, and no rows.
SELECT * FROM kg_explain('p99', 'speaks', 'French');
SELECT * FROM kg_explain('p07', 'eats', 'French');
SELECT * FROM kg_explain('p07', 'speaks', 'Latin');
SELECT count(*) FROM kg_explain(NULL, 'speaks', 'French');
SELECT count(*) FROM kg_explain('p07', NULL, 'French');
SELECT count(*) FROM kg_explain('p07', 'speaks', NULL);
SELECT count(*) FROM kg_explain('p07', 'speaks', 'French', model => 'nothing');

-- An entity with thousands of facts: the work is bounded, and what matters is found.
CREATE TABLE hubs AS
    SELECT 'c' || i AS head, 'in' AS relation, 'hub' AS tail FROM generate_series(1, 1500) i
    UNION ALL SELECT 'c' || i, 'near', 'c' || i + 1 FROM generate_series(1, 1500, 2) i
    UNION ALL SELECT 'hub', 'zone', 'z' || i FROM generate_series(1, 3) i;
SELECT kg_train('hubs', 'hubs', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT count(*) FILTER (WHERE tail = 'hub') BETWEEN 250 AND 600 AS bounded, count(*) FILTER (WHERE head = 'c7') AS "of the head"
FROM kg_explain('c7', 'in', 'hub', 100000, 'hubs');
DROP TABLE hubs;
SELECT kg_drop('hubs');

-- Like cases: other couples, of people who live alike.
CREATE TABLE couples AS
    SELECT 'a' || i AS head, 'married_to' AS relation, 'b' || i AS tail FROM generate_series(1, 20) i
    UNION ALL SELECT 'a' || i, 'works_at', 'bakery' FROM generate_series(1, 20) i
    UNION ALL SELECT 'b' || i, 'speaks', 'French' FROM generate_series(1, 20) i;
SELECT kg_train('couples', 'couples', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SET client_min_messages = warning; -- whether more speaks for it depends on the training
SELECT kind, relation, count(*) > 0 AS there, bool_and(left(head, 1) = 'a' AND left(tail, 1) = 'b') AS couples
FROM kg_explain('a1', 'married_to', 'b2', 1000, 'couples') WHERE kind = 'like' GROUP BY 1, 2;
RESET client_min_messages;
SELECT kg_drop('couples');
DROP TABLE couples;

-- An irreflexive relation, and entities that have a relation to themselves.
CREATE TABLE selves AS
    SELECT 'e' || i AS head, 'likes' AS relation, 'e' || i AS tail FROM generate_series(1, 30) i
    UNION ALL SELECT 'e' || i, 'follows', 'e' || i % 30 + 1 FROM generate_series(1, 30) i;
SELECT kg_train('selves', 'selves', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT count(*) FROM kg_explain('e1', 'follows', 'e1', 10, 'selves');
SELECT count(*) > 0 AS explained, count(*) FILTER (WHERE head = 'e1' AND tail = 'e1') AS itself
FROM kg_explain('e1', 'likes', 'e1', 1000, 'selves');
SELECT kg_drop('selves');
DROP TABLE selves;

-- Identifiers come back in the types of the question.
CREATE TABLE numbers AS
    SELECT substr(head, 2)::int AS head, CASE relation WHEN 'works_at' THEN 1 WHEN 'lives_in' THEN 2 ELSE 3 END::smallint AS relation,
           ('x' || left(md5(tail), 6))::bit(24)::int AS tail FROM reasons;
SELECT kg_train('numbers', 'numbers', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT tail AS bakery FROM numbers WHERE head = 1 AND relation = 1 \gset
SELECT pg_typeof(head), pg_typeof(relation), pg_typeof(tail) FROM kg_explain(1, 1::smallint, :bakery, 1, 'numbers');
SELECT pg_typeof(head), pg_typeof(relation), pg_typeof(tail) FROM kg_explain(1::bigint, 1, :bakery::bigint, 1, 'numbers');
SELECT pg_typeof(head), pg_typeof(relation), pg_typeof(tail) FROM kg_explain('1', '1', :'bakery', 1, 'numbers');
SELECT pg_typeof(head), pg_typeof(relation), pg_typeof(tail) FROM kg_explain('1'::varchar, 1, :'bakery', 1, 'numbers');
SELECT rank, kind, head::text, relation::text, tail::text, share FROM kg_explain(1, 1, :bakery, 1000, 'numbers')
EXCEPT SELECT * FROM kg_explain('1', '1', :'bakery', 1000, 'numbers');
CREATE TABLE unique_ids AS SELECT md5(head)::uuid AS head, relation::varchar AS relation, md5(tail)::uuid AS tail FROM reasons;
SELECT kg_train('unique_ids', 'unique_ids', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT pg_typeof(head), pg_typeof(relation), pg_typeof(tail), kind FROM kg_explain(md5('p01')::uuid, 'works_at', md5('bakery')::uuid, 1, 'unique_ids');
SELECT kg_drop(m) FROM unnest('{numbers,unique_ids}'::text[]) m;
DROP TABLE numbers, unique_ids;

-- Facts are shown as far as the caller may read them. The table has row security: each role sees its own rows. The asker may ask the
-- model as a member of its owner's role; known facts of kg_predict are those that the owner sees.
CREATE ROLE regress_metasd_tables;
CREATE ROLE regress_metasd_models LOGIN;
CREATE ROLE regress_metasd_asker IN ROLE regress_metasd_models;
CREATE ROLE regress_metasd_stranger;
CREATE SCHEMA regress_metasd_shared AUTHORIZATION regress_metasd_tables;
CREATE TABLE all_facts AS
    SELECT *, CASE WHEN substr(head, 2)::int % 2 = 0 THEN 'regress_metasd_asker' ELSE 'regress_metasd_models' END AS who FROM reasons;
GRANT SELECT ON all_facts TO PUBLIC;
SET ROLE regress_metasd_tables;
CREATE TABLE regress_metasd_shared.facts AS TABLE all_facts;
GRANT USAGE ON SCHEMA regress_metasd_shared TO regress_metasd_models, regress_metasd_stranger;
GRANT SELECT ON regress_metasd_shared.facts TO regress_metasd_models, regress_metasd_stranger;
SET ROLE regress_metasd_models;
SELECT kg_train('shared', 'regress_metasd_shared.facts', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SET ROLE regress_metasd_tables;
ALTER TABLE regress_metasd_shared.facts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON regress_metasd_shared.facts USING (who = current_user);
RESET ROLE;
CREATE FUNCTION seen(OUT "of asker" boolean, OUT "of models" boolean, OUT facts boolean) LANGUAGE sql AS $$
    SELECT bool_or(f.who = 'regress_metasd_asker'), bool_or(f.who = 'regress_metasd_models'), count(*) > 0
    FROM kg_explain('p01', 'works_at', 'bakery', 1000, 'shared') e JOIN all_facts f USING (head, relation, tail)
$$;
SELECT * FROM seen();
SET ROLE regress_metasd_models;
SELECT * FROM seen();
SET ROLE regress_metasd_asker;
SELECT * FROM seen();
SET ROLE regress_metasd_stranger;
SELECT * FROM seen();
-- A newcomer's row is made of what the model's owner may read; what is shown is what the caller may.
SET ROLE regress_metasd_tables;
INSERT INTO regress_metasd_shared.facts VALUES ('p77', 'works_at', 'bakery', 'regress_metasd_models'), ('p77', 'speaks', 'French', 'regress_metasd_asker'),
                                               ('p78', 'works_at', 'bakery', 'regress_metasd_asker');
SET client_min_messages = warning; -- whether more speaks for it depends on the training
SET ROLE regress_metasd_models;
SELECT kind, relation, tail FROM kg_explain('p77', 'lives_in', 'Arles', 1000, 'shared') WHERE head = 'p77';
SELECT count(*) FROM kg_explain('p78', 'lives_in', 'Arles', 1000, 'shared');
SET ROLE regress_metasd_asker;
SELECT kind, relation, tail FROM kg_explain('p77', 'lives_in', 'Arles', 1000, 'shared') WHERE head = 'p77';
SELECT count(*) FROM kg_explain('p78', 'lives_in', 'Arles', 1000, 'shared');
RESET client_min_messages;
RESET ROLE;

-- Without the right to read, with the source gone.
SET ROLE regress_metasd_tables;
REVOKE SELECT ON regress_metasd_shared.facts FROM regress_metasd_models;
SET ROLE regress_metasd_models;
SELECT count(*) FROM kg_explain('p01', 'works_at', 'bakery', 10, 'shared');
RESET ROLE;
DROP FUNCTION seen();
DROP TABLE all_facts;
DROP SCHEMA regress_metasd_shared CASCADE;
SET ROLE regress_metasd_models;
SELECT count(*) FROM kg_explain('p01', 'works_at', 'bakery', 10, 'shared');
RESET ROLE;
SELECT kg_drop('shared');
DROP ROLE regress_metasd_asker, regress_metasd_models, regress_metasd_tables, regress_metasd_stranger;
RESET metasd.model;
SELECT kg_drop('reasons');
DROP TABLE reasons;
