-- Probes choose regulariser, its weight, relation weight and class weights where they were not given. Six clubs
-- of ten people: who is in a club knows all of it, and all of the next one.
CREATE TABLE clubs AS
SELECT 'p' || a AS head, r AS relation, 'p' || b AS tail
FROM generate_series(0, 59) a, generate_series(0, 59) b, (VALUES ('knows', 0), ('greets', 1)) x(r, next)
WHERE (a / 10 + next) % 6 = b / 10;
CREATE FUNCTION brief() RETURNS jsonb LANGUAGE sql AS
$$SELECT '{"rank": 16, "epochs": 4, "warmup": 2, "ramp": 1, "finetune": 1, "sparsity": 0.5, "promote_tolerance": 1}'::jsonb$$;
CREATE FUNCTION chosen(params jsonb) RETURNS text LANGUAGE sql AS
$$SELECT concat_ws(' ', params ->> 'regularizer', params ->> 'reg', params ->> 'relation_weight', params ->> 'class_weights')$$;
CREATE FUNCTION tried(of bigint) RETURNS TABLE (n bigint, choice text, reg float8, relation_weight float8, class_weights bool,
    epochs float8, mrr float8) LANGUAGE sql AS $$
SELECT t.n, chosen(t.x), (t.x ->> 'reg')::float8, (t.x ->> 'relation_weight')::float8, (t.x ->> 'class_weights')::bool,
       (t.x ->> 'epochs')::float8, (t.x ->> 'mrr')::float8
FROM metasd.versions v, jsonb_array_elements(v.metrics #> '{probes,tried}') WITH ORDINALITY t(x, n) WHERE v.run = of
$$;

-- All pairs briefly, a third of them for longer, then the others with the best.
SELECT kg_train('clubs', 'clubs', params => brief()) AS first \gset
SELECT tools.ended(:first);
SELECT relation_weight, class_weights, epochs > min(epochs) OVER () AS longer, count(*) BETWEEN 4 AND 12 AS pairs, count(DISTINCT reg) > 1 AS regs, bool_and(mrr > 0) AS ranked
FROM tried(:first) WHERE relation_weight = 0 AND NOT class_weights GROUP BY 1, 2, epochs ORDER BY epochs;
SELECT count(*) FILTER (WHERE relation_weight > 0 AND NOT class_weights) AS relation_weights, count(*) FILTER (WHERE class_weights) AS class_weights
FROM tried(:first);
SELECT chosen(params) = chosen(metrics #> '{probes,chosen}') AS in_params, chosen(params) IN (SELECT choice FROM tried(:first)) AS tried
FROM metasd.versions WHERE run = :first;
SELECT (SELECT (params ->> 'reg')::float8 FROM metasd.versions WHERE run = :first) = reg AS best
FROM tried(:first) WHERE relation_weight = 0 AND NOT class_weights AND n > 12 ORDER BY mrr DESC, n LIMIT 1;
\set VERBOSITY sqlstate
DELETE FROM metasd.epoch;
CALL kg_wait(:first);
\set VERBOSITY default

-- The same choice by two workers, in a training that starts anew.
SELECT kg_train('clubs', params => brief() || '{"workers": 2, "warm_start": false}') AS second \gset
SELECT tools.ended(:second);
SELECT (SELECT metrics -> 'probes' FROM metasd.versions WHERE run = :first) = metrics -> 'probes' AS same FROM metasd.versions WHERE run = :second;

-- A training that starts from a version has what was chosen for it, but for what is given now.
SELECT kg_train('clubs', params => '{"workers": null, "warm_start": null, "class_weights": true}') AS third \gset
SELECT tools.ended(:third);
SELECT metrics #>> '{warm_start,version}' IS NOT NULL AS warm, metrics -> 'probes' AS probes,
       chosen(v.params || '{"class_weights": false}') = (SELECT chosen(f.params || '{"class_weights": false}') FROM metasd.versions f WHERE run = :first) AS same,
       params -> 'class_weights' AS class_weights
FROM metasd.versions v WHERE run = :third;

-- What is given stays; who gives all of it has no probes, nor has a graph without enough validation facts.
SELECT kg_train('clubs', params => brief() || '{"class_weights": null, "reg": 0.03, "warm_start": false}') AS run \gset
SELECT tools.ended(:run);
SELECT count(*), min(reg), max(reg), count(DISTINCT epochs) AS lengths FROM tried(:run);
SELECT kg_train('clubs', params => '{"regularizer": "n3", "relation_weight": 0.25}') AS run \gset
SELECT tools.ended(:run);
SELECT count(*), array_agg(DISTINCT choice ORDER BY choice) AS tried FROM tried(:run);
SELECT kg_train('clubs', params => '{"class_weights": true}') AS run \gset
SELECT tools.ended(:run);
SELECT chosen(params), metrics ? 'probes' AS probes FROM metasd.versions WHERE run = :run;
SELECT kg_train('none', 'clubs', params => brief() || '{"validation_fraction": 0}') AS run \gset
SELECT tools.ended(:run);
SELECT chosen(params), metrics ? 'probes' AS probes FROM metasd.versions WHERE run = :run;
SELECT chosen(params_used) FROM kg_estimate('clubs', params => brief());

-- A run that is resumed does not probe again.
CREATE TRIGGER gate BEFORE INSERT ON metasd.epoch FOR EACH ROW EXECUTE FUNCTION tools.wait_at_epoch_gate();
UPDATE tools.epoch_gate SET closed = true;
SELECT kg_train('again', 'clubs', params => brief() || '{"epochs": 8, "checkpoint_every": 0, "workers": 1}') AS run \gset
SELECT tools.kept(:run);
SELECT kg_cancel(:run);
SELECT tools.ended(:run);
SELECT tools.all_workers_gone();
SELECT params AS params_before, metrics -> 'probes' AS probes_before FROM metasd.versions WHERE run = :run \gset
UPDATE tools.epoch_gate SET closed = false;
SELECT kg_resume(:run) = :run AS resumed;
SELECT tools.ended(:run);
SELECT params = :'params_before'::jsonb AS same_params, metrics -> 'probes' = :'probes_before'::jsonb AS same_probes
FROM metasd.versions WHERE run = :run;

SELECT kg_drop('clubs'), kg_drop('none'), kg_drop('again');
DROP TABLE clubs CASCADE;
DROP TRIGGER gate ON metasd.epoch;
DROP FUNCTION brief, chosen, tried;
