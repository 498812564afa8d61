-- kg_wait and kg_cancel, and trainings that do not get to their end.
CREATE TABLE people AS SELECT * FROM tools.people();

-- Trainings from this view wait in their worker for as long as a session has the advisory lock 7.
CREATE VIEW slow AS SELECT * FROM people WHERE tools.gate();

-- kg_wait returns when the training is over. It shows a line an epoch; their figures are not the same
-- on every processor, so that they are taken away here.
SELECT kg_train('people', 'people', params => tools.quick()) AS first \gset
SELECT tools.ended(:first);
DELETE FROM metasd.epoch;
CALL kg_wait(:first);
CALL kg_wait(:first, '0 s');
CALL kg_wait(run => :first, timeout => NULL);

-- A run that is none.
CALL kg_wait(0);
CALL kg_wait(-1);
CALL kg_wait(NULL);
SELECT kg_cancel(0);
SELECT kg_cancel(NULL);

-- Nothing to cancel: a notice says so.
\set VERBOSITY sqlstate
SELECT kg_cancel(:first);
\set VERBOSITY default

-- Not in a transaction: it would stay open for as long as the training takes.
BEGIN;
CALL kg_wait(:first);
ROLLBACK;
BEGIN;
SELECT kg_train('people') AS run \gset
CALL kg_wait(:run);
ROLLBACK;
CREATE TEMP TABLE trained AS SELECT kg_train('people') AS run \; CALL kg_wait(:first);
CREATE FUNCTION waits(run bigint) RETURNS void LANGUAGE plpgsql AS $$BEGIN CALL kg_wait(run); END$$;
SELECT waits(:first);
CREATE PROCEDURE waits_in_a_block(run bigint) LANGUAGE plpgsql AS $$
BEGIN
    CALL kg_wait(run);
EXCEPTION WHEN division_by_zero THEN
    NULL;
END $$;
CALL waits_in_a_block(:first);
CREATE PROCEDURE waits_with_settings(run bigint) LANGUAGE plpgsql SET work_mem = '4MB' AS $$BEGIN CALL kg_wait(run); END$$;
CALL waits_with_settings(:first);

-- But a procedure can wait, and a DO block, once what they did before is committed.
CREATE PROCEDURE trains_and_waits() LANGUAGE plpgsql AS $$
DECLARE
    run bigint := kg_train('people', params => '{"epochs": 1}');
BEGIN
    COMMIT;
    PERFORM tools.ended(run);
    DELETE FROM metasd.epoch;
    COMMIT;
    CALL kg_wait(run);
    PERFORM 1 / count(*) FROM metasd.models WHERE serving = run;
END $$;
CALL trains_and_waits();
\set VERBOSITY sqlstate
DO $$
DECLARE
    run bigint := kg_train('people');
BEGIN
    CALL kg_wait(run);
END $$;
\set VERBOSITY default
SELECT tools.hide_ids(:'LAST_ERROR_MESSAGE') AS error;
SELECT tools.all_workers_gone();

-- A training that was rolled back never was: its worker goes away.
BEGIN;
SELECT kg_train('people', 'slow') AS run \gset
ROLLBACK;
SELECT tools.all_workers_gone();
SELECT count(*) FROM metasd.run WHERE id = :run;
BEGIN;
SAVEPOINT one;
SELECT kg_train('people', params => '{"epochs": 2}') AS undone \gset
ROLLBACK TO one;
SELECT kg_train('people', params => '{"epochs": 3}') AS run \gset
COMMIT;
SELECT tools.ended(:run);
SELECT tools.all_workers_gone();
SELECT count(*) FROM metasd.run WHERE id = :undone;
SELECT params ->> 'epochs' AS epochs FROM metasd.versions WHERE serving;
DO $$
BEGIN
    PERFORM kg_train('people');
    RAISE 'and now an error';
END $$;
SELECT tools.all_workers_gone();

-- A training reads what its transaction has committed, though it came after kg_train.
BEGIN;
CREATE TABLE fresh (head text, relation text, tail text);
INSERT INTO fresh VALUES ('a', 'r', 'b');
SELECT kg_train('fresh', 'fresh', params => tools.quick()) AS run \gset
INSERT INTO fresh VALUES ('b', 'r', 'c');
COMMIT;
SELECT tools.ended(:run);
SELECT triples FROM metasd.versions WHERE run = :run;
BEGIN;
SELECT kg_train('fresh') AS run \gset
DROP TABLE fresh;
COMMIT;
SELECT tools.ended(:run);
SELECT error FROM metasd.versions WHERE run = :run;

-- Cancelled before it could begin.
BEGIN;
SELECT kg_train('people') AS run \gset
SELECT kg_cancel(:run);
COMMIT;
SELECT tools.ended(:run);

-- While a training goes on: progress, no second one, a timeout that ends the waiting only.
SELECT pg_advisory_lock(7);
SELECT kg_train('slow', 'slow', params => tools.quick()) AS run \gset
SELECT tools.reached(:run, 'reading');
SELECT model, status, phase, epoch, done, total, loss, elapsed < '1 hour' AS elapsed, remaining, pid = (
    SELECT pid FROM pg_stat_activity WHERE backend_type = 'metasd training' AND datname = current_database()) AS pid
FROM metasd.progress;
SELECT query, application_name FROM pg_stat_activity WHERE backend_type = 'metasd training' AND datname = current_database();
\set VERBOSITY sqlstate
SELECT kg_train('slow');
CALL kg_wait(:run, '100 ms');
CALL kg_wait(:run, '-1 day');
\set VERBOSITY default
SELECT name, serving, last_status FROM metasd.models WHERE name = 'slow';
SET statement_timeout = '100ms';
CALL kg_wait(:run);
RESET statement_timeout;
SELECT status FROM metasd.versions WHERE run = :run;
SELECT pg_advisory_unlock(7);
SELECT tools.ended(:run);

-- A training that is cancelled.
SELECT pg_advisory_lock(7);
SELECT kg_train('slow') AS run \gset
SELECT tools.reached(:run, 'reading');
SELECT kg_cancel(:run);
SELECT tools.ended(:run);
SELECT pg_advisory_unlock(7);
SELECT status, serving, error, finished >= started AS finished FROM metasd.versions WHERE run = :run;
\set VERBOSITY sqlstate
CALL kg_wait(:run);
SELECT kg_cancel(:run);
\set VERBOSITY default
SELECT tools.hide_ids(:'LAST_ERROR_MESSAGE') AS error;
SELECT serving < :run AS "the old one serves", last_status FROM metasd.models WHERE name = 'slow';

-- The same in the midst of its epochs.
SELECT kg_train('long', 'people', params => '{"rank": 8, "epochs": 100000, "batch": 16}') AS run \gset
SELECT tools.reached(:run, 'training');
SELECT kg_cancel(:run);
SELECT tools.ended(:run);
SELECT tools.all_workers_gone();
SELECT error FROM metasd.versions WHERE run = :run;

-- A training whose worker is told to terminate, and one whose model is dropped.
SELECT kg_train('long') AS run \gset
SELECT tools.reached(:run, 'training');
SELECT pg_terminate_backend(pid) FROM metasd.progress;
SELECT tools.ended(:run);
SELECT kg_train('long') AS run \gset
SELECT tools.reached(:run, 'training');
SELECT kg_drop('long');
SELECT tools.all_workers_gone();
SELECT count(*) FROM metasd.epoch WHERE run = :run;
\set VERBOSITY sqlstate
CALL kg_wait(:run);
\set VERBOSITY default
SELECT tools.hide_ids(:'LAST_ERROR_MESSAGE') AS error;

-- A training that fails: the error of the worker is that of kg_wait. (How much memory it would
-- need, which the detail tells, depends on the processor.)
\set VERBOSITY sqlstate
SET metasd.train_mem = '1MB';
SELECT kg_train('people', params => '{"rank": 1000, "batch": 500}') AS run \gset
SELECT tools.ended(:run);
DO $$
DECLARE
    run bigint := (SELECT last_run FROM metasd.models WHERE name = 'people');
BEGIN
    CALL kg_wait(run);
END $$;
RESET metasd.train_mem;
\set VERBOSITY default
SELECT tools.hide_ids(:'LAST_ERROR_MESSAGE') AS error;
SELECT serving < :run AS "the old one serves" FROM metasd.models WHERE name = 'people';

-- A training for which there is no background worker is an error at once; those that have one go on.
\set SHOW_CONTEXT never
SELECT tools.all_workers_gone();
SELECT pg_advisory_lock(7);
DO $$
BEGIN
    FOR i IN 1 .. current_setting('max_worker_processes')::int LOOP
        PERFORM kg_train('many ' || i, 'slow', params => tools.quick());
        COMMIT;
    END LOOP;
    PERFORM kg_train('one more', 'slow'); -- even if no other worker took a place
END $$;
SELECT pg_advisory_unlock(7);
SELECT count(*) > 0 AS trained, count(*) FILTER (WHERE tools.ended(last_run) <> 'succeeded') AS "not succeeded"
FROM metasd.models WHERE name LIKE 'many %';
SELECT tools.all_workers_gone();
\set SHOW_CONTEXT errors

SELECT count(kg_drop(name)) > 0 AS dropped FROM metasd.models;
DROP TABLE people CASCADE;
DROP FUNCTION waits(bigint);
DROP PROCEDURE waits_in_a_block(bigint), waits_with_settings(bigint), trains_and_waits();
