-- Versions of a model: which is promoted, which are kept, and how their owner changes that.
CREATE TABLE people AS SELECT * FROM tools.people();
CREATE FUNCTION trained(more jsonb) RETURNS jsonb LANGUAGE sql AS
$$SELECT tools.thorough() || '{"validation_fraction": 0.1}' || more$$;
-- Without figures and numbers of runs.
CREATE FUNCTION plain(note text) RETURNS text LANGUAGE sql AS
$$SELECT regexp_replace(tools.hide_ids(note), '0\.\d{3}\M', '#', 'g')$$;
CREATE VIEW versions AS
SELECT tools.nth(run) AS version, status, serving, kept, plain(note) AS note FROM metasd.versions WHERE model = 'people'
ORDER BY metasd.versions.run;

-- The first serves, however bad: there is nothing to compare it with.
SELECT kg_train('people', 'people', params => trained('{"epochs": 1}')) AS run \gset
SELECT tools.ended(:run);
TABLE versions;
SELECT metrics -> 'drift' AS drift, metrics -> 'promoted' AS promoted FROM metasd.versions WHERE serving;

-- A better one takes over. Both rank the same facts, the new one as it was measured before.
SELECT kg_train('people', params => trained('{}')) AS second \gset
SELECT tools.ended(:second);
TABLE versions;
SELECT tools.nth((metrics #>> '{drift,version}')::bigint) AS version,
       metrics #> '{drift,queries}' = metrics #> '{validation,queries}' AS "all answers",
       abs((metrics #>> '{drift,mrr}')::float - (metrics #>> '{stored,mrr}')::float) < 0.001 AS "as stored",
       (metrics #>> '{drift,mrr}')::float > (metrics #>> '{drift,mrr_before}')::float AS better,
       (metrics #>> '{drift,top10_overlap}')::float BETWEEN 0 AND 0.99 AS "other answers"
FROM metasd.versions WHERE serving;

-- The same again is as good, and answers the same.
SELECT kg_train('people') AS third \gset
SELECT tools.ended(:third);
SELECT metrics #> '{drift,mrr}' = metrics #> '{drift,mrr_before}' AS same, metrics #> '{drift,top10_overlap}' AS overlap
FROM metasd.versions WHERE serving;

-- A worse one is a version, but does not serve; its owner may let it.
SELECT kg_train('people', params => '{"epochs": 1}') AS fourth \gset
SELECT tools.ended(:fourth);
TABLE versions;
SELECT metrics -> 'promoted' AS promoted, (metrics #>> '{drift,mrr}')::float < (metrics #>> '{drift,mrr_before}')::float AS worse
FROM metasd.versions WHERE run = :fourth;
SELECT tools.nth(serving) AS serving, tools.nth(last_run) AS last_run, last_status FROM metasd.models;
SELECT kg_promote('people', :fourth);
SELECT version, serving FROM versions;

-- Back to the one before, and the one before that. A version that was gone back from can be promoted.
SELECT tools.nth(kg_rollback('people')) AS serving;
SELECT version, serving FROM versions;
SELECT tools.nth(kg_rollback('people')) AS serving;
SELECT tools.nth(kg_rollback('people')) AS serving;
SELECT kg_promote('people', :fourth);
SELECT kg_promote('people', :third);
SELECT kg_promote('people', :fourth);
SELECT tools.nth(serving) AS serving, ARRAY(SELECT tools.nth(run) FROM unnest(history) run) AS history FROM metasd.model;
SELECT tools.nth(kg_rollback('people')) AS serving;
\set VERBOSITY sqlstate
SELECT kg_promote('people', :third); -- which serves already
\set VERBOSITY default

-- Promotions are undone with their transaction, and answers are those of the version that serves.
CREATE FUNCTION answer() RETURNS real LANGUAGE sql AS $$SELECT kg_score('p07', 'speaks', 'French', 'people')$$;
SELECT answer() AS good \gset
BEGIN;
SELECT kg_promote('people', :fourth);
SELECT answer()::text <> :'good' AS other;
ROLLBACK;
SELECT answer()::text = :'good' AS same;

-- What cannot be promoted.
SELECT kg_promote('people', 0);
SELECT kg_promote('nobody', 0);
SELECT kg_promote('people', NULL);
SELECT kg_promote(NULL, 0), kg_rollback(NULL);
SELECT kg_rollback('nobody');
SELECT kg_train('other', 'people', params => tools.quick()) AS other \gset
SELECT tools.ended(:other);
SELECT tools.error_of(format('SELECT kg_promote(''people'', %s)', :other));
SELECT kg_rollback('other');
SELECT kg_train('people', params => '{"epochs": 100000}') AS run \gset
SELECT kg_cancel(:run);
SELECT tools.ended(:run);
SELECT tools.error_of(format('SELECT kg_promote(''people'', %s)', :run));
BEGIN READ ONLY;
SELECT kg_promote('people', :third);
ROLLBACK;
BEGIN READ ONLY;
SELECT kg_rollback('people');
ROLLBACK;

-- Only for the owner and members of his role.
CREATE ROLE regress_metasd_other;
GRANT SELECT ON people TO regress_metasd_other;
SET ROLE regress_metasd_other;
SELECT tools.nth(run) AS version, serving, kept FROM metasd.versions WHERE model = 'people' ORDER BY run;
SELECT kg_promote('people', :third);
SELECT kg_rollback('people');
RESET ROLE;
SELECT current_user AS me \gset
GRANT :"me" TO regress_metasd_other;
SET ROLE regress_metasd_other;
SELECT kg_promote('people', :fourth);
SELECT tools.nth(kg_rollback('people')) AS serving;
RESET ROLE;
REVOKE :"me" FROM regress_metasd_other;

-- Of those that do not serve the newest are kept, three versions in all if nothing else is said; the
-- rows of the others stay, without embeddings.
SELECT version, kept FROM versions;
SELECT kg_train('people', params => '{"epochs": 60, "keep_versions": 2}') AS run \gset
SELECT tools.ended(:run);
SELECT version, status, serving, kept FROM versions;
SELECT tools.nth(run) AS version, bytes > 0 AS bytes, metrics ? 'stored' AS figures FROM metasd.versions WHERE model = 'people' AND NOT kept AND status = 'succeeded' ORDER BY run;
SELECT DISTINCT tools.nth(e.run) AS version FROM metasd.entity e JOIN metasd.relation r ON r.run = e.run
WHERE e.run IN (SELECT run FROM metasd.versions WHERE model = 'people') ORDER BY 1;
SELECT tools.error_of(format('SELECT kg_promote(''people'', %s)', :second));
SELECT ARRAY(SELECT tools.nth(run) FROM unnest(history) run) AS history FROM metasd.model WHERE name = 'people';
SELECT kg_train('people', params => '{"epochs": 1, "keep_versions": 1}') AS run \gset
SELECT tools.ended(:run);
SELECT version, serving, kept, note IS NOT NULL AS noted FROM versions;
SELECT kg_rollback('people');
SELECT answer() IS NOT NULL AS "still answers";
SELECT kg_drop('people');

-- Facts that either was trained on do not count: what one holds out of a source others do, too, whatever
-- their seeds, and those of more held-out facts are compared by the fewer.
SELECT kg_train('people', 'people', params => tools.quick()) AS first \gset
SELECT tools.ended(:first);
SELECT kg_train('people', params => '{"seed": 2, "validation_fraction": 0.4}') AS run \gset
SELECT tools.ended(:run);
SELECT metrics -> 'held_out' AS held_out, metrics #> '{validation,queries}' AS queries, metrics #> '{drift,queries}' AS compared
FROM metasd.versions WHERE model = 'people' ORDER BY run;
SELECT kg_train('people', params => '{"validation_fraction": 0}') AS run \gset
SELECT tools.ended(:run);
TABLE versions;
SELECT kg_train('people', params => '{"validation_fraction": 0.1}') AS run \gset
SELECT tools.ended(:run);
SELECT note FROM versions WHERE serving;
SELECT (metrics #>> '{drift,top10_overlap}')::float BETWEEN 0 AND 1 AS overlap, metrics #> '{drift,queries}' AS queries
FROM metasd.versions WHERE model = 'people' AND serving;
SELECT kg_drop('people');

-- With a source of validation all its facts count. The old version ranks them as kg_evaluate says.
CREATE TABLE answers AS
SELECT * FROM (VALUES ('p07', 'speaks', 'French'), ('p17', 'lives_in', 'Brest'), ('p27', 'works_at', 'mill'))
       AS v (head, relation, tail);
SELECT kg_train('people', 'people', validation => 'answers', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SELECT mrr FROM kg_evaluate('people', 'answers') \gset
SELECT kg_train('people', params => tools.quick() || '{"epochs": 1}') AS run \gset
SELECT tools.ended(:run);
SELECT metrics #> '{drift,queries}' AS queries, abs((metrics #>> '{drift,mrr_before}')::float - :mrr) < 0.001 AS same
FROM metasd.versions WHERE model = 'people' AND serving;

-- What the old version does not know: of a question without p01 or speaks all candidates tie, and p01
-- itself comes after all it knows, with the three languages. Of 38 others all are candidates as tails,
-- 29 as heads, 26 of which it knows: ranks 20, 15.5, 20 and 28.5.
DELETE FROM people WHERE relation = 'speaks' OR head = 'p01';
SELECT kg_train('people', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
DELETE FROM answers;
INSERT INTO answers VALUES ('p02', 'speaks', 'Breton'), ('p01', 'works_at', 'bakery');
INSERT INTO people SELECT * FROM tools.people() WHERE (relation = 'speaks' OR head = 'p01')
                                                  AND (head, relation) NOT IN (('p02', 'speaks'), ('p01', 'works_at'));
SELECT kg_train('people') AS run \gset
SELECT tools.ended(:run);
SELECT entities, metrics #> '{drift,queries}' AS queries, metrics #> '{drift,mrr_before}' AS before
FROM metasd.versions WHERE model = 'people' AND serving;
SELECT kg_drop('people');

-- A fact that was drawn, but was the only one of an entity, was trained on: it does not count once there are others.
CREATE TABLE alone AS SELECT 'p' || i AS head, 'r' || i % 2 AS relation, 't' || i % 4 AS tail FROM generate_series(1, 60) i;
SELECT kg_train('alone', 'alone', params => trained('{"validation_fraction": 0.5, "promote_tolerance": 1}')) AS run \gset
SELECT tools.ended(:run);
SELECT coalesce((metrics #>> '{validation,queries}')::int, 0) AS queries FROM metasd.versions WHERE run = :run;
INSERT INTO alone SELECT 'p' || i, 'r' || (i + 1) % 2, 't' || (i + 1) % 4 FROM generate_series(1, 60) i;
INSERT INTO alone SELECT 'p' || i, 'r' || i % 2, 't' || (i + 2) % 4 FROM generate_series(1, 60) i;
SELECT kg_train('alone') AS run \gset
SELECT tools.ended(:run);
SELECT (metrics #>> '{validation,queries}')::int > 100 AS many, (metrics #>> '{drift,queries}')::int AS compared, plain(note) AS note
FROM metasd.versions WHERE run = :run;
SELECT kg_train('alone') AS run \gset
SELECT tools.ended(:run);
SELECT metrics #> '{validation,queries}' = metrics #> '{drift,queries}' AS all, plain(note) AS note FROM metasd.versions WHERE run = :run;
SELECT kg_drop('alone');
DROP TABLE alone;

-- Validation that comes, changes and goes: facts that the version before was trained on, or may have been, do not
-- count, and no training starts from it. What each person likes follows no rule: a model that was trained on such a
-- fact knows it, an honest one can only guess.
CREATE TABLE likes AS
SELECT format('p%s', i) AS head, format('likes_%s', r) AS relation, format('t%s', (hashint4(i * 7 + r) & 1023) % 20) AS tail
FROM generate_series(1, 40) i, generate_series(1, 4) r;
CREATE TABLE unseen AS SELECT * FROM likes WHERE hashtext(head || relation) % 5 = 0;
CREATE TABLE unseen_too AS SELECT * FROM likes WHERE hashtext(head || relation) % 5 = 1;
CREATE VIEW compared AS
SELECT run, tools.nth(run) AS version, serving, plain(note) AS note, coalesce((metrics #>> '{drift,queries}')::int, 0) AS compared,
       (metrics #>> '{validation,queries}')::int AS of, metrics ? 'held_out' AS drew,
       tools.nth((metrics #>> '{warm_start,version}')::bigint) AS "starts from",
       tools.nth((metrics #>> '{warm_start,not_from}')::bigint) AS "not from", (metrics #> '{warm_start}') - 'version' - 'not_from' AS start
FROM metasd.versions WHERE model = 'likes' ORDER BY run;
CREATE FUNCTION inflated(before bigint, after bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    old float8;
    new float8;
BEGIN
    PERFORM kg_promote('likes', before);
    SELECT mrr INTO old FROM kg_evaluate('likes', 'unseen');
    PERFORM kg_promote('likes', after);
    SELECT mrr INTO new FROM kg_evaluate('likes', 'unseen');
    RETURN old > new + 0.2;
END $$;
-- It comes: of what the first version drew, and so was not trained on, nothing counts here.
SELECT kg_train('likes', 'likes', params => trained('{"validation_fraction": 0, "warm_start": null}')) AS before \gset
SELECT tools.ended(:before);
DELETE FROM likes USING unseen u WHERE (likes.head, likes.relation) = (u.head, u.relation);
SELECT kg_train('likes', validation => 'unseen', params => '{"promote_tolerance": 0}') AS run \gset
SELECT tools.ended(:run);
SELECT version, serving, note, compared, of, drew, "not from", start FROM compared;
SELECT inflated(:before, :run);
-- The same again: all its facts count, and the training starts from the version before.
SELECT kg_train('likes', params => '{"promote_tolerance": 1}') AS run \gset
SELECT tools.ended(:run);
SELECT compared = of AS "all facts", drew, note, "starts from" FROM compared WHERE run = :run;
-- It is another.
DELETE FROM likes USING unseen_too u WHERE (likes.head, likes.relation) = (u.head, u.relation);
SELECT kg_train('likes', validation => 'unseen_too', params => '{"promote_tolerance": 0}') AS run \gset
SELECT tools.ended(:run);
SELECT serving, note, compared, drew, "not from", start FROM compared WHERE run = :run;
-- It goes.
UPDATE metasd.model SET validation = NULL WHERE name = 'likes';
SELECT kg_train('likes', params => '{"validation_fraction": 0.3}') AS run \gset
SELECT tools.ended(:run);
SELECT serving, note, compared, drew, "not from", start FROM compared WHERE run = :run;
SELECT kg_promote('likes', run) FROM compared WHERE NOT drew ORDER BY run DESC LIMIT 1;
DELETE FROM unseen_too;
SELECT kg_train('likes', validation => 'unseen_too');
SELECT kg_train('likes') AS drew \gset
SELECT tools.ended(:drew);
SELECT serving, note, compared, drew, "not from", start FROM compared WHERE run = :drew;
-- It comes: what the version before drew counts, and nothing else.
INSERT INTO unseen_too SELECT * FROM likes WHERE hashtext(head || relation) % 3 = 0;
DELETE FROM likes USING unseen_too u WHERE (likes.head, likes.relation) = (u.head, u.relation);
SELECT kg_train('likes', validation => 'unseen_too', params => '{"promote_tolerance": 1}') AS run \gset
SELECT tools.ended(:run);
SELECT compared BETWEEN 2 AND of - 2 AS "some facts", drew, note, "not from", start FROM compared WHERE run = :run;
-- Nothing is held out: whatever the version before held out, a training may start from it.
UPDATE metasd.model SET validation = NULL WHERE name = 'likes';
SELECT kg_train('likes', params => '{"validation_fraction": 0}') AS run \gset
SELECT tools.ended(:run);
SELECT serving, note, "starts from", start FROM compared WHERE run = :run;
SELECT kg_drop('likes');
DROP VIEW compared;
DROP FUNCTION inflated(bigint, bigint);
DROP TABLE likes, unseen, unseen_too;

-- A version that cannot be read is replaced, whatever it was worth.
SELECT kg_train('people', 'people', params => trained('{}')) AS run \gset
SELECT tools.ended(:run);
UPDATE metasd.entity SET embedding = 'nonsense' WHERE run = :run AND label = 'p07';
SELECT kg_train('people', params => '{"epochs": 1}') AS run \gset
SELECT tools.ended(:run);
TABLE versions;
SELECT kg_drop('people'), kg_drop('other');

-- A schedule needs an extension that is not here.
CREATE SCHEMA cron;
CREATE FUNCTION cron.schedule(text, text, text) RETURNS bigint LANGUAGE sql AS 'SELECT 1 / 0';
SELECT kg_train('people', 'people', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT kg_schedule('nobody', '0 3 * * *');
\set VERBOSITY terse
SELECT kg_schedule('people', '0 3 * * *');
SELECT kg_unschedule('people');
\set VERBOSITY default
SELECT kg_schedule('people', NULL), kg_unschedule(NULL), metasd.train_scheduled(NULL);
SELECT replace(tools.error_of($$SELECT metasd.train_scheduled('nobody')$$), current_database(), 'regress') AS error;
SELECT metasd.train_scheduled('people') AS run \gset
SELECT tools.ended(:run);
SET ROLE regress_metasd_other;
SELECT kg_schedule('people', '0 3 * * *');
SELECT kg_unschedule('people');
SELECT metasd.train_scheduled('people');
RESET ROLE;
SELECT kg_drop('people');

DROP FUNCTION cron.schedule(text, text, text);
DROP SCHEMA cron;
DROP VIEW versions;
DROP FUNCTION trained(jsonb), plain(text), answer();
DROP TABLE people, answers;
DROP ROLE regress_metasd_other;
