-- Identifiers of every type that a source may have: asked with it, or as text, answered alike.

-- The people of the other files, numbered: whether 7 speaks 1201 is not known.
CREATE VIEW numbered AS
SELECT substr(head, 2)::int AS head,
       CASE relation WHEN 'works_at' THEN 1 WHEN 'lives_in' THEN 2 ELSE 3 END AS relation,
       CASE tail WHEN 'mill' THEN 1000 WHEN 'bakery' THEN 1001 WHEN 'harbour' THEN 1002
                 WHEN 'Calais' THEN 1100 WHEN 'Arles' THEN 1101 WHEN 'Brest' THEN 1102
                 WHEN 'Flemish' THEN 1200 WHEN 'French' THEN 1201 ELSE 1202 END AS tail
FROM tools.people();
CREATE DOMAIN code AS varchar(20) CHECK (value <> '');
CREATE DOMAIN code_of_code AS code;
CREATE DOMAIN small_id AS smallint CHECK (value > 0);
CREATE TABLE of_text (head text, relation text, tail text);
CREATE TABLE of_varchar (head varchar, relation varchar(5), tail varchar(50));
CREATE TABLE of_smallint (head smallint, relation smallint, tail smallint);
CREATE TABLE of_integer (head int, relation int, tail int);
CREATE TABLE of_bigint (head bigint, relation bigint, tail bigint);
CREATE TABLE of_uuid (head uuid, relation uuid, tail uuid);
CREATE TABLE of_domains (head code, relation code_of_code, tail small_id);
CREATE TABLE of_mixture (head int, relation text, tail bigint);
CREATE TABLE of_collation (head text COLLATE "C", relation varchar COLLATE "POSIX", tail text);
INSERT INTO of_text SELECT * FROM numbered;
INSERT INTO of_varchar SELECT * FROM numbered;
INSERT INTO of_smallint SELECT * FROM numbered;
INSERT INTO of_integer SELECT * FROM numbered;
INSERT INTO of_bigint SELECT head + 10000000000, relation - 10000000000, tail FROM numbered;
INSERT INTO of_uuid SELECT lpad(head::text, 32, '0')::uuid, lpad(relation::text, 32, 'a')::uuid, lpad(tail::text, 32, 'F')::uuid FROM numbered;
INSERT INTO of_domains SELECT * FROM numbered;
INSERT INTO of_mixture SELECT * FROM numbered;
INSERT INTO of_collation SELECT * FROM numbered;
DO $$
DECLARE
    t regclass;
BEGIN
    FOR t IN SELECT oid FROM pg_class WHERE relname LIKE 'of\_%' AND relkind = 'r' ORDER BY oid LOOP
        PERFORM kg_train(t::text, t, params => tools.thorough());
        COMMIT;
        RAISE NOTICE '%: %', t, (SELECT tools.ended(last_run) FROM metasd.models WHERE name = t::text);
    END LOOP;
END $$;

-- As literals, whatever the type: text in, text out. Known facts are told from predictions in each.
CREATE FUNCTION asked_as_text(model text, head text, relation text, tail text,
                              OUT predicted text, OUT type regtype, OUT as_head text, OUT relation_ text,
                              OUT scored boolean, OUT known bigint)
LANGUAGE sql AS $$
    SELECT p.tail, pg_typeof(p.tail)::regtype,
           (SELECT h.head FROM kg_predict_heads(relation, p.tail, 1, model) h),
           (SELECT r.relation FROM kg_predict_relations(head, p.tail, 1, model) r),
           kg_score(head, relation, p.tail, model) IS NOT NULL,
           (SELECT count(*) FILTER (WHERE k.known) FROM kg_predict(head, relation, 1000, model, 'mark') k)
    FROM kg_predict(head, relation, 1, model) p
$$;
SELECT model, a.* FROM unnest('{of_text,of_varchar,of_smallint,of_integer,of_domains,of_mixture,of_collation}'::text[]) model,
                       asked_as_text(model, '7', '3', '1201') a;
SELECT asked_as_text('of_bigint', '10000000007', '-9999999997', '1201');
SELECT asked_as_text('of_uuid', '00000000-0000-0000-0000-000000000007', 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa3',
                     'ffffffff-ffff-ffff-ffff-ffffffff1201');
SELECT model, (SELECT count(*) FROM kg_predict('1', '3', 1000, model, 'mark') WHERE known AND tail = '1201') AS "known fact"
FROM unnest('{of_text,of_varchar,of_smallint,of_integer,of_domains,of_mixture,of_collation}'::text[]) model;

-- In the source's own type: answers are of the type of the question's entity.
SET metasd.model = 'of_text';
SELECT tail, pg_typeof(tail) FROM kg_predict('7'::text, '3'::text, 1);
SET metasd.model = 'of_varchar';
SELECT tail, pg_typeof(tail) FROM kg_predict('7'::varchar, '3'::varchar, 1);
SELECT tail, pg_typeof(tail) FROM kg_predict('7'::varchar(9), '3', 1);
SELECT head, pg_typeof(head) FROM kg_predict_heads('3'::varchar, '1201'::varchar, 1);
SELECT relation, pg_typeof(relation) FROM kg_predict_relations('7'::varchar, '1201'::varchar, 1);
SELECT kg_score('7'::varchar, '3'::varchar, '1201'::varchar) IS NOT NULL AS scored;
SET metasd.model = 'of_smallint';
SELECT tail, pg_typeof(tail) FROM kg_predict(7::smallint, 3::smallint, 1);
SELECT head, pg_typeof(head) FROM kg_predict_heads(3::smallint, 1201::smallint, 1);
SELECT relation, pg_typeof(relation) FROM kg_predict_relations(7::smallint, 1201::smallint, 1);
SELECT pg_typeof(entity) FROM kg_similar(7::smallint, 1);
SELECT kg_score(7::smallint, 3::smallint, 1201::smallint) IS NOT NULL AS scored, cardinality(kg_embedding(7::smallint));
SET metasd.model = 'of_integer';
SELECT tail, pg_typeof(tail) FROM kg_predict(7, 3, 1);
SELECT head, pg_typeof(head) FROM kg_predict_heads(3, 1201, 1);
SELECT relation, pg_typeof(relation) FROM kg_predict_relations(7, 1201, 1);
SELECT pg_typeof(entity) FROM kg_similar(7, 1);
SELECT kg_score(7, 3, 1201) IS NOT NULL AS scored, cardinality(kg_embedding(7));
SELECT tail, known FROM kg_predict(1, 3, 1, known => 'mark');
SET metasd.model = 'of_bigint';
SELECT tail, pg_typeof(tail) FROM kg_predict(10000000007, -9999999997, 1);
SELECT head, pg_typeof(head) FROM kg_predict_heads(-9999999997, 1201::bigint, 1);
SELECT relation, pg_typeof(relation) FROM kg_predict_relations(10000000007, 1201, 1);
SELECT kg_score(10000000007, -9999999997, 1201) IS NOT NULL AS scored;
SELECT tail, known FROM kg_predict(10000000001, -9999999997, 1, known => 'mark');
SET metasd.model = 'of_uuid';
SELECT tail, pg_typeof(tail)
FROM kg_predict('00000000-0000-0000-0000-000000000007'::uuid, 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa3'::uuid, 1);
SELECT tail, pg_typeof(tail)
FROM kg_predict('{00000000000000000000000000000007}'::uuid, 'AAAAAAAA-AAAA-AAAA-AAAA-AAAAAAAAAAA3'::uuid, 1);
SELECT tail, pg_typeof(tail)
FROM kg_predict('00000000-0000-0000-0000-000000000007'::uuid, 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa3', 1);
SELECT tail, known
FROM kg_predict('00000000-0000-0000-0000-000000000001'::uuid, 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa3', 1, known => 'mark');
SELECT head, pg_typeof(head)
FROM kg_predict_heads('aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa3'::uuid, 'ffffffff-ffff-ffff-ffff-ffffffff1201'::uuid, 1);
SELECT kg_score('00000000-0000-0000-0000-000000000007'::uuid, 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa3'::uuid,
                'ffffffff-ffff-ffff-ffff-ffffffff1201'::uuid) IS NOT NULL AS a,
       kg_score('00000000-0000-0000-0000-000000000007'::uuid, 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa3',
                'ffffffff-ffff-ffff-ffff-ffffffff1201') IS NOT NULL AS b,
       kg_score('00000000-0000-0000-0000-000000000007', 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa3'::uuid,
                'ffffffff-ffff-ffff-ffff-ffffffff1201'::text) IS NOT NULL AS c;

-- Domains stand for their type.
SET metasd.model = 'of_domains';
SELECT tail, pg_typeof(tail) FROM kg_predict('7'::code, '3'::code_of_code, 1);
SELECT head, pg_typeof(head) FROM kg_predict_heads('3'::code, 1201::small_id, 1);
SELECT kg_score('7'::code, '3'::code_of_code, '1201') IS NOT NULL AS scored;

-- Mixtures: smallint with integer, integer with bigint, a number for a text, a literal for a number.
SET metasd.model = 'of_mixture';
SELECT tail, pg_typeof(tail) FROM kg_predict(7::smallint, '3', 1);
SELECT tail, pg_typeof(tail) FROM kg_predict(7::bigint, 3, 1);
SELECT tail, pg_typeof(tail) FROM kg_predict(7, 3::smallint, 1);
SELECT tail, pg_typeof(tail) FROM kg_predict(7, '3'::varchar, 1);
SELECT tail, pg_typeof(tail) FROM kg_predict('7', 3, 1);
SELECT head, pg_typeof(head) FROM kg_predict_heads('3', 1201::bigint, 1);
SELECT head, pg_typeof(head) FROM kg_predict_heads('3', 1201::smallint, 1);
SELECT relation, pg_typeof(relation) FROM kg_predict_relations(7::smallint, 1201, 1);
SELECT relation, pg_typeof(relation) FROM kg_predict_relations(7, 1201::bigint, 1);
SELECT relation, pg_typeof(relation) FROM kg_predict_relations(7, '1201', 1);
SELECT kg_score(7::smallint, '3', 1201::bigint) IS NOT NULL AS a, kg_score(7, 3, '1201') IS NOT NULL AS b,
       kg_score('7', '3', 1201) IS NOT NULL AS c, kg_score('7', 3, '1201') IS NOT NULL AS d,
       kg_score(head => 7, relation => '3'::varchar, tail => 1201) IS NOT NULL AS e;
SELECT DISTINCT pg_typeof(p.tail), p.known FROM of_mixture q, kg_predict(q.head, q.relation, 1, known => 'mark') p;
SELECT count(kg_score(m.head, m.relation, m.tail)) FROM of_mixture m;

-- Types that share no common one.
SELECT relation FROM kg_predict_relations(7, '1201'::text, 1);
SELECT relation FROM kg_predict_relations('7'::varchar, 1201::smallint, 1);
SELECT relation FROM kg_predict_relations('7', 1201, 1);
SELECT relation FROM kg_predict_relations('7', '1201', 1);
SELECT relation FROM kg_predict_relations(tail => '1201', head => 7, k => 1);
SELECT kg_score(7, '3', '1201'::text) IS NOT NULL AS a, kg_score('7'::text, '3', 1201) IS NOT NULL AS b,
       kg_score(7::smallint, '3'::varchar, '1201'::varchar) IS NOT NULL AS c, kg_score(7::bigint, 3::smallint, '1201'::varchar) IS NOT NULL AS d,
       kg_score('7'::text, 3, 1201::bigint) IS NOT NULL AS e, kg_score('7', 3, 1201) IS NOT NULL AS f,
       kg_score('7'::name, '3'::name, '1201'::char(9)) IS NOT NULL AS g, kg_score(7, 3, '1201'::char(9)) IS NOT NULL AS h,
       kg_score(NULL, '3', 1201) IS NULL AS i, kg_score(7, NULL, '1201') IS NULL AS j, kg_score(7, 3, NULL) IS NULL AS k;
SELECT count(*) FROM kg_rank(7, '3', '1201');
SELECT count(*) FROM kg_rank(7, '3', '1201'::text);
SELECT count(*) FROM kg_rank('7', 3, 1201::smallint);
SELECT count(*) FROM kg_rank('7'::varchar, 3, '1201');
SELECT count(*) FROM kg_rank(7, NULL, '1201');

-- Parameters without a type are text, whatever is beside them.
PREPARE scored AS SELECT kg_score($1, $2, $3) IS NOT NULL AS a, kg_score(7, $2, $3) IS NOT NULL AS b, kg_score($1, 3, $3) IS NOT NULL AS c,
                         kg_score($1, $2, 1201) IS NOT NULL AS d, kg_score(7, $2, 1201) IS NOT NULL AS e, kg_score(7, 3, $3) IS NOT NULL AS f;
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'scored';
EXECUTE scored('7', '3', '1201');
PREPARE ranked AS SELECT r.candidates > 0 AS ranked, s.candidates > 0 AS too FROM kg_rank(7, $1, $2) r, kg_rank($3, 3, $2) s;
EXECUTE ranked('3', '1201', '7');
PREPARE related AS SELECT a.relation AS a, b.relation AS b, c.relation AS c
FROM kg_predict_relations($1, $2, 1) a, kg_predict_relations(7, $2, 1) b, kg_predict_relations($1, 1201, 1) c;
EXECUTE related('7', '1201');
PREPARE of_types(smallint, varchar, bigint) AS SELECT kg_score($1, $2, $3) IS NOT NULL AS scored;
EXECUTE of_types(7, '3', 1201);
DEALLOCATE scored;
DEALLOCATE ranked;
DEALLOCATE related;
DEALLOCATE of_types;

-- The same number is the same entity in whatever type it comes; 7.0 is another label.
SELECT kg_score(7, '3', 1201) = kg_score(7::smallint, '3', 1201::bigint) AS same, kg_score('07', '3', '1201') AS "07",
       kg_embedding(7.0) AS "7.0";

-- An answer that cannot be of the question's type is an error that says how to ask.
CREATE TABLE visits (person smallint, relation text, place text);
INSERT INTO visits SELECT substr(head, 2)::smallint, relation, tail FROM tools.people();
SELECT kg_train('visits', 'visits', head => 'person', tail => 'place', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SELECT * FROM kg_predict(7::smallint, 'speaks', 1, 'visits');
SELECT tail, pg_typeof(tail) FROM kg_predict(7::text, 'speaks', 1, 'visits');
SELECT tail, known FROM kg_predict('1', 'speaks', 1, 'visits', 'mark');
SELECT head, pg_typeof(head) FROM kg_predict_heads('speaks', 'French', 1, 'visits');
SELECT relation, known FROM kg_predict_relations('7', 'French', 1, 'visits');
SELECT relation, known FROM kg_predict_relations(7::smallint, 'French', 1, 'visits');
SELECT kg_score(7, 'speaks', 'French', 'visits') > kg_score(7, 'speaks', 'Breton', 'visits') AS "French";
SELECT rank FROM kg_rank(7, 'speaks', 'French', 'visits');
SELECT count(kg_score(person, relation, place, 'visits')) FROM visits;
-- Questions in the source itself, or as it names its columns.
SELECT count(*), min(head) AS head, pg_typeof(min(head)) FROM kg_predict_many('visits', 1, 'visits');
SELECT count(*), min(tail) AS tail FROM kg_predict_many('visits', 1, 'visits', side => 'head');
CREATE VIEW head_first AS SELECT 1 AS person, '7' AS head, 'speaks' AS relation;
SELECT head, relation, tail FROM kg_predict_many('head_first', 1, 'visits');
DROP VIEW head_first;
CREATE VIEW nameless AS SELECT 1 AS somebody, 'speaks' AS relation;
SELECT * FROM kg_predict_many('nameless', 1, 'visits');
DROP VIEW nameless;
SELECT * FROM kg_predict(7::smallint, 3::smallint, 1, 'of_bigint');
SELECT pg_typeof(entity) FROM kg_similar('00000000-0000-0000-0000-000000000007'::uuid, 1, 'of_uuid');

-- Other types are asked by what they write.
SELECT tail, pg_typeof(tail) FROM kg_predict('7'::name, '3'::name, 1, 'of_text');
SELECT tail, pg_typeof(tail) FROM kg_predict(7::numeric, 3::numeric, 1, 'of_text');

-- They are written as their cast to text writes them, which is how a view has them: not always as they are shown.
CREATE TABLE network (host inet, is_up boolean, peer cidr);
INSERT INTO network SELECT '10.0.0.0'::inet + i, i % 3 > 0, format('10.%s.0.0/16', i % 5)::cidr FROM generate_series(1, 60) i;
CREATE VIEW network_facts AS
SELECT host::text AS head, 'is_up' AS relation, is_up::text AS tail FROM network UNION SELECT host::text, 'peer', peer::text FROM network;
SELECT kg_train('network', 'network_facts', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT '10.0.0.7'::inet AS shown, '10.0.0.7'::inet::text AS cast, true AS shown, true::text AS cast;
SELECT count(*) FILTER (WHERE kg_score(host, 'is_up', is_up, 'network') IS NOT NULL) AS scored,
       count(*) FILTER (WHERE kg_score(host, 'peer', peer, 'network') IS NOT NULL) AS "scored, too" FROM network;
SELECT tail, pg_typeof(tail) FROM kg_predict('10.0.0.7'::inet, 'peer', 100, 'network', 'mark',
                                             candidate_ids => ARRAY['10.2.0.0/16', '10.3.0.0/16']::cidr[]) WHERE known;
SELECT count(DISTINCT head) AS heads, count(*) FILTER (WHERE known) AS known
FROM kg_predict_many((SELECT array_agg(host) FROM network), ARRAY['peer'], 100, 'network', 'mark',
                     candidate_ids => ARRAY['10.2.0.0/16', '10.3.0.0/16']::cidr[]);
SELECT count(*) > 0 AS explained FROM kg_explain('10.0.0.7'::inet, 'peer', '10.2.0.0/16'::inet, 5, 'network');
SELECT pg_typeof(entity) FROM kg_similar('10.0.0.7'::inet, 1, 'network');
SELECT kg_drop('network');
DROP TABLE network CASCADE;

-- Names of relations are written with their schemas, whatever the search path is.
CREATE SCHEMA tables;
CREATE TABLE tables.likes AS SELECT head, tail FROM tools.people() WHERE relation = 'speaks';
CREATE VIEW by_table AS SELECT head, tableoid::regclass::text AS relation, tail FROM tables.likes;
SELECT kg_train('by_table', 'by_table', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SET search_path = tables, public;
SELECT DISTINCT 'likes'::regclass AS shown, kg_score(head, 'likes'::regclass, tail, 'by_table') IS NOT NULL AS scored FROM by_table;
RESET search_path;
SELECT DISTINCT relation, pg_typeof(relation), known FROM kg_predict_relations('p01', 'French', 10, 'by_table', 'mark');
SELECT kg_drop('by_table');
DROP VIEW by_table;
DROP TABLE tables.likes;
DROP SCHEMA tables;

-- The padding of char(n) means nothing.
SELECT kg_score('7'::char(5), '3'::char(5), '7'::char(5), 'of_text') IS NOT NULL AS known;

RESET metasd.model;
SELECT count(kg_drop(name)) FROM metasd.models;
DROP TABLE of_text, of_varchar, of_smallint, of_integer, of_bigint, of_uuid, of_domains, of_mixture, of_collation, visits;
DROP VIEW numbered;
DROP DOMAIN code, code_of_code, small_id;
DROP FUNCTION asked_as_text(text, text, text, text);
