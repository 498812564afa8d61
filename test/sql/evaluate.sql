-- Ranking what a model was not trained on: kg_rank for one triple, kg_evaluate for a relation of them.
CREATE TABLE people AS SELECT * FROM tools.people();
CREATE TABLE test (head text, relation text, tail text);

-- Before there is a model, and before it is trained.
SELECT * FROM kg_evaluate(NULL, 'test');
SELECT * FROM kg_rank('p07', 'speaks', 'French');
BEGIN;
SELECT kg_train('people', 'people', params => tools.thorough()) AS run \gset
SELECT * FROM kg_evaluate('people', 'test');
ROLLBACK;
SELECT kg_train('people', 'people', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);

-- One triple: the three that are missing are ranked first. Other known tails are left out, by the source
-- as it is now; a fact that is known itself is ranked all the same.
SELECT * FROM kg_rank('p07', 'speaks', 'French');
SELECT * FROM kg_rank('p17', 'lives_in', 'Brest');
SELECT * FROM kg_rank('p07', 'works_at', 'bakery');
SELECT candidates FROM kg_rank('p07', 'works_at', 'mill');
SELECT k.rank = p.rank AS "as predicted" FROM kg_predict('p07', 'speaks', 1000) p, kg_rank('p07', 'speaks', p.tail) k
WHERE p.tail IN ('French', 'Breton', 'Arles', 'p11') AND NOT EXISTS (
    SELECT FROM kg_predict('p07', 'speaks', 1000) q WHERE q.score = p.score AND q.tail <> p.tail);
BEGIN;
INSERT INTO people VALUES ('p07', 'speaks', 'French'), ('p07', 'speaks', 'Breton'), ('p07', 'speaks', 'Latin'), ('p07', 'speaks', NULL);
SELECT candidates FROM kg_rank('p07', 'speaks', 'Flemish');
SELECT candidates FROM kg_rank('p07', 'speaks', 'French');
SELECT candidates FROM kg_rank('p08', 'speaks', 'French');
ROLLBACK;
SELECT h, r, t, (SELECT count(*) FROM kg_rank(h, r, t)) AS rows
FROM (VALUES ('p99', 'speaks', 'French'), ('p07', 'eats', 'French'), ('p07', 'speaks', 'Latin'), (NULL, 'speaks', 'French')) v (h, r, t);
SELECT * FROM kg_rank('p99', 'speaks', 'French');
SELECT count(*) FROM kg_rank('p07', NULL, 'French');
SELECT rank FROM kg_rank('p07'::varchar, 'speaks'::varchar, 'French'::varchar, model => 'people');
SELECT * FROM kg_rank('p07', 'speaks', 'French', 'nothing');

-- The missing facts, in a relation: both sides of each are ranked.
INSERT INTO test VALUES ('p07', 'speaks', 'French'), ('p17', 'lives_in', 'Brest'), ('p27', 'works_at', 'mill');
SELECT bucket, triples, unseen FROM kg_evaluate('people', 'test');
SELECT triples, hits_1 FROM kg_evaluate('people', 'test', 'side') WHERE bucket = 'tail';
SELECT bucket, triples, unseen FROM kg_evaluate('people', 'test', 'side');
SELECT bucket, triples, unseen FROM kg_evaluate('people', 'test', by => 'relation');
SELECT bucket, triples, unseen FROM kg_evaluate('people', 'test', by => 'frequency');
SELECT bucket, triples, unseen FROM kg_evaluate('people', 'test', by => 'degree');
SELECT bool_and(mrr_pessimistic <= mrr AND hits_1 <= hits_3 AND hits_3 <= hits_10 AND mean_rank >= 1 AND amri <= 1) AS ordered
FROM kg_evaluate('people', 'test', by => 'side');
-- A triple counts once; what was trained on can be ranked, too.
INSERT INTO test SELECT * FROM test;
SELECT triples FROM kg_evaluate('people', 'test');
SELECT triples, mean_rank < 1.5 AS "learnt by heart" FROM kg_evaluate('people', 'people', 'side') WHERE bucket = 'tail';

-- The same version and facts give the same figures to the last digit, in whichever order rows are summed.
CREATE TABLE figures AS SELECT e::text AS figure FROM kg_evaluate('people', 'people') e;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 4;
INSERT INTO figures SELECT e::text FROM generate_series(1, 5) i, LATERAL kg_evaluate('people', 'people', CASE WHEN i > 0 THEN NULL END) e;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;
SELECT count(*), count(DISTINCT figure) FROM figures;
DROP TABLE figures;

-- What the model does not know. An unknown answer comes after all candidates; of an unknown question all
-- candidates tie. There are 39 entities.
CREATE TABLE strange (head text, relation text, tail text);
INSERT INTO strange VALUES ('p01', 'speaks', 'Latin');
SELECT bucket, triples, unseen, mrr, mrr_pessimistic, hits_1, hits_3, hits_10, mean_rank, amri, brier BETWEEN 0 AND 1 AS brier, ece BETWEEN 0 AND 1 AS ece
FROM kg_evaluate('people', 'strange', 'side');
TRUNCATE strange;
INSERT INTO strange VALUES ('p99', 'speaks', 'p98');
SELECT bucket, triples, unseen, mean_rank, amri FROM kg_evaluate('people', 'strange');
TRUNCATE strange;
INSERT INTO strange VALUES ('p01', 'eats', 'French');
SELECT * FROM kg_evaluate('people', 'strange', 'relation');
SELECT bucket, triples, unseen, mean_rank, amri FROM kg_evaluate('people', 'strange', 'frequency');
INSERT INTO strange VALUES ('p01', 'speaks', 'Latin'), ('p01', 'drinks', 'mill'), ('p02', 'eats', 'Arles');
SELECT bucket, triples, unseen FROM kg_evaluate('people', 'strange', 'relation');
SELECT bucket, triples, unseen FROM kg_evaluate('people', 'strange', 'degree');
SELECT bucket, triples, unseen FROM kg_evaluate('people', 'strange', 'frequency');

-- Left out are other answers in the test relation, the source as it is now, and what filters name; twice
-- is the same as once. A question of an unknown relation shows how many candidates are left.
CREATE FUNCTION left_over(filters regclass[] DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s', bucket, mean_rank), ', ') FROM kg_evaluate('people', 'strange', 'side', filters => filters)
$$;
TRUNCATE strange;
INSERT INTO strange VALUES ('p01', 'eats', 'French');
SELECT left_over();
INSERT INTO strange VALUES ('p01', 'eats', 'Arles'), ('p01', 'eats', 'mill');
SELECT left_over();
DELETE FROM strange WHERE tail <> 'French';
CREATE TABLE filter1 AS VALUES ('p01', 'eats', 'Arles'), ('p01', 'eats', 'mill'), ('p01', 'eats', 'mill'), ('p01', 'eats', 'Rome');
ALTER TABLE filter1 RENAME column1 TO head;
ALTER TABLE filter1 RENAME column2 TO relation;
ALTER TABLE filter1 RENAME column3 TO tail;
CREATE TEMP TABLE filter2 AS SELECT * FROM filter1 UNION ALL VALUES ('p02', 'eats', 'French'), (NULL, 'eats', NULL), ('p01', 'eats', 'Brest');
SELECT left_over('{filter1}');
SELECT left_over('{filter1,filter2}');
SELECT left_over(NULL);
SET metasd.fold_in = off; -- the relation stays unknown, although the source has facts of it now
INSERT INTO people VALUES ('p01', 'eats', 'Brest'), ('p01', 'eats', 'French'), ('p01', 'eats', NULL);
SELECT left_over();
SELECT left_over('{filter1,people}');
RESET metasd.fold_in;
DELETE FROM people WHERE relation = 'eats';

-- Columns of other names and types, rows that are no triples, an order of columns that does not matter.
CREATE TABLE other ("the object" varchar(20), id int DEFAULT 1, "a""b" text, verb varchar);
INSERT INTO other SELECT tail, 1, head, relation FROM test;
INSERT INTO other VALUES (NULL, 1, 'p01', 'speaks'), ('French', 1, '', 'speaks'), ('French', 1, 'p01', NULL);
SELECT triples FROM kg_evaluate('people', 'other', head => 'a"b', relation => 'verb', tail => 'the object');
SELECT triples FROM kg_evaluate('people', 'other', head => 'a"b', relation => 'verb', tail => 'the object', filters => '{other}', by => 'side');
DELETE FROM other WHERE "a""b" <> '';
SELECT * FROM kg_evaluate('people', 'other', head => 'a"b', relation => 'verb', tail => 'the object');
CREATE VIEW strange_view AS SELECT head COLLATE "C" AS head, relation COLLATE "POSIX" AS relation, tail FROM strange;
SELECT bucket, triples FROM kg_evaluate('people', 'strange_view', 'relation', filters => '{strange}');
CREATE TEMP TABLE strange_temp AS TABLE strange;
SELECT bucket, triples FROM kg_evaluate('people', 'strange_temp', 'relation');

-- Errors say the way out.
SELECT * FROM kg_evaluate('nothing', 'test');
SELECT * FROM kg_evaluate('people', 'test', 'tail');
SELECT * FROM kg_evaluate('people', 'test', '');
SELECT * FROM kg_evaluate('people', 'nowhere');
SELECT * FROM kg_evaluate('people', 0);
SELECT * FROM kg_evaluate('people', 'other');
SELECT * FROM kg_evaluate('people', 'other', head => 'a"b', relation => 'verb', tail => 'x"; --');
SELECT * FROM kg_evaluate('people', 'test', filters => '{other}');
SELECT * FROM kg_evaluate('people', 'test', filters => ARRAY['people', NULL]::regclass[]);
SELECT * FROM kg_evaluate('people', 'test', filters => '{metasd.run_id_seq}');
SELECT * FROM kg_evaluate('people', 'metasd.run_id_seq');
SELECT count(*) FROM kg_evaluate('people', NULL);
ALTER TABLE other ALTER id TYPE numeric;
SELECT * FROM kg_evaluate('people', 'other', head => 'id', relation => 'verb', tail => 'the object');
TRUNCATE strange;
SELECT * FROM kg_evaluate('people', 'strange');
SELECT count(*) FROM kg_evaluate(NULL, 'test'); -- the only model
-- The parts that it is made of.
SELECT metasd.entity_number('people', 'Arles') AS first, metasd.entity_number('people', 'p30') AS last,
       metasd.entity_number('people', 'Rome') < 0 AS unknown, metasd.relation_number('people', 'eats') < 0 AS unknown,
       metasd.relation_number('people', 'speaks') AS speaks, metasd.entity_number('people', NULL) AS none;
SELECT metasd.occurrences('people', false, metasd.entity_number('people', 'Arles')) AS arles,
       metasd.occurrences('people', true, metasd.relation_number('people', 'speaks')) AS speaks,
       metasd.occurrences('people', false, -5) AS unknown, metasd.occurrences('people', true, 39) AS unknown;
SELECT answer, rank, pessimistic_rank, candidates, unseen
FROM unnest(metasd.rank_answers('people', 'tail', -1, 1, '{5,4,5,-7}', '{4,5,6,-8}'));
SELECT count(rank) AS ranked, count(probability) AS "first", count(range) > 0 AS ranges, sum(held) AS held, sum(claimed) > 0 AS claimed,
       bool_and(num_nonnulls(rank, probability, range) = 1) AS apart
FROM unnest(metasd.rank_answers('people', 'tail', 1, 1, '{5,4}', '{4,5,6}'));
SELECT metasd.rank_answers('people', 'tail', 0, 0, '{}', NULL) AS empty, metasd.rank_answers('people', 'tail', 0, 0, NULL, '{}') AS "null";
SELECT metasd.rank_answers('people', 'side', 0, 0, '{0}', NULL);
SELECT metasd.rank_answers('people', 'tail', 39, 0, '{0}', NULL);
SELECT metasd.rank_answers('people', 'tail', 0, 3, '{0}', NULL);
SELECT metasd.rank_answers('people', 'tail', 0, 0, '{39}', NULL);
SELECT metasd.rank_answers('people', 'tail', 0, 0, '{0}', '{NULL}');
SELECT metasd.entity_number('nothing', 'Arles');

-- The figures are those that SQL computes from the scores of every candidate: kg_score's for tails, and
-- kg_predict_heads' for heads. So few weights are kept that scores tie. Validation facts are left out, too.
CREATE TABLE graph AS
SELECT 'e' || i % 23 AS head, 'r' || i % 3 AS relation, 'e' || (i * i + i % 3) % 23 AS tail FROM generate_series(1, 150) i GROUP BY 1, 2, 3;
CREATE TABLE held_out AS SELECT * FROM graph WHERE hashtext(head || relation || tail) % 7 = 0;
DELETE FROM graph WHERE hashtext(head || relation || tail) % 7 = 0;
CREATE TABLE asked AS
SELECT 'e' || i % 23 AS head, 'r' || i % 3 AS relation, 'e' || (i * 5 + i % 7) % 23 AS tail FROM generate_series(1, 150) i GROUP BY 1, 2, 3;
CREATE TABLE also AS SELECT 'e1' AS head, 'r' || i % 3 AS relation, 'e' || i AS tail FROM generate_series(0, 22) i;
SELECT kg_train('graph', 'graph', validation => 'held_out',
                params => '{"rank": 4, "epochs": 10, "warmup": 4, "ramp": 2, "batch": 64, "sparsity": 0.95}') AS run \gset
SELECT tools.ended(:run);
CREATE TEMP TABLE facts AS TABLE graph UNION TABLE held_out UNION TABLE asked UNION TABLE also;
CREATE TEMP TABLE scores AS
WITH entity AS (SELECT head AS label FROM graph UNION SELECT tail FROM graph)
SELECT 'tail' AS side, q.head AS given, q.relation, e.label AS answer, kg_score(q.head, q.relation, e.label, 'graph') AS score,
       EXISTS (SELECT FROM facts f WHERE (f.head, f.relation, f.tail) = (q.head, q.relation, e.label)) AS known,
       EXISTS (SELECT FROM asked f WHERE (f.head, f.relation, f.tail) = (q.head, q.relation, e.label)) AS asked
FROM (SELECT DISTINCT head, relation FROM asked) q, entity e
UNION ALL
SELECT 'head', q.tail, q.relation, p.head, p.score,
       EXISTS (SELECT FROM facts f WHERE (f.head, f.relation, f.tail) = (p.head, q.relation, q.tail)),
       EXISTS (SELECT FROM asked f WHERE (f.head, f.relation, f.tail) = (p.head, q.relation, q.tail))
FROM (SELECT DISTINCT tail, relation FROM asked) q, kg_predict_heads(q.relation, q.tail, 1000, 'graph', 'include') p
UNION ALL -- what is ruled out is no answer, and ranks last
SELECT DISTINCT 'head', a.tail, a.relation, a.tail, '-Infinity'::real,
       EXISTS (SELECT FROM facts f WHERE (f.head, f.relation, f.tail) = (a.tail, a.relation, a.tail)),
       EXISTS (SELECT FROM asked f WHERE (f.head, f.relation, f.tail) = (a.tail, a.relation, a.tail))
FROM asked a JOIN metasd.models m ON m.name = 'graph' JOIN metasd.relation l ON (l.run, l.label) = (m.serving, a.relation) WHERE l.irreflexive;
CREATE TEMP TABLE ranks AS
SELECT a.side, a.relation,
       (1 + count(*) FILTER (WHERE c.score > a.score) + 0.5 * count(*) FILTER (WHERE c.score = a.score))::float8 AS rank,
       1 + count(*) FILTER (WHERE c.score >= a.score) AS pessimistic, 1 + count(c.score) AS candidates
FROM scores a LEFT JOIN scores c ON (c.side, c.given, c.relation) = (a.side, a.given, a.relation) AND NOT c.known
WHERE a.asked GROUP BY a.side, a.given, a.relation, a.answer;
CREATE TEMP VIEW figures AS
SELECT coalesce(side, relation, 'all') AS bucket, count(*) AS triples, 0::bigint AS unseen, avg(1 / rank) AS mrr,
       avg(1.0 / pessimistic) AS mrr_pessimistic, avg((rank <= 1)::int) AS hits_1, avg((rank <= 3)::int) AS hits_3,
       avg((rank <= 10)::int) AS hits_10, avg(rank) AS mean_rank, 1 - (avg(rank) - 1) / (avg((candidates + 1) / 2.0) - 1) AS amri
FROM ranks GROUP BY GROUPING SETS ((), (side), (relation));
CREATE TEMP TABLE evaluated AS
SELECT * FROM kg_evaluate('graph', 'asked', filters => '{also}')
UNION ALL SELECT * FROM kg_evaluate('graph', 'asked', 'side', filters => '{also}')
UNION ALL SELECT * FROM kg_evaluate('graph', 'asked', 'relation', filters => '{also}');
SELECT bucket, e.triples = f.triples AND e.unseen = f.unseen AS counts,
       greatest(abs(e.mrr - f.mrr), abs(e.mrr_pessimistic - f.mrr_pessimistic), abs(e.mean_rank - f.mean_rank), abs(e.amri - f.amri)) < 1e-9 AS ranks,
       greatest(abs(e.hits_1 - f.hits_1), abs(e.hits_3 - f.hits_3), abs(e.hits_10 - f.hits_10)) < 1e-9 AS hits
FROM evaluated e FULL JOIN figures f USING (bucket) ORDER BY bucket;
SELECT mrr > mrr_pessimistic AS "scores tie" FROM evaluated WHERE bucket = 'all';
-- The order of kg_predict: an answer's rank is the first of those of its score.
SELECT bool_and(p.rank = 2 * k.rank - k.pessimistic_rank) AS "as predicted", bool_or(k.pessimistic_rank > k.rank) AS "scores tie"
FROM generate_series(0, 22) i, kg_predict('e' || i, 'r1', 1000, 'graph') p, kg_rank('e' || i, 'r1', p.tail, 'graph') k;
-- The validation MRR that the training reports.
SELECT abs(e.mrr - m.mrr) < 1e-5 AS "as trained" FROM kg_evaluate('graph', 'held_out') e, metasd.models m WHERE m.name = 'graph';

-- Of the answers that kg_predict would give first, if the known facts were these: how probable, and what holds.
CREATE TEMP TABLE firsts AS
SELECT side, relation, asked::int AS holds, base + (1 - base) / (1 + exp(-(slope * CASE WHEN odds < -3 THEN -3 + steep * (odds + 3) ELSE odds END + "offset"))) AS probability
FROM (SELECT *, -ln(all_scores * exp(-score) - 1) AS odds FROM (SELECT *, sum(CASE WHEN score > '-Infinity' THEN exp(score) ELSE 0 END) OVER (PARTITION BY side, given, relation) AS all_scores,
             row_number() OVER (PARTITION BY side, given, relation ORDER BY score DESC, answer COLLATE "C") AS place
      FROM scores WHERE asked OR NOT known) c) c,
     LATERAL (SELECT coalesce(CASE side WHEN 'tail' THEN tail_slope ELSE head_slope END, (metrics #>> '{calibration,slope}')::float8) AS slope,
                     coalesce(CASE side WHEN 'tail' THEN tail_offset ELSE head_offset END, (metrics #>> '{calibration,offset}')::float8) AS "offset",
                     (metrics #>> '{calibration,base}')::float8 AS base, (metrics #>> '{calibration,steep}')::float8 AS steep
              FROM metasd.relation l JOIN metasd.run r ON r.id = l.run
              WHERE l.run = :run AND l.label = c.relation) s
WHERE place = 1;
CREATE TEMP VIEW calibrated AS
SELECT bucket, sum(squares) / sum(n) AS brier, sum(abs(surplus)) / sum(n) AS ece
FROM (SELECT coalesce(side, relation, 'all') AS bucket, least(floor(probability * 10), 9) AS bin, count(*) AS n,
             sum((probability - holds) ^ 2) AS squares, sum(probability - holds) AS surplus
      FROM firsts GROUP BY GROUPING SETS ((least(floor(probability * 10), 9)), (side, least(floor(probability * 10), 9)), (relation, least(floor(probability * 10), 9)))) b
GROUP BY bucket;
SELECT bucket, abs(e.brier - c.brier) < 1e-5 AS brier, abs(e.ece - c.ece) < 1e-5 AS ece
FROM evaluated e FULL JOIN calibrated c USING (bucket) ORDER BY bucket;
-- Of all answers: what their probabilities sum to, and in ranges of them, to about the width of a bin of odds.
CREATE TEMP TABLE everyone AS
SELECT side, relation, asked::int AS holds, base + (1 - base) / (1 + exp(-(slope * CASE WHEN odds < -3 THEN -3 + steep * (odds + 3) ELSE odds END + "offset"))) AS probability
FROM (SELECT *, round(greatest(least(-ln(greatest(all_scores * exp(-score) - 1, 1e-30)), 20), -20) * 8) / 8 AS odds
      FROM (SELECT *, sum(exp(score)) OVER (PARTITION BY side, given, relation) AS all_scores
            FROM scores WHERE (asked OR NOT known) AND score > '-Infinity') c) c,
     LATERAL (SELECT coalesce(CASE side WHEN 'tail' THEN tail_slope ELSE head_slope END, (metrics #>> '{calibration,slope}')::float8) AS slope,
                     coalesce(CASE side WHEN 'tail' THEN tail_offset ELSE head_offset END, (metrics #>> '{calibration,offset}')::float8) AS "offset",
                     (metrics #>> '{calibration,base}')::float8 AS base, (metrics #>> '{calibration,steep}')::float8 AS steep
              FROM metasd.relation l JOIN metasd.run r ON r.id = l.run
              WHERE l.run = :run AND l.label = c.relation) s;
CREATE TEMP VIEW claimed AS
SELECT bucket, sum(claimed) / sum(held) AS claimed, sum(abs(claimed - held)) / sum(held) AS ece_all
FROM (SELECT coalesce(side, relation, 'all') AS bucket, range, sum(probability) AS claimed, sum(holds) AS held
      FROM (SELECT *, least(greatest(floor(-2 * log(probability)), 0), 8) AS range FROM everyone) e
      GROUP BY GROUPING SETS ((range), (side, range), (relation, range))) b
GROUP BY bucket;
SELECT bucket, abs(e.claimed / c.claimed - 1) < 0.02 AS claimed, abs(e.ece_all - c.ece_all) < 0.05 AS ece_all
FROM evaluated e FULL JOIN claimed c USING (bucket) ORDER BY bucket;
SELECT bool_and(claimed IS NULL AND ece_all IS NULL AND mrr > 0) AS "not by degree" FROM kg_evaluate('graph', 'asked', 'degree');

-- Identifiers that are numbers.
CREATE TABLE numbers AS SELECT substr(head, 2)::int AS s, substr(relation, 2)::smallint AS p, substr(tail, 2)::bigint AS o FROM graph;
SELECT kg_train('numbers', 'numbers', 's', 'p', 'o', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT bucket, triples, unseen FROM kg_evaluate('numbers', 'numbers', 'relation');
SELECT count(*), max(candidates) FROM kg_rank(1, 2, 3, 'numbers');
SELECT count(*) FROM kg_rank(1::bigint, 2::smallint, 3, 'numbers');

-- A source, or validation source, that has been dropped.
DROP TABLE held_out;
SELECT triples FROM kg_evaluate('graph', 'asked');
DROP TABLE graph;
SELECT triples FROM kg_evaluate('graph', 'asked');
SELECT candidates FROM kg_rank('e1', 'r1', 'e1', 'graph');
SELECT count(kg_drop(name)) FROM metasd.models WHERE name <> 'people';

-- In other statements: functions, prepared, cursors, with hardly any memory for sorting.
SET work_mem = '64kB';
SELECT triples FROM kg_evaluate('people', 'people');
RESET work_mem;
PREPARE evaluate(text) AS SELECT count(*) FROM kg_evaluate('people', 'test', $1);
EXECUTE evaluate('side');
EXECUTE evaluate(NULL);
DEALLOCATE evaluate;
SELECT b, e.bucket, e.triples FROM unnest('{side,frequency}'::text[]) b, kg_evaluate('people', 'test', b) e;

-- Whose rights count. A model may be asked by who may read its source; the test relation and the filters are
-- read as the one who asks, the source and the validation as the model's owner.
CREATE ROLE regress_metasd_owner LOGIN;
CREATE ROLE regress_metasd_reader LOGIN;
CREATE SCHEMA regress_metasd;
GRANT USAGE, CREATE ON SCHEMA regress_metasd TO PUBLIC;
SET search_path = regress_metasd, public;
SELECT kg_drop('people');
SET ROLE regress_metasd_owner;
CREATE TABLE source AS SELECT * FROM tools.people();
CREATE TABLE validation AS VALUES ('p01', 'eats', 'mill'), ('p07', 'speaks', 'French');
ALTER TABLE validation RENAME column1 TO head;
ALTER TABLE validation RENAME column2 TO relation;
ALTER TABLE validation RENAME column3 TO tail;
SELECT kg_train('owned', 'source', validation => 'validation', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SET ROLE regress_metasd_reader;
CREATE TABLE mine AS VALUES ('p01', 'eats', 'French'), ('p02', 'eats', 'Arles');
ALTER TABLE mine RENAME column1 TO head;
ALTER TABLE mine RENAME column2 TO relation;
ALTER TABLE mine RENAME column3 TO tail;
SELECT * FROM kg_evaluate('owned', 'mine');
SELECT * FROM kg_rank('p07', 'speaks', 'French', 'owned');
SELECT metasd.entity_number('owned', 'p01');
SELECT metasd.occurrences('owned', true, 0);
SELECT metasd.rank_answers('owned', 'tail', 0, 0, '{0}', NULL);
RESET ROLE;
GRANT SELECT (head, relation, tail) ON source TO regress_metasd_reader;
SET ROLE regress_metasd_reader;
-- (whether a fact is in the validation source is not for everybody to find out: p01 eats mill)
SELECT bucket, triples, mean_rank FROM kg_evaluate('owned', 'mine', 'side');
RESET ROLE;
SELECT bucket, triples, mean_rank FROM kg_evaluate('owned', 'mine', 'side');
GRANT SELECT (head, relation, tail) ON validation TO regress_metasd_reader;
SET ROLE regress_metasd_reader;
SELECT bucket, triples, mean_rank FROM kg_evaluate('owned', 'mine', 'side');
RESET ROLE;
REVOKE SELECT (head, relation, tail) ON validation FROM regress_metasd_reader;
SET ROLE regress_metasd_reader;
SELECT count(*) FROM kg_rank('p07', 'speaks', 'French', 'owned');
SELECT * FROM kg_evaluate('owned', 'validation');
SELECT * FROM kg_evaluate('owned', 'mine', filters => '{validation}');
RESET ROLE;
GRANT SELECT (head, relation) ON validation TO regress_metasd_reader;
SET ROLE regress_metasd_reader;
SELECT * FROM kg_evaluate('owned', 'validation');
SET ROLE regress_metasd_owner;
SELECT triples, unseen FROM kg_evaluate('owned', 'validation');
SELECT * FROM kg_evaluate('owned', 'mine');
-- A filter's, or a test relation's, row security is that of who asks.
SET ROLE regress_metasd_reader;
ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON mine FOR SELECT TO regress_metasd_owner USING (head = 'p01');
GRANT SELECT ON mine TO regress_metasd_owner;
SELECT triples FROM kg_evaluate('owned', 'mine');
SET ROLE regress_metasd_owner;
SELECT triples FROM kg_evaluate('owned', 'mine');
-- A view as source: its functions run as the model's owner, those of a test relation as who asks. Both with a
-- search_path that nobody else has set.
CREATE FUNCTION whoami() RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
    RAISE NOTICE 'a function of the view runs as %, with the search_path %', current_user, current_setting('search_path');
    RETURN true;
END $$;
CREATE VIEW viewed AS SELECT * FROM source WHERE (head, relation) <> ('p01', 'speaks') OR whoami();
SELECT kg_train('viewed', 'viewed', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT triples FROM kg_evaluate('viewed', 'validation', filters => '{viewed}');
CREATE VIEW mirrored AS SELECT * FROM validation WHERE head <> 'p01' OR whoami();
GRANT SELECT ON mirrored TO PUBLIC;
SET ROLE regress_metasd_reader;
SELECT triples FROM kg_evaluate('owned', 'mirrored');
SELECT triples FROM kg_evaluate('viewed', 'mirrored');
RESET ROLE;
SELECT triples FROM kg_evaluate('viewed', 'validation'); -- nobody's function runs as a superuser
CREATE FUNCTION wrong(a text, b text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'attacked'; END$$;
CREATE OPERATOR <> (LEFTARG = text, RIGHTARG = text, FUNCTION = wrong);
CREATE FUNCTION array_agg(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint';
CREATE TABLE metasd_facts (h bigint, r bigint, t bigint);
SET search_path = regress_metasd, pg_catalog, public;
SELECT triples FROM kg_evaluate('owned', 'validation', 'side');
SELECT triples FROM kg_evaluate('viewed', 'validation', 'degree', filters => '{source}');
SHOW search_path;
SHOW enable_hashagg;
RESET search_path;
SELECT count(kg_drop(name)) FROM metasd.models;

SET client_min_messages = warning;
DROP SCHEMA regress_metasd CASCADE;
DROP ROLE regress_metasd_owner, regress_metasd_reader;
DROP TABLE people, test, strange, filter1, filter2, other, asked, also, numbers CASCADE;
DROP FUNCTION left_over(regclass[]);
