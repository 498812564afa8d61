-- kg_resume: what may be resumed and by whom, and what becomes of checkpoints.
CREATE ROLE regress_metasd_other LOGIN;
CREATE TABLE people AS SELECT * FROM tools.people();

-- While the gate is closed a training waits as its sixth epoch ends.
CREATE TRIGGER gate BEFORE INSERT ON metasd.epoch FOR EACH ROW EXECUTE FUNCTION tools.wait_at_epoch_gate();
UPDATE tools.epoch_gate SET closed = true;
CREATE FUNCTION often() RETURNS jsonb LANGUAGE sql AS
$$SELECT tools.quick() || '{"epochs": 8, "patience": 0, "workers": 1, "checkpoint_every": 0}'$$;

-- A run that is none, or is going on; one that was cancelled goes on to its end.
SELECT kg_resume(0);
SELECT kg_resume(NULL);
SELECT kg_train('people', 'people', params => often()) AS first \gset
SELECT tools.kept(:first);
SELECT tools.error_of(format('SELECT kg_resume(%s)', :first));
SELECT kg_cancel(:first);
SELECT tools.all_workers_gone();
SELECT status, checkpoint_epoch, resumed FROM metasd.versions;
SELECT count(DISTINCT part) AS parts, sum(length(data)) <= (SELECT checkpoint_bytes FROM
       kg_estimate('people', params => often())) AS "no more than estimated" FROM metasd.checkpoint;

-- Only its owner may resume it, only where writing is allowed, and what is rolled back never was.
SET ROLE regress_metasd_other;
SELECT tools.error_of(format('SELECT kg_resume(%s)', :first));
SELECT count(*) FROM metasd.checkpoint;
RESET ROLE;
BEGIN READ ONLY;
SELECT kg_resume(:first);
ROLLBACK;
BEGIN;
SELECT kg_resume(:first) = :first AS resumed;
ROLLBACK;
SELECT tools.all_workers_gone();
SELECT status, error, resumed FROM metasd.versions;
UPDATE tools.epoch_gate SET closed = false;
SELECT kg_resume(:first) = :first AS resumed;
SELECT tools.ended(:first);
SELECT status, error, checkpoint_epoch, resumed >= started AS resumed, finished > resumed AS finished, serving
FROM metasd.versions;
SELECT array_agg(epoch ORDER BY epoch) FROM metasd.learning_curve WHERE run = :first;
SELECT count(*) FROM metasd.checkpoint;
SELECT tools.error_of(format('SELECT kg_resume(%s)', :first));

-- Nothing to resume from: checkpoints are switched off, or the minutes are not over.
UPDATE tools.epoch_gate SET closed = true;
SELECT kg_train('people', params => '{"checkpoint_every": -1, "epochs": 6}') AS unkept \gset
SELECT tools.reached(:unkept, 'training');
SELECT kg_cancel(:unkept);
SELECT tools.all_workers_gone();
SELECT tools.error_of(format('SELECT kg_resume(%s)', :unkept));
SELECT kg_train('people', params => '{"checkpoint_every": null}') AS unkept \gset
SELECT tools.reached(:unkept, 'training');
SELECT kg_cancel(:unkept);
SELECT tools.all_workers_gone();
SELECT count(*) FROM metasd.checkpoint;

-- Another source than the run began with, by its rows or its labels; with its own it goes on.
SELECT kg_train('people', params => often()) AS run \gset
SELECT tools.kept(:run);
SELECT kg_cancel(:run);
SELECT tools.all_workers_gone();
INSERT INTO people VALUES ('p01', 'speaks', 'Basque');
SELECT kg_resume(:run) = :run AS resumed;
SELECT tools.ended(:run);
SELECT tools.hide_ids(error) AS error FROM metasd.run WHERE id = :run;
DELETE FROM metasd.epoch; -- figures, which are not the same on every processor
\set VERBOSITY sqlstate
CALL kg_wait(:run);
\set VERBOSITY default
SELECT tools.hide_ids(:'LAST_ERROR_MESSAGE') AS error;
DELETE FROM people WHERE tail = 'Basque';
UPDATE people SET tail = 'Dutch' WHERE tail = 'Flemish';
SELECT kg_resume(:run) = :run AS resumed;
SELECT tools.ended(:run);
SELECT tools.hide_ids(error) AS error FROM metasd.run WHERE id = :run;
UPDATE people SET tail = 'Flemish' WHERE tail = 'Dutch';

-- A model that has another source since resumes with the one it had.
CREATE TABLE others AS SELECT * FROM people LIMIT 40;
UPDATE metasd.model SET source = 'others';

-- A checkpoint that is damaged, or not all there.
CREATE TABLE whole AS SELECT * FROM metasd.checkpoint;
UPDATE metasd.checkpoint SET data = set_byte(data, length(data) - 1, get_byte(data, length(data) - 1) # 1);
SELECT kg_resume(:run) = :run AS resumed;
SELECT tools.ended(:run);
SELECT tools.hide_ids(error) AS error FROM metasd.run WHERE id = :run;
UPDATE metasd.checkpoint SET data = substr(data, 1, length(data) - 4);
SELECT kg_resume(:run) = :run AS resumed;
SELECT tools.ended(:run);
SELECT tools.hide_ids(error) AS error FROM metasd.run WHERE id = :run;
UPDATE metasd.checkpoint SET data = 'what is this';
SELECT kg_resume(:run) = :run AS resumed;
SELECT tools.ended(:run);
SELECT tools.hide_ids(error) AS error FROM metasd.run WHERE id = :run;
TRUNCATE metasd.checkpoint;
INSERT INTO metasd.checkpoint TABLE whole;
UPDATE tools.epoch_gate SET closed = false;
SELECT kg_resume(:run) = :run AS resumed;
SELECT tools.ended(:run);
SELECT status, error FROM metasd.versions WHERE run = :run;
UPDATE metasd.model SET source = 'people';

-- One that cannot be written is logged, and the training goes on.
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE disk_full; END$$;
CREATE TRIGGER full_disk BEFORE INSERT ON metasd.checkpoint FOR EACH ROW EXECUTE FUNCTION full_disk();
SELECT kg_train('people', params => often()) AS run \gset
SELECT tools.ended(:run);
DROP TRIGGER full_disk ON metasd.checkpoint;

-- A later training that succeeds removes the checkpoints of those before; so does kg_drop.
UPDATE tools.epoch_gate SET closed = true;
SELECT kg_train('people', params => often()) AS cancelled \gset
SELECT tools.kept(:cancelled);
SELECT kg_cancel(:cancelled);
SELECT tools.all_workers_gone();
SELECT checkpoint_epoch FROM metasd.versions WHERE run = :cancelled;
UPDATE tools.epoch_gate SET closed = false;
SELECT kg_train('people') AS run \gset
SELECT tools.ended(:run);
SELECT count(*) FROM metasd.checkpoint;
SELECT checkpoint_epoch FROM metasd.versions WHERE run = :cancelled;
SELECT tools.error_of(format('SELECT kg_resume(%s)', :cancelled));
UPDATE tools.epoch_gate SET closed = true;
SELECT kg_train('people') AS run \gset
SELECT tools.kept(:run);
SELECT kg_cancel(:run);
SELECT tools.all_workers_gone();
SELECT count(*) FROM metasd.checkpoint;

-- The validation source is that of the run, whatever the model has since; where it is gone the message says which.
CREATE TABLE held AS SELECT 'p07' AS head, 'speaks' AS relation, 'French' AS tail;
SELECT kg_train('people', validation => 'held') AS validated \gset
SELECT tools.kept(:validated);
SELECT kg_cancel(:validated);
SELECT tools.all_workers_gone();
SELECT kg_train('people', validation => '-') AS run \gset
SELECT kg_cancel(:run);
SELECT tools.all_workers_gone();
SELECT validation FROM metasd.models;
UPDATE tools.epoch_gate SET closed = false;
SELECT kg_resume(:validated) = :validated AS resumed;
SELECT tools.ended(:validated);
SELECT metasd.oid_of(validation) AS validation, metrics #> '{validation,queries}' AS queries FROM metasd.run WHERE id = :validated;
SELECT validation FROM metasd.models;
UPDATE tools.epoch_gate SET closed = true;
SELECT kg_train('people', validation => 'held') AS run \gset
SELECT tools.kept(:run);
SELECT kg_cancel(:run);
SELECT tools.all_workers_gone();
DROP TABLE held;
SELECT kg_resume(:run);
DROP TABLE people;
SELECT kg_resume(:run);
SELECT kg_drop('people');
SELECT count(*) FROM metasd.checkpoint;

DROP TRIGGER gate ON metasd.epoch;
UPDATE tools.epoch_gate SET closed = false;
DROP FUNCTION often, full_disk;
DROP TABLE others, whole;
DROP ROLE regress_metasd_other;
