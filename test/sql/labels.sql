-- A label stands for what a column's type writes, byte by byte: other spellings of a value are other labels,
-- whatever the column's type or collation takes for equal.

-- Heads are text, in all spellings; tails are of another type, and only its own spelling of a value is one.
CREATE TABLE spelt (head text, relation text, tail_integer integer, tail_smallint smallint, tail_bigint bigint, tail_uuid uuid);
INSERT INTO spelt SELECT 'p' || i, 'r', i, i, i, lpad(i::text, 32, 'a')::uuid FROM generate_series(0, 12) i;
INSERT INTO spelt
SELECT label, 'r', 100, 100, 100, lpad('100', 32, 'a')::uuid
FROM unnest(ARRAY['07', '+7', ' 7', '7 ', '-0', '1e3', '7.0', '0x7', '7_', '', ' ', '70000', '5000000000', '10000000000000000000',
                  '-', '--7', '٧', E'7\n', 'AAAAAAAA-AAAA-AAAA-AAAA-AAAAAAAAAAA7', '{aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa7}',
                  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa7', 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa7 ', ' aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa7',
                  'aaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaa7', 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa77']) label;
CREATE FUNCTION spellings(model text, entity text, OUT heads bigint, OUT relations bigint, OUT candidate bigint, OUT many bigint)
LANGUAGE sql AS $$
    SELECT (SELECT count(*) FILTER (WHERE known) FROM kg_predict_heads('r', entity, 1000, model, 'mark')),
           (SELECT count(*) FILTER (WHERE known) FROM kg_predict_relations('p7', entity, 1000, model, 'mark')),
           (SELECT count(*) FILTER (WHERE known) FROM kg_predict('p7', 'r', 1000, model, 'mark', candidate_ids => ARRAY[entity])),
           (SELECT count(*) FILTER (WHERE known) FROM kg_predict_many(ARRAY[entity], ARRAY['r'], 1000, model, 'mark', 'head'))
$$;
DO $$
DECLARE
    type text;
    run bigint;
BEGIN
    FOREACH type IN ARRAY '{integer,smallint,bigint,uuid}'::text[] LOOP
        run := kg_train(type, 'spelt', tail => 'tail_' || type, params => tools.quick());
        COMMIT;
        RAISE NOTICE '%: %', type, tools.ended(run);
    END LOOP;
END $$;
-- Their own spelling: one fact each.
SELECT model, s.* FROM unnest('{integer,smallint,bigint}'::text[]) model, spellings(model, '7') s
UNION ALL SELECT 'uuid', s.* FROM spellings('uuid', 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa7') s;
-- Others: none.
SELECT model, s.head, found.*
FROM unnest('{integer,smallint,bigint,uuid}'::text[]) model, spelt s, spellings(model, s.head) found
WHERE s.head NOT LIKE 'p%' AND s.head <> '' AND found.heads + found.relations + found.candidate + found.many > 0;
-- Nor do many facts of a group, where candidates are looked up, make them one.
INSERT INTO spelt SELECT 'p7', 'r', i, i, i, lpad(i::text, 32, 'a')::uuid FROM generate_series(1000, 1300) i;
SELECT model, s.head, found.*
FROM unnest('{integer,smallint,bigint,uuid}'::text[]) model, spelt s, spellings(model, s.head) found
WHERE s.head NOT LIKE 'p%' AND s.head <> '' AND found.heads + found.relations + found.candidate + found.many > 0;
SELECT model, s.* FROM unnest('{integer,smallint,bigint}'::text[]) model, spellings(model, '7') s
UNION ALL SELECT 'uuid', s.* FROM spellings('uuid', 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa7') s;
-- In a test relation, and in filters, they are what they are, too: other entities, or none.
CREATE VIEW other_spellings AS
SELECT 'p7' AS head, 'r' AS relation, label AS tail FROM unnest('{07,+7," 7",7,"7 "}'::text[]) label;
SELECT triples, unseen FROM kg_evaluate('integer', 'other_spellings', tail => 'tail');
SELECT bucket, triples, unseen FROM kg_evaluate('integer', 'other_spellings', 'frequency', tail => 'tail', filters => '{other_spellings}');
SELECT count(kg_drop(name)) FROM metasd.models;
DROP VIEW other_spellings;
DROP TABLE spelt;
DROP FUNCTION spellings(text, text);

-- Collations for which different strings are equal, on each column: facts are known by their bytes.
CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION accentless (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
CREATE DOMAIN word AS varchar(40) COLLATE caseless;
CREATE TABLE loose (head text COLLATE caseless, relation varchar COLLATE accentless, tail word);
CREATE VIEW exact AS SELECT head COLLATE "C" AS head, relation COLLATE "C" AS relation, tail::text COLLATE "C" AS tail FROM loose;
INSERT INTO loose
SELECT h, r, t FROM (VALUES ('Anna', 'knows', 'Bert'), ('ANNA', 'knows', 'BERT'), ('anna', 'Knows', 'bert'), ('Anna', 'knöws', 'Ça'),
                            ('anna', 'knows', 'ca'), ('Bert', 'knows', 'anna'), ('bert', 'knows', 'ANNA'), ('Bert', 'knöws', 'Anna'),
                            (U&'\200D', 'knows', 'Bert'), ('Bert', 'knows', U&'\200D')) v (h, r, t);
INSERT INTO loose SELECT 'x' || i, 'knows', 'X' || i % 3 FROM generate_series(1, 20) i;
CREATE FUNCTION known_to(model text, source text, OUT wrong bigint, OUT facts bigint) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($q$
        WITH facts AS (SELECT DISTINCT * FROM exact),
             tails AS (SELECT q.head, q.relation, p.tail FROM (SELECT DISTINCT head, relation FROM facts) q,
                       kg_predict(q.head, q.relation, 1000, %1$L, 'mark') p WHERE p.known),
             heads AS (SELECT p.head, q.relation, q.tail FROM (SELECT DISTINCT tail, relation FROM facts) q,
                       kg_predict_heads(q.relation, q.tail, 1000, %1$L, 'mark') p WHERE p.known),
             relations AS (SELECT q.head, p.relation, q.tail FROM (SELECT DISTINCT head, tail FROM facts) q,
                           kg_predict_relations(q.head, q.tail, 1000, %1$L, 'mark') p WHERE p.known),
             many AS (SELECT p.head, p.relation, p.tail FROM kg_predict_many('exact', 1000, %1$L, 'mark') p WHERE p.known),
             back AS (SELECT p.head, p.relation, p.tail FROM kg_predict_many('exact', 1000, %1$L, 'mark', 'head') p WHERE p.known),
             loosely AS (SELECT p.head, p.relation, p.tail FROM kg_predict_many('loose', 1000, %1$L, 'mark') p WHERE p.known),
             found AS (SELECT 1, * FROM tails UNION ALL SELECT 2, * FROM heads UNION ALL SELECT 3, * FROM relations
                       UNION ALL SELECT 4, * FROM (SELECT DISTINCT * FROM many) m UNION ALL SELECT 5, * FROM (SELECT DISTINCT * FROM back) b
                       UNION ALL SELECT 6, * FROM (SELECT DISTINCT * FROM loosely) l),
             expected AS (SELECT w, head, relation, tail FROM facts, generate_series(1, 6) w WHERE head <> tail)
        SELECT (SELECT count(*) FROM ((TABLE found EXCEPT TABLE expected) UNION ALL (TABLE expected EXCEPT TABLE found)) d),
               (SELECT count(*) FROM expected)
        $q$, model) INTO wrong, facts;
END $$;
SELECT kg_train('loose', 'loose', params => tools.quick()) AS loose_run, kg_train('exact', 'exact', params => tools.quick()) AS exact_run \gset
SELECT tools.ended(:loose_run), tools.ended(:exact_run);
SELECT a.entities = b.entities AND a.relations = b.relations AND a.triples = b.triples AS "same graph" FROM metasd.models a, metasd.models b
WHERE a.name = 'loose' AND b.name = 'exact';
SELECT known_to('loose', 'loose'), known_to('exact', 'exact');
-- Groups of more facts than are read whole.
INSERT INTO loose SELECT 'Anna', 'knows', 'y' || i FROM generate_series(1, 200) i;
INSERT INTO loose SELECT 'y' || i, 'knows', 'Bert' FROM generate_series(1, 200) i;
SELECT kg_train('loose') AS loose_run, kg_train('exact') AS exact_run \gset
SELECT tools.ended(:loose_run), tools.ended(:exact_run);
SELECT known_to('loose', 'loose'), known_to('exact', 'exact');
-- The few best of a large group, whose lookup goes by candidates.
SELECT count(*) FILTER (WHERE p.known IS DISTINCT FROM EXISTS (SELECT FROM exact e WHERE (e.head, e.relation, e.tail) = ('Anna', 'knows', p.tail))) AS wrong
FROM kg_predict('Anna', 'knows', 5, 'loose', 'mark') p;
SELECT count(*) FILTER (WHERE p.known) FROM kg_predict('Anna', 'knows', 5, 'loose', 'mark',
                                                      candidate_ids => '{BERT,bert,Y1,Y2,anna,CA}'::text[]) p;
-- kg_evaluate: what is left out goes by bytes, and a label that a collation ignores is a label.
SELECT l.bucket, l.triples, l.unseen, (l.triples, l.unseen, round(l.mrr::numeric, 9), round(l.mean_rank::numeric, 9), round(l.brier::numeric, 9))
           = (e.triples, e.unseen, round(e.mrr::numeric, 9), round(e.mean_rank::numeric, 9), round(e.brier::numeric, 9)) AS same
FROM kg_evaluate('loose', 'loose', by => 'relation') l JOIN kg_evaluate('loose', 'exact', by => 'relation') e USING (bucket)
ORDER BY l.bucket COLLATE "C";
SELECT l.triples, (l.triples, l.unseen, round(l.mrr::numeric, 9), round(l.mean_rank::numeric, 9), round(l.brier::numeric, 9))
           = (e.triples, e.unseen, round(e.mrr::numeric, 9), round(e.mean_rank::numeric, 9), round(e.brier::numeric, 9)) AS same
FROM kg_evaluate('loose', 'loose', filters => '{loose}') l, kg_evaluate('exact', 'exact', filters => '{loose,exact}') e;
SELECT r.* FROM kg_rank('Bert', 'knows', 'Bert', 'loose') r EXCEPT SELECT r.* FROM kg_rank('Bert', 'knows', 'Bert', 'exact') r;
SELECT count(kg_drop(name)) FROM metasd.models;

-- Candidates and questions of such columns, of char(n), and of sources that write char(n) as text.
CREATE TABLE padded (head char(12), relation char(7), tail char(20), note "char");
INSERT INTO padded SELECT head, relation, tail, 'x' FROM exact WHERE head ~* '^[xab]' AND tail ~* '^[xab]';
SELECT kg_train('padded', 'padded');
CREATE VIEW unpadded AS SELECT head::text AS head, relation::varchar AS relation, tail::varchar(20) AS tail FROM padded;
CREATE VIEW spaced AS SELECT concat(head) AS head, relation::text AS relation, concat(tail) AS tail FROM padded;
SELECT kg_train('unpadded', 'unpadded', params => tools.quick()) AS unpadded_run, kg_train('spaced', 'spaced', params => tools.quick()) AS spaced_run \gset
SELECT tools.ended(:unpadded_run), tools.ended(:spaced_run);
SELECT count(*) FILTER (WHERE p.known) AS known, (SELECT count(*) FROM padded WHERE head = 'Bert' AND relation = 'knows') AS facts,
       pg_typeof(min(p.tail)) AS type
FROM kg_predict('Bert'::char(30), 'knows'::char(30), 1000, 'unpadded', 'mark') p;
SELECT count(*) FILTER (WHERE p.known) = count(DISTINCT (p.head, p.tail)) FILTER (WHERE p.known) AND count(*) FILTER (WHERE p.known) > 0 AS "each once"
FROM kg_predict_many((SELECT array_agg(DISTINCT head) FROM padded), ARRAY['knows'::char(9)], 1000, 'unpadded', 'mark') p;
SELECT count(*) FILTER (WHERE p.known) = (SELECT count(*) FROM unpadded a JOIN unpadded b USING (head, relation) WHERE b.head <> b.tail) AS "all, by the table"
FROM kg_predict_many('padded', 1000, 'unpadded', 'mark') p;
CREATE VIEW padded_tails AS SELECT tail FROM padded;
SELECT (SELECT count(*) FROM kg_predict('x1', 'knows', 1000, 'unpadded', 'include', 'padded_tails'))
       = (SELECT count(DISTINCT tail) FROM padded) AS candidates,
       (SELECT count(*) FROM kg_predict('x1', 'knows', 1000, 'unpadded', 'include', candidate_ids => (SELECT array_agg(tail) FROM padded)))
       = (SELECT count(DISTINCT tail) FROM padded) AS candidate_ids;
-- concat writes the padding, which is part of the label then.
SELECT count(*) FILTER (WHERE p.known) FROM kg_predict(rpad('Bert', 12), 'knows', 1000, 'spaced', 'mark') p;
SELECT kg_embedding('Bert'::char(12), 'spaced') IS NULL AS "without padding";
SELECT triples, unseen FROM kg_evaluate('spaced', 'spaced');
SELECT triples, unseen FROM kg_evaluate('unpadded', 'unpadded');
SELECT kg_evaluate('unpadded', 'padded');
SELECT count(kg_drop(name)) FROM metasd.models;

DROP VIEW exact, unpadded, spaced, padded_tails;
DROP TABLE loose, padded;
DROP FUNCTION known_to(text, text);
DROP DOMAIN word;
DROP COLLATION caseless, accentless;
