-- How weights are stored. Where no epoch is aware of it, the same training is the same model but for rounding.
CREATE TABLE people AS SELECT * FROM tools.people();
CREATE TABLE kinds AS
SELECT k.*, tools.thorough() || '{"validation_fraction": 0.1}' AS given
FROM (VALUES (1, 'float32', 0), (2, 'int8', 0.01), (3, 'int6', 0.05), (4, 'int4', 0.42))
    AS k (nr, storage, tolerance);
SELECT count(kg_train('as ' || storage, 'people', params => given || jsonb_build_object('storage', storage)))
FROM kinds;
SELECT storage, tools.ended(last_run) FROM kinds JOIN metasd.models ON name = 'as ' || storage ORDER BY nr;

-- Bytes are fewer from kind to kind, and about what kg_estimate says.
SELECT storage, bytes < lag(bytes) OVER (ORDER BY nr) AS less,
       bytes / e.stored_bytes::float BETWEEN 0.8 AND 1.2 AS "as estimated"
FROM kinds JOIN metasd.models ON name = 'as ' || storage,
     LATERAL kg_estimate('people', params => given || jsonb_build_object('storage', storage)) e
ORDER BY nr;

-- The version says how well it ranks as it was trained and as it is stored; the model, as it is stored. Few bits are
-- ranked as they are stored in training, too.
SELECT storage, v.metrics #> '{stored,queries}' = v.metrics #> '{validation,queries}' AS "all ranked",
       abs((v.metrics #>> '{stored,mrr}')::float - (v.metrics #>> '{validation,mrr}')::float) <=
           CASE WHEN storage IN ('int6', 'int4') THEN 0 ELSE 4 * tolerance END AS alike,
       abs(m.mrr - (v.metrics #>> '{stored,mrr}')::float) < 1e-6 AS "its MRR"
FROM kinds JOIN metasd.models m ON m.name = 'as ' || storage JOIN metasd.versions v ON v.run = m.serving ORDER BY nr;

-- Without fine-tuning no epoch is aware. The same weights are kept; each is as near as its kind allows, a row's
-- largest is exact. Four bits fit their levels to the row: larger weights become the highest level.
SELECT count(kg_train('of ' || storage, 'people', params => tools.quick() || jsonb_build_object('storage', storage,
                                                                                          'validation_fraction', 0)))
FROM kinds;
SELECT storage, tools.ended(last_run) FROM kinds JOIN metasd.models ON name = 'of ' || storage ORDER BY nr;
CREATE FUNCTION weights(storage text) RETURNS TABLE (entity text, i bigint, weight real) LANGUAGE sql AS $$
    SELECT label, i, weight
    FROM metasd.entity, unnest(kg_embedding(label, 'of ' || storage)) WITH ORDINALITY u (weight, i)
    WHERE run = (SELECT serving FROM metasd.models WHERE name = 'of ' || storage)
$$;
SELECT storage, bool_and(sign(w.weight) = sign(x.weight)) AS kept,
       bool_and(abs(w.weight - x.weight) <= tolerance * x.largest OR abs(w.weight) = w.highest AND w.highest < abs(x.weight)
                                                                     AND storage = 'int4') AS near,
       bool_and(w.weight = x.weight) FILTER (WHERE abs(x.weight) = x.largest AND storage IN ('int8', 'int6')) AS exact
FROM kinds, LATERAL (SELECT *, max(abs(weight)) OVER (PARTITION BY entity) AS highest FROM weights(storage)) w
JOIN (SELECT *, max(abs(weight)) OVER (PARTITION BY entity) AS largest FROM weights('float32')) x USING (entity, i)
GROUP BY nr, storage ORDER BY nr;

-- With fine-tuning the last epochs of few bits are, and become another model than the one that is not.
SELECT storage, c.loss_pruned <> first_value(c.loss_pruned) OVER (ORDER BY nr) AS aware
FROM kinds JOIN metasd.models m ON m.name = 'as ' || storage JOIN metasd.versions v ON v.run = m.serving
JOIN metasd.learning_curve c ON c.run = v.run AND c.epoch = 60
ORDER BY nr;

-- It answers alike.
SELECT storage, p.tail
FROM kinds, LATERAL kg_predict('p07', 'speaks', 1, 'as ' || storage, known => 'include') p
ORDER BY nr;

-- By default it is int8; a model remembers what it was given.
SELECT kg_train('people', 'people', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT params ->> 'storage' AS storage FROM metasd.versions WHERE run = :run;
SELECT kg_train('as int6') AS run \gset
SELECT tools.ended(:run);
SELECT params ->> 'storage' AS storage FROM metasd.versions WHERE run = :run;

-- What is stored is no larger than max_bytes, however it was made to fit.
CREATE TABLE bounds AS
SELECT 'bound ' || i AS name, b || jsonb_build_object('epochs', 4, 'workers', 1, 'warm_start', false) AS given
FROM jsonb_array_elements('[{"max_bytes": 11000}, {"max_bytes": 4500, "pruning": "aligned"}, {"max_bytes": 8000, "rank": 250},
    {"max_bytes": 40000, "storage": "float32"}]') WITH ORDINALITY x (b, i);
SELECT count(kg_train(name, 'people', params => given)) FROM bounds;
SELECT DISTINCT tools.ended(last_run) FROM bounds JOIN metasd.models USING (name);
SELECT given - '{epochs,workers,warm_start}'::text[] AS given, params ->> 'storage' AS storage, params ->> 'rank' AS rank,
       params ->> 'sparsity' AS sparsity, bytes <= (given ->> 'max_bytes')::bigint AS fits,
       bytes > 0.75 * (given ->> 'max_bytes')::bigint AS "not much less"
FROM bounds JOIN metasd.versions ON model = name ORDER BY name;

SELECT count(kg_drop(name)) FROM metasd.models;
DROP TABLE bounds;
DROP FUNCTION weights(text);
DROP TABLE people, kinds;
