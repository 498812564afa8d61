-- Sources that are renamed, swapped, changed or dropped, and validation sources that come, go and change.
CREATE SCHEMA regress_metasd;
CREATE ROLE regress_metasd_loader LOGIN;
CREATE ROLE regress_metasd_stranger LOGIN;
CREATE ROLE regress_metasd_owner LOGIN;
GRANT regress_metasd_owner TO regress_metasd_loader;
GRANT USAGE, CREATE ON SCHEMA regress_metasd TO PUBLIC;
SET search_path = regress_metasd, public;
SET ROLE regress_metasd_owner;
CREATE TABLE people AS SELECT * FROM tools.people();
SELECT kg_train('m', 'people', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
-- What the last run was trained from, by the name of now, and how many triples it had.
CREATE VIEW trained AS
SELECT m.source, v.status, v.triples FROM metasd.models m JOIN metasd.versions v ON v.run = m.last_run WHERE m.name = 'm';

-- A new name is no other table: training and asking go on without a word.
ALTER TABLE people RENAME TO folk;
SELECT count(*) FROM kg_predict('p01', 'speaks', 1000, 'm', 'mark') WHERE known;
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
TABLE trained;
ALTER TABLE folk RENAME TO people;
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);

-- A table swap by rename, as loaders do it: the old table is dropped, or kept under another name. Until
-- it is trained again the version answers by what it was trained from.
CREATE TABLE people_new AS SELECT * FROM people WHERE relation <> 'speaks';
DROP TABLE people;
ALTER TABLE people_new RENAME TO people;
SELECT count(*) FROM kg_predict('p01', 'speaks', 1, 'm', 'mark');
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
TABLE trained;
SELECT count(*) FROM kg_predict('p01', 'lives_in', 1000, 'm', 'mark') WHERE known;
CREATE TABLE people_new AS SELECT * FROM tools.people();
BEGIN;
ALTER TABLE people RENAME TO people_old;
ALTER TABLE people_new RENAME TO people;
COMMIT;
SELECT count(*) FROM kg_predict('p01', 'lives_in', 1000, 'm', 'mark') WHERE known;
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
TABLE trained;
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
DROP TABLE people_old;
-- A job follows it, too; the name may be that of a view, or in another schema.
ALTER TABLE people RENAME TO people_old;
CREATE VIEW people AS SELECT * FROM people_old WHERE relation <> 'works_at';
SELECT metasd.train_scheduled('m') AS run \gset
SELECT tools.ended(:run);
TABLE trained;
SELECT count(*) FROM kg_predict('p01', 'lives_in', 1000, 'm', 'mark') WHERE known;
DROP VIEW people;
RESET ROLE;
CREATE SCHEMA regress_metasd_archive AUTHORIZATION regress_metasd_owner;
SET ROLE regress_metasd_owner;
ALTER TABLE people_old RENAME TO people;
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
TABLE trained;
ALTER TABLE people SET SCHEMA regress_metasd_archive;
CREATE TABLE people AS SELECT * FROM tools.people() WHERE head < 'p21';
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
TABLE trained;
-- What has the name cannot be trained from: it is said of that.
ALTER TABLE people RENAME TO people_old;
CREATE SEQUENCE people;
SELECT kg_train('m');
DROP SEQUENCE people;
CREATE TABLE people (subject text, relation text, tail text);
SELECT kg_train('m');
DROP TABLE people;
ALTER TABLE people_old RENAME TO people;
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);

-- Another role has made it: one that the owner must trust in any case is followed,
SET ROLE regress_metasd_loader;
CREATE TABLE people_new AS SELECT * FROM tools.people() WHERE head < 'p11';
GRANT SELECT ON people_new TO regress_metasd_owner;
RESET ROLE;
ALTER TABLE people RENAME TO people_old;
ALTER TABLE people_new RENAME TO people;
SET ROLE regress_metasd_owner;
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
TABLE trained;
-- any other is not: where the old table is there still it goes on with that, and says so;
SET ROLE regress_metasd_stranger;
CREATE TABLE people_new AS SELECT * FROM tools.people();
GRANT SELECT ON people_new TO PUBLIC;
RESET ROLE;
ALTER TABLE people RENAME TO people_loaded;
ALTER TABLE people_new RENAME TO people;
SET ROLE regress_metasd_owner;
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
TABLE trained;
-- (and remembers the name that it has now)
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
RESET ROLE;
ALTER TABLE people RENAME TO people_strange;
ALTER TABLE people_loaded RENAME TO people;
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
-- where it is dropped there is nothing to go on with.
DROP TABLE people;
ALTER TABLE people_strange RENAME TO people;
SET ROLE regress_metasd_owner;
SELECT count(*) FROM kg_predict('p01', 'lives_in', 1, 'm', 'mark');
SELECT kg_train('m');
SELECT metasd.train_scheduled('m');
-- Named, it is taken.
SELECT kg_train('m', 'people') AS run \gset
SELECT tools.ended(:run);
TABLE trained;

-- Columns that are renamed, dropped or of another type: asking answers, and says what it cannot know; a
-- training says what is missing and what there is.
CREATE TABLE mine AS SELECT * FROM tools.people();
CREATE VIEW questions AS SELECT 'p01'::text AS head, 'speaks'::text AS relation, 'French'::text AS tail;
SELECT kg_train('m', 'mine') AS run \gset
SELECT tools.ended(:run);
CREATE PROCEDURE ask() LANGUAGE plpgsql AS $$
BEGIN
    RAISE INFO 'predict %', (SELECT count(known) FROM kg_predict('p01', 'speaks', 1000, 'm', 'mark'));
    RAISE INFO 'heads %', (SELECT count(known) FROM kg_predict_heads('speaks', 'French', 1000, 'm'));
    RAISE INFO 'relations %', (SELECT count(known) FROM kg_predict_relations('p01', 'French', 1000, 'm'));
    RAISE INFO 'many %', (SELECT count(known) FROM kg_predict_many('{p01,p02}'::text[], '{speaks}'::text[], 1000, 'm', 'mark'));
    RAISE INFO 'queries %', (SELECT count(known) FROM kg_predict_many('questions', 1000, 'm', 'mark', 'head'));
    RAISE INFO 'rank %', (SELECT candidates FROM kg_rank('p01', 'speaks', 'French', 'm'));
    RAISE INFO 'evaluate %', (SELECT triples FROM kg_evaluate('m', 'questions'));
    RAISE INFO 'others %', (SELECT (kg_score('p01', 'speaks', 'French', 'm'), kg_embedding('p01', 'm')) IS NOT NULL
                                   AND EXISTS (SELECT FROM kg_similar('p01', 1, 'm')));
END $$;
\set VERBOSITY terse
CALL ask();
ALTER TABLE mine RENAME relation TO rel;
CALL ask();
SELECT name, serving IS NOT NULL AS serving FROM metasd.models;
\set VERBOSITY default
SELECT count(*) FROM kg_predict('p01', 'speaks', 1, 'm');
SELECT kg_train('m');
SELECT metasd.train_scheduled('m');
ALTER TABLE mine RENAME rel TO relation;
ALTER TABLE mine ALTER tail TYPE varchar(20)[] USING ARRAY[tail];
SELECT count(*) FROM kg_predict('p01', 'speaks', 1, 'm');
SELECT kg_train('m');
\set VERBOSITY terse
CALL ask();
ALTER TABLE mine DROP tail;
CALL ask();
\set VERBOSITY default
SELECT kg_train('m');
SELECT kg_train('m', tail => 'head');
ALTER TABLE mine ADD town text DEFAULT 'Arles';
SELECT kg_train('m', tail => 'town') AS run \gset
SELECT tools.ended(:run);
SELECT tail FROM metasd.models WHERE name = 'm';
-- A view instead of the table.
DROP TABLE mine;
CREATE VIEW mine AS SELECT * FROM tools.people();
SELECT kg_train('m', tail => 'tail') AS run \gset
SELECT tools.ended(:run);
\set VERBOSITY terse
CALL ask();
\set VERBOSITY default
SELECT kg_drop('m');
DROP VIEW mine;

-- A validation source is followed likewise, is that of the run where a run is meant, and can be taken away.
CREATE TABLE held (head text, relation text, tail text);
INSERT INTO held VALUES ('p07', 'speaks', 'French'), ('p17', 'lives_in', 'Brest'), ('p01', 'speaks', 'French');
CREATE TABLE mine AS SELECT * FROM tools.people();
SELECT kg_train('m', 'mine', validation => 'held', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
CREATE VIEW validated AS
SELECT v.status, m.validation, v.metrics #> '{validation,queries}' AS queries
FROM metasd.models m JOIN metasd.versions v ON v.run = m.last_run WHERE m.name = 'm';
TABLE validated;
SELECT round(mrr::numeric, 6) AS mrr FROM kg_evaluate('m', 'questions') \gset before_
-- What the model has since does not matter for the version that serves.
SELECT kg_train('m', validation => '-', params => '{"epochs": 100000, "patience": 0}') AS run \gset
SELECT kg_cancel(:run);
SELECT tools.all_workers_gone();
SELECT validation FROM metasd.models WHERE name = 'm';
SELECT round(mrr::numeric, 6) = :before_mrr AS same FROM kg_evaluate('m', 'questions');
SELECT kg_train('m', params => '{"epochs": null}') AS run \gset
SELECT tools.ended(:run);
TABLE validated;
SELECT kg_train('m', validation => 'held', params => '{"epochs": 1}') AS run \gset
SELECT tools.ended(:run);
TABLE validated;
-- Swapped by rename, and by a stranger.
CREATE TABLE held_new AS SELECT * FROM held LIMIT 2;
ALTER TABLE held RENAME TO held_old;
ALTER TABLE held_new RENAME TO held;
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
TABLE validated;
ALTER TABLE held RENAME TO held_mine;
SET ROLE regress_metasd_stranger;
CREATE TABLE held AS SELECT * FROM tools.people();
GRANT SELECT ON held TO PUBLIC;
SET ROLE regress_metasd_owner;
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
TABLE validated;
ALTER TABLE held_mine RENAME TO held_last;
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
-- Dropped: the message says which of the two it is, and how to do without.
SELECT count(*) FROM kg_evaluate('m', 'questions');
DROP TABLE held_last;
SELECT count(*) FROM kg_evaluate('m', 'questions');
SELECT count(*) FROM kg_predict('p07', 'speaks', 1, 'm');
SELECT kg_train('m');
SELECT metasd.train_scheduled('m');
SELECT kg_train('m', 'mine');
SELECT kg_train('m', validation => 'held_old') AS run \gset
SELECT tools.ended(:run);
TABLE validated;
-- Dropped while the training waits for the end of the transaction that starts it.
BEGIN;
SELECT kg_train('m') AS run \gset
DROP TABLE held_old;
COMMIT;
SELECT tools.ended(:run);
SELECT error FROM metasd.versions WHERE run = :run;
SELECT kg_train('m', validation => '-') AS run \gset
SELECT tools.ended(:run);
TABLE validated;
BEGIN;
SELECT kg_train('m') AS run \gset
DROP TABLE mine;
COMMIT;
SELECT tools.ended(:run);
SELECT error FROM metasd.versions WHERE run = :run;
SELECT kg_train('m');
SELECT kg_drop('m');
RESET ROLE;

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA regress_metasd, regress_metasd_archive CASCADE;
DROP ROLE regress_metasd_owner, regress_metasd_loader, regress_metasd_stranger;
