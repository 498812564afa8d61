-- Embeddings for others: arrays, COPY, and what pgvector reads. pgvector itself is asked only where it is.
CREATE TABLE people AS SELECT * FROM tools.people();
SELECT kg_train('people', 'people', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
CREATE VIEW entities AS SELECT head AS entity FROM people UNION SELECT tail FROM people;

-- {place:weight,...}/width, places from 1 on and ascending, no weight zero, none left out, all to the last bit.
CREATE FUNCTION dense(sparse text) RETURNS real[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(coalesce(e.weight, 0) ORDER BY i)
    FROM generate_series(1, split_part(sparse, '/', 2)::int) i
         LEFT JOIN (SELECT split_part(pair, ':', 1)::int AS place, split_part(pair, ':', 2)::real AS weight
                    FROM unnest(string_to_array(btrim(split_part(sparse, '/', 1), '{}'), ',')) pair) e ON e.place = i
$$;
SELECT dense('{1:0.5,4:-0.25}/5');
SELECT count(*), bool_and(dense(kg_embedding_sparse(entity)) = kg_embedding(entity)) AS "the same",
       bool_and(kg_embedding_sparse(entity) ~ '^\{\d+:-?[0-9.e-]+(,\d+:-?[0-9.e-]+)*\}/128$') AS written
FROM entities;
SELECT bool_and(cardinality(string_to_array(kg_embedding_sparse(entity), ',')) =
                (SELECT count(*) FROM unnest(kg_embedding(entity)) w WHERE w <> 0)) AS "no zeros",
       bool_and(places = (SELECT array_agg(p ORDER BY p) FROM unnest(places) p)) AS ascending
FROM entities, LATERAL (SELECT array_agg(m[1]::int) AS places FROM regexp_matches(kg_embedding_sparse(entity), '(\d+):', 'g') m) p;
-- However floats are shown.
SET extra_float_digits = -5;
CREATE TEMP TABLE rounded AS SELECT entity, kg_embedding_sparse(entity) AS sparse FROM entities;
RESET extra_float_digits;
SELECT bool_and(dense(sparse) = kg_embedding(entity)) AS "the same" FROM rounded;

-- What kg_embedding does not know, it does not know.
SELECT kg_embedding_sparse('p99') IS NULL AS sparse;
SELECT kg_embedding('p99') IS NULL AS dense;
SELECT kg_embedding_sparse(NULL) IS NULL AS sparse, kg_embedding_sparse('p07'::varchar, 'people') = kg_embedding_sparse('p07') AS varchar;
SELECT kg_embedding_sparse('p07', 'nothing');
SELECT kg_embedding_sparse(7) IS NULL AS "a number";

-- Out by COPY, and back.
CREATE TABLE embeddings (entity text PRIMARY KEY, dense real[], sparse text);
COPY (SELECT entity, kg_embedding(entity), kg_embedding_sparse(entity) FROM entities WHERE entity = 'p99') TO STDOUT;
\copy (SELECT entity, kg_embedding(entity), kg_embedding_sparse(entity) FROM entities) TO 'embeddings.csv' (FORMAT csv)
\copy embeddings FROM 'embeddings.csv' (FORMAT csv)
SELECT count(*), bool_and(dense = kg_embedding(entity) AND sparse = kg_embedding_sparse(entity)) AS "the same" FROM embeddings;

-- Similarity in plain SQL is that of kg_similar.
SELECT count(*), max(abs(s.similarity - c.cosine)) < 1e-5 AS "the same"
FROM kg_similar('p07', 1000) s,
     LATERAL (SELECT sum(a * b) / sqrt(sum(a * a) * sum(b * b)) AS cosine FROM unnest(kg_embedding('p07'), kg_embedding(s.entity)) x (a, b)) c;

-- pgvector, where it is: the same numbers, the same cosines.
SELECT NOT EXISTS (SELECT FROM pg_available_extensions
                   WHERE name = 'vector' AND string_to_array(default_version, '.')::int[] >= '{0,7}') AS skipped \gset
\if :skipped
\echo pgvector is not available, or older than 0.7.0: skipped
\else
CREATE EXTENSION vector;
SELECT bool_and(kg_embedding(entity)::vector::real[] = kg_embedding(entity)) AS vector,
       bool_and(kg_embedding_sparse(entity)::sparsevec::text = kg_embedding_sparse(entity)) AS sparsevec,
       bool_and(kg_embedding_sparse(entity)::sparsevec::vector = kg_embedding(entity)::vector) AS same
FROM entities;
SELECT max(abs(similarity - 1 + (kg_embedding('p07')::vector <=> kg_embedding(entity)::vector))) < 1e-5 AS vector,
       max(abs(similarity - 1 + (kg_embedding_sparse('p07')::sparsevec <=> kg_embedding_sparse(entity)::sparsevec))) < 1e-5 AS sparsevec
FROM kg_similar('p07', 1000);
DROP EXTENSION vector;
\endif

SELECT kg_drop('people');
DROP VIEW entities;
DROP TABLE people, embeddings, rounded;
DROP FUNCTION dense(text);
