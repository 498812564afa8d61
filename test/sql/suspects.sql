-- kg_suspects: facts that the other facts support least.
CREATE TABLE people AS SELECT * FROM tools.people();
-- Wrong ones: a person lives in a language, and a language works.
INSERT INTO people VALUES ('p01', 'lives_in', 'Breton'), ('French', 'works_at', 'mill');
SELECT kg_train('people', 'people', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);

SELECT head, relation, tail FROM kg_suspects('people', 2) ORDER BY head;
SELECT best_head LIKE 'p__' AS "a better head", head_rank > 1 AS "not the first" FROM kg_suspects('people', 1, 'works_at');

-- Each fact once, the least likely first.
INSERT INTO people SELECT * FROM people WHERE relation = 'speaks';
SELECT count(*) = (SELECT count(*) FROM (SELECT DISTINCT head, relation, tail FROM people) p) AS "all facts",
       count(DISTINCT (head, relation, tail)) = count(*) AS once,
       bool_and(rank = place OR deviation = before) AS ranks, bool_and(deviation <= before) AS falling,
       bool_and(tail_rank >= 1 AND head_rank >= 1) AS places,
       bool_and((best_tail = tail) IS NOT TRUE AND (best_head = head) IS NOT TRUE) AS others
FROM (SELECT *, row_number() OVER w AS place, lag(deviation) OVER w AS before
      FROM kg_suspects('people', 1000) WINDOW w AS (ORDER BY rank)) s;
-- What could stand in a fact's place is no fact.
SELECT count(*) FROM kg_suspects('people', 1000) s JOIN people p ON (p.head, p.relation, p.tail) IN
    ((s.head, s.relation, s.best_tail), (s.best_head, s.relation, s.tail));

-- Of a relation, its facts alone.
SELECT count(*) = (SELECT count(DISTINCT (head, tail)) FROM people WHERE relation = 'works_at') AS "all of them",
       bool_and(relation = 'works_at') AS "no others"
FROM kg_suspects('people', 1000, 'works_at');
SELECT head, tail FROM kg_suspects('people', 1, 'works_at');
SELECT * FROM kg_suspects('people', 3, 'lives');
SELECT * FROM kg_suspects('nobody');
SELECT * FROM kg_suspects('people', -1);
SELECT count(*) FROM kg_suspects('people', 0);
SELECT count(*) FROM kg_suspects('people', NULL);
SELECT count(*) FROM kg_suspects(k => 3);

-- The source is looked at as it is now. A newcomer whose only fact it is tells nothing of it.
BEGIN READ ONLY;
SELECT count(*) FROM kg_suspects('people', 2);
COMMIT;
BEGIN;
DELETE FROM people WHERE tail = 'Breton' AND relation = 'lives_in';
INSERT INTO people VALUES ('p99', 'lives_in', 'Arles'), ('p02', 'lives_in', NULL);
SELECT count(*) FILTER (WHERE tail = 'Breton') AS deleted, count(*) FILTER (WHERE head = 'p99') AS unknown
FROM kg_suspects('people', 1000, 'lives_in');
TRUNCATE people;
SELECT count(*) FROM kg_suspects('people', 1000);
ROLLBACK;

-- Workers change nothing.
CREATE TABLE alone AS SELECT * FROM kg_suspects('people', 1000);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET max_parallel_workers_per_gather = 2;
SELECT count(*) FROM (SELECT * FROM kg_suspects('people', 1000) EXCEPT TABLE alone) s;
SET max_parallel_workers_per_gather = 0;
SELECT count(*) FROM (SELECT * FROM kg_suspects('people', 1000) EXCEPT TABLE alone) s;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;

-- Newcomers: a fact is judged by the newcomer's row without it. So its places are those that kg_rank and kg_predict tell when it is deleted; what
-- the model knows is judged as before; a wrong fact of a person, of a language and of a relation that are new comes first.
BEGIN;
CREATE TEMP TABLE trained AS SELECT label AS entity FROM kg_entity_embeddings('people');
INSERT INTO people VALUES ('p31', 'works_at', 'bakery'), ('p31', 'lives_in', 'Arles'), ('p31', 'speaks', 'French'), ('p31', 'speaks', 'Breton'),
    ('p31', 'speaks', 'Occitan'), ('p32', 'speaks', 'French'), ('p33', 'works_at', 'p33'), ('p11', 'speaks', 'Occitan'), ('p10', 'sleeps_in', 'French');
INSERT INTO people SELECT head, 'speaks', 'Occitan' FROM tools.people() WHERE tail = 'bakery' AND head < 'p20';
INSERT INTO people SELECT head, 'sleeps_in', tail FROM tools.people() WHERE relation = 'lives_in' AND head < 'p20';
INSERT INTO people VALUES ('p31', 'lives_in', 'Arles'); -- again
CREATE TEMP TABLE judged AS SELECT * FROM kg_suspects('people', 1000);
SELECT count(*) = (SELECT count(*) FROM alone) AS "all that is known", count(*) FILTER (WHERE (a.deviation, a.tail_rank, a.head_rank, a.best_tail, a.best_head)
       IS DISTINCT FROM (j.deviation, j.tail_rank, j.head_rank, j.best_tail, j.best_head)) AS changed
FROM alone a JOIN judged j USING (head, relation, tail);
CREATE TEMP TABLE new AS SELECT j.* FROM judged j LEFT JOIN alone a USING (head, relation, tail) WHERE a.head IS NULL;
CREATE FUNCTION places(h text, r text, t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    places text;
BEGIN
    DELETE FROM people WHERE (head, relation, tail) = (h, r, t);
    places := concat_ws(' ', (SELECT k.rank FROM kg_rank(h, r, t, 'people') k),
        (SELECT p.tail FROM kg_predict(h, r, 1, 'people', candidate_ids => (SELECT array_agg(entity) FROM trained WHERE entity <> t)) p LIMIT 1),
        (SELECT 1 + count(*) FROM kg_predict_heads(r, t, 1000, 'people', candidate_ids => (SELECT array_agg(entity) FROM trained WHERE entity <> h)) p
         WHERE score > kg_score(h, r, t, 'people', side => 'head')),
        (SELECT p.head FROM kg_predict_heads(r, t, 1, 'people', candidate_ids => (SELECT array_agg(entity) FROM trained WHERE entity <> h)) p LIMIT 1));
    RAISE EXCEPTION USING errcode = 'P0001', message = places;
EXCEPTION WHEN raise_exception THEN
    RETURN sqlerrm;
END $$;
SET LOCAL client_min_messages = warning;
SELECT count(*), count(*) FILTER (WHERE concat_ws(' ', tail_rank, best_tail, head_rank, best_head) <> places(head, relation, tail)) AS others FROM new;
RESET client_min_messages;
SELECT head, relation, tail FROM (SELECT * FROM new ORDER BY rank LIMIT 3) n ORDER BY head;
SELECT head, relation, tail FROM kg_suspects('people', 1, 'sleeps_in');
SELECT head, relation, tail FROM kg_suspects('people', 2, 'speaks') ORDER BY head;
SELECT count(*) = (SELECT count(*) FROM new WHERE relation = 'sleeps_in') AS "all of them", bool_and(relation = 'sleeps_in') AS "no others"
FROM kg_suspects('people', 1000, 'sleeps_in');
SELECT count(*) FROM kg_suspects('people', 1000, 'works_at') WHERE head = 'p33';
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_setup_cost = 0;
SELECT count(*) FROM (SELECT * FROM kg_suspects('people', 1000) EXCEPT TABLE judged) s;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
-- More newcomers than work_mem has room for; all facts are of newcomers; there are none but with each other. More facts than a row is made of.
INSERT INTO people SELECT format('%s%s', repeat('q', 100), i), 'works_at', 'mill' FROM generate_series(1, 2000) i;
SET LOCAL work_mem = '64kB';
\set VERBOSITY terse
SELECT count(*) FROM kg_suspects('people', 1, 'lives_in');
SET LOCAL client_min_messages = warning;
SELECT count(*) FROM kg_suspects('people', 1);
RESET client_min_messages;
\set VERBOSITY default
RESET work_mem;
DELETE FROM people WHERE head ~ '^q' OR head IN (TABLE trained) AND tail IN (TABLE trained) AND relation <> 'sleeps_in';
SELECT count(*) > 0 AS some, max(abs(deviation)) < 100 AS usual FROM kg_suspects('people', 1000);
DELETE FROM people WHERE head IN (TABLE trained) OR tail IN (TABLE trained);
INSERT INTO people VALUES ('p41', 'knows', 'p42');
SELECT count(*) FROM kg_suspects('people', 1000);
INSERT INTO people SELECT 'p41', 'lives_in', entity FROM trained, generate_series(1, 10) UNION ALL SELECT h.entity, 'knows', t.entity FROM trained h, trained t;
SELECT count(*) = (SELECT count(*) FROM trained) AS "all of them" FROM kg_suspects('people', 1000, 'lives_in');
SELECT count(*) = (SELECT count(*) ^ 2 FROM trained) AS "all of them" FROM kg_suspects('people', 10000, 'knows');
-- Off, newcomers are unknown.
SET LOCAL metasd.fold_in = off;
SELECT count(*) FROM kg_suspects('people', 1000);
SELECT count(*) FROM kg_suspects('people', 1000, 'sleeps_in');
ROLLBACK;

-- Identifiers of other types are labels.
CREATE TABLE numbers AS
SELECT n.i AS head, r.i AS relation, n.i % 5 + 100 AS tail FROM generate_series(1, 40) n (i), generate_series(1, 2) r (i);
UPDATE numbers SET tail = 7 WHERE head = 3 AND relation = 2;
SELECT kg_train('numbers', 'numbers', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SELECT head, relation, tail, best_tail FROM kg_suspects('numbers', 1);

-- A fact is judged alike whether one relation is asked for or all, also where few of the relation are held out.
-- (What is usual of a relation comes from a sample, which is larger for one, so the deviations differ a little.)
CREATE TABLE towns AS
SELECT 'p' || i AS head, 'lives_in' AS relation, 't' || i % 20 AS tail FROM generate_series(1, 600) i
UNION ALL SELECT 'p' || i, 'near', 'p' || i + 20 FROM generate_series(1, 100) i
UNION ALL SELECT 'p' || i, 'works_in', 't' || (i + 1) % 20 FROM generate_series(1, 300) i;
SELECT kg_train('towns', 'towns', params => '{"rank": 16, "epochs": 12, "reg": 0.05, "regularizer": "dura", "relation_weight": 0,
                                              "class_weights": false, "validation_fraction": 0.2}') AS run \gset
SELECT tools.ended(:run);
SELECT relation, count(*) AS facts,
       count(*) FILTER (WHERE (a.tail_rank, a.best_tail, a.head_rank, a.best_head)
                        IS DISTINCT FROM (o.tail_rank, o.best_tail, o.head_rank, o.best_head)) AS "judged otherwise"
FROM kg_suspects('towns', 1000) a
JOIN (SELECT * FROM kg_suspects('towns', 1000, 'near') UNION ALL SELECT * FROM kg_suspects('towns', 1000, 'works_in')) o
    USING (head, relation, tail) GROUP BY 1 ORDER BY 1;
SELECT kg_drop('towns');
DROP TABLE towns;

-- Only those who may read all facts may ask, as with kg_predict.
CREATE ROLE regress_metasd_reader;
CREATE ROLE regress_metasd_filtered;
GRANT SELECT ON people TO regress_metasd_reader, regress_metasd_filtered;
SET ROLE regress_metasd_reader;
SELECT count(*) FROM kg_suspects('people', 2);
RESET ROLE;
ALTER TABLE people ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON people FOR SELECT USING (head = 'p01');
SET ROLE regress_metasd_filtered;
\set VERBOSITY terse
SELECT * FROM kg_suspects('people', 2);
\set VERBOSITY default
RESET ROLE;
ALTER TABLE people DISABLE ROW LEVEL SECURITY;
REVOKE SELECT ON people FROM regress_metasd_filtered;
SET ROLE regress_metasd_filtered;
\set VERBOSITY terse
SELECT * FROM kg_suspects('people', 2);
\set VERBOSITY default
RESET ROLE;

-- Without the source nothing can be suspected.
DROP TABLE people;
SELECT * FROM kg_suspects('people', 2);

SELECT kg_drop('people'), kg_drop('numbers');
DROP TABLE numbers, alone;
DROP ROLE regress_metasd_reader, regress_metasd_filtered;
