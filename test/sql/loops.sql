-- An entity is no answer to a question about itself, unless the relation is known to lead back.
CREATE TABLE couples AS
SELECT format('p%s', lpad(i::text, 2, '0')) AS head, r.relation,
       format('p%s', lpad((CASE WHEN r.relation = 'knows' THEN i ELSE i + 1 - 2 * (i % 2) END)::text, 2, '0')) AS tail
FROM generate_series(0, 39) i, unnest('{married_to,knows}'::text[]) r (relation);
DELETE FROM couples WHERE head = 'p05' OR head = 'p08' AND relation = 'married_to';
SELECT kg_train('couples', 'couples', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SELECT relation, triples, irreflexive FROM metasd.relations WHERE model = 'couples' ORDER BY relation;

-- Marriage is mutual, and so products of like with like are large; yet nobody is their own spouse.
SELECT tail FROM kg_predict('p08', 'married_to', 1, 'couples');
SELECT count(*) FROM unnest(ARRAY(SELECT DISTINCT head FROM couples)) h, kg_predict(h, 'married_to', 100, 'couples', known => 'include') WHERE tail = h;
SELECT count(*) FROM unnest(ARRAY(SELECT DISTINCT head FROM couples)) t, kg_predict_heads('married_to', t, 100, 'couples', known => 'include') WHERE head = t;
SELECT count(*) FROM kg_predict('p08', 'married_to', 100, 'couples', known => 'include', candidate_ids => '{p08}'::text[]);
SELECT head, tail FROM kg_predict_many(ARRAY['p08'], ARRAY['married_to'], 1, 'couples');
SELECT kg_score('p08', 'married_to', 'p08', 'couples') AS score, kg_score('p08', 'married_to', 'p09', 'couples') > 0 AS "another's";
SELECT rank, candidates FROM kg_rank('p08', 'married_to', 'p08', 'couples');
SELECT relation FROM kg_predict_relations('p08', 'p08', 10, 'couples', known => 'include');

-- Where it is known to lead back it may do so again.
SELECT tail FROM kg_predict('p05', 'knows', 1, 'couples');
SELECT kg_score('p05', 'knows', 'p05', 'couples') > 0 AS score, rank FROM kg_rank('p05', 'knows', 'p05', 'couples');

-- A triple that is ruled out ranks last of all that are not known, whoever asks.
CREATE TABLE asked AS SELECT 'p08' AS head, 'married_to' AS relation, unnest('{p08,p09}'::text[]) AS tail;
SELECT triples, hits_1, mean_rank FROM kg_evaluate('couples', 'asked', 'side') ORDER BY bucket;

-- One fact in a hundred is enough, fewer are not; and then not even what is a fact is an answer.
INSERT INTO couples SELECT format('a%s', i), 'likes', format('b%s', i % 50) FROM generate_series(1, 99) i;
INSERT INTO couples VALUES ('b7', 'likes', 'b7');
SELECT kg_train('couples', params => '{"epochs": 2, "warmup": 1, "ramp": 0}') AS run \gset
SELECT tools.ended(:run);
SELECT triples, irreflexive FROM metasd.relations WHERE model = 'couples' AND relation = 'likes';
SELECT count(*) FROM kg_predict('b7', 'likes', 1000, 'couples', known => 'mark') WHERE tail = 'b7' AND known;
INSERT INTO couples VALUES ('a100', 'likes', 'b1');
SELECT kg_train('couples') AS run \gset
SELECT tools.ended(:run);
SELECT triples, irreflexive FROM metasd.relations WHERE model = 'couples' AND relation = 'likes';
SELECT count(*) FROM kg_predict('b7', 'likes', 1000, 'couples', known => 'mark') WHERE tail = 'b7' AND known;
SELECT kg_drop('couples');
DROP TABLE couples, asked;
