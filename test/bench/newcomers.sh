#!/usr/bin/env bash
# newcomers.sh FOLDER [COLUMNS [PARAMS [SALT]]] - how well entities are answered that a model does not know,
# on a throwaway server.
#
# Of the facts in FOLDER (train.tsv, valid.tsv and test.tsv, with COLUMNS in that order) all those of 5 % of
# the entities, chosen by SALT, are kept out of the training of a model with PARAMS. Then half of them come
# into its source, and the other half is asked: ranked by kg_evaluate in both directions, beside a model that
# was trained with the first half. Prints the MRR of questions about the newcomers, of newcomers as answers,
# and of both; and what a question about a newcomer takes on top of one about an entity that the model knows,
# medians of the two in turn, by the number of its facts.
set -eu
. "$(dirname "$0")/bench.sh"
folder=$(folder_of "${1:-}")
params=${3:-'{}'}
start_server
psql+=(-A -t)
load_triples "$folder" "${2:-}"
"${psql[@]}" -v salt="${4:-1}" -v params="$params" <<'SQL'
SET client_min_messages = warning;
CREATE TABLE every AS SELECT * FROM facts UNION SELECT * FROM valid UNION SELECT * FROM test;
CREATE TABLE newcomers AS
SELECT e FROM (SELECT head AS e FROM every UNION SELECT tail FROM every) x ORDER BY md5(:'salt' || e)
LIMIT (SELECT ceil(count(*) * 0.05) FROM (SELECT head FROM every UNION SELECT tail FROM every) x);
CREATE TABLE about AS
SELECT *, get_bit(decode(md5(:'salt' || head || relation || tail), 'hex'), 0) = 0 AS seen
FROM every WHERE head IN (TABLE newcomers) OR tail IN (TABLE newcomers);
TRUNCATE facts;
INSERT INTO facts SELECT * FROM every EXCEPT SELECT head, relation, tail FROM about;
CREATE TABLE more AS SELECT * FROM facts UNION ALL SELECT head, relation, tail FROM about WHERE seen;
CREATE INDEX ON more (head, relation);
CREATE INDEX ON more (tail, relation);
CREATE TABLE as_head AS SELECT head, relation, tail FROM about
WHERE NOT seen AND head IN (TABLE newcomers) AND tail NOT IN (TABLE newcomers);
CREATE TABLE as_tail AS SELECT head, relation, tail FROM about
WHERE NOT seen AND tail IN (TABLE newcomers) AND head NOT IN (TABLE newcomers);
SELECT kg_train('without', 'facts', params => :'params') AS run \gset
CALL kg_wait(:run);
SELECT kg_train('with', 'more', params => :'params') AS run \gset
CALL kg_wait(:run);
INSERT INTO facts SELECT head, relation, tail FROM about WHERE seen;
ANALYZE;
SELECT count(*) || ' newcomers, ' || (SELECT count(*) FROM about WHERE seen) || ' facts of them given, '
       || (SELECT count(*) FROM about WHERE NOT seen) || ' asked' FROM newcomers;

-- By direction: of a fact with a newcomer as head, the question about it asks for the tail.
CREATE TABLE ranks AS
SELECT m AS model, (t = 'as_head') = (e.bucket = 'tail') AS question, e.triples, e.mrr, e.unseen
FROM unnest('{without,with}'::text[]) m, unnest('{as_head,as_tail}'::text[]) t, kg_evaluate(m, t::regclass, 'side') e;
SELECT CASE question WHEN true THEN 'questions about newcomers' WHEN false THEN 'newcomers as answers' ELSE 'both' END
       || ': MRR ' || round(max(mrr) FILTER (WHERE model = 'without')::numeric, 3)
       || ' by their facts, ' || round(max(mrr) FILTER (WHERE model = 'with')::numeric, 3)
       || ' trained with them, ratio '
       || round((max(mrr) FILTER (WHERE model = 'without') / max(mrr) FILTER (WHERE model = 'with'))::numeric, 2)
       || ', ' || max(triples) || ' answers, ' || max(unseen) FILTER (WHERE model = 'without') || ' unseen'
FROM (SELECT model, question, sum(triples * mrr) / sum(triples) AS mrr, sum(triples) AS triples, sum(unseen) AS unseen
      FROM ranks GROUP BY GROUPING SETS ((model, question), (model))) r
GROUP BY question ORDER BY question DESC NULLS LAST;

-- Statements in turn: a newcomer, and an entity that the model knows.
CREATE TABLE times (facts int, ms float8, known_ms float8);
DO $$
DECLARE
    one record;
    start timestamptz;
    middle timestamptz;
BEGIN
    FOR one IN SELECT a.head, a.relation, k.head AS known, n.facts
               FROM (SELECT DISTINCT ON (head) * FROM as_head) a
               JOIN (SELECT DISTINCT ON (relation) head, relation FROM more WHERE head NOT IN (TABLE newcomers)) k USING (relation),
                    LATERAL (SELECT count(*) AS facts FROM facts f WHERE f.head = a.head OR f.tail = a.head) n
               WHERE n.facts > 0 ORDER BY md5(a.head) LIMIT 300 LOOP
        FOR i IN 0 .. 5 LOOP
            start := clock_timestamp();
            EXECUTE 'SELECT count(*) FROM kg_predict($1, $2, 10, ''without'')' USING one.head, one.relation;
            middle := clock_timestamp();
            EXECUTE 'SELECT count(*) FROM kg_predict($1, $2, 10, ''without'')' USING one.known, one.relation;
            INSERT INTO times SELECT one.facts, 1000 * extract(epoch FROM middle - start),
                                     1000 * extract(epoch FROM clock_timestamp() - middle)
            WHERE i > 0; -- the first time plans are made and pages read
        END LOOP;
    END LOOP;
END $$;
SELECT 'newcomers with ' || CASE WHEN facts <= 10 THEN 'up to 10' WHEN facts <= 100 THEN '11 to 100' ELSE 'more' END
       || ' facts: ' || round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 2) || ' ms a question, known entities '
       || round(percentile_cont(0.5) WITHIN GROUP (ORDER BY known_ms)::numeric, 2) || ' ms, on top '
       || round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms - known_ms)::numeric, 2) || ' ms (' || count(*) || ')'
FROM times GROUP BY facts <= 10, facts <= 100, CASE WHEN facts <= 10 THEN 'up to 10' WHEN facts <= 100 THEN '11 to 100' ELSE 'more' END
ORDER BY min(facts);
SQL
