-- The table of README.md: who may do what. Every cell is tried, and undone.
SELECT current_user AS superuser \gset
CREATE ROLE regress_metasd_owner LOGIN;
CREATE ROLE regress_metasd_member LOGIN IN ROLE regress_metasd_owner;
CREATE ROLE regress_metasd_reader LOGIN;   -- may read the columns of the source
CREATE ROLE regress_metasd_filtered LOGIN; -- may read them, too, under row security
CREATE ROLE regress_metasd_half LOGIN;     -- may read two of them
CREATE ROLE regress_metasd_nobody LOGIN;
CREATE SCHEMA regress_metasd;
GRANT USAGE ON SCHEMA regress_metasd TO PUBLIC;
GRANT CREATE ON SCHEMA regress_metasd TO regress_metasd_owner;

-- model and other are of the same owner; row security applies to the source of other.
SET ROLE regress_metasd_owner;
CREATE TABLE regress_metasd.open AS SELECT * FROM tools.people();
CREATE TABLE regress_metasd.closed AS SELECT * FROM tools.people();
GRANT SELECT (head, relation, tail) ON regress_metasd.open, regress_metasd.closed TO regress_metasd_reader, regress_metasd_filtered;
GRANT SELECT (head, relation) ON regress_metasd.open, regress_metasd.closed TO regress_metasd_half;
ALTER TABLE regress_metasd.closed ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON regress_metasd.closed FOR SELECT USING (head = 'p01');
SELECT kg_train('model', 'regress_metasd.open', params => tools.quick()) AS first \gset
SELECT tools.ended(:first);
SELECT kg_train('model', 'regress_metasd.open', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('other', 'regress_metasd.closed', params => tools.quick()) AS other \gset
SELECT tools.ended(:other);
-- The validation source of validated is the owner's alone.
CREATE TABLE regress_metasd.held AS SELECT * FROM tools.people() LIMIT 20;
SELECT kg_train('validated', 'regress_metasd.open', validation => 'regress_metasd.held', params => tools.quick()) AS validated \gset
SELECT tools.ended(:validated);
RESET ROLE;

CREATE TABLE actions (n serial, action text, statement text);
INSERT INTO actions (action, statement) VALUES
    ('see the model in views', 'SELECT 1 / count(*) FROM metasd.models WHERE name = ''model'''),
    ('see its versions', 'SELECT 1 / count(*) FROM metasd.versions WHERE model = ''model'''),
    ('see its learning curve', 'SELECT 1 / count(*) FROM metasd.learning_curve WHERE model = ''model'''),
    ('see how well it does by relation', 'SELECT 1 / count(held_out) FROM metasd.relations WHERE model = ''model'''),
    ('the same by facts of a validation source', 'SELECT 1 / count(held_out) FROM metasd.relations WHERE model = ''validated'''),
    ('see the relations of that model', 'SELECT 1 / count(*) FROM metasd.relations WHERE model = ''validated'''),
    ('kg_predict', 'SELECT kg_predict(''p07'', ''speaks'', 3, ''model'')'),
    ('kg_predict_heads', 'SELECT kg_predict_heads(''speaks'', ''French'', 3, ''model'')'),
    ('kg_predict_relations', 'SELECT kg_predict_relations(''p07'', ''French'', 3, ''model'')'),
    ('kg_score', 'SELECT kg_score(''p07'', ''speaks'', ''French'', ''model'')'),
    ('kg_rank', 'SELECT kg_rank(''p07'', ''speaks'', ''French'', ''model'')'),
    ('kg_explain', 'SELECT kg_explain(''p07'', ''speaks'', ''French'', 3, ''model'')'),
    ('kg_similar', 'SELECT kg_similar(''p07'', 3, ''model'')'),
    ('kg_embedding', 'SELECT kg_embedding(''p07'', ''model'')'),
    ('kg_evaluate, of a relation of one''s own', 'SELECT kg_evaluate(''model'', ''mine'')'),
    ('kg_report', 'SELECT 1 / length(kg_report(''model''))'),
    ('all of it, by facts of a validation source', 'SELECT 1 / (kg_report(''validated'') !~ ''are for those who may read'')::int'),
    ('ask a model of a source under row security', 'SELECT kg_predict(''p07'', ''speaks'', 3, ''other'')'),
    ('kg_train, the model again', 'SELECT kg_train(''model'')'),
    ('kg_train, a model of one''s own', 'SELECT kg_train(''own'', ''regress_metasd.open'', params => tools.quick())'),
    ('kg_estimate', 'SELECT kg_estimate(''regress_metasd.open'')'),
    ('kg_cancel', 'SELECT kg_cancel(%s)'),
    ('kg_resume', 'SELECT kg_resume(%s)'),
    ('kg_promote', 'SELECT kg_promote(''model'', %s)'),
    ('kg_rollback', 'SELECT kg_rollback(''model'')'),
    ('kg_unschedule', 'SELECT kg_unschedule(''model'')'),
    ('kg_drop', 'SELECT kg_drop(''model'')'),
    ('read the tables behind the views', 'TABLE metasd.entity'),
    ('write to them', 'UPDATE metasd.model SET serving = NULL');
UPDATE actions SET statement = format(statement, :first) WHERE statement LIKE '%\%s%';
CREATE TEMP TABLE mine AS SELECT * FROM tools.people() LIMIT 3;
GRANT SELECT ON mine TO PUBLIC;

-- Whether a role may: what it did is undone. 
CREATE FUNCTION attempt(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    outcome text := 'yes';
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    BEGIN
        EXECUTE statement;
        RAISE EXCEPTION USING ERRCODE = 'ZZ001';
    EXCEPTION
        WHEN SQLSTATE 'ZZ001' OR object_not_in_prerequisite_state OR configuration_limit_exceeded THEN
            NULL; -- it came as far as that: no pg_cron, no free worker
        WHEN division_by_zero THEN outcome := 'no';
        WHEN insufficient_privilege THEN outcome := 'denied';
        WHEN undefined_object THEN outcome := 'not found';
        WHEN OTHERS THEN outcome := sqlstate || ' ' || sqlerrm;
    END;
    RESET ROLE;
    RETURN outcome;
END $$;
SET client_min_messages = warning;
SELECT action, attempt(:'superuser', statement) AS superuser, attempt('regress_metasd_owner', statement) AS owner,
       attempt('regress_metasd_member', statement) AS member, attempt('regress_metasd_reader', statement) AS reader,
       attempt('regress_metasd_filtered', statement) AS filtered, attempt('regress_metasd_half', statement) AS half,
       attempt('regress_metasd_nobody', statement) AS nobody
FROM actions ORDER BY n;
RESET client_min_messages;

-- Nobody waits for a run of a model that he may not ask.
SET ROLE regress_metasd_nobody;
\set VERBOSITY sqlstate
CALL kg_wait(:run, '0 s');
\set VERBOSITY default
SELECT tools.hide_ids(:'LAST_ERROR_MESSAGE') AS error;
RESET ROLE;

-- Who may read the source that serves learns nothing of a run from another source, nor why one with another validation
-- source failed: the message may show its facts.
SET ROLE regress_metasd_owner;
CREATE VIEW regress_metasd.failing AS
    SELECT CASE WHEN head < 'p02' THEN head ELSE ('secret ' || head)::int::text END AS head, relation, tail FROM regress_metasd.closed;
CREATE TABLE regress_metasd.private AS SELECT * FROM tools.people() UNION ALL VALUES ('secret head', 'secret relation', 'secret tail');
SELECT kg_train('validated', validation => 'regress_metasd.failing') AS failed \gset
SELECT tools.ended(:failed);
SELECT kg_train('model', 'regress_metasd.private') AS private \gset
SELECT tools.ended(:private);
SELECT kg_rollback('model') = :run AS rolled_back;
SELECT run = :failed AS failed, error FROM metasd.versions WHERE run IN (:failed, :private) ORDER BY run;
SET ROLE regress_metasd_reader;
SELECT run = :failed AS failed, error FROM metasd.versions WHERE run IN (:failed, :private) ORDER BY run;
\set VERBOSITY sqlstate
CALL kg_wait(:failed, '0 s');
CALL kg_wait(:private, '0 s');
\set VERBOSITY default
SELECT tools.hide_ids(:'LAST_ERROR_MESSAGE') AS error;
RESET ROLE;

-- CREATE EXTENSION takes a superuser: it makes functions in C, and schema metasd, which others must not own.
CREATE DATABASE regress_metasd_plain;
GRANT CREATE ON DATABASE regress_metasd_plain TO regress_metasd_nobody;
SELECT current_database() AS here \gset
\c regress_metasd_plain
SET ROLE regress_metasd_nobody;
CREATE EXTENSION metasd;
RESET ROLE;
\c :here
DROP DATABASE regress_metasd_plain;

SELECT tools.all_workers_gone();
SELECT count(kg_drop(name)) FROM metasd.models;
DROP FUNCTION attempt;
DROP TABLE actions;
SET client_min_messages = warning;
DROP SCHEMA regress_metasd CASCADE;
DROP ROLE regress_metasd_owner, regress_metasd_member, regress_metasd_reader, regress_metasd_filtered, regress_metasd_half, regress_metasd_nobody;

-- A view of another role's is read where the code in it can do nothing but compute; a function that can do more is
-- named. A view of one's own over another role's table is read, with one's own functions.
CREATE ROLE regress_metasd_maker LOGIN;
CREATE ROLE regress_metasd_taker LOGIN;
CREATE SCHEMA regress_metasd_views;
GRANT USAGE, CREATE ON SCHEMA regress_metasd_views TO PUBLIC;
SET search_path = regress_metasd_views, public;
SET ROLE regress_metasd_maker;
CREATE TABLE people AS SELECT * FROM tools.people();
CREATE FUNCTION louder(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper(t)';
CREATE VIEW computed AS
SELECT lower(head) AS head, concat(relation, '') AS relation, coalesce(max(tail), format('%s', current_date)) AS tail
FROM people WHERE length(tail) > 1 GROUP BY 1, 2;
CREATE VIEW called AS SELECT louder(head) AS head, relation, tail FROM people;
CREATE VIEW sampled AS SELECT * FROM people WHERE random() < 2;
CREATE VIEW nested AS SELECT c.* FROM computed c JOIN called d ON d.head <> '';
GRANT SELECT ON people, computed, called, sampled, nested TO regress_metasd_taker;
SET ROLE regress_metasd_taker;
SELECT entities FROM kg_estimate('computed');
SELECT kg_estimate('called');
SELECT kg_estimate('sampled');
SELECT kg_estimate('nested');
CREATE FUNCTION quieter(t text) RETURNS text LANGUAGE sql AS 'SELECT lower(t)';
CREATE VIEW own AS SELECT quieter(head) AS head, relation, tail FROM people;
SELECT entities FROM kg_estimate('own');
RESET ROLE;
SELECT entities FROM kg_estimate('called');
SELECT entities FROM kg_estimate('own');
SET client_min_messages = warning;
DROP SCHEMA regress_metasd_views CASCADE;
DROP ROLE regress_metasd_maker, regress_metasd_taker;
RESET client_min_messages;
RESET search_path;
