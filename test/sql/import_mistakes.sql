-- Mistakes of those who import: each is told, and the way out is one that works.
CREATE SCHEMA slips;
SET search_path = slips, public;
-- The SQL that a hint ends with.
CREATE FUNCTION follow(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    EXECUTE rtrim(substring(hint FROM 'CREATE VIEW .*'), '.');
    RETURN 'done';
END $$;

-- ---- a model of which all is known ----

-- Numbers as if drawn at random, and the score of ComplEx as the paper has it: real parts, then imaginary parts.
CREATE FUNCTION numbers(seed text) RETURNS real[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg((('x' || substr(md5(seed || '/' || i), 1, 6))::bit(24)::int / 8388608.0 - 1)::real ORDER BY i) FROM generate_series(1, 16) i
$$;
CREATE FUNCTION score(h real[], r real[], t real[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
    SELECT sum((h[i] * r[i] - h[i + 8] * r[i + 8])::float8 * t[i] + (h[i] * r[i + 8] + h[i + 8] * r[i])::float8 * t[i + 8]) FROM generate_series(1, 8) i
$$;
CREATE TABLE entities AS SELECT format('e%s', lpad(i::text, 2, '0')) AS label, numbers('e' || i) AS embedding FROM generate_series(1, 40) i;
CREATE TABLE relations AS SELECT 'r' || i AS label, numbers('r' || i) AS embedding, numbers('inverse of r' || i) AS reciprocal FROM generate_series(0, 3) i;
-- The facts are what it predicts: r0 and r1 are known by their tails, r2 and r3 by their heads.
CREATE TABLE facts AS
    SELECT a.label AS head, r.label AS relation, t.label AS tail FROM entities a, relations r,
        LATERAL (SELECT label FROM entities b WHERE b.label <> a.label ORDER BY score(a.embedding, r.embedding, b.embedding) DESC LIMIT 3) t
    WHERE r.label IN ('r0', 'r1')
    UNION
    SELECT h.label, r.label, a.label FROM entities a, relations r,
        LATERAL (SELECT label FROM entities b WHERE b.label <> a.label ORDER BY score(a.embedding, r.reciprocal, b.embedding) DESC LIMIT 3) h
    WHERE r.label IN ('r2', 'r3');

-- A model that is trained both ways would fit both ways; here each relation fits one. So the reciprocals of r0 and r1
-- are made of their embeddings, and the embeddings of r2 and r3 of their reciprocals.
CREATE FUNCTION conjugate(x real[]) RETURNS real[] LANGUAGE sql IMMUTABLE AS $$SELECT x[1:8] || ARRAY(SELECT -y FROM unnest(x[9:16]) y)$$;
UPDATE relations SET reciprocal = conjugate(embedding) WHERE label IN ('r0', 'r1');
UPDATE relations SET embedding = conjugate(reciprocal) WHERE label IN ('r2', 'r3');
CREATE TABLE forward AS SELECT label, embedding FROM relations;
SELECT kg_import('right', 'entities', 'relations', 'facts', '{"storage": "float32"}') AS run \gset
CALL kg_wait(:run);
SELECT metrics #> '{import,fit}' AS fit FROM metasd.versions WHERE run = :run;
SELECT bool_and(abs(kg_score(head, relation, tail, 'right') - score(h.embedding, r.embedding, t.embedding)) < 1e-4) AS tails,
       bool_and(abs(kg_score(head, relation, tail, 'right', side => 'head') - score(t.embedding, r.reciprocal, h.embedding)) < 1e-4) AS heads
FROM facts f JOIN entities h ON h.label = f.head JOIN relations r ON r.label = f.relation JOIN entities t ON t.label = f.tail;

-- ---- numbers that are others than they are taken for ----

-- The layout.
CREATE FUNCTION weave(x real[]) RETURNS real[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(x[(i + 1) / 2 + CASE WHEN i % 2 = 0 THEN 8 ELSE 0 END] ORDER BY i) FROM generate_series(1, 16) i
$$;
CREATE TABLE woven AS SELECT label, weave(embedding) AS embedding FROM entities;
CREATE TABLE woven_relations AS SELECT label, weave(embedding) AS embedding, weave(reciprocal) AS reciprocal FROM relations;
SELECT kg_import('layout', 'woven', 'woven_relations', 'facts') AS run \gset
CALL kg_wait(:run);
SELECT kg_import('layout_2', 'entities', 'relations', 'facts', '{"layout": "interleaved"}') AS run \gset
CALL kg_wait(:run);
SELECT kg_import('layout_3', 'woven', 'woven_relations', 'facts', '{"layout": "interleaved"}') AS run \gset
CALL kg_wait(:run);
-- Without reciprocals it is seen, too.
CREATE VIEW woven_forward AS SELECT label, weave(embedding) AS embedding FROM forward;
SELECT kg_import('layout_4', 'woven', 'woven_forward', 'facts') AS run \gset
CALL kg_wait(:run);
-- Rows of other relations, as if PyKEEN's rows 0 to 3 were those of four relations: they are r0, its inverse, r1, its inverse.
CREATE TABLE pykeen AS
    SELECT 2 * substr(label, 2)::int AS row, embedding FROM relations UNION ALL SELECT 2 * substr(label, 2)::int + 1, reciprocal FROM relations;
CREATE VIEW first_rows AS SELECT 'r' || row AS label, embedding FROM pykeen WHERE row < 4;
SELECT kg_import('rows', 'entities', 'first_rows', 'facts') AS run \gset
CALL kg_wait(:run);
CREATE VIEW right_rows AS
    SELECT 'r' || i AS label, a.embedding, b.embedding AS reciprocal FROM generate_series(0, 3) i JOIN pykeen a ON a.row = 2 * i JOIN pykeen b ON b.row = 2 * i + 1;
SELECT kg_import('rows_2', 'entities', 'right_rows', 'facts', '{"storage": "float32"}') AS run \gset
CALL kg_wait(:run);
SELECT count(*) AS others FROM (SELECT * FROM kg_relation_embeddings('rows_2') EXCEPT TABLE relations) x;
-- Reciprocals that are none, and exchanged columns.
CREATE VIEW no_inverses AS SELECT label, embedding, numbers('nothing' || label) AS reciprocal FROM relations;
SELECT kg_import('heads', 'entities', 'no_inverses', 'facts') AS run \gset
CALL kg_wait(:run);
CREATE VIEW exchanged AS SELECT label, reciprocal AS embedding, embedding AS reciprocal FROM relations;
SELECT kg_import('heads_2', 'entities', 'exchanged', 'facts') AS run \gset
CALL kg_wait(:run);
-- Another family.
SELECT kg_import('family', 'entities', 'relations', 'facts', '{"family": "distmult"}') AS run \gset
CALL kg_wait(:run);
-- A few facts tell nothing.
CREATE VIEW few AS SELECT * FROM facts ORDER BY head, relation, tail LIMIT 99;
SELECT kg_import('few', 'woven', 'relations', 'few') AS run \gset
CALL kg_wait(:run);
SELECT metrics #> '{import,fit}' AS fit FROM metasd.versions WHERE run = :run;

-- ---- reciprocals ----

-- Null in all rows is none.
CREATE TABLE nulls AS SELECT label, embedding, NULL::real[] AS reciprocal FROM relations;
SELECT kg_import('nulls', 'entities', 'nulls', 'facts', '{"storage": "float32"}') AS run \gset
CALL kg_wait(:run);
SELECT count(*) AS others FROM kg_relation_embeddings('nulls') WHERE reciprocal <> conjugate(embedding);
SELECT metrics #> '{import,reciprocal}' AS given FROM metasd.versions WHERE run = :run;
UPDATE nulls SET reciprocal = embedding WHERE label = (SELECT label FROM nulls LIMIT 1);
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'nulls', 'facts')$$);
CREATE TABLE last_one AS SELECT label, embedding, CASE WHEN label = 'r3' THEN embedding END AS reciprocal FROM relations ORDER BY label;
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'last_one', 'facts')$$);
-- Messages say which array they speak of.
CREATE TABLE slips AS SELECT label, embedding, array_fill('NaN'::real, '{16}') AS reciprocal FROM relations ORDER BY label;
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'slips', 'facts')$$);
UPDATE slips SET reciprocal = embedding[1:14];
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'slips', 'facts')$$);
UPDATE slips SET reciprocal = embedding[1:15] || NULL::real;
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'slips', 'facts')$$);
UPDATE slips SET reciprocal = ARRAY[embedding[1:8], embedding[9:16]];
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'slips', 'facts')$$);
-- Relations of another length than entities.
CREATE VIEW short AS SELECT label, embedding[1:8] AS embedding FROM relations;
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'short', 'facts')$$);
-- Inverses as rows: the hint has a view.
CREATE TABLE inverses AS SELECT label, embedding FROM relations UNION ALL SELECT label || '_inverse', reciprocal FROM relations ORDER BY label;
SELECT kg_import('inverses', 'entities', 'inverses', 'facts') AS run \gset
CREATE VIEW inverses_read AS SELECT r.label, r.embedding, i.embedding AS reciprocal FROM slips.inverses r JOIN slips.inverses i ON i.label = r.label || '_inverse';
SELECT tools.ended(:run);
SELECT kg_import('inverses_2', 'entities', 'inverses_read', 'facts', '{"storage": "float32"}') AS run \gset
CALL kg_wait(:run);
SELECT count(*) AS others FROM (SELECT * FROM kg_relation_embeddings('inverses_2') EXCEPT TABLE relations) x;

-- ---- columns of other types: the hint is a view that can be imported ----

CREATE TABLE numerics AS SELECT label, embedding::text::numeric[] AS embedding FROM entities;
CREATE TABLE texts AS SELECT label, translate(embedding::text, '{}', '[]') AS embedding FROM entities;
CREATE TABLE jsons AS SELECT label, to_json(embedding) AS embedding FROM entities;
CREATE TABLE jsonbs AS SELECT label::char(5), to_jsonb(embedding) AS embedding FROM entities;
CREATE TABLE "Odd Name" AS SELECT label::name AS label, embedding::text::varchar AS embedding, reciprocal::text::numeric[] AS reciprocal FROM relations;
SELECT tools.failure($$SELECT kg_import('bad', 'jsonbs', 'relations', 'facts')$$);
SELECT tools.failure($$SELECT kg_import('bad', 'entities', '"Odd Name"', 'facts')$$);
SELECT t, follow(format($$SELECT kg_import('bad', %L, %L, 'facts')$$, t, CASE t WHEN '"Odd Name"' THEN t ELSE 'relations' END))
FROM unnest('{numerics,texts,jsons,jsonbs}'::text[]) t;
SELECT follow($$SELECT kg_import('bad', 'entities', '"Odd Name"', 'facts')$$);
SELECT kg_import('casts', t || '_read', '"Odd Name_read"', 'facts', '{"storage": "float32"}') IS NOT NULL AS started FROM unnest('{numerics}'::text[]) t;
SELECT tools.ended(max(run)) FROM metasd.versions WHERE model = 'casts';
SELECT count(*) AS others FROM (SELECT * FROM kg_entity_embeddings('casts') EXCEPT TABLE entities) x;
SELECT count(*) AS others FROM (SELECT * FROM kg_relation_embeddings('casts') EXCEPT TABLE relations) x;
SELECT count(*) AS others FROM (TABLE texts_read UNION ALL TABLE jsons_read UNION ALL TABLE jsonbs_read EXCEPT TABLE entities) x;
-- Columns of other names.
CREATE TABLE named AS SELECT label AS "Entity", 1.5 AS weight, embedding AS vector FROM entities;
SELECT tools.failure($$SELECT kg_import('bad', 'named', 'relations', 'facts')$$);
SELECT follow($$SELECT kg_import('bad', 'named', 'relations', 'facts')$$);
SELECT count(*) AS others FROM (TABLE named_read EXCEPT TABLE entities) x;
CREATE TABLE doubtful AS SELECT label AS a, label AS b, embedding FROM relations;
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'doubtful', 'facts')$$);
-- A type without a cast.
CREATE TABLE ranges AS SELECT label, '[1,2]'::int4range AS embedding FROM entities;
SELECT tools.failure($$SELECT kg_import('bad', 'ranges', 'relations', 'facts')$$);

-- ---- rows without a number, labels without a row ----

CREATE TABLE zeros AS SELECT label, CASE WHEN label = 'e07' THEN array_fill(0::real, '{16}') ELSE embedding END AS embedding FROM entities;
SELECT kg_import('zeros', 'zeros', 'relations', 'facts') AS run \gset
CALL kg_wait(:run);
SELECT label FROM slips.zeros WHERE 0 = ALL (embedding);
DELETE FROM zeros WHERE label = 'e07';
SELECT kg_import('zeros_2', 'zeros', 'relations', 'facts', '{"missing": "skip"}') AS run \gset
CALL kg_wait(:run);
-- Held-out facts of which the tables know nothing.
CREATE TABLE held AS SELECT 'e01' AS head, 'r0' AS relation, 'e99' AS tail;
SELECT kg_import('held', 'entities', 'relations', 'facts', validation => 'held') AS failed \gset
SELECT tools.ended(:failed);
SELECT error FROM metasd.versions WHERE run = :failed;
-- Half of the relations: what served before still serves.
CREATE VIEW half AS SELECT * FROM relations WHERE label IN ('r0', 'r2');
SELECT kg_import('right', 'entities', 'half') AS failed \gset
SELECT tools.ended(:failed);
SELECT error FROM metasd.versions WHERE run = :failed;
SELECT serving < :failed AS "still serves", entities, relations FROM metasd.models WHERE name = 'right';
-- Nothing of all that is left.
SELECT count(*) FROM metasd.models WHERE name = 'bad';

SELECT count(kg_drop(name)) FROM metasd.models;
SET client_min_messages = warning;
DROP SCHEMA slips CASCADE;
