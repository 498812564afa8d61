-- How weights are stored: the same training, in each kind, is the same model but for rounding.
CREATE TABLE people AS SELECT * FROM tools.people();
CREATE TABLE kinds AS
SELECT k.*, tools.thorough() || '{"validation_fraction": 0.1}' AS given
FROM (VALUES (1, 'float32', 0), (2, 'float16', 0.001), (3, 'int8', 0.01), (4, 'int6', 0.05))
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

-- The version says how well it ranks as it was trained and as it is stored; the model, as it is stored.
SELECT storage, v.metrics #> '{stored,queries}' = v.metrics #> '{validation,queries}' AS "all ranked",
       abs((v.metrics #>> '{stored,mrr}')::float - (v.metrics #>> '{validation,mrr}')::float) <= 4 * tolerance AS alike,
       abs(m.mrr - (v.metrics #>> '{stored,mrr}')::float) < 1e-6 AS "its MRR"
FROM kinds JOIN metasd.models m ON m.name = 'as ' || storage JOIN metasd.versions v ON v.run = m.serving ORDER BY nr;

-- The same weights are kept; each is as near as its kind allows, a row's largest is exact.
CREATE FUNCTION weights(storage text) RETURNS TABLE (entity text, i bigint, weight real) LANGUAGE sql AS $$
    SELECT label, i, weight
    FROM metasd.entity, unnest(kg_embedding(label, 'as ' || storage)) WITH ORDINALITY u (weight, i)
    WHERE run = (SELECT serving FROM metasd.models WHERE name = 'as ' || storage)
$$;
SELECT storage, bool_and(sign(w.weight) = sign(x.weight)) AS kept,
       bool_and(abs(w.weight - x.weight) <= tolerance * x.largest) AS near,
       bool_and(w.weight = x.weight) FILTER (WHERE abs(x.weight) = x.largest AND storage LIKE 'int%') AS exact
FROM kinds, LATERAL weights(storage) w
JOIN (SELECT *, max(abs(weight)) OVER (PARTITION BY entity) AS largest FROM weights('float32')) x USING (entity, i)
GROUP BY nr, storage ORDER BY nr;

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

-- Entities as the first version of the format had them answer as they did; relations are as they are.
CREATE FUNCTION little_endian(big bytea) RETURNS bytea LANGUAGE sql AS
$$SELECT substr(big, 4, 1) || substr(big, 3, 1) || substr(big, 2, 1) || substr(big, 1, 1)$$;
CREATE FUNCTION crc32c(bytes bytea) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    crc bigint := 4294967295;
BEGIN
    FOR i IN 0 .. length(bytes) - 1 LOOP
        crc := crc # get_byte(bytes, i);
        FOR bit IN 1 .. 8 LOOP
            crc := (crc >> 1) # ((crc & 1) * 2197175160);
        END LOOP;
    END LOOP;
    RETURN (4294967295 - crc)::bit(32)::int;
END $$;
CREATE FUNCTION first_version(weights real[]) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    positions int[] := array(SELECT i FROM generate_subscripts(weights, 1) i WHERE weights[i] <> 0 ORDER BY i);
    head bytea := '\x0101' || little_endian(int4send(cardinality(weights))) ||
                  little_endian(int4send(cardinality(positions)));
    gaps bytea := '';
    singles bytea := '';
BEGIN
    FOR k IN 1 .. cardinality(positions) LOOP
        gaps := gaps || set_byte('\x00', 0, positions[k] - coalesce(positions[k - 1], 0) - 1);
        singles := singles || little_endian(float4send(weights[positions[k]]));
    END LOOP;
    RETURN head || little_endian(int4send(crc32c(head || gaps || singles))) || gaps || singles;
END $$;
CREATE TABLE before AS SELECT p.* FROM kg_predict('p07', 'speaks', 100, 'people', known => 'include') p;
CREATE TABLE embeddings AS
SELECT id, kg_embedding(label, 'people') AS weights
FROM metasd.entity WHERE run = (SELECT serving FROM metasd.models WHERE name = 'people');
UPDATE metasd.entity e SET embedding = first_version(weights) FROM embeddings o
WHERE e.id = o.id AND run = (SELECT serving FROM metasd.models WHERE name = 'people');
UPDATE metasd.run SET uuid = gen_random_uuid();
SELECT count(*) > 1 AS answers, count(*) = (SELECT count(*) FROM before) AS "as many",
       bool_and(before.rank = after.rank AND before.score = after.score) AS "the same"
FROM kg_predict('p07', 'speaks', 100, 'people', known => 'include') after JOIN before USING (tail);

SELECT count(kg_drop(name)) FROM metasd.models;
DROP FUNCTION weights(text), first_version(real[]), crc32c(bytea), little_endian(bytea);
DROP TABLE people, kinds, before, embeddings;
