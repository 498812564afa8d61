-- Probabilities: calibrated by facts held out, by relation where there are enough of them.
CREATE TABLE people AS SELECT * FROM tools.people();
CREATE TABLE held_out AS SELECT * FROM people WHERE relation = 'speaks' AND head <= 'p12' OR (head, relation) = ('p13', 'lives_in');
DELETE FROM people p USING held_out h WHERE (p.head, p.relation, p.tail) = (h.head, h.relation, h.tail);
SELECT kg_train('people', 'people', validation => 'held_out', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);

-- Which relations to trust: MRR by the facts held out, and whose calibration makes their probabilities.
SELECT model, run = :run AS serving, relation, triples, held_out, mrr BETWEEN 0 AND 1 AS mrr, calibration
FROM metasd.relations ORDER BY relation;
SELECT abs(sum(r.mrr * r.held_out) / sum(r.held_out) - (v.metrics #>> '{stored,mrr}')::float8) < 1e-6 AS "in all as stored"
FROM metasd.relations r JOIN metasd.versions v USING (run) GROUP BY v.metrics;
-- 11 people and 3 languages are asked for, a person and a town: all answers count that are no known facts.
SELECT metrics #> '{calibration,questions}' AS questions, metrics #> '{calibration,answers}' AS answers, metrics #> '{calibration,facts}' AS facts,
       (metrics #>> '{calibration,slope}')::float8 > 0 AS slope, metrics #> '{calibration,offset}' IS NOT NULL AS "offset",
       (metrics #>> '{calibration,base}')::float8 BETWEEN 0 AND 0.1 AS base, (metrics #>> '{calibration,steep}')::float8 > 0 AS steep
FROM metasd.versions;
-- What is held out is what the probabilities of the questions for it sum to, about.
SELECT abs(sum(p.probability) / count(*) FILTER (WHERE p.holds) - 1) < 0.25 AS "sums are right"
FROM (SELECT p.probability, (q.head, q.relation, p.tail) IN (TABLE held_out) AS holds
      FROM (SELECT DISTINCT head, relation FROM held_out) q, kg_predict(q.head, q.relation, 1000) p
      UNION ALL
      SELECT p.probability, (p.head, q.relation, q.tail) IN (TABLE held_out)
      FROM (SELECT DISTINCT relation, tail FROM held_out) q, kg_predict_heads(q.relation, q.tail, 1000) p) p;

-- The sigmoid of a relation and direction, or the model's, by its definition: of the log odds among all that
-- compete, which fall faster or slower below -3, above what is likely by chance. Known facts do not compete,
-- unless they are included.
CREATE FUNCTION probability_of(odds float8, slope float8, "offset" float8, base float8, steep float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS
$$SELECT base + (1 - base) / (1 + exp(-(slope * CASE WHEN odds < -3 THEN -3 + steep * (odds + 3) ELSE odds END + "offset")))$$;
CREATE TABLE sigmoids AS
SELECT label AS relation, side, coalesce(slope, (metrics #>> '{calibration,slope}')::float8) AS slope,
       coalesce("offset", (metrics #>> '{calibration,offset}')::float8) AS "offset",
       (metrics #>> '{calibration,base}')::float8 AS base, (metrics #>> '{calibration,steep}')::float8 AS steep
FROM metasd.relation l JOIN metasd.run r ON r.id = l.run,
     LATERAL (VALUES ('tail', l.tail_slope, l.tail_offset), ('head', l.head_slope, l.head_offset)) s (side, slope, "offset");
SELECT count(*), count(DISTINCT (slope, "offset")) AS different FROM sigmoids;
CREATE VIEW answers AS
SELECT q.relation, 'tail' AS side, q.head AS given, q.known, p.rank, p.score::float8, p.probability
FROM (SELECT DISTINCT head, relation, known FROM people, unnest('{exclude,include}'::text[]) known) q,
     kg_predict(q.head, q.relation, 1000, 'people', q.known) p
UNION ALL
SELECT q.relation, 'head', q.tail, q.known, p.rank, p.score, p.probability
FROM (SELECT DISTINCT tail, relation, known FROM people, unnest('{exclude,include}'::text[]) known) q,
     kg_predict_heads(q.relation, q.tail, 1000, 'people', q.known) p;
SELECT a.known, count(*) > 1000 AS many, max(abs(a.probability - probability_of(a.odds, s.slope, s."offset", s.base, s.steep))) < 1e-5 AS "as defined"
FROM (SELECT *, -ln(sum(exp(score)) OVER (PARTITION BY relation, side, given, known) * exp(-score) - 1) AS odds FROM answers) a
JOIN sigmoids s USING (relation, side) WHERE abs(a.odds) < 10 GROUP BY 1 ORDER BY 1;

-- They are in the order of the scores.
SELECT count(*) > 0 AS asked, bool_and(probability BETWEEN 0 AND 1 AND falling IS NOT FALSE) AS "in order"
FROM (SELECT *, probability <= lag(probability) OVER (PARTITION BY relation, side, given, known ORDER BY rank) AS falling
      FROM answers) a;

-- A fact that is marked is no prediction and has none; how many answers are asked for changes nothing.
SELECT count(*) FILTER (WHERE known) AS known, bool_and(known = (probability IS NULL)) AS "no prediction"
FROM kg_predict('p01', 'works_at', 1000, known => 'mark');
SELECT count(*), bool_and(a.probability = b.probability) AS "the same"
FROM kg_predict('p01', 'works_at', 3) a JOIN kg_predict('p01', 'works_at', 1000) b USING (tail);
SELECT bool_and(a.probability = b.probability) AS "the same"
FROM kg_predict('p01', 'works_at', 1000, known => 'mark') a JOIN kg_predict('p01', 'works_at', 1000) b USING (tail);
-- Nor does who else is a candidate: odds are against all entities.
SELECT count(*), bool_and(c.probability = a.probability) AS "the same"
FROM (SELECT DISTINCT relation, tail FROM people) q,
     LATERAL kg_predict_heads(q.relation, q.tail, 1000, candidate_ids => '{p07,p08,p11,p17,p27}') c
     JOIN LATERAL kg_predict_heads(q.relation, q.tail, 1000) a USING (head);

-- Those of relations that are asked for: one sigmoid of the model, by the pairs of entities held out.
SELECT metrics #> '{calibration,relations,questions}' AS questions, metrics #> '{calibration,relations,answers}' AS answers
FROM metasd.versions;
CREATE VIEW relations_between AS
SELECT q.*, p.rank, p.relation, p.score::float8, p.probability
FROM (SELECT DISTINCT head, tail, known FROM people, unnest('{exclude,include}'::text[]) known) q,
     kg_predict_relations(q.head, q.tail, 1000, 'people', q.known) p;
SELECT a.known, count(*) > 50 AS many, max(abs(a.probability - probability_of(a.odds, s.slope, s."offset", s.base, s.steep))) < 1e-5 AS "as defined"
FROM (SELECT *, -ln(sum(exp(score)) OVER (PARTITION BY head, tail, known) * exp(-score) - 1) AS odds FROM relations_between) a,
     (SELECT (metrics #>> '{calibration,relations,slope}')::float8 AS slope, (metrics #>> '{calibration,relations,offset}')::float8 AS "offset",
             (metrics #>> '{calibration,relations,base}')::float8 AS base, (metrics #>> '{calibration,relations,steep}')::float8 AS steep
      FROM metasd.versions) s WHERE abs(a.odds) < 10 GROUP BY 1 ORDER BY 1;
SELECT count(r) AS answers, bool_and(r.probability >= p.least) AS probable,
       count(r) = (SELECT count(*) FROM kg_predict_relations('p01', 'Arles', known => 'include') a WHERE a.probability >= p.least) AS "nothing left out"
FROM (SELECT probability AS least FROM kg_predict_relations('p01', 'Arles', known => 'include') UNION VALUES (0::real), (1)) p
     LEFT JOIN LATERAL kg_predict_relations('p01', 'Arles', known => 'include', min_probability => p.least) r ON true
GROUP BY p.least ORDER BY count(r);
SELECT count(*) FROM kg_predict_relations('p01', 'Arles', min_probability => 1.01);
SELECT count(*) FROM kg_predict_relations('p01', 'Arles', min_probability => NULL);

-- With nothing held out so are those of entities.
SELECT kg_drop('people');
SELECT kg_train('people', 'people', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SELECT relation, triples, held_out, mrr, calibration FROM metasd.relations ORDER BY relation;
SELECT metrics -> 'calibration' AS calibration FROM metasd.versions WHERE serving;
SELECT DISTINCT round(sum(probability)::numeric, 4) AS sum FROM answers GROUP BY relation, side, given, known;
SELECT DISTINCT round(sum(probability)::numeric, 4) AS sum FROM relations_between GROUP BY head, tail, known;

DROP VIEW answers, relations_between;
SELECT kg_drop('people');
SELECT count(*) FROM metasd.relations;
DROP TABLE people, held_out, sigmoids;
DROP FUNCTION probability_of(float8, float8, float8, float8, float8);
