-- Approximate answers: of models with many entities, if the setting says so.
LOAD 'metasd';
SHOW metasd.search_entities;
SET metasd.search_entities = -1;
SET metasd.search_entities = 'few';

-- 70,000 people, each in one of 700 towns and born in another.
CREATE TABLE facts AS
SELECT 'p' || i AS head, relation, 't' || CASE relation WHEN 'lives_in' THEN i / 100 ELSE i % 700 END AS tail
FROM generate_series(0, 69999) i, (VALUES ('lives_in'), ('born_in')) r (relation);
CREATE INDEX ON facts (head, relation, tail);
CREATE INDEX ON facts (relation, tail);
ANALYZE facts;
SELECT kg_train('towns', 'facts', params => '{"rank": 8, "epochs": 2, "warmup": 1, "ramp": 0, "finetune": 1, "quiz": false,
    "mutual": false, "negatives": 200, "validation_fraction": 0, "reg": 0, "sparsity": 0.25}') AS run \gset
SELECT tools.ended(:run);

CREATE TABLE towns AS SELECT 't' || i AS town FROM generate_series(0, 690, 35) i;
CREATE VIEW asked AS
SELECT town, p.* FROM towns, kg_predict_heads('lives_in', town, 10, known => 'include') p;
CREATE TABLE exact AS TABLE asked;
CREATE TABLE whole AS SELECT town, p.* FROM (SELECT * FROM towns LIMIT 3) t, kg_predict_heads('lives_in', town, 100000, known => 'include') p;

-- As many as there are are all of them.
SET metasd.search_entities = 2147483647;
(TABLE exact EXCEPT ALL TABLE asked) UNION ALL (TABLE asked EXCEPT ALL TABLE exact);

-- A few thousand find most. No answer has another score than it has, and ranks follow the scores.
SET metasd.search_entities = 20000;
CREATE TABLE found AS TABLE asked;
SELECT count(*), count(*) FILTER (WHERE rank <> should) AS other_ranks,
       count(*) FILTER (WHERE NOT probability BETWEEN 0 AND 1) AS impossible
FROM (SELECT *, rank() OVER (PARTITION BY town ORDER BY score DESC) AS should FROM found) f;
SELECT count(*), count(*) FILTER (WHERE f.score <> w.score) AS other_scores FROM found f JOIN whole w USING (town, head);
SELECT count(*) >= 150 AS "most are found" FROM found f JOIN exact e USING (town, head);
-- The odds of an answer are about those among all.
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(f.probability / e.probability - 1)) < 0.2 AS "probabilities are near"
FROM found f JOIN exact e USING (town, head);
-- With fewer, fewer are found; but there are always as many answers as were asked for, if there are so many entities.
SET metasd.search_entities = 1;
SELECT count(DISTINCT town) AS towns, count(*) > 20 AS "a cluster each" FROM asked;

-- What is known is told, and left out, as ever.
SET metasd.search_entities = 20000;
SELECT count(*), count(*) FILTER (WHERE known <> EXISTS (SELECT FROM facts f WHERE (f.head, f.relation, f.tail) = (p.head, 'lives_in', town))) AS wrong
FROM towns, kg_predict_heads('lives_in', town, 200, known => 'mark') p;
SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM facts f WHERE (f.head, f.relation, f.tail) = (p.head, 'lives_in', town))) AS known
FROM towns, kg_predict_heads('lives_in', town, 200) p;

-- Candidates that are given have exact ranks.
CREATE TABLE few AS SELECT 'p' || i * 71 AS id FROM generate_series(1, 900) i;
CREATE VIEW chosen AS
SELECT town, p.rank, p.head, p.score
FROM towns, kg_predict_heads('lives_in', town, 20, known => 'include', candidates => 'few') p;
CREATE VIEW listed AS
SELECT town, p.rank, p.head, p.score
FROM towns, kg_predict_heads('lives_in', town, 20, known => 'include', candidate_ids => ARRAY['p1', 'p2', 't3', 'p4']) p;
-- More than one in 64: then all are scored.
CREATE VIEW many AS
SELECT town, p.* FROM towns, kg_predict_heads('lives_in', town, 20, known => 'include', candidates => 'facts') p;
CREATE TABLE few_found AS TABLE chosen;
CREATE TABLE listed_found AS TABLE listed;
CREATE TABLE many_found AS TABLE many;
RESET metasd.search_entities;
SELECT count(*) FROM few_found;
(TABLE few_found EXCEPT ALL TABLE chosen) UNION ALL (TABLE chosen EXCEPT ALL TABLE few_found);
SELECT count(*) FROM listed_found;
(TABLE listed_found EXCEPT ALL TABLE listed) UNION ALL (TABLE listed EXCEPT ALL TABLE listed_found);
SELECT count(*) FROM many_found;
(TABLE many_found EXCEPT ALL TABLE many) UNION ALL (TABLE many EXCEPT ALL TABLE many_found);

-- Similar entities: of these, too, each has its own score; and an entity is never similar to itself.
CREATE VIEW alike AS SELECT town, s.* FROM towns, kg_similar(town, 10) s;
CREATE TABLE exact_alike AS TABLE alike;
CREATE TABLE all_alike AS SELECT town, s.* FROM (SELECT * FROM towns LIMIT 3) t, kg_similar(town, 100000) s;
SET metasd.search_entities = 20000;
CREATE TABLE found_alike AS TABLE alike;
SELECT count(*), count(*) FILTER (WHERE entity = town) AS itself FROM found_alike;
SELECT count(*), count(*) FILTER (WHERE f.similarity <> a.similarity) AS other_scores FROM found_alike f JOIN all_alike a USING (town, entity);
SELECT count(*) >= 120 AS "most are found" FROM found_alike f JOIN exact_alike e USING (town, entity);

-- A batch has the answers of its questions.
CREATE TABLE questions AS SELECT 'p' || i * 977 AS head, 'born_in' AS relation FROM generate_series(1, 60) i;
WITH many AS (SELECT head, rank, tail, score, probability, known FROM kg_predict_many('questions', 5)),
     one AS (SELECT q.head, p.* FROM questions q, kg_predict(q.head, q.relation, 5) p)
SELECT (SELECT count(*) FROM many), (SELECT count(*) FROM (TABLE many EXCEPT ALL TABLE one) d) AS differ;

-- Relations, ranks and evaluations are exact, whatever is set.
CREATE TABLE sample AS SELECT * FROM facts ORDER BY md5(head || relation) LIMIT 20;
CREATE VIEW never AS
SELECT 'relations' AS kind, p.relation AS label, p.rank::numeric, p.score, p.probability
FROM kg_predict_relations('p7', 't0', 5, known => 'include') p
UNION ALL SELECT 'rank', 'p7', r.rank::numeric, r.candidates, NULL FROM kg_rank('p7', 'lives_in', 't0') r
UNION ALL SELECT 'evaluate', e.bucket, round(e.mrr::numeric, 6), e.mean_rank, e.hits_10 FROM kg_evaluate('towns', 'sample') e;
CREATE TABLE never_found AS TABLE never;
RESET metasd.search_entities;
SELECT count(*) FROM never_found;
(TABLE never_found EXCEPT ALL TABLE never) UNION ALL (TABLE never EXCEPT ALL TABLE never_found);

-- Newcomers ask in the same way.
INSERT INTO facts VALUES ('newcomer', 'lives_in', 't35'), ('newcomer', 'born_in', 't70');
SET metasd.search_entities = 20000;
SELECT count(*), count(*) FILTER (WHERE p.tail = 't70') AS known FROM kg_predict('newcomer', 'born_in', 5) p;
RESET metasd.search_entities;

-- A small model has no clusters: its answers are exact.
CREATE TABLE small AS SELECT * FROM facts WHERE tail IN ('t1', 't2', 't3');
SELECT kg_train('small', 'small', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
CREATE TABLE small_exact AS SELECT * FROM kg_predict_heads('lives_in', 't1', 50, 'small');
SET metasd.search_entities = 1;
SELECT count(*), count(*) FILTER (WHERE s.head IS NULL) AS differ
FROM kg_predict_heads('lives_in', 't1', 50, 'small') p LEFT JOIN small_exact s USING (rank, head, score, probability);
RESET metasd.search_entities;

-- The planner knows that such a question costs less.
ANALYZE metasd.entity;
CREATE FUNCTION cost_of(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    RETURN plan -> 0 -> 'Plan' -> 'Total Cost';
END $$;
SELECT cost_of($$SELECT * FROM kg_predict('p1', 'born_in', 5, 'towns')$$) AS exact \gset
SET metasd.search_entities = 1000;
SELECT cost_of($$SELECT * FROM kg_predict('p1', 'born_in', 5, 'towns')$$) < :exact / 5 AS "costs less";
RESET metasd.search_entities;
DROP FUNCTION cost_of(text);

SELECT kg_drop('towns'), kg_drop('small');
SET client_min_messages = warning; -- views go, too
DROP TABLE facts, towns, exact, whole, found, few, few_found, listed_found, many_found, exact_alike, all_alike, found_alike, questions,
           sample, never_found, small, small_exact CASCADE;
RESET client_min_messages;
