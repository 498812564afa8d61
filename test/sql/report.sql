-- A page about a model. What is in it differs with the model, so this looks for what must be there, and must not.
CREATE TABLE people AS SELECT * FROM tools.people();
CREATE TEMP TABLE pages (name text PRIMARY KEY, page text NOT NULL);
-- XML is what PostgreSQL can check; builds without libxml cannot.
CREATE FUNCTION parses(page text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM xmlparse(DOCUMENT page);
    RETURN true;
EXCEPTION WHEN feature_not_supported THEN
    RETURN true;
END $$;
CREATE FUNCTION found(page text, pattern text) RETURNS bigint LANGUAGE sql AS
'SELECT count(*) FROM regexp_matches(page, pattern, ''g'')';
-- The charts of a page and their marks.
CREATE FUNCTION charts(page text) RETURNS TABLE (chart text, marks bigint) LANGUAGE sql AS $$
    SELECT (regexp_match(c, '<title id="t\d+">([^<]*)</title>'))[1], found(c, 'class="mark ')
    FROM regexp_split_to_table(page, '<svg class="chart"') WITH ORDINALITY s (c, n) WHERE n > 1 ORDER BY n
$$;

-- Without a model, without a training.
SELECT kg_report();
SELECT kg_report('people');
BEGIN;
SELECT kg_train('people', 'people', params => tools.quick()) AS run \gset
SELECT kg_report('people');
ROLLBACK;

-- All sections, and no chart without marks.
SELECT kg_train('people', 'people', params => tools.thorough() || '{"validation_fraction": 0.1, "seed": 3}') AS run \gset
SELECT tools.ended(:run);
INSERT INTO pages SELECT 'people', kg_report('people');
-- But for the time below it, it is the same for the only model.
SELECT parses(page), split_part(page, '<footer', 1) = split_part(kg_report(NULL), '<footer', 1) AS "the same" FROM pages;
SELECT unnest(regexp_matches(page, '<section id="[a-z]+"><h2>[^<]*', 'g')) AS section FROM pages;
SELECT chart, marks > 0 AS marked FROM pages, charts(page);
SELECT found(page, '<svg class="chart" role="img"') = found(page, '<svg class="chart"') AS "all have roles",
       found(page, '<svg class="chart"') = found(page, '<desc id=') AS "and descriptions",
       found(page, '<circle class="mark dot m\d"[^>]*><title>p\d\d: \d+ facts?</title>') AS "people on the map",
       found(page, '<circle class="mark dot m\d"[^>]*><title>') = (SELECT entities FROM metasd.models) AS "all on the map"
FROM pages;

-- It needs nothing from elsewhere, and has no scripts.
SELECT page ~* '<script|javascript:|https?:|src=|url\(|@import|<link|<iframe|\son[a-z]+=' AS "from elsewhere",
       page ~ 'default-src ''none''' AS policy, page ~ 'prefers-color-scheme:dark' AS dark, page ~ '@media print' AS prints, octet_length(page) < 400000 AS small
FROM pages;

-- Its figures are those of the views.
SELECT page ~ format('<td class="number">%s</td>', to_char(m.mrr, 'FM0.000')) AS mrr, page ~ format('<dt>Facts</dt><dd>%s</dd>', m.triples) AS facts,
       page ~ format('<dt>Entities</dt><dd>%s</dd>', m.entities) AS entities
FROM pages, metasd.models m;
SELECT bool_and(page ~ format('<td><bdi>%s</bdi></td><td class="number">%s</td><td class="number">%s</td><td class="number">%s</td>',
                              relation, triples, held_out, coalesce(to_char(mrr, 'FM0.000'), '&#x2013;'))) AS relations
FROM pages, metasd.relations;
SELECT bool_and(page ~ format('<td><bdi>%s</bdi>( <span class="soft">given</span>)?</td><td><bdi>%s</bdi></td>', p.key, p.value)) AS parameters,
       count(*) = found(min(page), '<td><bdi>[a-z_]+</bdi>( <span class="soft">given</span>)?</td><td><bdi>') AS "and no others"
FROM pages, metasd.versions v, jsonb_each_text(v.params) p;

-- The best discoveries and the worst suspects are those of the functions, and the first of each are explained.
CREATE FUNCTION finds(page text, section text) RETURNS TABLE (find text, more text) LANGUAGE sql AS $$
    SELECT regexp_replace(split_part(l, '</span>', 1), '^<p class="find"><span>|</?(bdi|em)>', '', 'g'), regexp_replace(l, '</?(bdi|em)>', '', 'g')
    FROM regexp_split_to_table((regexp_match(page, '<section id="' || section || '">(.*?)</section>'))[1], '<li>') WITH ORDINALITY s (l, n) WHERE n > 1 ORDER BY n
$$;
SELECT array_agg(find) = (SELECT array_agg(concat_ws(' ', head, relation, tail) ORDER BY ordinality) FROM kg_discover(k => 12) WITH ORDINALITY) AS discoveries,
       count(*), bool_and(more ~ 'class="odds"><span class="meter"><span style="width:\d+%"></span></span> [\d.]+%') AS probabilities,
       bool_or(more ~ '<p class="why">Because p') AS explained FROM pages, finds(page, 'discoveries');
SELECT array_agg(find) = (SELECT array_agg(concat_ws(' ', head, relation, tail) ORDER BY ordinality) FROM kg_suspects(k => 12) WITH ORDINALITY) AS suspects,
       count(*), bool_and(more ~ 'tail ranked \d+' OR more !~ 'would rather') AS ranked FROM pages, finds(page, 'suspects');
SET client_min_messages = warning; -- whether more speaks for one depends on the training
SELECT bool_and(more ~ (SELECT concat_ws(' ', e.head, e.relation, e.tail) || ' <small>\d+%'
                        FROM kg_explain(d.head, d.relation, d.tail, 4) e WHERE e.share > 0 LIMIT 1)) AS "first reasons"
FROM pages, finds(page, 'discoveries'), kg_discover(k => 8) d WHERE find = concat_ws(' ', d.head, d.relation, d.tail);
RESET client_min_messages;
-- Notices of these are not for who wants a page.
SELECT length(kg_report()) > 0 AS quiet;

-- What the training found out for it: as many answers in each part as in all.
SELECT (SELECT sum((d ->> 'queries')::int) FROM jsonb_array_elements(metrics -> 'degrees') d) = (metrics #>> '{stored,queries}')::int AS degrees,
       (SELECT abs(sum((d ->> 'queries')::int * (d ->> 'mrr')::float8) / sum((d ->> 'queries')::int) - (metrics #>> '{stored,mrr}')::float8) < 1e-5
        FROM jsonb_array_elements(metrics -> 'degrees') d) AS "mrr by degree",
       (SELECT array_agg(DISTINCT (d ->> 'from')::int & ((d ->> 'from')::int - 1)) FROM jsonb_array_elements(metrics -> 'degrees') d) AS "powers of two",
       jsonb_array_length(metrics #> '{calibration,tenths}') AS tenths,
       (SELECT sum((t ->> 'answers')::int) FROM jsonb_array_elements(metrics #> '{calibration,tenths}') t) = (metrics #>> '{calibration,answers}')::int AS answers,
       (SELECT sum((t ->> 'facts')::int) FROM jsonb_array_elements(metrics #> '{calibration,tenths}') t) = (metrics #>> '{calibration,facts}')::int AS facts,
       (SELECT bool_and((t ->> 'claimed')::float8 BETWEEN (n - 1) * 0.1 * (t ->> 'answers')::int - 1e-6 AND n * 0.1 * (t ->> 'answers')::int + 1e-6)
        FROM jsonb_array_elements(metrics #> '{calibration,tenths}') WITH ORDINALITY x (t, n)) AS claimed
FROM metasd.versions;
-- A version that an older training has stored does not know these.
BEGIN;
UPDATE metasd.run SET metrics = metrics - 'degrees' #- '{calibration,tenths}';
SELECT page ~ 'no figures of how far the probabilities' AS said, parses(page) FROM kg_report('people') page;
SELECT chart, marks > 0 AS marked FROM kg_report('people') page, charts(page) WHERE chart ~ 'occurs|Reliability|tail';
UPDATE metasd.run SET metrics = NULL, bytes = NULL, params = '{}';
DELETE FROM metasd.epoch;
SELECT page ~ 'has no learning curve' AS said, parses(page) FROM kg_report('people') page;
SELECT chart, marks > 0 AS marked FROM kg_report('people') page, charts(page);
ROLLBACK;

-- A model that is dense and learns alone: there is no full model beside it, nothing is pruned, and no mask changes.
SELECT kg_train('dense', 'people', params => tools.thorough() || '{"validation_fraction": 0.1, "warmup": 0, "ramp": 0, "epochs": 4, "finetune": 4, "mutual": false, "sparsity": 0}') AS run \gset
SELECT tools.ended(:run);
SELECT parses(page), page ~ 'full model|pruned model' AS "others", page ~ '<tr><td>model</td>' AS "its own" FROM kg_report('dense') page;
SELECT chart FROM kg_report('dense') page, charts(page) WHERE chart ~ 'Validation|Loss|Pruned|mask';
SELECT chart, page ~ 'full model' AS "full", page ~ 'pruned model, which is stored' AS pruned FROM pages, charts(page) WHERE chart ~ 'Validation|Loss|Pruned|mask';
SELECT kg_drop('dense');

-- Another version: both are there, and how they differ.
SELECT kg_train('people', params => '{"seed": 4, "promote_tolerance": 1}') AS run \gset
SELECT tools.ended(:run);
SELECT page ~ 'Compared with version \d+, which served before: on \d+ answers' AS drift, found(page, '<td>serves') AS serves, parses(page) FROM kg_report() page;
SELECT chart, marks FROM kg_report() page, charts(page) WHERE chart ~ 'versions';
SELECT count(kg_drop(name)) FROM metasd.models;

-- Labels of all kinds are text, whatever they look like. Names of columns, relations and models are, too.
CREATE TABLE "<b>" ("</td>" text, "&" text, """'" text);
INSERT INTO "<b>" SELECT v[i], '<i>&amp;' || chr(9) || i % 2, v[1 + (i * 3) % 12]
FROM (SELECT ARRAY['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', '''onmouseover=''alert(1)', '&', '&lt;', '&#60;', ']]>', '<!--', E'a\nb\tc\x01\x7f',
                   repeat('long ', 100), repeat('w', 5000), '<![CDATA[x']) a (v), generate_series(1, 12) i;
SELECT kg_train('</title><b>"m''', '"<b>"', '</td>', '&', '"''', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
INSERT INTO pages SELECT 'labels', kg_report();
SELECT parses(page), page ~* '<(script|img|i|b)\M' AS markup, page ~ '[\x01-\x09\x0b-\x1f\x7f]' AS control, octet_length(page) < 100000 AS small, page LIKE '%' || repeat('w', 301) || '%' AS long
FROM pages WHERE name = 'labels';
SELECT unnest(regexp_matches(page, '<circle class="mark dot m\d"[^>]*><title>(.{1,90}): \d+ facts?</title>', 'g')) COLLATE "C" AS label FROM pages WHERE name = 'labels' ORDER BY 1;
SELECT (regexp_match(page, '<title>(.*?)</title>'))[1] AS title, (regexp_match(page, '<h1>(.*?)</h1>'))[1] AS heading,
       (regexp_match(page, 'trained from (.*?)\.</p>'))[1] AS source, (regexp_match(page, '<th scope="row">Columns</th><td>(.*?)</td></tr>'))[1] AS columns
FROM pages WHERE name = 'labels';
SELECT unnest(regexp_matches(page, '<td><bdi>(&lt;i.*?)</bdi>', 'g')) COLLATE "C" AS relation FROM pages WHERE name = 'labels' ORDER BY 1;
SELECT count(kg_drop(name)) FROM metasd.models;

-- The smallest graphs, of one relation, and trainings of one epoch, with and without validation.
CREATE TABLE tiny (head integer, relation text, tail integer);
INSERT INTO tiny VALUES (1, 'r', 2);
SELECT kg_train('one', 'tiny', params => '{"rank": 1, "epochs": 1, "warmup": 0, "validation_fraction": 0}') AS run \gset
SELECT tools.ended(:run);
INSERT INTO tiny VALUES (2, 'r', 2), (3, 'r', 1);
SELECT kg_train('two', 'tiny', params => '{"rank": 4, "epochs": 1, "validation_fraction": 0.3, "sparsity": 0}') AS run \gset
SELECT tools.ended(:run);
CREATE TABLE shared AS SELECT 2 AS head, 'r' AS relation, 2 AS tail;
SELECT kg_train('three', 'tiny', validation => 'shared', params => '{"rank": 2, "epochs": 2, "sparsity": 0.9}') AS run \gset
SELECT tools.ended(:run);
CREATE TABLE held AS SELECT 3 AS head, 'r' AS relation, 2 AS tail;
SELECT kg_train('four', 'tiny', validation => 'held', params => '{"rank": 2, "epochs": 1}') AS run \gset
SELECT tools.ended(:run);
SELECT name, parses(page), bool_and(marks > 0) AS marked, count(*) AS charts, page ~ '-?nan|inf\M|-?NaN' AS "not numbers",
       page ~ 'No facts were held out' AS "nothing held out" FROM metasd.models, kg_report(name) page, charts(page) GROUP BY name, page ORDER BY name COLLATE "C";
SELECT count(kg_drop(name)) FROM metasd.models;
DROP TABLE held, shared;

-- Who may ask the model has the page. What is known of the validation relation is for those who may read it, here and in the view.
CREATE ROLE regress_metasd_reader;
CREATE ROLE regress_metasd_nobody;
CREATE TABLE held AS SELECT * FROM people WHERE head < 'p12' AND relation = 'speaks';
DELETE FROM people p USING held h WHERE p = (h.head, h.relation, h.tail)::people;
GRANT SELECT ON people TO regress_metasd_reader;
SELECT kg_train('people', 'people', validation => 'held', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
CREATE FUNCTION seen() RETURNS TABLE (part text, there boolean) LANGUAGE sql AS $$
    SELECT 'MRR by relation', page ~ '<title id="t\d+">MRR by relation' FROM kg_report() page
    UNION ALL SELECT 'by degree', page ~ 'MRR by how often the answer occurs' FROM kg_report() page
    UNION ALL SELECT 'reliability', page ~ 'Answers by the probability' FROM kg_report() page
    UNION ALL SELECT 'held out', page ~ '<bdi>speaks</bdi></td><td class="number">\d+</td><td class="number">\d' FROM kg_report() page
    UNION ALL SELECT 'said why', page ~ 'are for those who may read the validation relation' FROM kg_report() page
    UNION ALL SELECT 'map', page ~ 'Map of the entities' FROM kg_report() page
    UNION ALL SELECT 'metrics', metrics ? 'degrees' OR metrics #> '{calibration,tenths}' IS NOT NULL FROM metasd.versions
    UNION ALL SELECT 'other metrics', metrics ? 'stored' AND metrics #> '{calibration,slope}' IS NOT NULL FROM metasd.versions
$$;
SELECT * FROM seen();
SET ROLE regress_metasd_reader;
SELECT * FROM seen();
SET ROLE regress_metasd_nobody;
SELECT kg_report();
\set VERBOSITY terse
SELECT kg_report('people');
\set VERBOSITY default
RESET ROLE;
GRANT SELECT ON held TO regress_metasd_reader;
SET ROLE regress_metasd_reader;
SELECT bool_and(there) FROM seen() WHERE part <> 'said why';
RESET ROLE;
-- In a transaction that may not write, and whatever the search path and the schema of the functions have.
CREATE SCHEMA regress_metasd_trap;
CREATE FUNCTION kg_discover(text, integer) RETURNS integer LANGUAGE sql AS 'SELECT 1 / 0';
CREATE FUNCTION kg_explain(text, text, text, integer, text) RETURNS integer LANGUAGE sql AS 'SELECT 1 / 0';
CREATE FUNCTION regress_metasd_trap.to_char(timestamptz, text) RETURNS text LANGUAGE sql AS 'SELECT 1 / 0 || ''''';
BEGIN READ ONLY;
SET LOCAL search_path = regress_metasd_trap, pg_catalog, public;
SELECT parses(page), page ~ 'could not be searched' AS trapped FROM kg_report() page;
ROLLBACK;
DROP FUNCTION kg_discover(text, integer), kg_explain(text, text, text, integer, text);
-- The source may be gone.
DROP TABLE people;
SELECT page ~ 'which has been dropped since' AS said, page ~ 'source could not be searched' AS "not searched", parses(page),
       page ~ 'There is nothing to' AS nothing FROM kg_report() page;
SELECT count(kg_drop(name)) FROM metasd.models;
SET client_min_messages = warning;
DROP TABLE held, tiny, "<b>";
DROP SCHEMA regress_metasd_trap CASCADE;
DROP FUNCTION seen, finds, charts, found, parses;
DROP ROLE regress_metasd_reader, regress_metasd_nobody;
