-- kg_tune: what it refuses, what it records, what a model remembers of it. What it finds is not the
-- same on every processor, so that no figures are shown.
ALTER SEQUENCE metasd.run_id_seq RESTART WITH 801;
CREATE TABLE people AS SELECT * FROM tools.people();
CREATE VIEW slow AS SELECT * FROM people WHERE tools.gate();

-- Waits for the end of a tuning, and says how it ended.
CREATE FUNCTION tuned(run bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    ended text;
BEGIN
    FOR i IN 1 .. 18000 LOOP
        SELECT status INTO ended FROM metasd.tunings t WHERE t.run = tuned.run;
        EXIT WHEN ended IS NULL OR ended NOT IN ('queued', 'running');
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN coalesce(ended, 'no such run');
END $$;

-- There must be a model to tune.
SELECT kg_tune('people');
SELECT kg_tune(NULL);
SELECT kg_tune('');
SELECT kg_train('people', 'people', params => tools.quick() || '{"validation_fraction": 0.2}');
SELECT tools.ended(801);

-- Budgets and parameters that are none; nothing is left of them.
SELECT kg_tune('people', '0');
SELECT kg_tune('people', '-1 hour');
SELECT kg_tune('people', NULL);
\set VERBOSITY terse
SELECT kg_tune('people', params => '{"learning_rate": 0.1}');
\set VERBOSITY default
SELECT kg_tune('people', params => '{"rank": 0}');
SELECT kg_tune('people', params => '[]');
SELECT kg_tune('people', params => '{"rank": 8, "lr": 0.1, "reg": 0.1, "relation_weight": 0}');
SELECT kg_tune('people', params => '{"validation_fraction": 0}');
SELECT count(*) FROM metasd.tunings;

-- A search of one parameter has few candidates: the one of the model, and five others. A training
-- of three epochs has no shorter ones worth comparing.
SELECT kg_tune('people', '1 hour', '{"rank": 8, "lr": 0.1, "reg": 0.05}') AS run;
SELECT tuned(802);
SELECT model, run, status, budget, started <= finished AS "in order", seconds > 0 AS timed, trials, fixed,
       mrr >= mrr_before AS "not worse", (mrr > mrr_before) = (metrics -> 'better')::boolean AS better, error
FROM metasd.tunings;
SELECT key, jsonb_typeof(value) FROM metasd.tunings, jsonb_each(metrics) ORDER BY key COLLATE "C";
SELECT trial, rung, candidate, epochs, outcome, seconds > 0 AS timed, mrr_source BETWEEN 0 AND 1 AS source,
       mrr_pruned BETWEEN 0 AND 1 AS pruned
FROM metasd.trials WHERE run = 802 ORDER BY trial;
SELECT params FROM metasd.trials WHERE run = 802 ORDER BY params;
SELECT count(*) FILTER (WHERE best) > 0 AS "a best one" FROM metasd.trials;
SELECT t.best = (SELECT params FROM metasd.trials WHERE run = 802 AND (candidate > 0) = (t.metrics -> 'better')::boolean
                 ORDER BY mrr_pruned DESC, candidate LIMIT 1) AS "the best one",
       CASE WHEN (t.metrics -> 'better')::boolean THEN m.params @> (t.fixed || t.best)
            ELSE m.params = tools.quick() || '{"validation_fraction": 0.2}' END AS "is remembered"
FROM metasd.tunings t JOIN metasd.models m ON m.name = t.model;

-- It is no version, serves nothing, and has no learning curve.
SELECT run, serving FROM metasd.versions;
SELECT serving, last_run, last_status FROM metasd.models;
SELECT count(*) FROM metasd.learning_curve WHERE run = 802;
SELECT * FROM metasd.progress;

-- The same seed draws the same candidates, another seed others.
SELECT kg_tune('people', '1 hour', '{"rank": 8, "relation_weight": 0, "lr": 0.1, "epochs": 1}') AS run \gset
SELECT tuned(:run);
SELECT kg_tune('people', '1 hour', '{"rank": 8, "relation_weight": 0, "lr": 0.1, "epochs": 1, "reg": null, "seed": 2}') AS other \gset
SELECT tuned(:other);
SELECT count(*) > 20 AS many, count(DISTINCT params) = count(*) AS different,
       bool_and((params ->> 'reg')::float8 BETWEEN 0.002 AND 1.5) AS "in range"
FROM metasd.trials WHERE run = :run;
SELECT array_agg(params ORDER BY trial) FILTER (WHERE run = :run)
       IS DISTINCT FROM array_agg(params ORDER BY trial) FILTER (WHERE run = :other) AS different
FROM metasd.trials WHERE run >= :run AND candidate BETWEEN 1 AND 10;

-- Without any time nothing is compared, and nothing changes.
SELECT params AS before FROM metasd.models \gset
SELECT kg_tune('people', '1 us', '{"seed": 3}') AS run \gset
SELECT tuned(:run);
SELECT trial, candidate, epochs, outcome, mrr_pruned, best FROM metasd.trials WHERE run = :run;
SELECT mrr, metrics -> 'better' AS better, metrics -> 'epochs' AS epochs FROM metasd.tunings WHERE run = :run;
SELECT params = :'before' AS "as before" FROM metasd.models;
DELETE FROM metasd.trial WHERE run = :run; -- whose lines would show how long they took
CALL kg_wait(:run);

-- kg_wait is not for the transaction that starts it; and it starts when that commits, or never.
BEGIN;
SELECT kg_tune('people', '1 us') AS run \gset
CALL kg_wait(:run);
ROLLBACK;
SELECT tools.all_workers_gone();
SELECT tuned(:run);

-- While it goes on: progress, and no second run of the model.
SELECT kg_train('slow', 'slow', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT pg_advisory_lock(7);
SELECT kg_tune('slow', '1 hour') AS run \gset
SELECT tools.reached(:run, 'reading');
SELECT model, status, phase, epoch, epochs, done, total, loss, elapsed < '1 hour' AS elapsed,
       remaining BETWEEN '50 minutes' AND '1 hour' AS remaining
FROM metasd.progress;
SELECT query FROM pg_stat_activity WHERE backend_type = 'metasd training';
\set VERBOSITY sqlstate
SELECT kg_train('slow');
SELECT kg_tune('slow');
\set VERBOSITY default
DO $$
BEGIN
    PERFORM kg_train('slow');
EXCEPTION WHEN object_in_use THEN
    RAISE NOTICE '%', regexp_replace(SQLERRM, '\d+', '#');
END $$;
SELECT name, serving < :run AS "last one serves", last_run = serving AS "is the last", last_status
FROM metasd.models WHERE name = 'slow';

-- Cancelled, it leaves all as it was.
SELECT kg_cancel(:run);
SELECT tuned(:run);
SELECT pg_advisory_unlock(7);
SELECT status, trials, best, mrr, error, finished >= started AS finished FROM metasd.tunings WHERE run = :run;
SELECT params = tools.quick() AS "as they were" FROM metasd.models WHERE name = 'slow';
SELECT kg_cancel(:run);
CALL kg_wait(:run);

-- Memory: ranks that would need too much are not drawn; where already the present one does, it fails.
SET metasd.train_mem = '1MB';
SELECT kg_tune('people', '1 hour', '{"rank": 2000}') AS run \gset
SELECT tuned(:run);
SELECT regexp_replace(error, '\d+ MB', '# MB', 'g') AS error FROM metasd.tunings WHERE run = :run;
RESET metasd.train_mem;
SELECT kg_train('people', params => '{"rank": 200, "epochs": 1}') AS run \gset
SELECT tools.ended(:run);
SELECT set_config('metasd.train_mem', (train_bytes * 1.2 / 1024)::int::text, false) <> '' AS set
FROM metasd.models m, kg_estimate('people', params => m.params) WHERE name = 'people';
SELECT kg_tune('people', '1 hour', '{"lr": 0.1, "reg": 0.05, "relation_weight": 0}') AS run \gset
SELECT tuned(:run);
RESET metasd.train_mem;
SELECT count(*) > 10 AS many, min((params ->> 'rank')::int) BETWEEN 100 AND 110 AS least, max((params ->> 'rank')::int) BETWEEN 201 AND 250 AS most
FROM metasd.trials WHERE run = :run;

-- Too few facts to hold any out: nothing to measure by.
CREATE TABLE one AS SELECT 'a' AS head, 'r' AS relation, 'b' AS tail;
SELECT kg_train('one', 'one', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT kg_tune('one') AS run \gset
SELECT tuned(:run);
SELECT error FROM metasd.tunings WHERE run = :run;
SELECT kg_train('kept', 'people', params => tools.quick() || '{"validation_fraction": 0}') AS run \gset
SELECT tools.ended(:run);
SELECT kg_tune('kept');

-- With facts of a validation source there is.
CREATE TABLE other_way AS SELECT 'b' AS head, 'r' AS relation, 'a' AS tail;
SELECT kg_train('one', validation => 'other_way', params => '{"epochs": 1}') AS run \gset
SELECT tools.ended(:run);
SELECT kg_tune('one', '1 hour', '{"rank": 8, "lr": 0.1, "reg": 0.05}') AS run \gset
SELECT tuned(:run);
SELECT error FROM metasd.tunings WHERE run = :run;

-- Only the owner tunes. Who may ask the model may see what was tried; others see nothing.
CREATE ROLE regress_metasd_tuner LOGIN;
CREATE ROLE regress_metasd_stranger LOGIN;
GRANT SELECT ON people TO regress_metasd_tuner;
SET ROLE regress_metasd_tuner;
SELECT kg_tune('people');
SELECT count(*) > 0 AS tunings, (SELECT count(*) > 0 FROM metasd.trials) AS trials FROM metasd.tunings WHERE model = 'people';
SELECT * FROM metasd.trial;
SET ROLE regress_metasd_stranger;
SELECT kg_tune('people');
SELECT count(*) AS tunings, (SELECT count(*) FROM metasd.trials) AS trials FROM metasd.tunings;
RESET ROLE;
REVOKE SELECT ON people FROM regress_metasd_tuner;
DROP ROLE regress_metasd_tuner, regress_metasd_stranger;

-- kg_drop takes tunings along, also one that is under way.
SELECT kg_train('long', 'people', params => '{"rank": 8, "epochs": 100000, "batch": 16}') AS run \gset
SELECT tools.reached(:run, 'training');
SELECT kg_cancel(:run);
SELECT kg_tune('long', '1 hour') AS run \gset
SELECT tools.reached(:run, 'tuning');
SELECT count(kg_drop(name)) FROM metasd.models;
SELECT tools.all_workers_gone();
SELECT (SELECT count(*) FROM metasd.run) AS runs, (SELECT count(*) FROM metasd.trial) AS trials;

DROP FUNCTION tuned(bigint);
DROP TABLE people, one, other_way CASCADE;
