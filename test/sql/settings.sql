-- Labels are what they are, whatever settings a session, a role or a database has for the text of values.
SET jit = off;
SET TimeZone = 'UTC';
CREATE TABLE visit AS
SELECT i, '2024-01-30 22:30'::timestamptz + i * '1 day 7 hours'::interval AS at, i * '1 day 2 hours -3 minutes'::interval AS took,
       (i + 1) / 3.0::float8 AS cost, decode(lpad(to_hex(37 * i), 4, '0'), 'hex') AS photo,
       (i * 1234.5)::numeric::money AS price, daterange('2024-01-30', '2024-02-01'::date + i) AS season
FROM generate_series(1, 8) i;

-- Of each type facts between two values of it, written by the view; and some of two types.
CREATE VIEW diary AS
SELECT a.at::text AS head, 'at' AS relation, b.at::text AS tail FROM visit a, visit b WHERE b.i - a.i IN (1, 2)
UNION ALL SELECT a.took::text, 'took', b.took::text FROM visit a, visit b WHERE b.i - a.i IN (1, 2)
UNION ALL SELECT a.cost::text, 'cost', b.cost::text FROM visit a, visit b WHERE b.i - a.i IN (1, 2)
UNION ALL SELECT a.photo::text, 'photo', b.photo::text FROM visit a, visit b WHERE b.i - a.i IN (1, 2)
UNION ALL SELECT a.price::text, 'price', b.price::text FROM visit a, visit b WHERE b.i - a.i IN (1, 2)
UNION ALL SELECT a.season::text, 'season', b.season::text FROM visit a, visit b WHERE b.i - a.i IN (1, 2)
UNION ALL SELECT at::text, 'for', took::text FROM visit
UNION ALL SELECT 'nothing', 'for', 'nobody'
UNION ALL SELECT at::text, 'month', to_char(at, 'TMMonth') FROM visit
UNION ALL SELECT at::text, 'hour', extract(hour FROM at)::text FROM visit
UNION ALL SELECT at::text, 'table', ARRAY[NULL, tableoid::regclass::text]::text FROM visit
UNION ALL SELECT at::text, 'noon', '2024-01-01 12:00 CET'::text::timestamptz::text FROM visit;
CREATE VIEW half AS SELECT * FROM diary WHERE relation IN ('took', 'cost', 'month', 'hour', 'table', 'noon');
SELECT kg_train('diary', 'diary', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);

-- What each way of asking finds with values of a type; no figure depends on scores.
CREATE FUNCTION asked(type text, OUT predict bigint, OUT excluded bigint, OUT heads bigint, OUT arrays bigint,
                      OUT queries bigint, OUT tails bigint, OUT candidates bigint, OUT candidate_ids bigint,
                      OUT similar bigint, OUT relations bigint, OUT scored bigint, OUT ranked numeric)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TEMP VIEW questions AS SELECT %1$I AS head, %1$L::text AS relation, %1$I AS tail FROM visit', type);
    EXECUTE format('CREATE TEMP VIEW competitors AS SELECT %I FROM visit', type);
    EXECUTE format($q$
        WITH all_ AS (SELECT array_agg(%1$I) AS ids FROM visit)
        SELECT (SELECT count(*) FILTER (WHERE p.known)
                FROM all_, visit v, kg_predict(v.%1$I, %1$L::text, 1000, 'diary', 'mark', candidate_ids => ids) p),
               (SELECT count(*) FROM all_, visit a, kg_predict(a.%1$I, %1$L::text, 1000, 'diary', candidate_ids => ids) p, visit b
                WHERE b.%1$I = p.tail AND b.i - a.i IN (1, 2)),
               (SELECT count(*) FILTER (WHERE p.known)
                FROM all_, visit v, kg_predict_heads(%1$L::text, v.%1$I, 1000, 'diary', 'mark', candidate_ids => ids) p),
               (SELECT count(*) FILTER (WHERE p.known)
                FROM all_, kg_predict_many(ids, ARRAY[%1$L], 1000, 'diary', 'mark', candidate_ids => ids) p, visit b
                WHERE b.%1$I = p.tail),
               (SELECT count(*) FILTER (WHERE p.known) FROM kg_predict_many('questions', 1000, 'diary', 'mark') p),
               (SELECT count(*) FILTER (WHERE p.known) FROM kg_predict_many('questions', 1000, 'diary', 'mark', 'head') p),
               (SELECT count(*) FROM visit v, kg_predict(v.%1$I, %1$L::text, 1000, 'diary', 'include', 'competitors') p WHERE v.i = 1),
               (SELECT count(*) FROM all_, kg_predict('nothing', %1$L::text, 1000, 'diary', 'include', candidate_ids => ids) p),
               (SELECT count(kg_embedding(%1$I, 'diary')) FROM visit),
               (SELECT count(*) FILTER (WHERE p.known)
                FROM visit v, visit w, kg_predict_relations(v.%1$I, w.%1$I, 1000, 'diary', 'mark') p WHERE w.i - v.i = 1),
               (SELECT count(kg_score(v.%1$I, %1$L, w.%1$I, 'diary')) FROM visit v, visit w),
               (SELECT sum(r.candidates) FROM visit v, kg_rank(v.%1$I, %1$L, v.%1$I, 'diary') r)
        $q$, type)
    INTO predict, excluded, heads, arrays, queries, tails, candidates, candidate_ids, similar, relations, scored, ranked;
    DROP VIEW questions, competitors;
END $$;
CREATE VIEW answers AS
SELECT type, a.* FROM unnest('{at,took,cost,photo,price,season}'::text[]) type, asked(type) a;
SELECT * FROM answers;

-- The same under other settings, which stay what they are. A row is a difference.
CREATE VIEW measured AS
SELECT bucket, triples, unseen, round(mrr::numeric, 9) AS mrr, round(brier::numeric, 9) AS brier, NULL::bigint AS entities
FROM kg_evaluate('diary', 'half', by => 'relation')
UNION ALL
SELECT 'filters', triples, unseen, round(mrr::numeric, 9), round(brier::numeric, 9), NULL
FROM kg_evaluate('diary', 'half', filters => '{diary}')
UNION ALL
SELECT 'estimate', triples, 0, NULL, NULL, entities FROM kg_estimate('diary', params => tools.quick());
CREATE TABLE baseline AS TABLE answers;
CREATE TABLE figures AS TABLE measured;
SELECT bucket, triples, unseen FROM figures ORDER BY bucket;
CREATE PROCEDURE compare(INOUT kept text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    difference record;
BEGIN
    FOR difference IN TABLE answers EXCEPT TABLE baseline LOOP
        RAISE WARNING '%', difference;
    END LOOP;
    FOR difference IN TABLE measured EXCEPT TABLE figures LOOP
        RAISE WARNING '%', difference;
    END LOOP;
    kept := concat_ws(', ', current_setting('TimeZone'), current_setting('DateStyle'), current_setting('IntervalStyle'),
                      current_setting('extra_float_digits'), current_setting('bytea_output'), current_setting('quote_all_identifiers'));
END $$;
SET TimeZone = 'Asia/Kolkata';
CALL compare();
SET DateStyle = 'SQL, DMY';
SET IntervalStyle = 'iso_8601';
CALL compare();
SET extra_float_digits = -5;
SET bytea_output = 'escape';
SET quote_all_identifiers = on;
SET array_nulls = off;
CALL compare();
SET DateStyle = 'German, YMD';
SET IntervalStyle = 'sql_standard';
SET TimeZone = '-03:30';
SET timezone_abbreviations = 'Australia';
SET constraint_exclusion = on;
SET transform_null_equals = on;
CALL compare();
BEGIN;
SET LOCAL DateStyle = 'Postgres';
SET LOCAL IntervalStyle = 'postgres_verbose';
CALL compare();
COMMIT;
SHOW DateStyle;
SHOW IntervalStyle;

-- An answer is a value of the question's type, which the session writes as it likes.
SELECT p.tail = v.took AS same, pg_typeof(p.tail) FROM visit v, kg_predict(v.took, 'took'::text, 1, 'diary', 'include', candidate_ids => ARRAY[v.took]) p
UNION
SELECT b.price = p.tail, pg_typeof(p.tail)
FROM visit v, visit b, kg_predict(v.price, 'price'::text, 1, 'diary', 'include', candidate_ids => ARRAY[b.price]) p WHERE b.i - v.i = 3;
SELECT tail FROM kg_predict((SELECT at FROM visit WHERE i = 1), 'at'::text, 1, 'diary', 'include',
                            candidate_ids => ARRAY['2024-03-01 12:00 UTC'::timestamptz, '2024-02-02 12:30 UTC']);
SELECT tail FROM kg_predict((SELECT took FROM visit WHERE i = 1), 'took'::text, 1, 'diary', 'include',
                            candidate_ids => ARRAY['2 days 3:54'::interval]);

-- They are what they were after an error, too: of a value, in the source's view, at the end of a subtransaction.
SELECT * FROM kg_predict((SELECT at FROM visit WHERE i = 1), 'for'::text, 1, 'diary', 'include',
                          candidate_ids => ARRAY['2 days 3:54'::interval]);
CREATE FUNCTION angry(text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('application_name') = 'angry' THEN
        RAISE 'TimeZone is %', current_setting('TimeZone');
    END IF;
    PERFORM set_config('IntervalStyle', 'iso_8601', false);
    RETURN $1;
END $$;
CREATE OR REPLACE VIEW diary AS
SELECT angry(a.at::text) AS head, 'at' AS relation, b.at::text AS tail FROM visit a, visit b WHERE b.i - a.i = 1;
CREATE VIEW asked_at AS
SELECT p.* FROM visit v, kg_predict(v.at, 'at'::text, 1000, 'diary', 'mark', candidate_ids => (SELECT array_agg(at) FROM visit)) p
WHERE v.i = 1;
SELECT tail FROM asked_at WHERE known;
SHOW IntervalStyle;
SET application_name = 'angry';
SELECT tail FROM asked_at;
SELECT * FROM kg_evaluate('diary', 'diary');
SELECT * FROM kg_estimate('diary');
DO $$
BEGIN
    PERFORM tail FROM asked_at;
EXCEPTION WHEN raise_exception THEN
    RAISE NOTICE '%; here %, %', sqlerrm, current_setting('TimeZone'), current_setting('IntervalStyle');
END $$;
SHOW TimeZone;
SHOW DateStyle;
SHOW IntervalStyle;
RESET application_name;
RESET ALL;
SELECT kg_drop('diary');
DROP VIEW asked_at;

-- What a role and a database have set does not reach the worker either.
CREATE TABLE labels AS SELECT label FROM metasd.entity LIMIT 0;
CREATE OR REPLACE VIEW diary AS
SELECT at::text AS head, 'took' AS relation, took::text AS tail FROM visit
UNION ALL SELECT photo::text, 'costs', cost::text FROM visit;
SELECT kg_train('diary', 'diary', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
INSERT INTO labels SELECT label FROM metasd.entity;
SELECT current_database() AS database, current_user AS me \gset
ALTER DATABASE :"database" SET TimeZone = 'Asia/Kolkata';
ALTER DATABASE :"database" SET bytea_output = 'escape';
ALTER ROLE :"me" SET IntervalStyle = 'iso_8601';
ALTER ROLE :"me" SET extra_float_digits = -3;
SELECT kg_train('diary') AS run \gset
SELECT tools.ended(:run);
ALTER DATABASE :"database" RESET TimeZone;
ALTER DATABASE :"database" RESET bytea_output;
ALTER ROLE :"me" RESET IntervalStyle;
ALTER ROLE :"me" RESET extra_float_digits;
SELECT count(*) FROM metasd.entity WHERE run = :run AND label NOT IN (SELECT label FROM labels);
SELECT kg_drop('diary');
DROP VIEW answers, measured, half, diary;
DROP TABLE baseline, figures, labels, visit;
DROP FUNCTION asked(text), angry(text);
DROP PROCEDURE compare(text);
