-- kg_train: where triples may come from, what it remembers, and what the catalog shows of it.
CREATE TABLE people AS SELECT * FROM tools.people();

-- A table: kg_train returns the id of the run, and a worker trains in the background.
SELECT kg_train('people', 'people', params => tools.quick()) AS first \gset
SELECT tools.ended(:first);
SELECT * FROM metasd.models
\gset model_
SELECT :'model_name' AS name, :'model_owner' = quote_ident(current_user) AS mine,
       :'model_source' AS source, :'model_head' AS head, :'model_relation' AS relation,
       :'model_tail' AS tail, :model_entities AS entities, :model_relations AS relations,
       :model_triples AS triples, :model_mrr BETWEEN 0 AND 1 AS "has MRR",
       :model_serving = :first AS serving, :model_last_run = :first AS last_run, :'model_last_status' AS last_status,
       :'model_trained'::timestamptz <= clock_timestamp() AS trained;

-- The version: how it ended, its figures, the parameters that were used, defaults among them.
SELECT model, run = :first AS run, status, serving, queued <= started AND started <= finished AS "in order",
       seconds >= 0 AS timed, entities, relations, triples, error
FROM metasd.versions;
SELECT params @> tools.quick() AS "as given", params -> 'sparsity' AS "a default" FROM metasd.versions;
SELECT key, jsonb_typeof(value) FROM metasd.versions, jsonb_each(metrics) ORDER BY key COLLATE "C";
SELECT key, jsonb_typeof(value) FROM metasd.versions, jsonb_each(metrics -> 'validation')
ORDER BY key COLLATE "C";

-- Its bytes are those of the embeddings: one an entity, two a relation.
SELECT v.bytes = e.bytes + r.bytes AS "as stored", e.rows AS entities, r.rows AS relations
FROM metasd.versions v,
     LATERAL (SELECT count(*) AS rows, sum(length(embedding)) AS bytes
              FROM metasd.entity WHERE run = v.run) e,
     LATERAL (SELECT count(*) AS rows, sum(length(embedding) + length(reciprocal)) AS bytes
              FROM metasd.relation WHERE run = v.run) r;

-- Labels are in the order of their bytes, with the triples they are in.
SELECT id, label, degree FROM metasd.entity WHERE run = :first ORDER BY id LIMIT 4;
SELECT id, label, count FROM metasd.relation WHERE run = :first ORDER BY id;
SELECT sum(degree) AS "two a triple" FROM metasd.entity WHERE run = :first;

-- The learning curve: an epoch of the full model, then the mask comes in.
SELECT epoch, loss_full > 0 AS loss, loss_trial > 0 AS trial, loss_quiz > 0 AS quiz,
       loss_pruned > 0 AS pruned_loss, mrr_full BETWEEN 0 AND 1 AS mrr,
       mrr_pruned BETWEEN 0 AND 1 AS pruned, round(sparsity::numeric, 1) AS sparsity,
       threshold > 0 AS threshold, regrown >= 0 AS regrown, dropped >= 0 AS dropped, round(lr::numeric, 3) AS lr
FROM metasd.learning_curve WHERE model = 'people' ORDER BY epoch;
SELECT count(*) FILTER (WHERE kept) > 0 AS "a kept one" FROM metasd.learning_curve;

-- A model that learns alone from its first epoch on has no full model, neither dense nor pruned, nor if it starts from
-- a version. One that learns alone after the warm-up has, if it is pruned.
CREATE FUNCTION alone(model text, params text) RETURNS bigint LANGUAGE sql AS $$
    SELECT kg_train(model, 'people', params => tools.quick() || '{"epochs": 3, "ramp": 0, "mutual": false, "quiz": false}' || params::jsonb)
$$;
SELECT alone('dense', '{"warmup": 0, "finetune": 3, "sparsity": 0}') AS run \gset
SELECT tools.ended(:run);
SELECT alone('pruned', '{"warmup": 0, "finetune": 3, "sparsity": 0.5}') AS run \gset
SELECT tools.ended(:run);
SELECT alone('dense after', '{"warmup": 1, "finetune": 2, "sparsity": 0}') AS run \gset
SELECT tools.ended(:run);
SELECT alone('pruned after', '{"warmup": 1, "finetune": 2, "sparsity": 0.5}') AS run \gset
SELECT tools.ended(:run);
SELECT alone('warm', '{"warmup": 0, "finetune": 3, "sparsity": 0}') AS run \gset
SELECT tools.ended(:run);
SELECT alone('warm', '{"warmup": 0, "finetune": 3, "sparsity": 0, "warm_start": true}') AS run \gset
SELECT tools.ended(:run);
SELECT model, tools.nth(run) AS version, array_agg(mrr_full IS NOT NULL ORDER BY epoch) AS "full", array_agg(mrr_pruned IS NOT NULL ORDER BY epoch) AS pruned,
       metrics ? 'warm_start' AS warm, metrics ? 'full' AS "full in the end", metrics ? 'validation' AS validated
FROM metasd.learning_curve JOIN metasd.versions USING (model, run) WHERE model <> 'people' GROUP BY model, run, metrics ORDER BY run;
SELECT count(kg_drop(name)) FROM metasd.models WHERE name <> 'people';
DROP FUNCTION alone;

-- Nothing is under way any more.
SELECT * FROM metasd.progress;

-- Trained again without a word, a model has its source and parameters from before. The new version
-- serves as soon as it is there; the old one stays.
SELECT kg_train('people') AS run \gset
SELECT tools.ended(:run);
SELECT tools.nth(run) AS version, status, serving, params ->> 'rank' AS rank FROM metasd.versions ORDER BY run;

-- New parameters are added to those remembered; null takes one back to its default.
SELECT kg_train('people', params => '{"rank": 4, "epochs": null}') AS run \gset
SELECT tools.ended(:run);
SELECT params FROM metasd.models;
SELECT tools.nth(run) AS version, serving, params ->> 'rank' AS rank, params ->> 'ramp' AS ramp, params -> 'epochs' = '3' AS "epochs as they were"
FROM metasd.versions ORDER BY run;

-- The same seed gives the same bytes, another seed others; the order of the rows does not matter.
CREATE FUNCTION fingerprint(run bigint) RETURNS text LANGUAGE sql AS $$
    SELECT md5(string_agg(bytes, '' ORDER BY bytes))
    FROM (SELECT label || embedding::text FROM metasd.entity e WHERE e.run = $1
          UNION ALL
          SELECT label || embedding::text || reciprocal::text FROM metasd.relation r
          WHERE r.run = $1) rows (bytes)
$$;
CREATE TABLE reversed AS SELECT * FROM people ORDER BY tail DESC, head DESC;
INSERT INTO reversed SELECT * FROM people LIMIT 20; -- facts said twice count once
SELECT kg_train('again', 'people', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('reversed', 'reversed', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('seed 2', 'people', params => tools.quick() || '{"seed": 2}') AS run \gset
SELECT tools.ended(:run);
SELECT m.name, m.serving = v.run AS serving,
       fingerprint(v.run) = fingerprint(:first) AS "as the first"
FROM metasd.versions v JOIN metasd.models m ON m.name = v.model ORDER BY v.run;

-- kg_drop leaves nothing of a model.
SELECT min(run) AS least FROM metasd.versions WHERE model = 'again' \gset
SELECT kg_drop('again'), kg_drop('reversed'), kg_drop('seed 2');
SELECT (SELECT count(*) FROM metasd.run WHERE id >= :least) AS runs,
       (SELECT count(*) FROM metasd.epoch WHERE run >= :least) AS epochs,
       (SELECT count(*) FROM metasd.entity WHERE run >= :least) AS entities,
       (SELECT count(*) FROM metasd.relation WHERE run >= :least) AS relations;
SELECT kg_drop('again');
SELECT kg_drop(NULL);

-- A dropped model comes back with its transaction.
BEGIN;
SELECT kg_drop('people');
SELECT name FROM metasd.models;
ROLLBACK;
SELECT name, tools.nth(serving) AS serving FROM metasd.models;
SELECT kg_drop('people');

-- Every kind of relation that can be read: a view, a materialized view, a partitioned table, a child
-- of another table, an unlogged table, a foreign table.
CREATE VIEW people_view AS SELECT tail AS what, head AS who, relation AS does, 1 AS more FROM people;
CREATE MATERIALIZED VIEW people_matview AS SELECT * FROM people;
CREATE TABLE people_parts (LIKE people) PARTITION BY LIST (relation);
CREATE TABLE people_part1 PARTITION OF people_parts FOR VALUES IN ('speaks', 'works_at');
CREATE TABLE people_part2 (tail text, head text, relation text);
ALTER TABLE people_parts ATTACH PARTITION people_part2 DEFAULT;
INSERT INTO people_parts SELECT * FROM people;
CREATE TABLE people_child () INHERITS (people);
CREATE UNLOGGED TABLE people_unlogged AS SELECT * FROM people;
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
\set program 'printf ''a,r,b\\nb,r,a\\n'''
CREATE FOREIGN TABLE people_foreign (head text, relation text, tail text) SERVER files
    OPTIONS (program :'program', format 'csv');
SELECT kg_train('view', 'people_view', head => 'who', relation => 'does', tail => 'what', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('matview', 'people_matview', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('parts', 'people_parts', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('parent', 'people', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('unlogged', 'people_unlogged', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('foreign', 'people_foreign', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT name, source, head, relation, tail, triples, entities, relations,
       fingerprint(serving) = fingerprint(min(serving) OVER ()) AS "as the first"
FROM metasd.models ORDER BY serving;

-- Columns are remembered, too; another source may be named later.
SELECT kg_train('view') AS run \gset
SELECT tools.ended(:run);
SELECT source, head, relation, tail FROM metasd.models WHERE name = 'view';
SELECT kg_train('view', 'people', head => 'head', relation => 'relation', tail => 'tail') AS run \gset
SELECT tools.ended(:run);
SELECT source, head, relation, tail, tools.nth(serving) AS serving FROM metasd.models WHERE name = 'view';

-- Many models in one statement, each with a worker of its own.
SELECT count(kg_train(name)) FROM metasd.models WHERE name IN ('view', 'parts', 'matview');
SELECT name, tools.ended(last_run) FROM metasd.models WHERE name IN ('view', 'parts', 'matview') ORDER BY 1;
SELECT count(kg_drop(name)) FROM metasd.models;

-- Validation by a table of its own: nothing is drawn from the source. What it shares with the source is not
-- trained on. Triples of which the source does not know all do not count.
CREATE TABLE answers AS
SELECT * FROM (VALUES ('p07', 'speaks', 'French'), ('p17', 'lives_in', 'Brest'), ('p27', 'works_at', 'mill'),
                      ('p01', 'speaks', 'French'), ('nobody', 'speaks', 'French'), ('p01', 'eats', 'mill'),
                      ('p01', NULL, 'mill'))
       AS v (head, relation, tail);
SELECT kg_train('people', 'people', validation => 'answers', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SELECT validation, triples, round(mrr::numeric, 2) AS mrr FROM metasd.models;
SELECT metrics #> '{validation,queries}' AS queries, metrics -> 'skipped_rows' AS skipped,
       metrics -> 'unknown_rows' AS unknown
FROM metasd.versions;
SELECT kg_train('people') AS run \gset
SELECT tools.ended(:run);
SELECT validation, tools.nth(serving) AS serving FROM metasd.models;
SELECT metrics #> '{validation,queries}' AS queries FROM metasd.versions WHERE serving;

-- What a training would take.
SELECT triples, entities, relations, skipped, rank = (params_used -> 'rank')::int AS rank,
       epochs = (params_used -> 'epochs')::int AS epochs
FROM kg_estimate('people');
SELECT rank, epochs, train_bytes BETWEEN 10000 AND 10000000 AS memory, stored_bytes BETWEEN 100 AND 100000 AS stored,
       params_used @> tools.quick() AS "as given"
FROM kg_estimate('people', params => tools.quick());
-- At its end it has an image of the new version, of 12 bytes a kept weight. That of the old one is the file that sessions map.
SELECT dense.train_bytes - sparse.train_bytes > 12 * 0.8 * sparse.entities * 2000 AS "the image counts"
FROM kg_estimate('people', params => '{"rank": 1000, "batch": 10, "sparsity": 0}') dense,
     kg_estimate('people', params => '{"rank": 1000, "batch": 10, "sparsity": 0.9}') sparse;
SELECT triples, skipped FROM kg_estimate('people_view', 'who', 'does', 'what');
SELECT skipped FROM kg_estimate('answers');
SELECT kg_estimate('people', NULL);
SELECT kg_estimate('people', 'hat');
SELECT kg_estimate('people', params => '{"rank": 0}');

SELECT kg_drop('people');
DROP EXTENSION file_fdw CASCADE;
DROP TABLE people, people_parts, people_unlogged, reversed, answers CASCADE;
DROP FUNCTION fingerprint(bigint);
