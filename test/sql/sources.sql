-- Sources of triples: what cannot be one, and what becomes of rows that are not as they should be.
CREATE TABLE people AS SELECT * FROM tools.people();

-- No such relation, or one that has no rows to read.
SELECT kg_train('m', 'nowhere');
CREATE INDEX people_index ON people (head);
CREATE SEQUENCE numbers;
CREATE TYPE composite AS (head text, relation text, tail text);
SELECT kg_train('m', 'people_index');
SELECT kg_train('m', 'numbers');
SELECT kg_train('m', 'composite');
SELECT kg_train('m', 0);
SELECT kg_train('m', 4000000000::oid::regclass);
SELECT kg_train('m', NULL);

-- A temporary table is not seen by a background worker, nor is a view of one.
CREATE TEMP TABLE temporary AS SELECT * FROM people;
CREATE VIEW of_temporary AS SELECT * FROM temporary;
SELECT kg_train('m', 'temporary');
SELECT kg_train('m', 'of_temporary');
DROP TABLE temporary CASCADE;

-- Columns: the detail lists those that there are.
CREATE TABLE "Odd; columns" ("He said ""h""" text, gone int, "rela;tion" text, "tail'" text);
ALTER TABLE "Odd; columns" DROP gone;
SELECT kg_train('m', '"Odd; columns"');
SELECT kg_train('m', '"Odd; columns"', head => 'He said "h"', relation => 'rela;tion');
SELECT kg_train('m', '"Odd; columns"', head => 'gone');
SELECT kg_train('m', 'people', tail => 'ctid');
SELECT kg_train('m', 'people', tail => 'TAIL');
SELECT kg_train('m', 'people', tail => '');
SELECT kg_train('m', 'people', validation => '"Odd; columns"');
-- One column for two places.
SELECT kg_train('m', 'people', head => 'tail');
SELECT kg_train('m', 'people', relation => 'head');
SELECT kg_train('m', 'people', 'tail', 'tail', 'tail');
SELECT triples FROM kg_estimate('people', tail => 'relation');

-- Types: identifiers are text, varchar, integers or uuids; others say so.
CREATE TYPE mood AS ENUM ('glad');
CREATE TABLE typed (head text, relation text, tail text, n numeric, f float8, t timestamptz, b bytea,
                    j jsonb, m mood, c char(8), a text[], o oid, nm name, bo boolean);
SELECT kg_train('m', 'typed', tail => 'n');
CREATE FUNCTION refused(relation text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM kg_train('m', 'typed', relation => relation);
EXCEPTION WHEN OTHERS THEN
    message := SQLERRM;
END $$;
SELECT refused(c) FROM unnest('{f,t,b,j,m,c,a,o,nm,bo}'::text[]) c;

-- No rows, or none without a NULL, is known at once; that all identifiers are empty, by the worker.
SELECT kg_train('m', 'typed');
INSERT INTO typed (head, relation) VALUES ('a', 'r'), (NULL, 'r');
SELECT kg_train('m', 'typed');
INSERT INTO typed (head, relation, tail) VALUES ('a', '', 'b'), ('', 'r', 'b'), ('a', 'r', '');
SELECT kg_train('m', 'typed', params => tools.quick()) AS run \gset
\set VERBOSITY sqlstate
CALL kg_wait(:run);
\set VERBOSITY default
SELECT tools.hide_ids(:'LAST_ERROR_MESSAGE') AS error, error AS detail FROM metasd.versions WHERE run = :run;
SELECT * FROM kg_predict('a', 'r');

SELECT triples FROM kg_estimate('typed');

-- NULLs and empty identifiers are left out and counted; spaces are no reason.
INSERT INTO typed (head, relation, tail) VALUES ('a', 'r', 'b'), ('a', 'r', ' '), (' ', 'r', 'b');
SELECT kg_train('m', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT entities, relations, triples, metrics -> 'skipped_rows' AS skipped FROM metasd.versions WHERE serving;
DELETE FROM metasd.epoch; -- the figures of epochs, which kg_wait shows, differ from processor to processor
CALL kg_wait(:run);
SELECT triples, skipped FROM kg_estimate('typed');

-- One row; one entity; one relation only; repeated rows; facts of an entity with itself.
CREATE TABLE small (case_ int, head text, relation text, tail text);
INSERT INTO small VALUES (1, 'a', 'r', 'b'), (2, 'a', 'r', 'a'), (3, 'a', 'r', 'b'), (3, 'b', 'r', 'c'), (3, 'c', 'r', 'd'),
    (4, 'a', 'r', 'b'), (4, 'a', 'r', 'b'), (4, 'a', 'r', 'b'), (5, 'a', 'r', 'a'), (5, 'b', 'r', 'b'), (5, 'a', 's', 'b');
CREATE VIEW small1 AS SELECT * FROM small WHERE case_ = 1;
CREATE VIEW small2 AS SELECT * FROM small WHERE case_ = 2;
CREATE VIEW small3 AS SELECT * FROM small WHERE case_ = 3;
CREATE VIEW small4 AS SELECT * FROM small WHERE case_ = 4;
CREATE VIEW small5 AS SELECT * FROM small WHERE case_ = 5;
SELECT tools.all_workers_gone(); -- since there are max_worker_processes at most
SELECT count(kg_train('small' || i, ('small' || i)::regclass, params => tools.quick())) FROM generate_series(1, 5) i;
SELECT name, tools.ended(last_run) FROM metasd.models WHERE name LIKE 'small%' ORDER BY name;
SELECT name, entities, relations, triples, mrr BETWEEN 0 AND 1 AS validated FROM metasd.models WHERE name LIKE 'small%' ORDER BY name;
SELECT run - min(run) OVER () + 1 AS case, label, degree FROM metasd.entity
WHERE run IN (SELECT serving FROM metasd.models WHERE name LIKE 'small%') ORDER BY run, id;
SELECT tail, known FROM kg_predict('a', 'r', model => 'small2', known => 'mark');
SELECT tail FROM kg_predict('a', 'r', model => 'small2');
SELECT entity FROM kg_similar('a', model => 'small2');

-- Labels are data: quotes, backslashes, line breaks, tabs, percent signs, other scripts, JSON, SQL,
-- and labels of more than a page.
\pset format unaligned
CREATE TABLE labels (head text, relation text, tail text);
INSERT INTO labels
SELECT a, 'r''"\', b
FROM unnest(ARRAY['''', '"', '\', E'\n', E'\t', '%s %n', '$1', 'Ünï · 名前 · имя', '{"a": 1}', '''; DROP TABLE labels; --',
                  'NULL', '{}', 'a b', ' a', repeat('long ', 2000)]) a,
     unnest(ARRAY['x', repeat('tail', 30000)]) b;
SELECT kg_train('labels', 'labels', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT count(*) AS rows, count(DISTINCT label) AS labels, max(octet_length(label)) AS longest FROM metasd.entity WHERE run = :run;
SELECT left(l.head, 30) AS label, kg_score(l.head, l.relation, l.tail, 'labels') IS NOT NULL AS scored,
       (SELECT count(*) FROM kg_predict(l.head, l.relation, 100, 'labels')) AS predictions,
       (SELECT count(*) FROM kg_predict(l.head, l.relation, 100, 'labels', 'mark') WHERE known) AS known,
       (SELECT string_agg(left(tail, 4), ',' ORDER BY tail) FROM kg_predict(l.head, l.relation, 100, 'labels', 'mark') WHERE known) AS tails
FROM labels l WHERE tail = 'x' ORDER BY l.head COLLATE "C";

-- A label that the model does not know is shown in part only.
SELECT * FROM kg_predict(repeat('long ', 100), 'r', 1, 'labels');
\pset format aligned

-- Names are data, too: mixed case, quotes, semicolons, a schema that is not in the search_path.
CREATE SCHEMA "Far; ""away""";
CREATE TABLE "Far; ""away"""."The 'table'; --" ("HEAD" text, "select" text, "a.b" text);
INSERT INTO "Far; ""away"""."The 'table'; --" SELECT * FROM people;
SELECT kg_train('far', '"Far; ""away"""."The ''table''; --"', 'HEAD', 'select', 'a.b', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SELECT source, head, relation, tail, triples FROM metasd.models WHERE name = 'far';
SELECT rank, tail, known FROM kg_predict('p07', 'speaks', 1, 'far');
SELECT rank, tail, known FROM kg_predict('p01', 'speaks', 1, 'far', 'mark');

-- The source is remembered by what it is, not by its name.
ALTER TABLE "Far; ""away"""."The 'table'; --" RENAME TO plain;
ALTER TABLE "Far; ""away""".plain SET SCHEMA public;
SELECT source FROM metasd.models WHERE name = 'far';
SELECT rank, tail, known FROM kg_predict('p01', 'speaks', 1, 'far', 'mark');

-- A function of a view may name what only the caller's search path has: the error says how to name it.
CREATE FUNCTION all_people() RETURNS SETOF people STABLE LANGUAGE sql AS 'SELECT * FROM people';
CREATE FUNCTION same_label(label text) RETURNS text STABLE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(head) FROM people WHERE head = label); END';
CREATE VIEW unqualified AS SELECT * FROM all_people();
CREATE VIEW unqualified_later AS SELECT same_label(head) AS head, relation, tail FROM people;
CREATE FUNCTION hinted(source regclass, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM kg_train('unqualified', source);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END $$;
SELECT * FROM hinted('unqualified');
SELECT * FROM hinted('unqualified_later');
ALTER FUNCTION same_label SET search_path = public;
SELECT triples FROM kg_estimate('unqualified_later');
DROP VIEW unqualified, unqualified_later;
DROP FUNCTION all_people(), same_label(text), hinted(regclass);

-- A view whose query fails: at once if it fails at once, else in the worker.
CREATE VIEW failing AS SELECT head, relation, tail FROM people WHERE 1 / (length(head) - 3) > 0;
SELECT kg_train('failing', 'failing');
CREATE VIEW failing_later AS
SELECT head, relation, (1 / (100 - row_number() OVER ()))::text AS tail FROM people CROSS JOIN generate_series(1, 2);
SELECT kg_train('failing', 'failing_later') AS run \gset
\set VERBOSITY sqlstate
CALL kg_wait(:run);
\set VERBOSITY default
SELECT tools.hide_ids(:'LAST_ERROR_MESSAGE') AS error, error AS detail FROM metasd.versions WHERE run = :run;

-- A constant of type regclass names a relation and does not read it.
CREATE VIEW of_catalog AS
SELECT c.relname::text AS head, 'has'::text AS relation, a.attname::text AS tail
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE c.oid IN ('small'::regclass, 'labels'::regclass) AND a.attnum > 0;
SELECT kg_train('of_catalog', 'of_catalog', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT triples FROM metasd.models WHERE name = 'of_catalog';
SELECT tail FROM kg_predict('labels', 'has', 10, 'of_catalog', 'mark') WHERE known ORDER BY tail COLLATE "C";
SELECT triples FROM kg_evaluate('of_catalog', 'of_catalog');
DROP VIEW of_catalog;

-- A validation relation without a fact to validate by is an error: at once if it has no rows, else in the worker.
CREATE TABLE graph AS SELECT * FROM tools.people();
CREATE TABLE held (head text, relation text, tail text);
SELECT kg_train('validated', 'graph', validation => 'held');
INSERT INTO held VALUES (NULL, 'speaks', 'French');
SELECT kg_train('validated', 'graph', validation => 'held');
INSERT INTO held VALUES ('', 'speaks', 'French');
SELECT kg_train('validated', 'graph', validation => 'held') AS run \gset
SELECT tools.ended(:run);
SELECT error FROM metasd.versions WHERE run = :run;
INSERT INTO held VALUES ('nobody', 'speaks', 'French'), ('p01', 'eats', 'mill');
SELECT kg_train('validated') AS run \gset
SELECT tools.ended(:run);
SELECT error FROM metasd.versions WHERE run = :run;
SELECT kg_train('validated', validation => 'graph') AS run \gset
SELECT tools.ended(:run);
SELECT error FROM metasd.versions WHERE run = :run;
-- Of the source's own facts those validate, and are not trained on, that are not the only ones of an entity or relation.
INSERT INTO graph VALUES ('lone', 'knows', 'other');
INSERT INTO held TABLE graph;
DELETE FROM held WHERE head > 'p02' OR head = 'nobody' OR head = '' OR head IS NULL;
SELECT kg_train('validated', validation => 'held', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT (SELECT count(*) FROM held h JOIN graph USING (head, relation, tail)) AS shared, sum(held_out) AS validate FROM metasd.relations
WHERE model = 'validated';
DELETE FROM held WHERE head <> 'lone';
SELECT kg_train('validated') AS run \gset
SELECT tools.ended(:run);
SELECT error FROM metasd.versions WHERE run = :run;
SELECT kg_train('validated', validation => '-', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT serving = :run AS serves, validation FROM metasd.models WHERE name = 'validated';
DROP TABLE graph, held;

SELECT count(kg_drop(name)) FROM metasd.models;
DROP TABLE people, typed, small, labels, plain, "Odd; columns" CASCADE;
DROP SCHEMA "Far; ""away""";
DROP SEQUENCE numbers;
DROP TYPE composite, mood;
DROP FUNCTION refused(text);

-- Nothing is guessed of other names, but the call to copy is there: where three columns can hold identifiers, they
-- come in their order, and those that have their name stay.
CREATE TABLE spo (subject text, predicate text, object text);
CREATE TABLE rht (relation text, src text, dst text, seen timestamptz);
CREATE TABLE four (id int, s uuid, p text, o uuid, weight real);
CREATE TABLE two (subject text, object text);
CREATE TABLE none (at timestamptz, x float8);
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere."Odd 'names'" ("The subject" text, "it's" int, o text);
SELECT kg_train('m', 'spo');
SELECT kg_train('it''s', 'rht');
SELECT kg_train('m', 'four');
SELECT kg_train('m', 'two');
SELECT kg_train('m', 'none');
SELECT kg_train('m', 'elsewhere."Odd ''names''"');
SELECT kg_train('m', 'spo', head => 'subject', relation => 'predicat');
SELECT triples FROM kg_estimate('spo');
SELECT triples FROM kg_estimate('four');
-- The call is right as it stands.
SELECT kg_train('it''s', 'rht', head => 'src', relation => 'relation', tail => 'dst');
SELECT kg_train('m', 'elsewhere."Odd ''names''"', head => 'The subject', relation => 'it''s', tail => 'o');
-- A validation relation has the columns of the source.
INSERT INTO spo VALUES ('a', 'r', 'b');
SELECT kg_train('m', 'spo', 'subject', 'predicate', 'object', 'rht');
SELECT count(*) FROM metasd.models;
SET client_min_messages = warning;
DROP SCHEMA elsewhere CASCADE;
DROP TABLE spo, rht, four, two, none;
RESET client_min_messages;
