-- Entities and relations that a model does not know, but of which its source has facts: every function answers them by these.
CREATE TABLE newcomers AS SELECT * FROM tools.people();
SELECT kg_train('newcomers', 'newcomers', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SET metasd.model = 'newcomers';

-- Without facts nothing is known of them, and a NOTICE says so.
SELECT * FROM kg_predict('p31', 'speaks', 1);

-- A newcomer has a fact, or two: it speaks what others in the bakery speak. A fact that is there is no prediction.
INSERT INTO newcomers VALUES ('p31', 'works_at', 'bakery');
SELECT rank, tail, known FROM kg_predict('p31', 'speaks', 1);
SELECT rank, tail, known FROM kg_predict('p31', 'lives_in', 1);
SELECT rank, tail, known FROM kg_predict('p31', 'works_at', 1, known => 'mark');
SELECT count(*) FROM kg_predict('p31', 'works_at', 1000) WHERE tail = 'bakery';
INSERT INTO newcomers VALUES ('p31', 'lives_in', 'Arles');
SELECT rank, tail FROM kg_predict('p31', 'speaks', 1);
SELECT rank, tail FROM kg_predict('p31', 'speaks', 1, candidates => NULL, min_probability => 0.0001);

-- Facts that come later count at once, also in the transaction that has written them; those that go do not.
BEGIN;
DELETE FROM newcomers WHERE head = 'p31';
SELECT count(*) FROM kg_predict('p31', 'speaks', 1);
INSERT INTO newcomers VALUES ('p31', 'works_at', 'mill'), ('p31', 'lives_in', 'Calais');
SELECT rank, tail FROM kg_predict('p31', 'speaks', 1);
ROLLBACK;
SELECT rank, tail FROM kg_predict('p31', 'speaks', 1);

-- A place where people of the bakery's kind work, and a relation that is like lives_in.
INSERT INTO newcomers SELECT head, 'works_at', 'patisserie' FROM newcomers WHERE tail = 'bakery' AND head < 'p20';
INSERT INTO newcomers SELECT head, 'sleeps_in', tail FROM newcomers WHERE relation = 'lives_in' AND head < 'p20';
SELECT string_agg(head, ' ' ORDER BY rank) ~ '^(p22|p25|p28) (p22|p25|p28) (p22|p25|p28)$' AS "those of the bakery"
FROM kg_predict_heads('works_at', 'patisserie', 3);
SELECT rank, tail FROM kg_predict('p25', 'sleeps_in', 1);
SELECT rank, tail FROM kg_predict('p26', 'sleeps_in', 1);
SELECT count(*) FROM kg_predict('p10', 'sleeps_in', 1000) WHERE tail = 'Arles';
SELECT count(*), bool_and(head IN ('p22', 'p25', 'p28', 'p31')) AS "who lives there" FROM kg_predict_heads('sleeps_in', 'Arles', 3);
-- Both are new: each is known by its own facts.
SELECT rank, tail FROM kg_predict('p31', 'sleeps_in', 1);

-- The other functions.
SELECT rank, relation FROM kg_predict_relations('p31', 'French', 1);
SELECT rank, relation FROM kg_predict_relations('p31', 'Arles', 1, known => 'mark');
SELECT kg_score('p31', 'speaks', 'French') > kg_score('p31', 'speaks', 'Breton') AS tail,
       kg_score('p31', 'speaks', 'French', side => 'head') > kg_score('p31', 'speaks', 'Breton', side => 'head') AS head;
SELECT bool_and(p.score = kg_score('p31', 'speaks', p.tail)) AS "the same score" FROM kg_predict('p31', 'speaks', 1000) p;
SELECT bool_and(p.score = kg_score(p.head, 'speaks', 'French', side => 'head')) AS "the same score"
FROM kg_predict_heads('speaks', 'French', 1000) p;
SELECT r.* FROM kg_rank('p31', 'speaks', 'French') r;
SELECT rank, candidates FROM kg_rank('p22', 'works_at', 'patisserie');
SELECT rank < 3 AS "like others there", candidates FROM kg_rank('p25', 'sleeps_in', 'Arles');
SELECT count(*), bool_and(entity IN (SELECT head FROM tools.people() WHERE tail IN ('bakery', 'Arles'))) AS alike
FROM kg_similar('p31', 3);
SELECT array_length(kg_embedding('p31'), 1), kg_embedding('p31') = kg_embedding('p31') AS "the same again",
       kg_embedding_sparse('p31') LIKE '{1:%}/128' AS sparse;
SELECT query, head, relation, tail, rank
FROM kg_predict_many('{p07,p31,nobody,p31,p17}'::text[], '{speaks,speaks,speaks,sleeps_in,lives_in}'::text[], 1) ORDER BY query;
SELECT query, head, tail, rank FROM kg_predict_many('{p31,p31}'::text[], '{speaks}'::text[], 1, known => 'include') ORDER BY query;
CREATE TABLE asked (head text, relation text, tail text);
INSERT INTO asked VALUES ('p31', 'speaks', 'French'), ('p07', 'speaks', 'French'), ('p32', 'speaks', 'French');
SELECT query, head, tail, rank FROM kg_predict_many('asked', 1) ORDER BY query;


-- Why? kg_explain shows the facts that speak for it, those among them that a newcomer's row is made of: they speak with the row of the
-- entity that is new, with that of the relation, and with both.
SELECT kind, relation, tail, share > 0 AS "speaks for it" FROM kg_explain('p31', 'speaks', 'French', 1000) WHERE kind = 'head' ORDER BY 2;
SELECT kind, relation, count(*), round(sum(abs(sum(share))) OVER ()::numeric, 3) AS sum FROM kg_explain('p31', 'speaks', 'French', 1000)
GROUP BY 1, 2 ORDER BY 1, 2;
SELECT kind, relation, count(*), min(share) > 0 AS "speaks for it" FROM kg_explain('p25', 'works_at', 'patisserie', 1000) WHERE kind <> 'like' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT kind, relation, count(*), min(share) > 0 AS "speaks for it" FROM kg_explain('p25', 'sleeps_in', 'Arles', 1000) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT kind, relation, count(*), min(share) > 0 AS "speaks for it" FROM kg_explain('p31', 'sleeps_in', 'Arles', 1000) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT kind, relation, count(*) FROM kg_explain('p31', 'works_at', 'patisserie', 1000) WHERE kind <> 'like' GROUP BY 1, 2 ORDER BY 1, 2;
-- Nothing speaks for it, or it is impossible: a NOTICE of its own.
SELECT count(*) FROM kg_explain('p31', 'speaks', 'Breton');
SELECT count(*) FROM kg_explain('p31', 'sleeps_in', 'p31');
-- A fact of a newcomer that comes or goes changes the explanation; the triple itself is none, nor is a fact with another newcomer.
BEGIN;
INSERT INTO newcomers VALUES ('p31', 'speaks', 'French'), ('p31', 'works_at', 'patisserie'), ('p31', 'knows', 'p30'), ('p31', 'works_at', 'p31');
SELECT relation, tail FROM kg_explain('p31', 'speaks', 'French', 1000) WHERE kind = 'head' ORDER BY 1;
INSERT INTO newcomers VALUES ('p31', 'works_at', 'mill');
SELECT relation, tail, share > 0 AS "speaks for it" FROM kg_explain('p31', 'speaks', 'French', 1000) WHERE kind = 'head' ORDER BY 1, 2;
ROLLBACK;

-- Shares are those of the formulas in doc/method.md, computed here by brute force from the embeddings: of what the model knows, of newcomers
-- as head, relation and tail, and of two at a time.
CREATE FUNCTION times(a float8[], b float8[], sign int DEFAULT 1) RETURNS float8[] LANGUAGE plpgsql IMMUTABLE AS $$ -- sign -1: by the conjugate of b
DECLARE
    n int := cardinality(a) / 2;
    x float8[];
    y float8[];
BEGIN
    FOR i IN 1 .. n LOOP
        x[i] := a[i] * b[i] - sign * a[i + n] * b[i + n];
        y[i] := a[i + n] * b[i] + sign * a[i] * b[i + n];
    END LOOP;
    RETURN x || y;
END $$;
CREATE FUNCTION dot(a float8[], b float8[]) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN (SELECT sum(x * y) FROM unnest(a, b) u (x, y)); END $$;
CREATE FUNCTION less(a float8[], b float8[]) RETURNS float8[] LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN ARRAY(SELECT x - y FROM unnest(a, b) u (x, y)); END $$;
CREATE FUNCTION kept(gradient float8[], of_row float8[]) RETURNS float8[] LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN ARRAY(SELECT CASE WHEN y <> 0 THEN x ELSE 0 END FROM unnest(gradient, of_row) u (x, y)); END $$;
CREATE FUNCTION brute_force(h text, r text, t text) RETURNS TABLE (head text, relation text, tail text, share float8) LANGUAGE sql AS $$
WITH trained AS MATERIALIZED (SELECT label AS e, embedding::float8[] AS v FROM kg_entity_embeddings()),
     entity AS MATERIALIZED (SELECT e, v, false AS is_new FROM trained UNION ALL
                             SELECT DISTINCT e, kg_embedding(e)::float8[], true FROM unnest(ARRAY[h, t]) e WHERE e NOT IN (SELECT e FROM trained)),
     known AS MATERIALIZED (SELECT label AS l, embedding::float8[] AS f, reciprocal::float8[] AS b FROM kg_relation_embeddings()),
     relation AS MATERIALIZED (SELECT l, f, b, false AS is_new FROM known UNION ALL
                               SELECT r, kg_relation_embedding(r)::float8[], kg_relation_embedding(r, reciprocal => true)::float8[], true
                               WHERE r NOT IN (SELECT l FROM known)),
     fact AS MATERIALIZED (SELECT DISTINCT n.head, n.relation, n.tail, a.v AS x, a.is_new AS xn, rel.f, rel.b, z.v AS y, z.is_new AS yn, rel.is_new AS rn
                           FROM newcomers n JOIN entity a ON a.e = n.head JOIN relation rel ON rel.l = n.relation JOIN entity z ON z.e = n.tail
                           WHERE a.is_new::int + rel.is_new::int + z.is_new::int <= 1),
     average AS (SELECT array_agg(m ORDER BY i) AS v FROM (SELECT i, avg(w) AS m FROM trained, unnest(v) WITH ORDINALITY u (w, i) GROUP BY i) a),
     triple AS MATERIALIZED (SELECT a.v AS x, a.is_new AS xn, rel.f, z.v AS y, z.is_new AS yn, rel.is_new AS rn
                             FROM entity a, relation rel, entity z WHERE (a.e, rel.l, z.e) = (h, r, t)),
     rival AS (SELECT v, dot(times(x, f), v) AS score FROM trained, triple WHERE e NOT IN (h, t) AND e NOT IN (SELECT tail FROM fact WHERE (head, relation) = (h, r))
               ORDER BY score DESC LIMIT 32),
     rivals AS (SELECT array_agg(m ORDER BY i) AS v
                FROM (SELECT i, sum(w * part) AS m FROM (SELECT v, exp(score - max(score) OVER ()) / (SELECT sum(exp(score - (SELECT max(score) FROM rival))) FROM rival) AS part
                                                         FROM rival) q, unnest(v) WITH ORDINALITY u (w, i) GROUP BY i) a),
     towards AS MATERIALIZED (SELECT kept(times(less(y, rivals.v), f, -1), x) AS th, kept(times(less(y, rivals.v), x, -1), f) AS tr, kept(times(x, f), y) AS tt
                              FROM triple, rivals),
     counted AS MATERIALIZED (
         SELECT dot(x, x) / CASE WHEN xn THEN (SELECT count(*) FROM fact WHERE h IN (head, tail)) ELSE
                                (SELECT count(*) FROM tools.people() p WHERE h IN (p.head, p.tail)) END AS ch,
                dot(f, f) / CASE WHEN rn THEN (SELECT count(*) FROM fact WHERE relation = r) ELSE
                                (SELECT count(*) FROM tools.people() p WHERE p.relation = r) END AS cr,
                dot(y, y) / CASE WHEN yn THEN (SELECT count(*) FROM fact WHERE t IN (head, tail)) ELSE
                                (SELECT count(*) FROM tools.people() p WHERE t IN (p.head, p.tail)) END AS ct
         FROM triple),
     weight AS MATERIALIZED (
         SELECT a.head, a.relation, a.tail,
                CASE WHEN a.head = h THEN ch * (dot(towards.th, times(less(y, average.v), f, -1)) + CASE WHEN xn THEN 0 ELSE dot(towards.th, times(y, b)) END)
                     ELSE 0 END
              + CASE WHEN a.tail = h THEN ch * (dot(towards.th, times(less(x, average.v), b, -1)) + CASE WHEN yn THEN 0 ELSE dot(towards.th, times(x, f)) END)
                     ELSE 0 END
              + CASE WHEN a.head = t THEN ct * (dot(towards.tt, times(less(y, average.v), f, -1)) + CASE WHEN xn THEN 0 ELSE dot(towards.tt, times(y, b)) END)
                     ELSE 0 END
              + CASE WHEN a.tail = t THEN ct * (dot(towards.tt, times(less(x, average.v), b, -1)) + CASE WHEN yn THEN 0 ELSE dot(towards.tt, times(x, f)) END)
                     ELSE 0 END
              + CASE WHEN a.relation = r THEN cr * dot(towards.tr, times(less(y, average.v), x, -1)) ELSE 0 END AS w
         FROM fact a, towards, average, counted
         WHERE (a.head, a.relation, a.tail) <> (h, r, t) AND (a.head, a.relation, a.tail) IN (SELECT e.head, e.relation, e.tail FROM kg_explain(h, r, t, 100000) e))
SELECT head, relation, tail, w / sum(abs(w)) OVER () FROM weight
$$;
SET jit = off;
SET client_min_messages = warning;
BEGIN;
INSERT INTO newcomers VALUES ('p32', 'works_at', 'bakery'), ('p32', 'lives_in', 'Arles'), ('p32', 'speaks', 'Breton'), ('p32', 'works_at', 'mill');
SELECT q.*, e.*
FROM (VALUES ('p07', 'speaks', 'French'), ('p32', 'speaks', 'French'), ('p32', 'speaks', 'Breton'), ('p25', 'works_at', 'patisserie'),
             ('p25', 'sleeps_in', 'Arles'), ('p31', 'sleeps_in', 'Arles'), ('p32', 'works_at', 'patisserie')) q (h, r, t),
     LATERAL (SELECT count(*) > 2 AS some, round(sum(abs(e.share))::numeric, 3) AS sum, max(abs(b.share - e.share)) < 1e-5 AS "the same shares",
                     bool_and(sign(b.share) = sign(e.share)) AS "the same signs",
                     (array_agg(e.relation || e.tail ORDER BY e.rank))[1] = (array_agg(e.relation || e.tail ORDER BY b.share DESC))[1] AS "the same first"
              FROM kg_explain(h, r, t, 1000) e FULL JOIN brute_force(h, r, t) b USING (head, relation, tail)) e;
-- The order is that in which the score falls, against that of another answer, when a fact is left out and the row made again.
CREATE FUNCTION lead(without text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    lead float8;
BEGIN
    DELETE FROM newcomers WHERE head = 'p32' AND tail = without;
    lead := kg_score('p32', 'speaks', 'French') - kg_score('p32', 'speaks', 'Flemish');
    RAISE EXCEPTION USING errcode = 'P0001', message = lead;
EXCEPTION WHEN raise_exception THEN
    RETURN sqlerrm::float8;
END $$;
SELECT corr(share, lead(NULL) - lead(tail)) > 0.8 AS "speaks as it is missed", bool_and(sign(share) = sign(lead(NULL) - lead(tail))) AS "and the same signs"
FROM kg_explain('p32', 'speaks', 'French', 1000) WHERE head = 'p32' AND tail <> 'Breton';
ROLLBACK;
RESET client_min_messages;
RESET jit;
DROP FUNCTION brute_force, times, dot, less, kept;

-- Newcomers that are named as candidates are answers, with the scores of kg_score: in an array, in a relation, for heads and in a batch. A
-- fact that is there is known; who ties has the same rank, in the order of the labels; nobody is left out.
BEGIN;
INSERT INTO newcomers SELECT head, language, tail FROM (SELECT DISTINCT head, 'speaks', l FROM newcomers, unnest('{Provencal,Occitan}'::text[]) l
                                                       WHERE tail = 'bakery' AND head < 'p20') n (head, language, tail);
SELECT rank, tail, known FROM kg_predict('p25', 'speaks', candidate_ids => '{French,nobody,Breton,Provencal,Occitan,Occitan,NULL}', known => 'mark');
SELECT rank, tail, known, probability IS NULL AS fact FROM kg_predict('p04', 'speaks', candidate_ids => '{Provencal,Breton,French,Occitan}', known => 'mark');
SELECT rank, tail, known FROM kg_predict('p04', 'speaks', candidate_ids => '{Provencal,Breton,French,Occitan}');
SELECT count(*), bool_and(score = kg_score('p25', 'speaks', tail)) AS "the same scores"
FROM kg_predict('p25', 'speaks', known => 'include', candidate_ids => '{French,Breton,Provencal,Occitan}');
SELECT bool_and(probability BETWEEN 0 AND 1) AS probable, bool_and(falling) AS falling
FROM (SELECT probability, probability <= lag(probability, 1, 1.0::real) OVER (ORDER BY rank, tail) AS falling
      FROM kg_predict('p25', 'speaks', known => 'include', candidate_ids => '{French,Breton,Provencal,Occitan,mill,Arles}') p) p;
SELECT rank, head, known FROM kg_predict_heads('works_at', 'bakery', candidate_ids => '{p31,p26,nobody}', known => 'mark');
SELECT count(*), bool_and(score = kg_score(head, 'works_at', 'mill', side => 'head')) AS "the same scores"
FROM kg_predict_heads('works_at', 'mill', candidate_ids => '{p31,p25,p32}', known => 'include');
SELECT rank, tail, known FROM kg_predict('p31', 'speaks', 3, known => 'mark', candidate_ids => '{Occitan,French,Breton}'); -- he is new, too
SELECT query, rank, tail, known FROM kg_predict_many('{p25,p04,p31,p25}'::text[], '{speaks}'::text[], 3, known => 'mark', candidate_ids => '{Occitan,French,Breton}');
CREATE TEMP TABLE named AS SELECT unnest('{nobody,Occitan,French,Breton,Provencal}'::text[]);
SELECT query, rank, tail FROM kg_predict_many('{p25,p04}'::text[], '{speaks}'::text[], 3, candidates => 'named');
SELECT h, rank, tail FROM unnest('{p25,p04,p31}'::text[]) h, kg_predict(h, 'speaks', 2, candidates => 'named');
SELECT count(*) FROM kg_predict('p25', 'speaks', candidate_ids => '{nobody}');
SELECT count(*) FROM kg_predict('p25', 'speaks', candidate_ids => '{Occitan}');
-- A fact of two newcomers is known, though it tells nothing of either; an entity is no answer about itself, unless the relation allows it.
INSERT INTO newcomers VALUES ('p31', 'speaks', 'Occitan'), ('p30', 'sings_in', 'Occitan');
SELECT tail, known FROM kg_predict('p31', 'speaks', known => 'mark', candidate_ids => '{Occitan,Provencal}');
SELECT count(*) FROM kg_predict('p31', 'works_at', candidate_ids => '{p31}', known => 'include');
INSERT INTO newcomers SELECT head, 'is', head FROM tools.people() WHERE relation = 'works_at';
SELECT tail FROM kg_predict('p31', 'is', candidate_ids => '{p31}');
-- So many that only some are looked at, or have room: a NOTICE says so.
SELECT count(*) FROM kg_predict('p25', 'speaks', 10000, candidate_ids => (SELECT array_agg('nobody' || i) || '{French,Occitan}' FROM generate_series(1, 999) i));
SELECT count(*) FROM kg_predict('p25', 'speaks', 10000, candidate_ids => (SELECT array_agg('nobody' || i) || '{French,Occitan}' FROM generate_series(1, 1000) i));
INSERT INTO newcomers SELECT 'c' || i, 'works_at', 'mill' FROM generate_series(1, 400) i;
SET LOCAL work_mem = '64kB';
SET LOCAL client_min_messages = warning;
SELECT count(*) BETWEEN 20 AND 200 AS some FROM kg_predict_heads('works_at', 'bakery', 10000, candidate_ids => (SELECT array_agg('c' || i) FROM generate_series(1, 400) i));
RESET work_mem;
RESET client_min_messages;
-- kg_discover finds facts of what is named; kg_suspects judges facts of what is new. Other tests of these compare them with others.
SELECT count(*) > 20 AS many FROM kg_discover(head => 'p31');
SELECT count(*) FROM kg_discover(tail => 'Occitan', relation => 'speaks');
SELECT count(*) FROM kg_discover(relation => 'sleeps_in');
SELECT count(*) FROM kg_discover(head => 'nobody');
SELECT count(*) FROM kg_suspects(relation => 'sleeps_in');
SELECT count(*) FROM kg_discover(head => 'p25', relation => 'speaks', candidates => 'named', k => 10) WHERE tail IN ('Occitan', 'Provencal');
-- Off, they are none at all.
SET LOCAL metasd.fold_in = off;
SELECT rank, tail FROM kg_predict('p25', 'speaks', known => 'include', candidate_ids => '{French,Breton,Provencal,Occitan}');
SELECT rank, tail FROM kg_predict('p25', 'speaks', known => 'include', candidates => 'named');
SELECT count(*) FROM kg_predict('p25', 'speaks', candidate_ids => '{Occitan}');
SELECT count(*) FROM kg_discover(head => 'p31');
SELECT count(*) FROM kg_suspects(relation => 'sleeps_in');
ROLLBACK;

-- Thousands of newcomers in a statement take no more memory than work_mem, and are answered in their order.
SET work_mem = 64;
SET client_min_messages = warning;
CREATE TABLE crowd AS SELECT format('q%s', i) AS head, 'works_at' AS relation,
                             ('{mill,bakery,harbour}'::text[])[1 + i % 3] AS tail FROM generate_series(1, 300) i;
INSERT INTO newcomers TABLE crowd;
SELECT count(*), bool_and(p.tail = ('{Flemish,French,Breton}'::text[])[1 + query % 3]) AS "as they work",
       bool_and(p.head = format('q%s', query)) AS "in order"
FROM kg_predict_many((SELECT array_agg(head ORDER BY substr(head, 2)::int) FROM crowd), '{speaks}'::text[], 1) p;
SELECT count(*), bool_and(kg_score(head, 'speaks', 'French') > kg_score(head, 'speaks', 'Breton')) AS "as they work"
FROM crowd WHERE tail = 'bakery';
RESET work_mem;
-- A batch reads the facts of hundreds of newcomers at once, and has the answers of one by one: also where some have more facts than are
-- used, where a label has no facts, and where labels repeat.
INSERT INTO newcomers SELECT 'q7', 'speaks', head FROM tools.people(), generate_series(1, 3);
INSERT INTO newcomers SELECT 'q8', 'lives_in', format('x%s', i) FROM generate_series(1, 1500) i;
INSERT INTO newcomers VALUES ('q9', 'works_at', 'q9'), ('q9', 'lives_in', NULL), ('mill', 'works_at', 'q10'), ('p02', 'lives_in', 'q10');
CREATE TABLE many AS SELECT 'q' || i % 310 AS head, '{speaks,lives_in,sleeps_in}'::text[] AS relation FROM generate_series(1, 330) i;
BEGIN;
SELECT seq_scan AS scans FROM pg_stat_xact_user_tables WHERE relname = 'newcomers' \gset
CREATE TEMP TABLE together AS
    SELECT p.* FROM (SELECT array_agg(head) AS h, array_agg(r) AS r FROM many, unnest(relation) r) m, kg_predict_many(h, r, 3, known => 'mark') p;
SELECT seq_scan - :scans < 50 AS "few reads" FROM pg_stat_xact_user_tables WHERE relname = 'newcomers';
COMMIT;
SELECT count(*) > 2500 AS some, count(*) FILTER (WHERE (t.rank, t.score, t.known, t.probability) IS DISTINCT FROM (p.rank, p.score, p.known, p.probability)) AS different
FROM together t FULL JOIN (SELECT n AS query, p.* FROM (SELECT row_number() OVER () AS n, head, r FROM many, unnest(relation) r) m,
                                                   kg_predict(head, r, 3, known => 'mark') p) p USING (query, tail);
DROP TABLE many;
DELETE FROM newcomers WHERE head ~ '^q' OR tail ~ '^q';
RESET client_min_messages;

-- kg_evaluate ranks their facts, in both places.
SELECT triples, unseen, mrr > 0.6 AS high FROM kg_evaluate(NULL, 'asked');
DELETE FROM asked WHERE head = 'p32';
INSERT INTO asked VALUES ('p28', 'works_at', 'patisserie'), ('p28', 'sleeps_in', 'Arles');
SELECT bucket, triples, unseen, mrr > 0.4 AS high FROM kg_evaluate(NULL, 'asked', 'side');
CREATE VIEW asked_through AS SELECT head || '' AS head, relation, tail FROM asked;
SELECT triples, unseen, mrr > 0.4 AS high FROM kg_evaluate(NULL, 'asked_through');
SET metasd.fold_in = off;
SELECT triples, unseen FROM kg_evaluate(NULL, 'asked');

-- Off: as if the source had no facts of them.
SELECT * FROM kg_predict('p31', 'speaks', 1);
SELECT * FROM kg_predict_heads('sleeps_in', 'Arles', 1);
SELECT * FROM kg_similar('p31', 1);
SELECT kg_score('p31', 'speaks', 'French'), kg_embedding('p31'), kg_embedding_sparse('p31');
SELECT * FROM kg_explain('p31', 'speaks', 'French');
RESET metasd.fold_in;

-- Facts that tell nothing: all with others that are new, with itself, or incomplete.
INSERT INTO newcomers VALUES ('p33', 'knows', 'p34'), ('p33', 'works_at', 'p33'), ('p33', 'lives_in', NULL), ('p33', 'speaks', '');
SELECT count(*) FROM kg_predict('p33', 'speaks', 1);
SELECT count(*) FROM kg_explain('p33', 'speaks', 'French');
SELECT count(*) FROM kg_explain('p07', 'speaks', 'p33');
SELECT count(*) FROM kg_predict_heads('speaks', 'French', candidate_ids => '{p33,p34}');
-- Some tell: they count once each, and the NOTICE tells how many others there are.
INSERT INTO newcomers VALUES ('p33', 'works_at', 'mill'), ('p33', 'works_at', 'mill');
SELECT rank, tail FROM kg_predict('p33', 'speaks', 1);
-- So many facts that only some are read.
INSERT INTO newcomers SELECT format('q%s', i), 'speaks', 'Klingon' FROM generate_series(1, 500) i;
INSERT INTO newcomers SELECT head, 'speaks', 'Klingon' FROM tools.people() WHERE tail = 'harbour';
SELECT count(*) FROM kg_predict_heads('speaks', 'Klingon', 1);
INSERT INTO newcomers SELECT format('p%s', lpad((i % 30 + 1)::text, 2, '0')), 'likes', 'French' FROM generate_series(1, 2000) i;
INSERT INTO newcomers SELECT format('x%s', i), 'dislikes', 'French' FROM generate_series(1, 2000) i;
SELECT count(*) FROM kg_predict('p01', 'likes', 1);
SELECT count(*) FROM kg_predict('p01', 'dislikes', 1);
DELETE FROM newcomers WHERE tail = 'Klingon' OR relation ~ 'likes';
-- A relation may lead from an entity to itself only if its facts do.
INSERT INTO newcomers SELECT head, 'is', head FROM tools.people() WHERE relation = 'works_at' AND head < 'p20';
SELECT kg_score('p25', 'is', 'p25') > '-Infinity' AS reflexive, kg_score('p25', 'sleeps_in', 'p25') AS irreflexive;

-- One NOTICE a statement, and the same answers as one by one.
SELECT h, (SELECT tail FROM kg_predict(h, 'speaks', 1)) FROM unnest('{p31,p33,p07}'::text[]) h;

-- The source is read with the rights of the owner. Who may not read it must not ask; a source that cannot be read tells nothing.
CREATE ROLE regress_metasd_asker;
GRANT SELECT ON newcomers TO regress_metasd_asker;
SET ROLE regress_metasd_asker;
SELECT rank, tail FROM kg_predict('p31', 'speaks', 1, 'newcomers');
RESET ROLE;
REVOKE SELECT ON newcomers FROM regress_metasd_asker;
SET ROLE regress_metasd_asker;
\set VERBOSITY terse
SELECT rank, tail FROM kg_predict('p31', 'speaks', 1, 'newcomers');
SELECT kg_embedding('p31', 'newcomers');
SELECT count(*) FROM kg_explain('p31', 'speaks', 'French', model => 'newcomers');
SELECT count(*) FROM kg_predict('p07', 'speaks', model => 'newcomers', candidate_ids => '{p31}');
\set VERBOSITY default
RESET ROLE;
ALTER TABLE newcomers RENAME COLUMN tail TO tale;
SELECT count(*) FROM kg_predict('p31', 'speaks', 1);
SELECT count(*) FROM kg_similar('p31', 1);
ALTER TABLE newcomers RENAME COLUMN tale TO tail;
DROP ROLE regress_metasd_asker;

-- Identifiers of other types; one that cannot be in a column has no facts there.
CREATE TABLE numbered_newcomers AS
SELECT substr(head, 2)::int AS head, relation, ('00000000-0000-0000-0000-' || lpad(encode(tail::bytea, 'hex'), 12, '0'))::text::varchar AS tail
FROM tools.people();
CREATE TABLE typed (head int, relation smallint, tail uuid);
INSERT INTO typed SELECT head, length(relation), md5(tail)::uuid FROM numbered_newcomers;
SELECT kg_train('typed', 'typed', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
INSERT INTO typed SELECT 31, relation, tail FROM typed WHERE head = 10 AND relation <> 6;
SELECT rank, p.tail::text = (SELECT tail::text FROM typed WHERE head = 10 AND relation = 6) AS "as p10 speaks"
FROM kg_predict('31', '6', 1, 'typed') p;
SELECT count(*) FROM kg_similar(31, 3, 'typed') WHERE entity % 3 = 1;
SELECT array_length(kg_embedding(31::bigint, 'typed'), 1), kg_embedding('00000000-0000-0000-0000-000000000031'::uuid, 'typed') AS none;
SELECT kg_score(31, 6::smallint, (SELECT tail FROM typed WHERE head = 10 AND relation = 6), 'typed') >
       kg_score(31, 6::smallint, (SELECT tail FROM typed WHERE head = 11 AND relation = 6), 'typed') AS higher;

SELECT pg_typeof(head), pg_typeof(relation), pg_typeof(tail), count(*) FROM kg_explain('31', '6', (SELECT tail::text FROM typed WHERE head = 10 AND relation = 6), 9, 'typed')
WHERE kind = 'head' GROUP BY 1, 2, 3;
SELECT rank, pg_typeof(tail), tail::uuid = (SELECT tail FROM typed WHERE head = 10 AND relation = 6) AS "as p10 speaks"
FROM kg_predict('31', '6', 1, 'typed', candidate_ids => (SELECT array_agg(tail) FROM typed WHERE relation = 6)) p;
INSERT INTO typed SELECT head, 6, md5('Occitan')::uuid FROM typed WHERE relation = 6 AND tail = (SELECT tail FROM typed WHERE head = 10 AND relation = 6);
SELECT rank, head, pg_typeof(head) FROM kg_predict_heads(6, 1, 3, 'typed', candidate_ids => '{31,32}'::int[]);
SELECT rank, tail::uuid = md5('Occitan')::uuid AS occitan, known
FROM kg_predict('31', '6', 3, 'typed', known => 'mark', candidate_ids => ARRAY[md5('Occitan')::uuid, md5('Breton')::uuid]);
SELECT query, rank, tail::uuid = md5('Occitan')::uuid AS occitan, known
FROM kg_predict_many('{10,31}'::text[], '{6}'::text[], 3, 'typed', known => 'mark', candidate_ids => ARRAY[md5('Occitan')::uuid, md5('Breton')::uuid]);
SELECT count(*) FROM kg_predict('31', '6', 3, 'typed', candidate_ids => '{no uuid}');

-- After a training it is no newcomer any more.
SELECT kg_train('newcomers') AS run \gset
SELECT tools.ended(:run);
SELECT rank, tail FROM kg_predict('p31', 'speaks', 1);
RESET metasd.model;
SELECT kg_drop(m) FROM unnest('{newcomers,typed}'::text[]) m;
DROP VIEW asked_through;
DROP TABLE newcomers, asked, crowd, numbered_newcomers, typed;
