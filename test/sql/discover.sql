-- Facts that the source does not hold: kg_discover against a search through all answers.
CREATE TABLE people AS SELECT * FROM tools.people();
SELECT kg_train('people', 'people', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);

-- All triples by kg_predict and kg_predict_heads, with the key that kg_discover sorts by. What a question lacks is
-- estimated from how many answers the questions of its relation have: none, 1, 2, 3, 4 or 5, 6 or 7, 8 to 11 and so on.
CREATE TABLE entities AS SELECT head AS entity FROM people UNION SELECT tail FROM people;
CREATE TABLE asked AS
SELECT side, relation, entity, (SELECT count(*) FROM people f WHERE f.relation = r.relation
                                AND CASE side WHEN 'tail' THEN f.head ELSE f.tail END = entity)::int AS answers
FROM unnest('{head,tail}'::text[]) side, (SELECT DISTINCT relation FROM people) r, entities;
CREATE FUNCTION range_of(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN n < 4 THEN n ELSE 2 * floor(log(2, n))::int + (n >= 1.5 * 2 ^ floor(log(2, n)))::int END $$;
CREATE VIEW lacking AS
SELECT q.*, (coalesce((SELECT sum(a.answers) FROM asked a
                       WHERE (a.side, a.relation) = (q.side, q.relation) AND a.answers > 0 AND range_of(a.answers - 1) = range_of(q.answers)), 0)
             + 5 * greatest(q.answers, 0.1))
            / ((SELECT count(*) FROM asked a WHERE (a.side, a.relation) = (q.side, q.relation) AND range_of(a.answers) = range_of(q.answers))
               + 5) AS lacks
FROM asked q;
CREATE TABLE brute AS
SELECT t.entity AS head, t.relation, p.tail, p.score, t.answers > 0 AS known,
       ln(p.probability::float8) + ln(o.probability) + 0.4 * (ln(t.lacks) + ln(o.lacks)) AS key
FROM lacking t, LATERAL kg_predict(t.entity, t.relation, 1000) p,
     (SELECT h.relation, h.entity, h.lacks, p.head, p.probability::float8
      FROM lacking h, LATERAL kg_predict_heads(h.relation, h.entity, 1000) p WHERE h.side = 'head') o
WHERE t.side = 'tail' AND (o.head, o.relation, o.entity) = (t.entity, t.relation, p.tail);
CREATE TABLE found AS SELECT * FROM kg_discover();
SELECT count(*), count(b.head) AS "the same", count(*) FILTER (WHERE d.score = b.score) AS "same score"
FROM found d LEFT JOIN (SELECT * FROM brute WHERE known ORDER BY key DESC, head, relation, tail LIMIT 100) b USING (head, relation, tail);
SELECT bool_and(probability >= next) AS "best first", min(rank), max(rank), bool_and(probability BETWEEN 0 AND 1) AS probabilities
FROM (SELECT *, lead(probability, 1, 0::real) OVER (ORDER BY rank, head COLLATE "C", relation COLLATE "C", tail COLLATE "C") AS next FROM found) f;
-- A probability is a sigmoid of the key: its log odds are on a line.
SELECT round(corr(ln(probability::float8 / (1 - probability::float8)), key)::numeric, 4) AS correlation
FROM found JOIN brute USING (head, relation, tail);
SELECT count(*) FROM found JOIN people USING (head, relation, tail);
-- All there are: each once.
SELECT count(*) = (SELECT count(*) FROM brute WHERE known) AS "all", count(DISTINCT (head, relation, tail)) = count(*) AS once
FROM kg_discover(k => 1000000);
-- The three facts that are missing: their heads have no such fact yet.
SELECT rank, head, relation, tail FROM kg_discover(k => 3, subjects => 'like');
SELECT rank, head, relation, tail FROM kg_discover(k => 3, subjects => 'all');
-- Subjects: entities that are like heads of the relation, and all.
SELECT count(*) = (SELECT count(*) FROM brute) AS "all"
FROM kg_discover(k => 1000000, subjects => 'all');
CREATE TABLE alike AS SELECT * FROM kg_discover(k => 1000000, subjects => 'like');
SELECT count(*) FILTER (WHERE new) > 0 AS more,
       bool_and(NOT new OR EXISTS (SELECT FROM (SELECT DISTINCT f.head FROM people f WHERE f.relation = a.relation) k,
                                   kg_similar(k.head, 10) s WHERE s.entity = a.head)) AS "are similar"
FROM (SELECT DISTINCT head, relation, NOT EXISTS (SELECT FROM people f WHERE (f.head, f.relation) = (a.head, a.relation)) AS new
      FROM alike a) a;
SELECT count(*) FROM (SELECT head, relation, tail, score, probability FROM found
                      EXCEPT SELECT head, relation, tail, score, probability FROM alike) d;

-- What is named: the same triples with the same probabilities as without names.
CREATE TABLE everything AS SELECT * FROM kg_discover(k => 1000000);
CREATE FUNCTION differences(subjects text, relation text, head text, tail text) RETURNS bigint LANGUAGE sql AS $$
SELECT count(*) FROM
    (SELECT head, relation, tail, score, probability
     FROM kg_discover(k => 1000000, relation => $2, head => $3, tail => $4, subjects => $1)) a
    FULL JOIN
    (SELECT * FROM kg_discover(k => 1000000, subjects => $1) e
     WHERE e.relation = coalesce($2, e.relation) AND e.head = coalesce($3, e.head) AND e.tail = coalesce($4, e.tail)) b
    USING (head, relation, tail)
WHERE a.score IS DISTINCT FROM b.score OR a.probability IS DISTINCT FROM b.probability
$$;
SELECT s.subjects, n.*, differences(s.subjects, n.relation, n.head, n.tail)
FROM (VALUES ('known'), ('like'), ('all')) s (subjects),
     (VALUES ('speaks', NULL, NULL), (NULL, 'p07', NULL), (NULL, NULL, 'French'), ('speaks', 'p07', NULL), ('speaks', NULL, 'Breton'),
             (NULL, 'p07', 'Breton'), ('speaks', 'p07', 'Breton')) n (relation, head, tail)
ORDER BY s.subjects, n.relation, n.head, n.tail;
-- A few of them are the first of these.
SELECT count(*) FILTER (WHERE n.rank = e.place) AS first
FROM kg_discover(k => 5, tail => 'French') n
     JOIN (SELECT *, rank() OVER (ORDER BY probability DESC) AS place FROM everything WHERE tail = 'French') e USING (head, relation, tail);

-- Candidates: tails, or heads of a named tail.
CREATE TABLE languages AS SELECT DISTINCT tail AS language FROM people WHERE relation = 'speaks';
SELECT count(*) > 0 AS some, bool_and(tail IN (TABLE languages)) AS languages FROM kg_discover(k => 20, candidates => 'languages');
SELECT count(*) FROM (SELECT head, relation, tail, probability FROM kg_discover(k => 1000000, candidates => 'languages')
                      EXCEPT SELECT head, relation, tail, probability FROM everything WHERE tail IN (TABLE languages)) d;
CREATE TABLE several AS SELECT unnest('{p01,p07,p12,nobody,NULL}'::text[]) AS who;
SELECT array_agg(DISTINCT head ORDER BY head) FROM kg_discover(k => 1000000, tail => 'French', relation => 'speaks', candidates => 'several', subjects => 'all');
CREATE TABLE strangers AS SELECT 'nobody' AS who;
SELECT * FROM kg_discover(candidates => 'strangers');
SELECT * FROM kg_discover(head => 'p07', tail => 'French', candidates => 'several');

-- min_probability, k.
SELECT count(*) = (SELECT count(*) FROM everything WHERE probability >= 0.001::real) AS "as many",
       min(probability) >= 0.001::real AS probable
FROM kg_discover(k => 1000000, min_probability => 0.001);
SELECT count(*) FROM kg_discover(min_probability => 1);
SELECT count(*) FROM kg_discover(k => 0);
SELECT count(*) FROM kg_discover(k => NULL);
SELECT count(*) FROM kg_discover(subjects => NULL);
SELECT count(*) FROM (SELECT * FROM kg_discover(k => 7) EXCEPT SELECT * FROM found) d;
SELECT count(*) FROM kg_discover(k => -1);
SELECT count(*) FROM kg_discover(min_probability => 1.5);
SELECT count(*) FROM kg_discover(min_probability => 'NaN');
SELECT count(*) FROM kg_discover(subjects => 'some');
SELECT count(*) FROM kg_discover('nothing');
SELECT count(*) FROM kg_discover(candidates => 'nothing');
SELECT count(*) FROM kg_discover(relation => 'speak');
SELECT count(*) FROM kg_discover(head => 'speaks');
SELECT count(*) FROM kg_discover(tail => 'french');
SET work_mem = '64kB';
SELECT count(*) FROM kg_discover(k => 1000000);
SELECT count(*) FROM (SELECT * FROM kg_discover() EXCEPT SELECT * FROM found) d;
RESET work_mem;

-- Workers change nothing.
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET cpu_operator_cost = 1;
SELECT count(*) FROM (SELECT * FROM kg_discover() EXCEPT SELECT * FROM found) d;
SELECT count(*) FROM (SELECT * FROM kg_discover(k => 1000000) EXCEPT SELECT * FROM everything) d;
SELECT count(*) FROM (SELECT * FROM kg_discover(k => 1000000, subjects => 'like') EXCEPT SELECT * FROM alike) d;
SELECT differences('known', NULL, NULL, 'French');
SET metasd.image_cache_size = 0; -- each has an image of its own
SELECT count(*) FROM (SELECT * FROM kg_discover() EXCEPT SELECT * FROM found) d;
RESET metasd.image_cache_size;
SET max_parallel_workers = 0;
SELECT count(*) FROM (SELECT * FROM kg_discover() EXCEPT SELECT * FROM found) d;
RESET max_parallel_workers;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT count(*) FROM kg_discover(k => 3);
COMMIT;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET cpu_operator_cost;

-- A discovery that becomes a fact is none any more; a fact that goes may be one.
BEGIN;
INSERT INTO people SELECT head, relation, tail FROM found WHERE rank <= 3;
SELECT count(*) FROM kg_discover(k => 1000000) JOIN (SELECT * FROM found WHERE rank <= 3) f USING (head, relation, tail);
DELETE FROM people WHERE (head, relation, tail) = (SELECT head, relation, tail FROM people WHERE relation = 'speaks' LIMIT 1);
SELECT count(*) > 0 AS found FROM kg_discover(k => 1000000, relation => 'speaks');
ROLLBACK;

-- Newcomers that are named, in every place: by the same keys and on the same scale as what the model knows. People are new, a language and a
-- relation; a person has one fact, and one with the language.
BEGIN;
CREATE TEMP TABLE before AS TABLE people;
CREATE TEMP TABLE trained AS SELECT label AS entity FROM kg_entity_embeddings();
INSERT INTO people VALUES ('p31', 'works_at', 'bakery'), ('p31', 'lives_in', 'Arles'), ('p31', 'speaks', 'Occitan'), ('p32', 'speaks', 'French');
INSERT INTO people SELECT head, 'speaks', 'Occitan' FROM before WHERE tail = 'bakery' AND head < 'p20';
INSERT INTO people SELECT head, 'sleeps_in', tail FROM before WHERE relation = 'lives_in' AND head < 'p20';
CREATE TEMP TABLE counted AS
SELECT side, relation, entity, (SELECT count(DISTINCT (f.head, f.tail)) FROM people f
                                WHERE f.relation = r.relation AND f.head IN (TABLE trained) AND f.tail IN (TABLE trained)
                                      AND CASE side WHEN 'tail' THEN f.head ELSE f.tail END = entity)::int AS answers
FROM unnest('{head,tail}'::text[]) side, (SELECT DISTINCT relation FROM people) r, trained;
CREATE FUNCTION lacks(side text, relation text, n bigint) RETURNS float8 LANGUAGE sql STABLE AS $$
SELECT (coalesce(sum(answers) FILTER (WHERE answers > 0 AND range_of(answers - 1) = range_of($3::int)), 0) + 5 * greatest($3, 0.1))
       / (count(*) FILTER (WHERE range_of(answers) = range_of($3::int)) + 5)
FROM counted c WHERE (c.side, c.relation) = ($1, $2) $$;
CREATE FUNCTION keys(heads text[], relations text[], tails text[]) RETURNS TABLE (head text, relation text, tail text, score real, key float8)
LANGUAGE sql AS $$ -- of all triples that are no facts; a newcomer is a candidate beside all that the model knows
SELECT h, r, t, pt.score, ln(pt.probability::float8) + ln(ph.probability::float8)
       + 0.4 * (ln(lacks('tail', r, (SELECT count(DISTINCT p.tail) FROM people p WHERE (p.head, p.relation) = (h, r) AND p.tail IN (TABLE trained))))
                + ln(lacks('head', r, (SELECT count(DISTINCT p.head) FROM people p WHERE (p.relation, p.tail) = (r, t) AND p.head IN (TABLE trained)))))
FROM unnest(heads) h, unnest(relations) r, unnest(tails) t,
     LATERAL kg_predict(h, r, 1000, candidate_ids => (SELECT array_agg(entity) || t FROM trained)) pt,
     LATERAL kg_predict_heads(r, t, 1000, candidate_ids => (SELECT array_agg(entity) || h FROM trained)) ph
WHERE pt.tail = t AND ph.head = h $$;
CREATE TEMP TABLE sample AS SELECT unnest('{p05,p06,p31,p32,French,Breton,Arles,bakery,Occitan}'::text[]) AS entity; -- of heads and tails
CREATE TEMP TABLE chosen AS SELECT unnest('{p31,p32,nobody,p05,p06}'::text[]);
CREATE TEMP TABLE tongues AS SELECT unnest('{Occitan,Breton,French}'::text[]);
CREATE TEMP TABLE discovered (call text, head text, relation text, tail text, score real, probability real);
CREATE TEMP TABLE expected (call text, head text, relation text, tail text, score real, key float8);
SET LOCAL client_min_messages = warning;
INSERT INTO discovered
    SELECT 'trained', head, relation, tail, score, probability FROM kg_discover() UNION ALL
    SELECT 'head', head, relation, tail, score, probability FROM kg_discover(k => 1000000, head => 'p31') UNION ALL
    SELECT 'head of one fact', head, relation, tail, score, probability FROM kg_discover(k => 1000000, head => 'p32') UNION ALL
    SELECT 'tail', head, relation, tail, score, probability FROM kg_discover(k => 1000000, relation => 'speaks', tail => 'Occitan') UNION ALL
    SELECT 'head, all', head, relation, tail, score, probability FROM kg_discover(k => 1000000, head => 'p31', subjects => 'all', relation => 'sleeps_in') UNION ALL
    SELECT 'relation', head, relation, tail, score, probability FROM kg_discover(k => 1000000, relation => 'sleeps_in') UNION ALL
    SELECT 'head and tail', head, relation, tail, score, probability FROM kg_discover(k => 1000000, head => 'p32', tail => 'Occitan') UNION ALL
    SELECT 'candidates as heads', head, relation, tail, score, probability FROM kg_discover(k => 1000000, tail => 'French', candidates => 'chosen', subjects => 'all', relation => 'speaks') UNION ALL
    SELECT 'candidates as tails', head, relation, tail, score, probability FROM kg_discover(k => 1000000, candidates => 'tongues', relation => 'speaks') UNION ALL
    SELECT 'candidates of a newcomer', head, relation, tail, score, probability FROM kg_discover(k => 1000000, head => 'p32', candidates => 'tongues');
INSERT INTO expected
    SELECT 'trained', b.head, b.relation, b.tail, b.score, b.key FROM found JOIN brute b USING (head, relation, tail) UNION ALL
    SELECT 'head', k.* FROM keys('{p31}', '{works_at,lives_in,speaks}', (SELECT array_agg(entity) FROM sample WHERE entity IN (TABLE trained))) k UNION ALL
    SELECT 'head of one fact', k.* FROM keys('{p32}', '{speaks}', (SELECT array_agg(entity) FROM sample WHERE entity IN (TABLE trained))) k UNION ALL
    SELECT 'tail', k.* FROM keys('{p05,p06}', '{speaks}', '{Occitan}') k UNION ALL
    SELECT 'head, all', k.* FROM keys('{p31}', '{sleeps_in}', (SELECT array_agg(entity) FROM sample WHERE entity IN (TABLE trained))) k UNION ALL
    SELECT 'relation', k.* FROM keys('{p05,p06}', '{sleeps_in}', (SELECT array_agg(entity) FROM sample WHERE entity IN (TABLE trained))) k UNION ALL
    SELECT 'head and tail', k.* FROM keys('{p32}', '{speaks}', '{Occitan}') k UNION ALL
    SELECT 'candidates as heads', k.* FROM keys('{p31,p32,p05,p06}', '{speaks}', '{French}') k UNION ALL
    SELECT 'candidates as tails', k.* FROM keys('{p05,p06}', '{speaks}', '{Occitan,Breton,French}') k UNION ALL
    SELECT 'candidates of a newcomer', k.* FROM keys('{p32}', '{speaks}', '{Occitan,Breton,French}') k;
SELECT call, count(*) > 0 AS some, count(*) FILTER (WHERE d.score = e.score) = count(*) AS "the same with their scores"
FROM (SELECT * FROM discovered WHERE head IN (TABLE sample) AND tail IN (TABLE sample)) d FULL JOIN expected e USING (call, head, relation, tail) WHERE call <> 'trained' GROUP BY 1 ORDER BY 1;
SELECT round(corr(ln(probability::float8 / (1 - probability::float8)), key)::numeric, 4) AS "one line"
FROM discovered d JOIN expected e USING (call, head, relation, tail) WHERE probability BETWEEN 1e-6 AND 0.999;
RESET client_min_messages;
-- The first are those of the whole list; workers change nothing; facts that are there, also between two newcomers, are left out.
SELECT count(*) FROM (SELECT head, relation, tail, score, probability FROM kg_discover(k => 5, head => 'p31')
                      EXCEPT (SELECT head, relation, tail, score, probability FROM discovered WHERE call = 'head' ORDER BY probability DESC LIMIT 5)) d;
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL cpu_operator_cost = 1;
SELECT count(*) FROM (SELECT head, relation, tail, score, probability FROM kg_discover(k => 1000000, candidates => 'tongues', relation => 'speaks')
                      EXCEPT SELECT head, relation, tail, score, probability FROM discovered WHERE call = 'candidates as tails') d;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET cpu_operator_cost;
SELECT count(*) FROM discovered JOIN people USING (head, relation, tail);
SELECT count(*) FROM kg_discover(head => 'p31', tail => 'Occitan');
SELECT head, relation, tail FROM kg_discover(k => 1, tail => 'Occitan');
-- Subjects: what is similar to one, and all. A newcomer is one itself, or is similar to one.
SELECT count(*) > 0 AS some, count(DISTINCT head) < 33 AS "not all", bool_or(head NOT IN (SELECT head FROM before WHERE relation = 'lives_in')) AS "also others"
FROM kg_discover(k => 1000000, relation => 'sleeps_in', subjects => 'like');
SELECT count(DISTINCT head) = (SELECT count(*) FROM trained) AS "all" FROM kg_discover(k => 1000000, relation => 'sleeps_in', subjects => 'all');
SELECT relation, count(*) > 0 AS some FROM kg_discover(k => 1000000, head => 'p32', subjects => 'like') GROUP BY 1 ORDER BY 1;
-- Off, they are unknown.
SET LOCAL metasd.fold_in = off;
SELECT count(*) FROM kg_discover(head => 'p31');
SELECT count(*) FROM kg_discover(tail => 'French', candidates => 'chosen', subjects => 'all', relation => 'speaks') WHERE head IN ('p31', 'p32');
ROLLBACK;

-- Identifiers that are numbers are named as text; NULL and strange rows of the source do no harm.
CREATE TABLE numbers AS SELECT h AS head, r AS relation, t AS tail
FROM generate_series(1, 30) h, generate_series(1, 2) r, generate_series(1, 30) t WHERE (h * 7 + t * 11 + r * 5) % 13 = 0;
SELECT kg_train('numbers', 'numbers', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
INSERT INTO numbers VALUES (NULL, 1, 2), (99, 1, 2), (1, 99, 2), (1, 1, 99);
SELECT count(*), bool_and(head = '7') AS head FROM kg_discover('numbers', 10, head => '7');
SELECT count(*) FROM kg_discover('numbers', 10, head => '99');

-- Nothing was held out: probabilities are by a rule of thumb. An empty source has no questions.
SELECT kg_train('bold', 'people', params => tools.quick() || '{"validation_fraction": 0}') AS run \gset
SELECT tools.ended(:run);
SELECT count(*), bool_and(probability BETWEEN 0 AND 1) AS probabilities FROM kg_discover('bold', 10);
BEGIN;
DELETE FROM people;
SELECT count(*) FROM kg_discover('people');
SELECT count(*) FROM kg_discover('people', 5, subjects => 'all');
ROLLBACK;

-- The source is read with the rights of the model's owner, candidates with those of the caller.
CREATE ROLE regress_discoverer;
GRANT SELECT ON people TO regress_discoverer;
SET ROLE regress_discoverer;
SELECT count(*) FROM kg_discover('people');
SELECT count(*) FROM kg_discover('people', candidates => 'languages');
\set VERBOSITY terse
SELECT count(*) FROM kg_discover('numbers');
\set VERBOSITY default
RESET ROLE;
DROP OWNED BY regress_discoverer;
DROP ROLE regress_discoverer;

-- Without its source there is nothing to tell from.
ALTER TABLE people RENAME COLUMN tail TO other;
SELECT count(*) FROM kg_discover('people');
ALTER TABLE people RENAME COLUMN other TO tail;
SELECT kg_drop(name) FROM metasd.models;
DROP VIEW lacking;
DROP TABLE people, numbers, entities, asked, brute, found, alike, everything, languages, several, strangers;
DROP FUNCTION differences, range_of;
