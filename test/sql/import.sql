-- kg_import: embeddings that were trained elsewhere become a version like any other.
CREATE SCHEMA import;
SET search_path = import, public;
CREATE TABLE people AS SELECT * FROM tools.people();
SELECT kg_train('people', 'people', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);

-- ---- out and in again ----

CREATE TABLE entities AS SELECT * FROM kg_entity_embeddings('people');
CREATE TABLE relations AS SELECT * FROM kg_relation_embeddings('people');
SELECT count(*), bool_and(embedding = kg_embedding(label)) AS "the same", min(cardinality(embedding)) AS width FROM entities;
SELECT count(*), bool_and(embedding = kg_relation_embedding(label, 'people')) AS "the same",
       bool_and(reciprocal = kg_relation_embedding(label, 'people', true)) AS "and the other way" FROM relations;
SELECT kg_import('copy', 'entities', 'relations', 'people', '{"storage": "float32", "sparsity": 0}') AS run \gset
CALL kg_wait(:run);
SELECT name, serving = :run AS serves, entities, relations, triples, params FROM metasd.models WHERE name = 'copy';
SELECT status, kept, params ->> 'rank' AS rank, params ->> 'epochs' AS epochs, params ->> 'finetune' AS finetune,
       (metrics -> 'import') - 'oids' AS import FROM metasd.versions WHERE run = :run;
SELECT count(*) AS others FROM (TABLE entities EXCEPT SELECT * FROM kg_entity_embeddings('copy')) x;
SELECT count(*) AS others FROM (TABLE relations EXCEPT SELECT * FROM kg_relation_embeddings('copy')) x;
-- The same answers in the same order, and the same scores.
CREATE VIEW tails AS SELECT DISTINCT head, relation FROM people;
CREATE VIEW heads AS SELECT DISTINCT relation, tail FROM people;
SELECT count(*), bool_and(a.tail = b.tail AND a.rank = b.rank AND abs(a.score - b.score) <= 1e-5 * (1 + abs(a.score))) AS "the same"
FROM (SELECT row_number() OVER (PARTITION BY query ORDER BY rank, tail) AS n, * FROM kg_predict_many('tails', 5, 'people', known => 'include')) a
JOIN (SELECT row_number() OVER (PARTITION BY query ORDER BY rank, tail) AS n, * FROM kg_predict_many('tails', 5, 'copy', known => 'include')) b
USING (head, relation, n);
SELECT count(*), bool_and(a.head = b.head AND a.rank = b.rank AND abs(a.score - b.score) <= 1e-5 * (1 + abs(a.score))) AS "the same"
FROM (SELECT row_number() OVER (PARTITION BY query ORDER BY rank, head) AS n, * FROM kg_predict_many('heads', 5, 'people', side => 'head', known => 'include')) a
JOIN (SELECT row_number() OVER (PARTITION BY query ORDER BY rank, head) AS n, * FROM kg_predict_many('heads', 5, 'copy', side => 'head', known => 'include')) b
USING (relation, tail, n);
SELECT rank, tail FROM kg_predict('p07', 'speaks', 1, 'copy');
SELECT bool_and(round(a.mrr::numeric, 6) = round(b.mrr::numeric, 6)) AS "the same"
FROM kg_evaluate('people', 'people', by => 'relation') a JOIN kg_evaluate('copy', 'people', by => 'relation') b USING (bucket);
-- Through a file, as any program reads it.
CREATE TABLE read_entities (label text, embedding real[]);
CREATE TABLE read_relations (label text, embedding real[], reciprocal real[]);
\copy (SELECT * FROM kg_entity_embeddings('copy')) TO 'entities.tsv'
\copy read_entities FROM 'entities.tsv'
\copy (SELECT * FROM kg_relation_embeddings('copy')) TO 'relations.csv' (FORMAT csv)
\copy read_relations FROM 'relations.csv' (FORMAT csv)
SELECT (SELECT count(*) FROM (TABLE entities EXCEPT TABLE read_entities) x) AS entities,
       (SELECT count(*) FROM (TABLE relations EXCEPT TABLE read_relations) x) AS relations;

-- ---- layouts, families, reciprocals ----

-- PyKEEN's: each real part is followed by its imaginary part. And double precision will do.
CREATE FUNCTION interleave(x real[]) RETURNS float8[] LANGUAGE sql AS $$
    SELECT array_agg(x[(i - 1) / 2 + 1 + CASE WHEN i % 2 = 0 THEN cardinality(x) / 2 ELSE 0 END]::float8 ORDER BY i)
    FROM generate_series(1, cardinality(x)) i
$$;
SELECT interleave('{1,2,3,10,20,30}');
CREATE VIEW woven_entities AS SELECT label, interleave(embedding) AS embedding FROM entities;
CREATE TABLE woven_relations AS SELECT label, interleave(embedding) AS embedding, interleave(reciprocal) AS reciprocal FROM relations;
SELECT kg_import('woven', 'woven_entities', 'woven_relations', 'people', '{"storage": "float32", "layout": "interleaved"}') AS run \gset
SELECT tools.ended(:run);
SELECT count(*) AS others FROM (TABLE entities EXCEPT SELECT * FROM kg_entity_embeddings('woven')) x;
SELECT count(*) AS others FROM (TABLE relations EXCEPT SELECT * FROM kg_relation_embeddings('woven')) x;

-- By hand: (1 + 2i)(0.5 - i)conj(3 + 4i) = (2.5 + 0i)(3 - 4i), whose real part is 7.5. Without reciprocals
-- a question for heads has the score of the same triple.
CREATE TABLE hand (head text, relation text, tail text);
INSERT INTO hand VALUES ('a', 'r', 'b'), ('b', 'r', 'c');
CREATE TABLE hand_entities (label text, embedding real[]);
INSERT INTO hand_entities VALUES ('a', '{1,2}'), ('b', '{3,4}'), ('c', '{-1,0.5}'), ('d', '{2,-1}');
CREATE TABLE hand_relations (label text, embedding real[]);
INSERT INTO hand_relations VALUES ('r', '{0.5,-1}'), ('s', '{1,0}');
SELECT kg_import('hand', 'hand_entities', 'hand_relations', 'hand', '{"storage": "float32"}') AS run \gset
CALL kg_wait(:run);
SELECT kg_score('a', 'r', 'b', 'hand') AS score;
SELECT kg_relation_embedding('r', 'hand') AS tails, kg_relation_embedding('r', 'hand', true) AS heads;
SELECT bool_and(p.score = kg_score(p.head, 'r', 'b', 'hand')) AS "the same", count(*) FROM kg_predict_heads('r', 'b', model => 'hand', known => 'include') p;
-- An entity and a relation that no fact has are there, too.
SELECT tail, score FROM kg_predict('d', 's', 2, 'hand');
SELECT entities, relations, triples FROM metasd.models WHERE name = 'hand';
-- DistMult: 1 x 0.5 x 3 + 2 x -1 x 4 = -6.5, both ways.
SELECT kg_import('hand', 'hand_entities', 'hand_relations', params => '{"family": "distmult"}') AS run \gset
SELECT tools.ended(:run);
SELECT kg_score('a', 'r', 'b', 'hand') AS score, kg_score('b', 'r', 'a', 'hand') AS turned;
SELECT params FROM metasd.models WHERE name = 'hand';
SELECT kg_drop('hand');

-- ---- identifiers of other types ----

CREATE TABLE numbers (head int, relation smallint, tail bigint);
INSERT INTO numbers VALUES (1, 7, 2), (2, 7, 3);
CREATE TABLE number_entities (label int PRIMARY KEY, embedding real[]);
INSERT INTO number_entities VALUES (1, '{1,2}'), (2, '{3,4}'), (3, '{-1,0.5}');
CREATE TABLE number_relations AS SELECT 7::smallint AS label, '{0.5,-1}'::real[] AS embedding;
SELECT kg_import('numbers', 'number_entities', 'number_relations', 'numbers') AS run \gset
SELECT tools.ended(:run);
SELECT tail FROM kg_predict(1, 7, 1, 'numbers', known => 'include');
SELECT cardinality(kg_embedding(3, 'numbers')) AS entity, cardinality(kg_relation_embedding(7, 'numbers')) AS relation;
SELECT kg_drop('numbers');
CREATE TABLE ids (a uuid, b uuid, c uuid);
INSERT INTO ids SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, '00000000-0000-0000-0000-000000000009', ('00000000-0000-0000-0000-00000000000' || i + 1)::uuid FROM generate_series(1, 2) i;
CREATE TABLE id_entities (label uuid, embedding real[]);
INSERT INTO id_entities SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, ARRAY[i, -i]::real[] FROM generate_series(1, 3) i;
CREATE TABLE id_relations AS SELECT '00000000-0000-0000-0000-000000000009'::uuid AS label, '{1,1}'::real[] AS embedding;
SELECT kg_import('ids', 'id_entities', 'id_relations', 'ids', head => 'a', relation => 'b', tail => 'c') AS run \gset
SELECT tools.ended(:run);
SELECT tail FROM kg_predict('00000000-0000-0000-0000-000000000002'::uuid, '00000000-0000-0000-0000-000000000009'::uuid, 1, 'ids', known => 'include');
SELECT kg_drop('ids');

-- ---- held-out facts, pruning, fine-tuning ----

-- Facts that the model was not trained on rank and calibrate it, also if the source has them.
CREATE TABLE held AS SELECT * FROM people WHERE right(head, 1) = '3';
SELECT kg_import('held', 'entities', 'relations', 'people', '{"sparsity": 0.5, "storage": "int4", "pruning": "salience"}', validation => 'held') AS run \gset
SELECT tools.ended(:run);
SELECT m.triples, v.metrics #> '{validation,queries}' AS ranked, v.metrics ? 'calibration' AS calibrated, v.metrics ? 'held_out' AS drawn,
       (v.metrics ->> 'sparsity')::float8 BETWEEN 0.49 AND 0.76 AS pruned, v.params ->> 'storage' AS storage, v.bytes < 8000 AS small
FROM metasd.models m JOIN metasd.versions v ON v.run = m.serving WHERE m.name = 'held';
SELECT relation, triples, held_out, mrr > 0.3 AS good, calibration IS NOT NULL AS calibrated FROM metasd.relations WHERE model = 'held' ORDER BY 1;
-- Epochs train what is left of the weights. A later import trains none: only the call says so.
SELECT kg_import('held', 'entities', 'relations', params => '{"finetune": 3, "sparsity": 0.8, "promote_tolerance": 1}') AS run \gset
SELECT tools.ended(:run);
SELECT count(*) AS epochs, bool_and(loss_full IS NULL AND loss_pruned > 0) AS finetuned, bool_or(mrr_full IS NOT NULL) AS "full" FROM metasd.learning_curve WHERE run = :run;
SELECT params FROM metasd.models WHERE name = 'held';
SELECT kg_import('held', 'entities', 'relations') AS run \gset
SELECT tools.ended(:run);
SELECT count(*) AS epochs FROM metasd.learning_curve WHERE run = :run;

-- ---- a version like others ----

SELECT tools.nth(run) AS run, serving, kept, status FROM metasd.versions WHERE model = 'held' ORDER BY run;
SELECT kg_rollback('held') > 0 AS back;
SELECT kg_promote('held', :run);
-- A worse one does not serve.
CREATE TABLE noise AS SELECT label, (SELECT array_agg(sin(i * length(label) + ascii(right(label, 1)) * i)::real) FROM generate_series(1, 128) i) AS embedding FROM entities;
SELECT kg_import('held', 'noise', 'relations', params => '{"promote_tolerance": null}') AS worse \gset
SELECT tools.ended(:worse);
SELECT serving, note LIKE '%which served%' AS note FROM metasd.versions WHERE run = :worse;
-- A training starts from an import that has held out the same facts.
SELECT kg_train('held', params => '{"epochs": 2, "sparsity": null, "promote_tolerance": 1}') AS run \gset
SELECT tools.ended(:run);
SELECT metrics #> '{warm_start,version}' IS NOT NULL AS warm, metrics #> '{validation,queries}' AS ranked, params ->> 'rank' AS rank FROM metasd.versions WHERE run = :run;
-- One that was trained on all facts has seen those that the training draws: it says so.
SELECT kg_train('copy', params => '{"epochs": 2}') AS run \gset
SELECT tools.ended(:run);
SELECT metrics #>> '{warm_start,reason}' AS reason FROM metasd.versions WHERE run = :run;
SELECT length(kg_report('held')) > 10000 AS report, kg_report('held') LIKE '%imported%' AS imported;
SELECT kg_report('woven') LIKE '%</html>%' AS report, kg_report('woven') LIKE '%, imported, with the facts of %' AS imported,
       kg_report('woven') ~ 'Imported from</th><td>.*import\.woven_entities and .*import\.woven_relations' AS "from what";

-- ---- labels without embeddings ----

CREATE TABLE fewer AS SELECT * FROM entities WHERE label <> 'p07';
CREATE VIEW fewer_relations AS SELECT * FROM relations WHERE label <> 'speaks';
SELECT kg_import('fewer', 'fewer', 'relations', 'people') AS run \gset
SELECT tools.ended(:run);
SELECT error FROM metasd.versions WHERE run = :run;
SELECT kg_import('fewer', 'entities', 'fewer_relations', 'people') AS run \gset
SELECT tools.ended(:run);
SELECT error FROM metasd.versions WHERE run = :run;
SELECT kg_import('fewer', 'fewer', 'relations', 'people', '{"missing": "skip"}') AS run \gset
SELECT tools.ended(:run);
SELECT metrics #> '{import,left_out}' AS left_out FROM metasd.versions WHERE run = :run;
SELECT entities, triples FROM metasd.models WHERE name = 'fewer';
-- Such an entity is a newcomer.
SELECT rank, tail FROM kg_predict('p07', 'lives_in', 1, 'fewer', known => 'include');
CREATE TABLE strangers AS SELECT * FROM (VALUES ('x', 'y', 'z')) v (head, relation, tail);
SELECT kg_import('fewer', 'fewer', 'relations', 'strangers') AS run \gset
SELECT tools.ended(:run);
SELECT error FROM metasd.versions WHERE run = :run;
SELECT kg_import('fewer', 'fewer', 'relations', 'strangers', '{"missing": "skip"}') AS run \gset
SELECT tools.ended(:run);
SELECT split_part(error, ' - ', 1) AS error FROM metasd.versions WHERE run = :run;
SELECT kg_import('fewer', 'entities', 'relations', 'people', validation => 'people') AS run \gset
SELECT tools.ended(:run);
SELECT error FROM metasd.versions WHERE run = :run;
SELECT kg_drop('fewer');

-- ---- what is wrong is an error at once ----

SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'relations')$$);
SELECT tools.failure($$SELECT kg_import('bad', NULL, 'relations', 'people')$$);
SELECT tools.failure($$SELECT kg_import(NULL, 'entities', 'relations', 'people')$$);
SELECT tools.failure($$SELECT kg_import('bad', 0, 'relations', 'people')$$);
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 0, 'people')$$);
SELECT tools.failure($$SELECT kg_import('bad', 'people', 'relations', 'people')$$);
CREATE VIEW named AS SELECT label AS relation, embedding FROM relations;
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'named', 'people')$$);
CREATE TABLE typed (label date, embedding real[]);
SELECT tools.failure($$SELECT kg_import('bad', 'typed', 'relations', 'people')$$);
CREATE TABLE texts (label text, embedding text);
SELECT tools.failure($$SELECT kg_import('bad', 'texts', 'relations', 'people')$$);
CREATE TABLE odd_reciprocal (label text, embedding real[], reciprocal int[]);
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'odd_reciprocal', 'people')$$);
CREATE SEQUENCE sequence;
SELECT tools.failure($$SELECT kg_import('bad', 'sequence', 'relations', 'people')$$);
CREATE TEMP TABLE passing AS TABLE entities;
SELECT tools.failure($$SELECT kg_import('bad', 'passing', 'relations', 'people')$$);
CREATE TABLE bad (label text, embedding real[]);
SELECT tools.failure($$SELECT kg_import('bad', 'bad', 'relations', 'people')$$);
CREATE FUNCTION with_row(label text, embedding real[]) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE bad;
    INSERT INTO bad TABLE entities;
    INSERT INTO bad VALUES (label, embedding);
    RETURN tools.failure($s$SELECT kg_import('bad', 'bad', 'relations', 'people')$s$);
END $$;
SELECT with_row(NULL, array_fill(1::real, '{128}'));
SELECT with_row('', array_fill(1::real, '{128}'));
SELECT with_row('p01', array_fill(1::real, '{128}'));
SELECT with_row('new', NULL);
SELECT with_row('new', array_fill(1::real, '{127}') || NULL::real);
SELECT with_row('new', array_fill(1::real, '{126}'));
SELECT with_row('new', '{}');
SELECT with_row('new', array_fill(1::real, '{64,2}'));
SELECT with_row('new', array_fill(1::real, '{127}') || 'NaN'::real);
SELECT with_row('new', '-Infinity'::real || array_fill(1::real, '{127}'));
SELECT with_row('new', '1e10'::real || array_fill(1::real, '{127}'));
SELECT with_row(repeat('x', 100), NULL);
TRUNCATE bad;
INSERT INTO bad VALUES ('a', '{1,2,3}'), ('b', '{1,2,3}');
SELECT tools.failure($$SELECT kg_import('bad', 'bad', 'relations', 'people')$$);
SELECT tools.failure($$SELECT kg_import('bad', 'bad', 'relations', 'people', '{"family": "distmult"}')$$);
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'bad', 'people', '{"family": "distmult"}')$$);
UPDATE bad SET embedding = array_fill(1::real, '{20002}');
SELECT tools.failure($$SELECT kg_import('bad', 'bad', 'relations', 'people')$$);
UPDATE bad SET embedding = '{}';
SELECT tools.failure($$SELECT kg_import('bad', 'bad', 'relations', 'people')$$);
-- An error of the table's own names the table.
CREATE VIEW doubles AS SELECT label, embedding::float8[] || 1e300::float8 AS embedding FROM entities;
SELECT kg_import('bad', 'doubles', 'relations', 'people');
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'relations', 'people', '[]')$$);
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'relations', 'people', '{"layout": "pairs"}')$$);
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'relations', 'people', '{"missing": true}')$$);
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'relations', 'people', '{"epochs": 3}')$$);
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'relations', 'people', '{"rank": 65}')$$);
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'relations', 'people', '{"validation_fraction": 0.1}')$$);
SELECT split_part(tools.failure($$SELECT kg_import('bad', 'entities', 'relations', 'people', '{"layuot": "halves"}')$$), E'\n', 1);
SELECT split_part(tools.failure($$SELECT kg_train('bad', 'people', params => '{"layout": "halves"}')$$), E'\n', 1);
SELECT tools.failure($$SELECT kg_import('bad', 'entities', 'relations', 'people', head => 'subject')$$) LIKE '42703:%' AS "no column";
-- Nothing of all that is left.
SELECT count(*) FROM metasd.models WHERE name = 'bad';
-- What does not fit is refused before it is taken.
SET metasd.train_mem = '1MB';
CREATE TABLE large AS SELECT label, array_fill(1::real, '{8000}') AS embedding FROM entities;
CREATE TABLE large_relations AS SELECT label, array_fill(1::real, '{8000}') AS embedding FROM relations;
SELECT kg_import('large', 'large', 'large_relations', 'people') AS run \gset
SELECT tools.ended(:run);
SELECT error ~ '^(the embeddings and triples alone need more memory than|training needs \d+ MB of memory,) metasd.train_mem' AS refused FROM metasd.versions WHERE run = :run;
RESET metasd.train_mem;
SELECT kg_drop('large');

-- ---- rights ----

CREATE ROLE importer LOGIN;
GRANT USAGE, CREATE ON SCHEMA import TO importer;
GRANT SELECT ON people TO importer;
SET ROLE importer;
SELECT tools.failure($$SELECT kg_import('theirs', 'import.entities', 'import.relations', 'import.people')$$);
RESET ROLE;
GRANT SELECT (label, embedding) ON entities TO importer;
SET ROLE importer;
SELECT tools.failure($$SELECT kg_import('theirs', 'import.entities', 'import.relations', 'import.people')$$);
RESET ROLE;
GRANT SELECT (label, embedding) ON relations TO importer;
SET ROLE importer;
SELECT tools.failure($$SELECT kg_import('theirs', 'import.entities', 'import.relations', 'import.people')$$);
RESET ROLE;
GRANT SELECT (reciprocal) ON relations TO importer;
SET ROLE importer;
SELECT kg_import('theirs', 'import.entities', 'import.relations', 'import.people') AS run \gset
SELECT tools.ended(:run);
SELECT tools.failure($$SELECT kg_import('copy', 'import.entities', 'import.relations', 'import.people')$$);
-- Who may read the source may ask, and read embeddings.
SELECT count(*) FROM kg_entity_embeddings('copy');
RESET ROLE;
REVOKE SELECT ON people FROM importer;
SET ROLE importer;
SELECT tools.failure($$SELECT count(*) FROM kg_entity_embeddings('copy')$$);
SELECT tools.failure($$SELECT count(*) FROM kg_relation_embeddings('copy')$$);
SELECT tools.failure($$SELECT kg_relation_embedding('speaks', 'copy')$$);
RESET ROLE;
-- What the model does not know, it does not know.
SELECT kg_relation_embedding('hates', 'copy') IS NULL AS unknown;
SELECT kg_relation_embedding(NULL, 'copy') IS NULL AS none, kg_relation_embedding('speaks', 'copy', NULL) = kg_relation_embedding('speaks', 'copy') AS forward;
-- A relation that is new is answered from its facts.
INSERT INTO people VALUES ('p01', 'likes', 'p04'), ('p02', 'likes', 'p05');
SELECT cardinality(kg_relation_embedding('likes', 'copy')) AS width;
SELECT kg_relation_embedding('likes', 'copy') <> kg_relation_embedding('likes', 'copy', true) AS "two ways";

-- ---- cancelled while it reads ----

CREATE VIEW gated AS SELECT * FROM entities WHERE tools.gate();
SELECT pg_advisory_lock(7);
BEGIN;
SELECT kg_import('gated', 'gated', 'relations', 'people') AS run \gset
COMMIT;
SELECT tools.reached(:run, 'reading');
SELECT kg_cancel(:run);
SELECT tools.ended(:run);
SELECT pg_advisory_unlock(7);
-- Fine-tuning that was cancelled goes on from its checkpoint.
CREATE TRIGGER gate BEFORE INSERT ON metasd.epoch FOR EACH ROW EXECUTE FUNCTION tools.wait_at_epoch_gate();
UPDATE tools.epoch_gate SET closed = true;
SELECT kg_import('tuned', 'entities', 'relations', 'people', '{"finetune": 8, "workers": 1, "checkpoint_every": 0, "missing": "skip"}') AS run \gset
SELECT tools.kept(:run);
SELECT kg_cancel(:run);
SELECT tools.all_workers_gone();
UPDATE tools.epoch_gate SET closed = false;
SELECT kg_resume(:run) = :run AS resumed;
SELECT tools.ended(:run);
SELECT max(epoch) AS epochs, bool_and(loss_pruned > 0) AS finetuned FROM metasd.learning_curve WHERE run = :run;
DROP TRIGGER gate ON metasd.epoch;
-- Of what is rolled back, nothing is there.
BEGIN;
SELECT kg_import('gone', 'entities', 'relations', 'people') AS run \gset
ROLLBACK;
SELECT tools.all_workers_gone(), count(*) FROM metasd.versions WHERE run = :run;

SELECT count(kg_drop(name)) FROM metasd.models;
SET client_min_messages = warning;
DROP SCHEMA import CASCADE;
DROP ROLE importer;
