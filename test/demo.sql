-- What make demo shows: a table of facts, a model of it, and what it completes.
\pset footer off
\set SHOW_CONTEXT never
\set VERBOSITY terse

\echo '4,488 facts of world geography, in a table of three columns:'
CREATE EXTENSION metasd;
-- There are no sessions to make room for: what else the machine does must not hold the workers up.
SET metasd.nice = 0;
CREATE TABLE facts (head text, relation text, tail text, PRIMARY KEY (head, relation, tail));
CREATE INDEX ON facts (tail, relation);
\copy facts FROM 'test/data/world.tsv'
SELECT relation, count(*) AS facts, min(head || ' - ' || tail) AS "for example"
FROM facts GROUP BY relation ORDER BY facts DESC LIMIT 5;

\echo 'Some of them the model shall not see:'
CREATE TABLE hidden AS
SELECT * FROM facts
WHERE (head, relation, tail) IN (VALUES
    ('Senegal', 'official_language', 'French'), ('Slovenia', 'currency', 'Euro'),
    ('Kenya', 'driving_side', 'left'), ('Peru', 'on_coast_of', 'Pacific Ocean'),
    ('Osaka', 'located_in', 'Japan'), ('Latvia', 'member_of', 'European Union'));
DELETE FROM facts USING hidden
WHERE (facts.head, facts.relation, facts.tail) = (hidden.head, hidden.relation, hidden.tail);
SELECT * FROM hidden;

\echo 'SELECT kg_train(''world'', ''facts''); CALL kg_wait(1);'
SELECT kg_train('world', 'facts') AS run \gset
CALL kg_wait(:run);
SELECT name AS model, triples, entities, relations, round(mrr::numeric, 3) AS "validation MRR",
       pg_size_pretty(bytes) AS stored
FROM metasd.models;

\echo 'What it says of the facts it has not seen:'
SELECT h.head, h.relation, h.tail AS truth, p.answers
FROM hidden h,
     LATERAL (SELECT string_agg(tail, ', ' ORDER BY rank) AS answers
              FROM kg_predict(h.head, h.relation, 3)) p;

\echo 'SELECT * FROM kg_similar(''Norway'', 5);'
SELECT * FROM kg_similar('Norway', 5);
