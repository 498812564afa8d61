-- Families of scoring functions: each trains, is stored as told, and answers.
CREATE TABLE people AS SELECT * FROM tools.people();
CREATE TABLE families (family text PRIMARY KEY, reals_per_rank int, rank int);
INSERT INTO families VALUES ('complex', 2, 32), ('distmult', 1, 64);
CREATE FUNCTION params_of(f families) RETURNS jsonb LANGUAGE sql AS
$$SELECT tools.thorough() || jsonb_build_object('family', f.family, 'rank', f.rank)$$;

SELECT family, kg_train('as ' || family, 'people', params => params_of(f)) > 0 AS started
FROM families f ORDER BY 1;
SELECT name, tools.ended(last_run) FROM metasd.models ORDER BY 1;
SELECT m.name, v.params ->> 'family' AS family, v.params ->> 'regularizer' AS regularizer
FROM metasd.models m JOIN metasd.versions v ON v.run = m.serving ORDER BY 1;

-- The three facts that are missing, as tail, as head and as relation.
SELECT family, q.head, q.relation, p.tail, p.known
FROM families, (VALUES ('p07', 'speaks'), ('p17', 'lives_in'), ('p27', 'works_at')) q (head, relation),
     LATERAL kg_predict(q.head, q.relation, 1, 'as ' || family) p
ORDER BY 1, 2;
SELECT family, p.head, p.known FROM families, LATERAL kg_predict_heads('works_at', 'mill', 1, 'as ' || family) p ORDER BY 1;
SELECT family, p.relation, p.known
FROM families, LATERAL kg_predict_relations('p27', 'mill', 1, 'as ' || family) p ORDER BY 1;

-- Scores are those of predictions; ranks too.
SELECT family, bool_and(p.score = kg_score('p07', 'speaks', p.tail, 'as ' || family)) AS "the same score"
FROM families, LATERAL kg_predict('p07', 'speaks', 1000, 'as ' || family, known => 'include') p
GROUP BY 1 ORDER BY 1;
-- With side => 'head' those of heads, which are other figures; batches have the same, relations those of tails but for rounding.
SELECT family, bool_and(p.score = kg_score(p.head, 'speaks', 'French', 'as ' || family, 'head')) AS "the same score",
       bool_or(p.score <> kg_score(p.head, 'speaks', 'French', 'as ' || family)) AS "not that of the tail"
FROM families, LATERAL kg_predict_heads('speaks', 'French', 1000, 'as ' || family, known => 'include') p
GROUP BY 1 ORDER BY 1;
SELECT family, side, count(*), bool_and(p.score = kg_score(p.head, p.relation, p.tail, 'as ' || family, side)) AS "the same score"
FROM families, (VALUES ('tail'), ('head')) s (side),
     LATERAL kg_predict_many('{p07,French,mill}'::text[], '{speaks}'::text[], 1000, 'as ' || family, 'include', side) p
GROUP BY 1, 2 ORDER BY 1, 2;
SELECT family, bool_and(abs(p.score - kg_score('p27', p.relation, 'mill', 'as ' || family)) < 1e-4 * (1 + abs(p.score))) AS "the same score"
FROM families, LATERAL kg_predict_relations('p27', 'mill', 1000, 'as ' || family, known => 'include') p
GROUP BY 1 ORDER BY 1;
SELECT kg_score('p07', 'speaks', 'p07', 'as distmult') AS itself, kg_score('p07', 'speaks', 'p07', 'as distmult', 'head') AS "as head",
       kg_score('p07', 'speaks', 'French', 'as distmult', NULL) IS NULL AS "null",
       kg_score(head => 'p07', relation => 'speaks', tail => 'French', side => 'tail', model => 'as distmult')
       = kg_score('p07', 'speaks', 'French', 'as distmult') AS "tail is the default";
SELECT kg_score('p07', 'speaks', 'French', 'as distmult', 'relation');
SELECT family, kg_rank('p07', 'speaks', 'French', 'as ' || family) AS rank FROM families ORDER BY 1;

-- Embeddings are the rows that are stored; who works, lives and speaks alike is similar.
SELECT family, cardinality(kg_embedding('p07', 'as ' || family)) = rank * reals_per_rank AS width
FROM families ORDER BY 1;
SELECT family, string_agg(s.entity, ' ' ORDER BY s.entity) AS entities
FROM families, LATERAL kg_similar('p01', 9, 'as ' || family) s GROUP BY 1 ORDER BY 1;

-- kg_estimate knows how wide the rows are: what was stored is about what it says.
SELECT family, v.bytes / e.stored_bytes::float BETWEEN 0.8 AND 1.2 AS "as estimated"
FROM families f JOIN metasd.models m ON m.name = 'as ' || family JOIN metasd.versions v ON v.run = m.serving,
     LATERAL kg_estimate('people', params => params_of(f)) e
ORDER BY 1;
SELECT family, a.train_bytes = b.train_bytes AS "the same memory", a.stored_bytes = b.stored_bytes AS "the same bytes"
FROM (VALUES ('distmult', 2)) f (family, times),
     LATERAL kg_estimate('people', params => jsonb_build_object('rank', 50)) a,
     LATERAL kg_estimate('people', params => jsonb_build_object('rank', 50 * times, 'family', family)) b;
-- A model remembers its family, and each of its versions is asked by its own.
SELECT kg_train('as distmult', params => '{"seed": 2}') AS run \gset
SELECT tools.ended(:run);
SELECT params ->> 'family' AS family FROM metasd.versions WHERE model = 'as distmult' AND serving;
SELECT tail FROM kg_predict('p07', 'speaks', 1, 'as distmult');
SELECT kg_train('as distmult', params => '{"family": "complex"}') AS run \gset
SELECT tools.ended(:run);
SELECT params ->> 'family' AS family FROM metasd.versions WHERE model = 'as distmult' AND serving;
SELECT tail FROM kg_predict('p07', 'speaks', 1, 'as distmult');
SELECT cardinality(kg_embedding('p07', 'as distmult')) AS width;
SELECT kg_train('as distmult', params => '{"family": null}') AS run \gset
SELECT tools.ended(:run);
SELECT params ->> 'family' AS family FROM metasd.versions WHERE model = 'as distmult' AND serving;

-- N3 and all that can take part in a step.
SELECT family, kg_train('as ' || family, params => tools.quick() ||
       jsonb_build_object('family', family, 'regularizer', 'n3', 'negatives', 5, 'class_weights', true)) > 0 AS started
FROM families ORDER BY 1;
SELECT name, tools.ended(last_run) FROM metasd.models ORDER BY 1;
SELECT name, serving = last_run AS serving FROM metasd.models ORDER BY 1;
SELECT family, count(*) FROM families, LATERAL kg_predict('p07', 'speaks', 3, 'as ' || family) GROUP BY 1 ORDER BY 1;

SELECT family, kg_drop('as ' || family) FROM families ORDER BY 1;
DROP TABLE people;
DROP FUNCTION params_of(families);
DROP TABLE families;
