-- Owners that change or are gone: what has become of a model then, for each question and each command.
CREATE SCHEMA regress_metasd;
GRANT USAGE, CREATE ON SCHEMA regress_metasd TO PUBLIC;
SET search_path = regress_metasd, public;
CREATE ROLE regress_metasd_owner LOGIN;
CREATE ROLE regress_metasd_heir LOGIN;
CREATE ROLE regress_metasd_reader LOGIN;
CREATE TABLE questions AS SELECT 'p01'::text AS head, 'speaks'::text AS relation, 'French'::text AS tail;
GRANT SELECT ON questions TO PUBLIC;

CREATE PROCEDURE ask() LANGUAGE plpgsql AS $$
BEGIN
    RAISE INFO 'predict %', (SELECT count(known) FROM kg_predict('p01', 'speaks', 1000, 'm', 'mark'));
    RAISE INFO 'heads %', (SELECT count(known) FROM kg_predict_heads('speaks', 'French', 1000, 'm'));
    RAISE INFO 'relations %', (SELECT count(known) FROM kg_predict_relations('p01', 'French', 1000, 'm'));
    RAISE INFO 'many %', (SELECT count(known) FROM kg_predict_many('{p01,p02}'::text[], '{speaks}'::text[], 1000, 'm', 'mark'));
    RAISE INFO 'queries %', (SELECT count(known) FROM kg_predict_many('questions', 1000, 'm', 'mark', 'head'));
    RAISE INFO 'candidates %', (SELECT count(*) FROM kg_predict('p02', 'speaks', 1000, 'm', 'mark', 'questions'));
    RAISE INFO 'rank %', (SELECT candidates FROM kg_rank('p01', 'speaks', 'French', 'm'));
    RAISE INFO 'evaluate %', (SELECT triples FROM kg_evaluate('m', 'questions'));
    RAISE INFO 'others %', (SELECT (kg_score('p01', 'speaks', 'French', 'm'), kg_embedding('p01', 'm'), kg_embedding_sparse('p01', 'm')) IS NOT NULL
                                   AND EXISTS (SELECT FROM kg_similar('p01', 1, 'm')));
    RAISE INFO 'views %', ROW((SELECT count(*) FROM metasd.models), (SELECT count(*) > 0 FROM metasd.versions),
                                  (SELECT count(*) FROM metasd.relations), (SELECT count(*) > 0 FROM metasd.learning_curve),
                                  (SELECT count(*) FROM metasd.progress));
END $$;
-- Each command that changes a model, as it is refused.
CREATE PROCEDURE command(run bigint) LANGUAGE plpgsql SET client_min_messages = warning AS $$
DECLARE
    command text;
    hint text;
BEGIN
    FOREACH command IN ARRAY ARRAY[
        $q$SELECT kg_train('m')$q$, $q$SELECT kg_train('m', 'regress_metasd.questions')$q$,
        format('SELECT kg_resume(%s)', run), $q$SELECT metasd.train_scheduled('m')$q$,
        $q$SELECT kg_schedule('m', '0 3 * * *')$q$, $q$SELECT kg_unschedule('m')$q$, format('SELECT kg_cancel(%s)', run),
        $q$SELECT kg_rollback('m')$q$, format('SELECT kg_promote(''m'', %s)', run)] LOOP
        BEGIN
            EXECUTE command;
            RAISE INFO '%: done', tools.hide_ids(command);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
            RAISE INFO '%: % - %', tools.hide_ids(command), tools.hide_ids(sqlerrm),
                       regexp_replace(tools.hide_ids(hint), 'Install it .*', '...');
        END;
    END LOOP;
END $$;

CREATE FUNCTION checkpointed(run bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 6000 LOOP
        EXIT WHEN EXISTS (SELECT FROM metasd.versions v WHERE v.run = checkpointed.run AND v.checkpoint_epoch > 0);
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN EXISTS (SELECT FROM metasd.versions v WHERE v.run = checkpointed.run AND v.checkpoint_epoch > 0);
END $$;

SET ROLE regress_metasd_owner;
CREATE TABLE people AS SELECT * FROM tools.people();
CREATE TABLE held AS SELECT * FROM people WHERE relation = 'speaks' ORDER BY head LIMIT 3;
GRANT SELECT ON people TO regress_metasd_reader;
SELECT kg_train('m', 'people', validation => 'held', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('m') AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('m', params => '{"epochs": 100000, "patience": 0}') AS run \gset
SELECT kg_cancel(:run);
SELECT tools.all_workers_gone();
\set VERBOSITY terse
CALL ask();

-- REASSIGN OWNED knows of tables, not of models: the model stays its owner's, whose table is another's now.
RESET ROLE;
REASSIGN OWNED BY regress_metasd_owner TO regress_metasd_heir;
SET ROLE regress_metasd_owner;
SELECT count(*) FROM kg_predict('p01', 'speaks', 3, 'm');
SELECT count(*) FROM kg_predict('p01', 'speaks', 3, 'm', 'include');
CALL ask();
\set VERBOSITY default
SELECT count(*) FROM kg_predict('p01', 'speaks', 3, 'm');
SELECT kg_train('m');
\set VERBOSITY terse
SET ROLE regress_metasd_heir;
SELECT owner FROM metasd.models WHERE name = 'm';
CALL ask();
CALL command(:run);
SELECT kg_drop('m');
SELECT kg_owner('m', 'regress_metasd_heir');
-- It can be given to the heir, who has it then, and all of it.
RESET ROLE;
SELECT kg_owner('m', 'regress_metasd_heir');
SET ROLE regress_metasd_heir;
CALL ask();
SELECT kg_train('m', params => '{"epochs": 1}') AS run \gset
SELECT tools.ended(:run);
SET ROLE regress_metasd_owner;
SELECT count(*) FROM kg_predict('p01', 'speaks', 3, 'm');

-- DROP OWNED takes the sources: the model answers, and says what it does not know any more.
RESET ROLE;
DROP OWNED BY regress_metasd_heir;
SET ROLE regress_metasd_heir;
CALL ask();
CALL command(:run);
SET ROLE regress_metasd_reader;
SELECT count(*) FROM kg_predict('p01', 'speaks', 3, 'm');
RESET ROLE;
CALL ask();

-- DROP ROLE: the model is nobody's. A superuser may ask it, give it away and drop it.
CREATE TABLE people AS SELECT * FROM tools.people();
GRANT SELECT ON people TO PUBLIC;
SET ROLE regress_metasd_heir;
SELECT kg_train('m', 'people', validation => '-') AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('m', params => '{"epochs": 100000, "patience": 0, "checkpoint_every": 0}') AS stopped \gset
SELECT checkpointed(:stopped);
SELECT kg_cancel(:stopped);
SELECT tools.all_workers_gone();
RESET ROLE;
DROP ROLE regress_metasd_heir;
SELECT name, owner, source FROM metasd.models;
CALL ask();
CALL command(:run);
\set VERBOSITY default
SELECT count(*) FROM kg_predict('p01', 'speaks', 3, 'm');
SELECT count(*) FROM kg_evaluate('m', 'questions', by => 'side');
SELECT kg_train('m');
SELECT kg_resume(:stopped);
DELETE FROM metasd.epoch; -- figures, which are not the same on every processor
\set VERBOSITY sqlstate
CALL kg_wait(:run);
\set VERBOSITY terse
-- (who may read the source may ask, as before)
SET ROLE regress_metasd_reader;
CALL ask();
CALL command(:run);
SELECT kg_drop('m');
-- A role of the same name is another one.
RESET ROLE;
CREATE ROLE regress_metasd_heir LOGIN;
SET ROLE regress_metasd_heir;
SELECT owner FROM metasd.models;
SELECT kg_train('m');
SELECT kg_drop('m');
RESET ROLE;
SELECT kg_owner('m', 'regress_metasd_heir');
SET ROLE regress_metasd_heir;
CALL ask();
SELECT kg_train('m', params => '{"epochs": 1}') AS run \gset
SELECT tools.ended(:run);
RESET ROLE;
SELECT kg_drop('m');

-- While it is trained: the model is not given away, and where its owner is dropped the training goes on to its
-- end, or says why not. A superuser can drop the model.
CREATE VIEW gated AS SELECT p.* FROM people p, (SELECT tools.gate() OFFSET 0) g;
GRANT SELECT ON gated TO PUBLIC;
SET ROLE regress_metasd_heir;
SELECT kg_train('m', 'people', params => tools.quick()) AS first \gset
SELECT tools.ended(:first);
RESET ROLE;
SELECT pg_advisory_lock(7);
SET ROLE regress_metasd_heir;
SELECT kg_train('m', 'gated') AS run \gset
SELECT tools.reached(:run, 'reading');
RESET ROLE;
SELECT tools.error_of($$SELECT kg_owner('m', 'regress_metasd_owner')$$);
DROP ROLE regress_metasd_heir;
SELECT pg_advisory_unlock(7);
SELECT tools.ended(:run);
SELECT status, error FROM metasd.versions WHERE run = :run;
SELECT owner, serving = :first AS "the first serves" FROM metasd.models;
CALL ask();
SELECT kg_drop('m');
SELECT count(*) FROM metasd.run;
CREATE ROLE regress_metasd_heir LOGIN;
BEGIN;
SET LOCAL ROLE regress_metasd_heir;
SELECT kg_train('m', 'people', params => tools.quick()) AS run \gset
RESET ROLE;
DROP ROLE regress_metasd_heir;
COMMIT;
SELECT tools.all_workers_gone();
SELECT tools.ended(:run);
SELECT status, error, owner FROM metasd.versions v JOIN metasd.models m ON m.name = v.model;
SELECT kg_drop('m');

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA regress_metasd CASCADE;
DROP ROLE regress_metasd_owner, regress_metasd_reader;
