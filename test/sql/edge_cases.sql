-- Edge cases of training and asking: what hardly ever happens.
CREATE TABLE people AS SELECT * FROM tools.people();
SELECT kg_train('people', 'people', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);

-- A source whose identifiers get a type that has no value for those of the model: none of its facts is
-- one of the model's any more, and so none is known.
SELECT rank, tail, known FROM kg_predict('p08', 'speaks', 1, known => 'mark');
ALTER TABLE people ALTER COLUMN head TYPE bigint USING hashtext(head);
SELECT rank, tail, known FROM kg_predict('p08', 'speaks', 1, known => 'mark');
SELECT rank, tail FROM kg_predict('p08', 'speaks', 1);
ALTER TABLE people ALTER COLUMN head TYPE uuid USING md5(head::text)::uuid;
SELECT rank, tail, known FROM kg_predict('p08', 'speaks', 1, known => 'mark');
SELECT rank, tail FROM kg_predict('p08', 'speaks', 1);
ALTER TABLE people ALTER COLUMN head TYPE smallint USING 1;
SELECT rank, tail FROM kg_predict('p08', 'speaks', 1);

-- Labels that look like the type, but are none of its values.
ALTER TABLE people ALTER COLUMN head TYPE text USING '99999999999999999999';
INSERT INTO people VALUES ('0123456701234567012345670123456701234567', 'speaks', 'French'),
                          ('01234567-0123-4567-0123-4567012345678', 'speaks', 'French');
SELECT kg_train('people', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
ALTER TABLE people ALTER COLUMN head TYPE bigint USING 1;
SELECT count(*) FROM kg_predict('99999999999999999999', 'speaks', 1);
ALTER TABLE people ALTER COLUMN head TYPE uuid USING gen_random_uuid();
SELECT count(*) FROM kg_predict('0123456701234567012345670123456701234567', 'speaks', 1);
SELECT count(*) FROM kg_predict('01234567-0123-4567-0123-4567012345678', 'speaks', 1);
SELECT kg_drop('people');
DROP TABLE people;

-- More models than a message has room for.
CREATE TABLE people AS SELECT * FROM tools.people();
SELECT format('SELECT kg_train(''people %s'', ''people'', params => tools.quick()) > 0 AS trained', i),
       'SELECT tools.all_workers_gone()'
FROM generate_series(1, 9) i
\gexec
SELECT * FROM kg_predict('p07', 'speaks', 1);
SELECT count(kg_drop(name)) FROM metasd.models;

-- No worker can start where nobody may connect: that is an error at once, and nothing is left behind.
UPDATE pg_database SET datallowconn = false WHERE datname = current_database();
SELECT kg_train('people', 'people', params => tools.quick());
UPDATE pg_database SET datallowconn = true WHERE datname = current_database();
SELECT count(*) FROM metasd.models;
SELECT kg_train('people', 'people', params => tools.thorough() || '{"validation_fraction": 0.1}') AS run \gset
SELECT tools.ended(:run);

-- A source that is too large before anything can be planned.
CREATE TABLE many AS
SELECT 'entity ' || i AS head, 'r' || i % 2 AS relation, 'entity ' || i / 2 AS tail FROM generate_series(1, 30000) i;
SET metasd.train_mem = '1MB';
SELECT kg_train('many', 'many') AS run \gset
SELECT tools.ended(:run);
RESET metasd.train_mem;
SELECT regexp_replace(error, '\d+ MB', '# MB', 'g') AS error FROM metasd.versions WHERE run = :run;

-- More entities than are stored, or read back, at once.
CREATE TABLE part AS SELECT * FROM many LIMIT 2500;
SELECT kg_train('part', 'part', params => '{"rank": 2, "epochs": 1, "warmup": 1, "ramp": 0, "finetune": 0, "batch": 1000}') AS run \gset
SELECT tools.ended(:run);
SELECT count(*) AS stored, count(DISTINCT label) AS labels, min(id), max(id),
       count(*) FILTER (WHERE label IN (SELECT head FROM part UNION SELECT tail FROM part)) AS of_the_source
FROM metasd.entity WHERE run = :run;
SELECT count(*), count(DISTINCT tail) AS different FROM kg_predict('entity 7', 'r1', 10000, 'part', known => 'include');
SELECT kg_drop('part');
DROP TABLE part;

-- Without the extension its functions say so.
SELECT current_database() AS here \gset
CREATE DATABASE regress_metasd_bare TEMPLATE template0;
\c regress_metasd_bare
CREATE FUNCTION kg_cancel(bigint) RETURNS boolean AS 'metasd', 'metasd_kg_cancel' LANGUAGE c;
SELECT kg_cancel(1);
\c :here
DROP DATABASE regress_metasd_bare;

-- A source of which a part lies elsewhere, and may be read by its owner only: facts are known from there, too.
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE TABLE parts (head text, relation text, tail text) PARTITION BY LIST (relation);
CREATE TABLE here PARTITION OF parts DEFAULT;
CREATE FOREIGN TABLE there PARTITION OF parts FOR VALUES IN ('speaks') SERVER files
    OPTIONS (program 'for i in 01 04 10 13 16 19 22 25 28; do echo p$i,speaks,French; done', format 'csv');
INSERT INTO here SELECT * FROM people WHERE relation <> 'speaks';
SELECT kg_train('parts', 'parts', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT tail, known FROM kg_predict('p04', 'speaks', 100, model => 'parts', known => 'mark') WHERE tail IN ('Arles', 'French') ORDER BY 1;
CREATE TABLE plain AS SELECT * FROM parts;
CREATE TABLE asked AS SELECT * FROM people WHERE head < 'p08';
SELECT count(*) AS buckets, sum(triples) AS triples FROM kg_evaluate('parts', 'asked', by => 'relation');
SELECT count(*) AS different FROM
    (SELECT * FROM kg_evaluate('parts', 'asked') EXCEPT SELECT * FROM kg_evaluate('parts', 'asked', filters => '{plain}')) x;
SELECT kg_drop('parts');
DROP TABLE parts, plain, asked;
DROP EXTENSION file_fdw CASCADE;

-- All entities are answers that are known, and what is asked for is none that the model knows: there
-- is no first answer whose probability could be compared with anything.
CREATE TABLE all_known (head, relation, tail) AS
SELECT 'a', 'r', t FROM unnest('{a,b,c}'::text[]) t UNION ALL VALUES ('b', 's', 'c');
SELECT kg_train('all_known', 'all_known', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT count(*) FROM kg_predict('a', 'r', model => 'all_known');
CREATE TABLE news (head, relation, tail) AS VALUES ('a', 'r', 'd');
SELECT bucket, triples, unseen, mrr, brier, ece FROM kg_evaluate('all_known', 'news', by => 'side');

SELECT count(kg_drop(name)) FROM metasd.models;
DROP TABLE people, many, all_known, news;
