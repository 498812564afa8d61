-- Answers that tie: ranks are shared, the order is that of the labels' bytes.
CREATE TABLE tied AS SELECT * FROM tools.people();
SELECT kg_train('tied', 'tied', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);

-- Every row has a weight, however few are kept; kg_wait would tell how many have none.
SELECT kg_train('sparse', 'tied', params => tools.thorough() || '{"rank": 4, "sparsity": 0.97}') AS sparse \gset
SELECT tools.ended(:sparse);
SELECT metrics -> 'empty_rows' AS "empty rows", round((metrics ->> 'sparsity')::numeric, 3) AS sparsity FROM metasd.versions WHERE run = :sparse;
SELECT count(*) FILTER (WHERE kg_embedding_sparse(label, 'sparse') LIKE '{}%') AS "empty entities" FROM metasd.entity WHERE run = :sparse;
DELETE FROM metasd.epoch WHERE run = :sparse; -- their figures are not the same everywhere
CALL kg_wait(:sparse);
UPDATE metasd.run SET metrics = metrics || '{"empty_rows": 1}' WHERE id = :sparse;
CALL kg_wait(:sparse);
UPDATE metasd.run SET metrics = metrics || '{"empty_rows": 3}' WHERE id = :sparse;
CALL kg_wait(:sparse);
SELECT kg_drop('sparse');

-- People, three languages and two relations become the same to the model. A new uuid means a new image.
UPDATE metasd.entity e SET embedding = (SELECT embedding FROM metasd.entity o WHERE o.run = e.run AND o.label = 'p01')
WHERE run = :run AND label BETWEEN 'p02' AND 'p20';
UPDATE metasd.entity e SET embedding = (SELECT embedding FROM metasd.entity o WHERE o.run = e.run AND o.label = 'French')
WHERE run = :run AND label IN ('Breton', 'Flemish');
UPDATE metasd.relation r SET (embedding, reciprocal) =
    (SELECT embedding, reciprocal FROM metasd.relation o WHERE o.run = r.run AND o.label = 'speaks')
WHERE run = :run AND label = 'lives_in';
UPDATE metasd.run SET uuid = gen_random_uuid() WHERE id = :run;

-- Three languages share the first rank, the fourth answer has rank 4; a limit does not ask for ranks.
SELECT rank, tail FROM kg_predict('p07', 'speaks', 3, known => 'include');
SELECT rank, count(*) FROM kg_predict('p07', 'speaks', 4, known => 'include') GROUP BY 1 ORDER BY 1;
SELECT rank, tail FROM kg_predict('p07', 'speaks', 2);
SELECT rank, tail, known FROM kg_predict('p08', 'speaks', 3, known => 'mark') ORDER BY tail COLLATE "C";
SELECT rank, tail FROM kg_predict('p07', 'speaks', 2, candidate_ids => '{p30,French,Flemish}'::text[]);
SELECT rank, relation FROM kg_predict_relations('p07', 'French', 2, known => 'include');
SELECT rank, entity FROM kg_similar('p05', 3);
SELECT rank, entity FROM kg_similar('French', 2);

-- All of them: rank() says the same, ties come by their labels, and are as probable as each other.
CREATE FUNCTION pg_temp.check(answers refcursor) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    place record;
    question bigint;
    rank integer;
    score real;
    label text;
    probability real;
    n integer := 0;
    shared integer := 0;
BEGIN
    LOOP
        FETCH answers INTO place;
        EXIT WHEN NOT FOUND;
        n := n + 1;
        IF place.question IS DISTINCT FROM question THEN
            IF place.rank <> 1 THEN RETURN format('begins with rank %s', place.rank); END IF;
            n := 1;
        ELSIF place.score = score THEN
            shared := shared + 1;
            IF place.rank <> rank OR place.label <= label COLLATE "C" OR place.probability <> probability THEN
                RETURN format('%s is no tie of %s', place, label);
            END IF;
        ELSIF place.score > score OR place.rank <> n THEN
            RETURN format('%s does not follow %s', place, label);
        END IF;
        question := place.question;
        rank := place.rank;
        score := place.score;
        label := place.label;
        probability := place.probability;
    END LOOP;
    CLOSE answers;
    RETURN CASE WHEN shared > 0 THEN 'ranks are shared' ELSE 'there are no ties' END;
END $$;
CREATE FUNCTION pg_temp.check(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answers refcursor;
BEGIN
    OPEN answers FOR EXECUTE query;
    RETURN pg_temp.check(answers);
END $$;
SELECT pg_temp.check($$SELECT 1::bigint AS question, rank, score, tail AS label, probability
    FROM kg_predict('p07', 'speaks', 1000, known => 'include')$$);
SELECT pg_temp.check($$SELECT 1::bigint AS question, rank, score, head AS label, probability
    FROM kg_predict_heads('speaks', 'French', 1000)$$);
SELECT pg_temp.check($$SELECT 1::bigint AS question, rank, score, head AS label, NULL::real AS probability
    FROM kg_predict_heads('speaks', 'French', 1000, known => 'mark')$$);
SELECT pg_temp.check($$SELECT 1::bigint AS question, rank, score, head AS label, probability
    FROM kg_predict_heads('speaks', 'French', 12, candidate_ids => '{p25,p19,p20,French,p03,p02,p01,Arles,p30}'::text[],
                          known => 'include')$$);
SELECT pg_temp.check($$SELECT 1::bigint AS question, rank, score, relation AS label, probability
    FROM kg_predict_relations('p07', 'French', known => 'include')$$);
SELECT pg_temp.check($$SELECT 1::bigint AS question, rank, similarity AS score, entity AS label, NULL::real AS probability
    FROM kg_similar('p30', 1000)$$);
-- A question that comes again is answered from memory.
SELECT pg_temp.check($$SELECT query AS question, rank, score, tail AS label, probability
    FROM kg_predict_many('{p07,p27,p07}'::text[], '{speaks}'::text[], 1000)$$);
CREATE TABLE asked AS SELECT 'speaks' AS relation, tail FROM unnest('{French,Breton,French}'::text[]) tail;
SELECT pg_temp.check($$SELECT query AS question, rank, score, head AS label, probability
    FROM kg_predict_many('asked', 1000, side => 'head', known => 'include')$$);

-- kg_rank puts a tie in the middle: half of those that tie are before it, half behind.
SELECT count(*), bool_and(r.rank = p.rank + (p.ties - 1) / 2.0) AS middle,
       bool_and(r.pessimistic_rank = p.rank + p.ties - 1) AS last
FROM (SELECT *, count(*) OVER (PARTITION BY rank) AS ties FROM kg_predict('p07', 'speaks', 1000)) p,
     kg_rank('p07', 'speaks', p.tail) r;
-- So does kg_evaluate.
CREATE TABLE missing AS SELECT 'p07' AS head, 'speaks' AS relation, 'French' AS tail;
SELECT e.side, e.mean_rank = r.rank AS "same rank", round(e.mrr_pessimistic::numeric, 4) = round(1.0 / r.pessimistic_rank, 4) AS "same last"
FROM kg_rank('p07', 'speaks', 'French') r, (SELECT bucket AS side, * FROM kg_evaluate('tied', 'missing', by => 'side')) e
WHERE e.bucket = 'tail';

SELECT kg_drop('tied');
DROP TABLE tied, asked, missing;
