-- kg_resume: what may be resumed and by whom, and what becomes of checkpoints.
ALTER SEQUENCE metasd.run_id_seq RESTART WITH 1201;
CREATE ROLE regress_metasd_other LOGIN;
CREATE TABLE people AS SELECT * FROM tools.people();

-- While the gate is closed a training waits as its sixth epoch ends: its checkpoint is that of the fifth.
CREATE TABLE gate AS SELECT true AS closed;
CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WHILE NEW.epoch = 6 AND (SELECT closed FROM public.gate) LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE INSERT ON metasd.epoch FOR EACH ROW EXECUTE FUNCTION wait_at_gate();
CREATE FUNCTION kept(run bigint) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 18000 LOOP
        EXIT WHEN (SELECT v.checkpoint_epoch = 5 FROM metasd.versions v WHERE v.run = kept.run);
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN (SELECT v.checkpoint_epoch FROM metasd.versions v WHERE v.run = kept.run);
END $$;
CREATE FUNCTION often() RETURNS jsonb LANGUAGE sql AS
$$SELECT tools.quick() || '{"epochs": 8, "patience": 0, "workers": 1, "checkpoint_every": 0}'$$;

-- A run that is none, or is going on; one that was cancelled goes on to its end.
SELECT kg_resume(1200);
SELECT kg_resume(NULL);
SELECT kg_train('people', 'people', params => often());
SELECT kept(1201);
SELECT kg_resume(1201);
SELECT kg_cancel(1201);
SELECT tools.all_workers_gone();
SELECT status, checkpoint_epoch, resumed FROM metasd.versions;
SELECT count(DISTINCT part) AS parts, sum(length(data)) <= (SELECT checkpoint_bytes FROM
       kg_estimate('people', params => often())) AS "no more than estimated" FROM metasd.checkpoint;

-- Only its owner may resume it, only where writing is allowed, and what is rolled back never was.
SET ROLE regress_metasd_other;
SELECT kg_resume(1201);
SELECT count(*) FROM metasd.checkpoint;
RESET ROLE;
BEGIN READ ONLY;
SELECT kg_resume(1201);
ROLLBACK;
BEGIN;
SELECT kg_resume(1201);
ROLLBACK;
SELECT tools.all_workers_gone();
SELECT status, error, resumed FROM metasd.versions;
UPDATE gate SET closed = false;
SELECT kg_resume(1201);
SELECT tools.ended(1201);
SELECT status, error, checkpoint_epoch, resumed >= started AS resumed, finished > resumed AS finished, serving
FROM metasd.versions;
SELECT array_agg(epoch ORDER BY epoch) FROM metasd.learning_curve WHERE run = 1201;
SELECT count(*) FROM metasd.checkpoint;
SELECT kg_resume(1201);

-- Nothing to resume from: checkpoints are switched off, or the minutes are not over.
UPDATE gate SET closed = true;
SELECT kg_train('people', params => '{"checkpoint_every": -1, "epochs": 6}');
SELECT tools.reached(1202, 'training');
SELECT kg_cancel(1202);
SELECT tools.all_workers_gone();
SELECT kg_resume(1202);
SELECT kg_train('people', params => '{"checkpoint_every": null}');
SELECT tools.reached(1203, 'training');
SELECT kg_cancel(1203);
SELECT tools.all_workers_gone();
SELECT count(*) FROM metasd.checkpoint;

-- Another source than the run began with, by its rows or its labels; with its own it goes on.
SELECT kg_train('people', params => often());
SELECT kept(1204);
SELECT kg_cancel(1204);
SELECT tools.all_workers_gone();
INSERT INTO people VALUES ('p01', 'speaks', 'Basque');
SELECT kg_resume(1204);
SELECT tools.ended(1204);
SELECT error FROM metasd.run WHERE id = 1204;
DELETE FROM metasd.epoch; -- figures, which are not the same on every processor
CALL kg_wait(1204);
DELETE FROM people WHERE tail = 'Basque';
UPDATE people SET tail = 'Dutch' WHERE tail = 'Flemish';
SELECT kg_resume(1204);
SELECT tools.ended(1204);
SELECT error FROM metasd.run WHERE id = 1204;
UPDATE people SET tail = 'Flemish' WHERE tail = 'Dutch';

-- A model that has another source since resumes with the one it had.
CREATE TABLE others AS SELECT * FROM people LIMIT 40;
UPDATE metasd.model SET source = 'others';

-- A checkpoint that is damaged, or not all there.
CREATE TABLE whole AS SELECT * FROM metasd.checkpoint;
UPDATE metasd.checkpoint SET data = set_byte(data, length(data) - 1, get_byte(data, length(data) - 1) # 1);
SELECT kg_resume(1204);
SELECT tools.ended(1204);
SELECT error FROM metasd.run WHERE id = 1204;
UPDATE metasd.checkpoint SET data = substr(data, 1, length(data) - 4);
SELECT kg_resume(1204);
SELECT tools.ended(1204);
SELECT error FROM metasd.run WHERE id = 1204;
UPDATE metasd.checkpoint SET data = 'what is this';
SELECT kg_resume(1204);
SELECT tools.ended(1204);
SELECT error FROM metasd.run WHERE id = 1204;
TRUNCATE metasd.checkpoint;
INSERT INTO metasd.checkpoint TABLE whole;
UPDATE gate SET closed = false;
SELECT kg_resume(1204);
SELECT tools.ended(1204);
SELECT status, error FROM metasd.versions WHERE run = 1204;
UPDATE metasd.model SET source = 'people';

-- One that cannot be written is logged, and the training goes on.
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE disk_full; END$$;
CREATE TRIGGER full_disk BEFORE INSERT ON metasd.checkpoint FOR EACH ROW EXECUTE FUNCTION full_disk();
SELECT kg_train('people', params => often());
SELECT tools.ended(1205);
DROP TRIGGER full_disk ON metasd.checkpoint;

-- A later training that succeeds removes the checkpoints of those before; so does kg_drop.
UPDATE gate SET closed = true;
SELECT kg_train('people', params => often());
SELECT kept(1206);
SELECT kg_cancel(1206);
SELECT tools.all_workers_gone();
SELECT checkpoint_epoch FROM metasd.versions WHERE run = 1206;
UPDATE gate SET closed = false;
SELECT kg_train('people');
SELECT tools.ended(1207);
SELECT count(*) FROM metasd.checkpoint;
SELECT checkpoint_epoch FROM metasd.versions WHERE run = 1206;
SELECT kg_resume(1206);
UPDATE gate SET closed = true;
SELECT kg_train('people');
SELECT kept(1208);
SELECT kg_cancel(1208);
SELECT tools.all_workers_gone();
SELECT count(*) FROM metasd.checkpoint;

-- The validation source is that of the run, whatever the model has since; where it is gone the message says which.
CREATE TABLE held AS SELECT 'p07' AS head, 'speaks' AS relation, 'French' AS tail;
SELECT kg_train('people', validation => 'held');
SELECT kept(1209);
SELECT kg_cancel(1209);
SELECT tools.all_workers_gone();
SELECT kg_train('people', validation => '-');
SELECT kg_cancel(1210);
SELECT tools.all_workers_gone();
SELECT validation FROM metasd.models;
UPDATE gate SET closed = false;
SELECT kg_resume(1209);
SELECT tools.ended(1209);
SELECT metasd.oid_of(validation) AS validation, metrics #> '{validation,queries}' AS queries FROM metasd.run WHERE id = 1209;
SELECT validation FROM metasd.models;
UPDATE gate SET closed = true;
SELECT kg_train('people', validation => 'held');
SELECT kept(1211);
SELECT kg_cancel(1211);
SELECT tools.all_workers_gone();
DROP TABLE held;
SELECT kg_resume(1211);
DROP TABLE people;
SELECT kg_resume(1211);
SELECT kg_drop('people');
SELECT count(*) FROM metasd.checkpoint;

DROP TRIGGER gate ON metasd.epoch;
DROP FUNCTION wait_at_gate, kept, often, full_disk;
DROP TABLE others, gate, whole;
DROP ROLE regress_metasd_other;
