-- Embeddings that have been damaged in their table: an error, never a crash.
CREATE TABLE people AS SELECT * FROM tools.people();
SELECT kg_train('people', 'people', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
CREATE TABLE entities AS SELECT * FROM metasd.entity;
CREATE TABLE relations AS SELECT * FROM metasd.relation;

-- Sessions go on with the image that is there; where one is built the damage is seen.
SELECT count(*) FROM kg_predict('p07', 'speaks', 3);
UPDATE metasd.entity SET embedding = '\x00';
SELECT count(*) FROM kg_predict('p07', 'speaks', 3);
\c -
SELECT count(*) FROM kg_predict('p07', 'speaks', 3);
\c -
SET metasd.image_cache_size = 0;
DO $$
DECLARE
    hint text;
BEGIN
    PERFORM kg_predict('p07', 'speaks', 3);
EXCEPTION WHEN data_corrupted THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RAISE NOTICE '% %', regexp_replace(SQLERRM, 'run \d+', 'run #'), hint;
END $$;

-- What is there is repaired by putting it back, or by training again.
UPDATE metasd.entity e SET embedding = o.embedding FROM entities o WHERE o.id = e.id;
SELECT count(*) FROM kg_predict('p07', 'speaks', 3);

-- Asks again as a session that has not asked before: what becomes of it?
CREATE FUNCTION outcome() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE metasd.run SET uuid = gen_random_uuid();
    PERFORM kg_predict('p07', 'speaks', 3), kg_predict_heads('speaks', 'French', 3),
            kg_predict_relations('p07', 'French', 3), kg_similar('p07', 3), kg_embedding('p07'),
            kg_score('p07', 'speaks', 'French');
    RETURN 'answers';
EXCEPTION WHEN data_corrupted THEN
    RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, 'run \d+', 'run #');
END $$;
CREATE PROCEDURE repair() LANGUAGE sql AS $$
    DELETE FROM metasd.entity;
    DELETE FROM metasd.relation;
    INSERT INTO metasd.entity SELECT * FROM entities;
    INSERT INTO metasd.relation SELECT * FROM relations;
$$;
SELECT outcome();

-- No bytes, too few, too many, those of another version, of another width, of something else.
CREATE FUNCTION with_bytes(bytes bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE metasd.entity SET embedding = bytes WHERE id = 3;
    RETURN outcome();
END $$;
SELECT with_bytes('');
SELECT with_bytes(substr(embedding, 1, length(embedding) - 1)) FROM entities WHERE id = 3;
SELECT with_bytes(embedding || '\x00') FROM entities WHERE id = 3;
SELECT with_bytes(set_byte(embedding, 0, 255)) FROM entities WHERE id = 3;
SELECT with_bytes('not an embedding');
SELECT with_bytes(decode(repeat('ff', 1000), 'hex'));
SELECT kg_train('wider', 'people', params => tools.quick() || '{"rank": 9}') AS run \gset
SELECT tools.ended(:run);
CREATE TABLE wider AS SELECT * FROM metasd.entity WHERE run = :run;
SELECT kg_drop('wider');
SELECT with_bytes(embedding) FROM wider WHERE id = 3;
CALL repair();
SELECT outcome();

-- A sigmoid that is none, or half of one.
UPDATE metasd.relation SET (tail_slope, tail_offset, head_slope, head_offset) = (1, 0, 1, 0);
SELECT outcome();
UPDATE metasd.relation SET head_slope = -1 WHERE id = 1;
SELECT outcome();
UPDATE metasd.relation SET head_slope = 'NaN' WHERE id = 1;
SELECT outcome();
UPDATE metasd.relation SET head_slope = NULL WHERE id = 1;
SELECT outcome();
CALL repair();

-- Rows that are missing, or numbered wrong.
DELETE FROM metasd.entity WHERE id = 3;
SELECT outcome();
CALL repair();
DELETE FROM metasd.entity WHERE id = 38;
SELECT outcome();
CALL repair();
UPDATE metasd.entity SET id = -1 WHERE id = 3;
SELECT outcome();
CALL repair();
UPDATE metasd.entity SET id = 2000000000 WHERE id = 3;
SELECT outcome();
CALL repair();
DELETE FROM metasd.entity;
SELECT outcome();
CALL repair();
DELETE FROM metasd.relation;
SELECT outcome();
CALL repair();

-- The same label twice, and an empty one.
UPDATE metasd.entity SET label = 'p07' WHERE label = 'p08';
SELECT outcome();
CALL repair();
UPDATE metasd.entity SET label = '' WHERE label = 'p08';
SELECT outcome();
CALL repair();

-- Each byte changed in turn, and each length.
CREATE FUNCTION changed(bytes bytea) RETURNS SETOF bytea LANGUAGE sql AS $$
    SELECT set_byte(bytes, i, get_byte(bytes, i) # change)
    FROM generate_series(0, length(bytes) - 1) i, unnest('{1, 16, 128, 255}'::int[]) change
    UNION ALL
    SELECT substr(bytes, 1, i) FROM generate_series(0, length(bytes) - 1) i
$$;
DO $$
DECLARE
    bytes bytea;
    answers int := 0;
    errors int := 0; -- how many depends on the length of the embeddings
BEGIN
    FOR bytes IN SELECT changed(embedding) FROM entities WHERE label IN ('p07', 'French', 'mill') LOOP
        UPDATE metasd.entity SET embedding = bytes WHERE label = 'p07';
        IF outcome() = 'answers' THEN answers := answers + 1; ELSE errors := errors + 1; END IF;
    END LOOP;
    UPDATE metasd.entity e SET embedding = o.embedding FROM entities o WHERE o.id = e.id;
    FOR bytes IN SELECT changed(reciprocal) FROM relations WHERE label = 'speaks' LOOP
        UPDATE metasd.relation SET reciprocal = bytes WHERE label = 'speaks';
        IF outcome() = 'answers' THEN answers := answers + 1; ELSE errors := errors + 1; END IF;
    END LOOP;
    RAISE NOTICE 'errors: %, answers: %', errors > 100, answers;
END $$;
CALL repair();
SELECT outcome();

-- A version of a family that there is not, of none, which is complex, and one whose row is gone.
UPDATE metasd.run SET params = params || '{"family": "unheard of"}';
SELECT outcome();
UPDATE metasd.run SET params = params - 'family';
SELECT outcome();
UPDATE metasd.model SET serving = 0;
SELECT * FROM kg_predict('p07', 'speaks');
SELECT kg_train('people') AS run \gset
SELECT tools.ended(:run);
SELECT outcome();

-- A version that cannot answer is not let to serve, with shared images or without: the one that does goes on.
SELECT serving AS first FROM metasd.models \gset
SELECT kg_train('people', params => '{"promote_tolerance": 1}') AS run \gset
SELECT tools.ended(:run);
CREATE FUNCTION served_by(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'serves';
EXCEPTION WHEN data_corrupted THEN
    RETURN regexp_replace(SQLERRM, 'run \d+', 'run #');
END $$;
DELETE FROM metasd.entity WHERE run = :first AND id = 3;
UPDATE metasd.run SET uuid = gen_random_uuid() WHERE id = :first; -- as after a restart: there is no image
SET metasd.image_cache_size = 0;
SELECT served_by(format('SELECT kg_promote(%L, %s)', 'people', :first));
SELECT served_by('SELECT kg_rollback(''people'')');
RESET metasd.image_cache_size;
SELECT served_by(format('SELECT kg_promote(%L, %s)', 'people', :first));
SELECT served_by('SELECT kg_rollback(''people'')');
SELECT serving = :run AS "goes on" FROM metasd.models;

SELECT kg_drop('people');
DROP FUNCTION served_by(text);
DROP TABLE people, entities, relations, wider;
DROP FUNCTION outcome(), with_bytes(bytea), changed(bytea);
DROP PROCEDURE repair();
