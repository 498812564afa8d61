-- Parameters of a training: what is refused, and how the message helps.
CREATE TABLE people AS SELECT * FROM tools.people();

-- A name that is none: the hint says first which people set.
SELECT kg_train('people', 'people', params => '{"learning_rate": 0.1}');
SELECT kg_train('people', 'people', params => '{"Rank": 10}');
SELECT kg_train('people', 'people', params => '{"": 1}');

-- Not an object.
SELECT kg_train('people', 'people', params => '[]');
SELECT kg_train('people', 'people', params => '[{"rank": 10}]');
SELECT kg_train('people', 'people', params => '10');
SELECT kg_train('people', 'people', params => 'null');

-- Not a value of the kind, or out of range: one of each kind in full, then the rest.
SELECT kg_train('people', 'people', params => '{"rank": "10"}');
SELECT kg_train('people', 'people', params => '{"rank": 0}');
SELECT kg_train('people', 'people', params => '{"rank": 10.5}');
SELECT kg_train('people', 'people', params => '{"lr": -1}');
SELECT kg_train('people', 'people', params => '{"quiz": 1}');
SELECT kg_train('people', 'people', params => '{"regularizer": "l2"}');
CREATE FUNCTION refused(params jsonb, OUT params_ jsonb, OUT sqlstate_ text, OUT message text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
    params_ := params;
    PERFORM kg_train('people', 'people', params => params);
EXCEPTION WHEN OTHERS THEN
    sqlstate_ := SQLSTATE;
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END $$;
SELECT r.* FROM jsonb_array_elements('[
    {"batch": 0}, {"batch": 1e10}, {"batch": true}, {"checkpoint_every": -2}, {"checkpoint_every": "often"}, {"class_weights": "yes"}, {"epochs": 0},
    {"epochs": 1e99}, {"epochs": [1]}, {"family": "transe"}, {"family": 1}, {"family": "ComplEx"},
    {"finetune": -1}, {"finetune": 1.5},
    {"lr": 0}, {"lr": 11}, {"quiz": null, "mutual": {}}, {"quiz": "yes"},
    {"max_bytes": -1}, {"max_bytes": 1.5}, {"patience": -1}, {"pruning": "Salience"}, {"pruning": ""}, {"pruning": 0.5}, {"pruning": true},
    {"ramp": 0.5},
    {"rank": 10001}, {"rank": {"a": 1}}, {"reg": -1}, {"regularizer": ""}, {"regularizer": "dura "},
    {"relation_weight": 1e9}, {"seed": -1}, {"seed": 1.5}, {"seed": 1e17}, {"sparsity": 1},
    {"sparsity": -0.1}, {"storage": "int5"}, {"storage": 8},
    {"keep_versions": 0}, {"keep_versions": 1.5}, {"promote_tolerance": -0.1}, {"promote_tolerance": 2},
    {"validation_fraction": 0.6}, {"warmup": -1}, {"warm_start": 1}, {"workers": -1}, {"workers": 1025}]') p, refused(p) r;

-- Nothing of what was refused has left a trace.
SELECT name FROM metasd.models;

-- The limits themselves are allowed, and a name said twice counts as it was said last.
SELECT kg_train('people', 'people',
                params => '{"rank": 0, "rank": 1, "epochs": 1, "batch": 1, "sparsity": 0.999,
                            "validation_fraction": 0.5, "patience": 0, "warmup": 0,
                            "ramp": 0, "lr": 10, "seed": 9007199254740992,
                            "class_weights": true, "quiz": true, "regularizer": "n3", "family": "complex"}') AS run \gset
SELECT tools.ended(:run);
SELECT params ->> 'rank' AS rank, params ->> 'seed' AS seed, params ->> 'sparsity' AS sparsity,
       params ->> 'regularizer' AS regularizer, params ->> 'class_weights' AS class_weights
FROM metasd.versions;

-- The pruned model is tuned alone at the end: there are no losses but its own, and its rate falls.
-- Entities are sampled.
SELECT kg_train('people', params => '{"rank": 16, "epochs": 6, "warmup": 2, "ramp": 0, "quiz": true, "finetune": 2, "negatives": 10,
                                      "promote_tolerance": 1}') AS run \gset
SELECT tools.ended(:run);
SELECT epoch, loss_full > 0 AS full_loss, loss_quiz > 0 AS quiz, loss_mutual > 0 AS mutual,
       loss_pruned > 0 AS pruned_loss, sparsity > 0.8 AS pruned, round(lr::numeric, 3) AS lr
FROM metasd.learning_curve WHERE run = :run ORDER BY epoch;

-- The numbers of a component are kept or pruned together only where rows are aligned; and each way
-- of pruning keeps other weights.
CREATE TABLE kept (pruning text, entity text, position integer);
SELECT kg_train('pruned', 'people', params => '{"rank": 16, "epochs": 5, "warmup": 3, "ramp": 0, "finetune": 1, "pruning": "magnitude", "warm_start": false, "promote_tolerance": 1}') AS run \gset
SELECT tools.ended(:run);
CREATE FUNCTION keep() RETURNS void LANGUAGE sql AS $$
    INSERT INTO kept
    SELECT v.params ->> 'pruning', p.head, e.i
    FROM (SELECT DISTINCT head FROM people) p, metasd.versions v,
         unnest(kg_embedding(p.head, 'pruned')) WITH ORDINALITY e(x, i)
    WHERE v.model = 'pruned' AND v.serving AND e.x <> 0
$$;
SELECT keep();
SELECT kg_train('pruned', params => '{"pruning": "salience"}') AS run \gset
SELECT tools.ended(:run);
SELECT keep();
SELECT kg_train('pruned', params => '{"pruning": "aligned"}') AS run \gset
SELECT tools.ended(:run);
SELECT keep();
SELECT pruning, count(*) FILTER (WHERE NOT EXISTS (
           SELECT FROM kept o WHERE o.pruning = k.pruning AND o.entity = k.entity AND abs(o.position - k.position) = 16)) > 0 AS "splits components"
FROM kept k GROUP BY pruning ORDER BY pruning;
SELECT count(DISTINCT positions) FROM (SELECT array_agg((entity, position)::text ORDER BY entity, position) AS positions FROM kept GROUP BY pruning) k;
DROP FUNCTION keep;
DROP TABLE kept;
SELECT kg_drop('pruned');

-- In fine-tuning the relation loss weighs what it is given, but at most what the preset says: 0.5,
-- or 2 with "best". So a preset matters for a larger weight only, where all else is the same.
SELECT kg_train('weighed', 'people', params => '{"preset": "fast", "relation_weight": 1, "rank": 8, "epochs": 4, "warmup": 2, "ramp": 0, "finetune": 2,
                                                 "mutual": false, "warm_start": false, "promote_tolerance": 1}') AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('weighed', params => '{"preset": "best"}') AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('weighed', params => '{"relation_weight": 0.5}') AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('weighed', params => '{"preset": "fast"}') AS run \gset
SELECT tools.ended(:run);
SELECT v.params ->> 'relation_weight' AS weight, count(*), count(DISTINCT c.loss_pruned) AS losses
FROM metasd.versions v JOIN metasd.learning_curve c USING (run)
WHERE v.model = 'weighed' AND c.epoch = 4 GROUP BY 1 ORDER BY 1;
SELECT kg_drop('weighed');

-- Each of them is read as it is given: what was used, given in full, is used again.
SELECT count(*), bool_and(a.params_used = b.params_used) AS same
FROM kg_estimate('people') a, kg_estimate('people', params => a.params_used) b, jsonb_object_keys(a.params_used);

-- A whole number may be written with a point or an exponent, and null is as if not given.
SELECT kg_train('people', params => '{"rank": 8.0, "epochs": 3e0, "batch": 64, "lr": null, "seed": null}') AS run \gset
SELECT tools.ended(:run);
SELECT params ->> 'rank' AS rank, params ->> 'epochs' AS epochs, params ->> 'lr' AS lr, params ->> 'seed' AS seed
FROM metasd.versions WHERE serving;

-- params => NULL is none. What is remembered is as it was given; what was used is in the version.
SELECT kg_train('people', params => NULL) AS run \gset
SELECT tools.ended(:run);
SELECT m.params ? 'lr' AS "lr as given", v.params -> 'lr' AS "lr as used"
FROM metasd.models m JOIN metasd.versions v ON v.run = m.serving;

-- Only the worker knows the size of the graph: parameters that ask for too much memory fail there,
-- before any is allocated. What served before goes on serving.
SET metasd.train_mem = '1MB';
SELECT kg_train('people', params => '{"rank": 1000}') AS run \gset
SELECT tools.ended(:run);
RESET metasd.train_mem;
SELECT regexp_replace(error, '\d+ MB', '# MB', 'g') AS error FROM metasd.versions WHERE run = :run;
SELECT tools.nth(last_run) AS last_run, last_status, tools.nth(serving) AS serving FROM metasd.models;

-- In few epochs, too, there is time to prune, unless warmup or ramp are given.
SELECT e AS epochs, (p -> 'warmup')::int + (p -> 'ramp')::int < e AS "time to prune"
FROM unnest('{1, 2, 3, 12, 30, 60, 100}'::int[]) e,
     LATERAL (SELECT params_used AS p FROM kg_estimate('people', params => jsonb_build_object('epochs', e))) p;
SELECT params_used ->> 'warmup' AS warmup FROM kg_estimate('people', params => '{"epochs": 10, "warmup": 30}');

-- Names of models.
SELECT kg_train(NULL, 'people');
SELECT kg_train('', 'people');
SELECT kg_train(repeat('x', 256), 'people');
SELECT kg_train('nowhere');
SELECT kg_train('it''s "a; name', 'people', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT kg_train(repeat('é', 127) || '!', 'people', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT octet_length(name), last_status FROM metasd.models ORDER BY serving;
SELECT count(*) FROM kg_predict('p07', 'speaks', 3, 'it''s "a; name');
SELECT * FROM kg_predict('p07', 'speaks', 3, 'none');

SELECT count(kg_drop(name)) FROM metasd.models;
DROP TABLE people;
DROP FUNCTION refused(jsonb);
