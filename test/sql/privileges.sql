-- Who may do what with a model, and whose rights are in force while it is trained and asked.
CREATE ROLE regress_metasd_superuser SUPERUSER LOGIN;
SET SESSION AUTHORIZATION regress_metasd_superuser;
CREATE ROLE regress_metasd_owner LOGIN;   -- owns models
CREATE ROLE regress_metasd_member LOGIN IN ROLE regress_metasd_owner;
CREATE ROLE regress_metasd_reader LOGIN;  -- may read some sources
CREATE ROLE regress_metasd_nobody LOGIN;
CREATE ROLE regress_metasd_group NOLOGIN;
CREATE SCHEMA regress_metasd;
GRANT USAGE, CREATE ON SCHEMA regress_metasd TO PUBLIC;
SET search_path = regress_metasd, public;

SET ROLE regress_metasd_owner;
CREATE TABLE people AS SELECT * FROM tools.people();

-- Training takes SELECT on the three columns of the source; more is not needed.
SET ROLE regress_metasd_reader;
SELECT kg_train('reader', 'people', params => tools.quick());
SELECT kg_estimate('people');
SET ROLE regress_metasd_owner;
GRANT SELECT (head, relation) ON people TO regress_metasd_reader;
SET ROLE regress_metasd_reader;
SELECT kg_train('reader', 'people', params => tools.quick());
SET ROLE regress_metasd_owner;
GRANT SELECT (tail) ON people TO regress_metasd_reader;
SET ROLE regress_metasd_reader;
SELECT kg_train('reader', 'people', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT name, owner, last_status FROM metasd.models;
SELECT triples FROM kg_estimate('people');
SELECT count(*) FROM kg_predict('p07', 'speaks', 3);

-- Rights on the validation source are needed, too.
SET ROLE regress_metasd_owner;
CREATE TABLE secret AS SELECT * FROM people LIMIT 3;
SET ROLE regress_metasd_reader;
SELECT kg_train('reader', validation => 'secret');

-- Rights withdrawn after the training: known facts cannot be looked up any more, and answers come without.
SET ROLE regress_metasd_owner;
REVOKE ALL ON people FROM regress_metasd_reader;
SET ROLE regress_metasd_reader;
SELECT count(*) FROM kg_predict('p07', 'speaks', 3);
SELECT count(*) FROM kg_predict('p07', 'speaks', 3, known => 'include');
SELECT kg_train('reader');
SELECT kg_drop('reader');

-- A model of a table: the owner, members of the owner's role, and who may read the three columns may
-- ask it. Others do not see it.
SET ROLE regress_metasd_owner;
SELECT kg_train('owned', 'people', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SELECT tail FROM kg_predict('p07', 'speaks', 1);
SET ROLE regress_metasd_member;
SELECT tail FROM kg_predict('p07', 'speaks', 1);
SELECT name FROM metasd.models;
SET ROLE regress_metasd_nobody;
SELECT tail FROM kg_predict('p07', 'speaks', 1);
SELECT tail FROM kg_predict('p07', 'speaks', 1, 'owned');
SELECT kg_score('p07', 'speaks', 'French', 'owned');
SELECT * FROM kg_similar('p07', 1, 'owned');
SELECT kg_embedding('p07', 'owned');
SET metasd.model = 'owned';
SELECT tail FROM kg_predict('p07', 'speaks', 1);
RESET metasd.model;
SELECT (SELECT count(*) FROM metasd.models) AS models, (SELECT count(*) FROM metasd.versions) AS versions,
       (SELECT count(*) FROM metasd.learning_curve) AS epochs, (SELECT count(*) FROM metasd.progress) AS progress,
       (SELECT count(*) FROM metasd.relations) AS relations;
SELECT kg_predict('p07', 'speaks', 1, 'nothing'); -- the models that are named in the hint are those one may ask
SET ROLE regress_metasd_owner;
GRANT SELECT (head, relation, tail) ON people TO regress_metasd_reader;
SET ROLE regress_metasd_reader;
SELECT tail FROM kg_predict('p07', 'speaks', 1);
SELECT name, owner FROM metasd.models;
SELECT count(*) > 0 AS epochs FROM metasd.learning_curve;

-- Nor do they see more than the schema lets them see.
RESET ROLE;
CREATE SCHEMA regress_metasd_closed;
ALTER TABLE people SET SCHEMA regress_metasd_closed;
SET ROLE regress_metasd_reader;
SELECT tail FROM regress_metasd_closed.people;
SELECT tail FROM kg_predict('p07', 'speaks', 1, 'owned');
SELECT name FROM metasd.models;
RESET ROLE;
ALTER TABLE regress_metasd_closed.people SET SCHEMA regress_metasd;
DROP SCHEMA regress_metasd_closed;
SET ROLE regress_metasd_reader;

-- Asking is all they may: training, cancelling, dropping are the owner's.
SELECT kg_train('owned');
SELECT kg_train('owned', 'people');
SELECT kg_cancel(:run);
SELECT kg_drop('owned');
SET ROLE regress_metasd_nobody;
SELECT kg_train('owned', 'people');
SELECT tools.error_of(format('SELECT kg_cancel(%s)', :run));
SELECT kg_drop('owned');
\set VERBOSITY sqlstate
CALL kg_wait(:run);
\set VERBOSITY default
SELECT tools.hide_ids(:'LAST_ERROR_MESSAGE') AS error;
SET ROLE regress_metasd_member;
SET client_min_messages = warning; -- that it is not running
SELECT kg_cancel(:run);
RESET client_min_messages;
SELECT kg_train('owned') AS run \gset
SELECT tools.ended(:run);
SELECT owner, serving = :run AS serving FROM metasd.models;

-- The tables behind the views are the extension's alone.
SELECT * FROM metasd.model;
SELECT * FROM metasd.run;
SELECT * FROM metasd.epoch;
SELECT * FROM metasd.entity;
SELECT * FROM metasd.relation;
SELECT nextval('metasd.run_id_seq');
UPDATE metasd.models SET owner = 0;
DELETE FROM metasd.versions;
CREATE TABLE metasd.mine (i int);

-- Who may ask is a matter of the source that the serving version was trained from. Another source does
-- not count before a version of it serves.
RESET ROLE;
REVOKE ALL ON people FROM regress_metasd_reader;
SET ROLE regress_metasd_owner;
CREATE TABLE published AS SELECT * FROM people WHERE relation = 'speaks';
GRANT SELECT ON published TO PUBLIC;
SET metasd.train_mem = '1MB';
SELECT kg_train('owned', 'published', params => '{"rank": 5000}') AS run \gset
RESET metasd.train_mem;
SELECT tools.ended(:run);
SELECT source FROM metasd.models;
SET ROLE regress_metasd_reader;
SELECT tail FROM kg_predict('p07', 'lives_in', 1, 'owned');
SELECT name FROM metasd.models;
SELECT run = :run AS "failed one", status FROM metasd.versions;
SET ROLE regress_metasd_owner;
SELECT tail, known FROM kg_predict('p07', 'lives_in', 1, 'owned', 'mark');
SELECT kg_train('owned', 'people', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);

-- Functions with other rights: the model is of the role that is in force when kg_train is called.
CREATE FUNCTION train_for_all(name text) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
$$SELECT public.kg_train(name, 'regress_metasd.people', params => tools.quick())$$;
CREATE FUNCTION ask_for_all(head text) RETURNS text LANGUAGE sql SECURITY DEFINER AS
$$SELECT tail FROM public.kg_predict(head, 'speaks', 1, 'owned')$$;
SET ROLE regress_metasd_nobody;
SELECT train_for_all('defined') AS run \gset
SELECT tools.ended(:run);
SELECT ask_for_all('p07');
SET ROLE regress_metasd_owner;
SELECT owner FROM metasd.models WHERE name = 'defined';
SELECT kg_drop('defined');

-- Row security: it hides facts that the model knows, so only the owner and members may ask.
RESET ROLE;
GRANT SELECT ON people TO regress_metasd_reader, regress_metasd_nobody;
ALTER TABLE people ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON people FOR SELECT TO regress_metasd_reader USING (head = 'p01');
SET ROLE regress_metasd_reader;
SELECT count(*) FROM people;
SELECT tail FROM kg_predict('p07', 'speaks', 1, 'owned');
SELECT name FROM metasd.models;
SET ROLE regress_metasd_owner;
SELECT tail FROM kg_predict('p07', 'speaks', 1, 'owned');
SET ROLE regress_metasd_member; -- may ask, though she sees no rows herself
SELECT tail FROM kg_predict('p07', 'speaks', 1, 'owned');

-- A training reads what its owner may see.
SET ROLE regress_metasd_reader;
SELECT kg_train('few', 'people', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT triples FROM metasd.versions WHERE run = :run;
SELECT kg_drop('few');
SET ROLE regress_metasd_nobody;
SELECT kg_train('none', 'people');
RESET ROLE;
ALTER TABLE people DISABLE ROW LEVEL SECURITY;
REVOKE ALL ON people FROM regress_metasd_reader, regress_metasd_nobody;

-- A view runs its owner's functions: reading it is not enough, and its functions run as the model's
-- owner, whoever asks - a superuser least of all.
SET ROLE regress_metasd_owner;
CREATE FUNCTION whoami() RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
    RAISE NOTICE 'a function of the view runs as %', current_user;
    RETURN true;
END $$;
CREATE FUNCTION mischief() RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
DECLARE
    attempt text;
BEGIN
    PERFORM set_config('metasd.model', 'mine', false), set_config('search_path', 'mine', false);
    FOREACH attempt IN ARRAY ARRAY['RESET ROLE', 'SET ROLE ' || session_user, 'SET SESSION AUTHORIZATION DEFAULT',
                                   'CREATE TEMP TABLE mine (i int)', 'DECLARE mine CURSOR WITH HOLD FOR SELECT 1'] LOOP
        BEGIN
            EXECUTE attempt;
            RAISE NOTICE 'mischief succeeded: %', attempt;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
    RETURN true;
END $$;
CREATE VIEW viewed AS
SELECT * FROM people WHERE (head, relation) <> ('p01', 'speaks') OR regress_metasd.whoami() AND regress_metasd.mischief();
GRANT SELECT ON viewed TO PUBLIC;
SELECT kg_train('viewed', 'viewed', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SELECT tail, known FROM kg_predict('p01', 'speaks', 1, 'viewed', 'mark');
SET ROLE regress_metasd_member;
SELECT tail, known FROM kg_predict('p01', 'speaks', 1, 'viewed', 'mark');
SET ROLE regress_metasd_nobody;
SELECT tail, known FROM kg_predict('p01', 'speaks', 1, 'viewed', 'mark');
RESET ROLE;
SELECT tail, known FROM kg_predict('p01', 'speaks', 1, 'viewed', 'mark');
SELECT current_user = 'regress_metasd_superuser' AS "still the superuser", current_setting('metasd.model') AS model,
       current_setting('search_path') AS search_path;
-- (a superuser may train it: the worker is its owner all the same)
SELECT kg_train('viewed') AS run \gset
SELECT tools.ended(:run);
SELECT owner FROM metasd.models WHERE name = 'viewed';

-- A superuser's own model is trained from such a view as the view's owner, all the same.
SELECT kg_train('super', 'viewed', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
SELECT count(*) FROM kg_predict('p01', 'speaks', 1, 'super');
SELECT triples FROM kg_estimate('viewed');
-- So is what a superuser's view would read of others', at any depth: it is not read at all.
CREATE VIEW above AS SELECT * FROM viewed;
SELECT kg_train('super', 'above');
SELECT kg_train('super', 'people', validation => 'above');
SELECT kg_estimate('above');
-- Nor does it help to change the source later: as whom it is read follows from who owns it then.
CREATE VIEW turned AS SELECT * FROM people;
ALTER TABLE people OWNER TO regress_metasd_superuser;
SELECT kg_train('super', 'turned', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
ALTER TABLE people OWNER TO regress_metasd_owner;
SELECT * FROM kg_predict('p01', 'speaks', 1, 'super');
ALTER VIEW turned OWNER TO regress_metasd_owner;
SELECT count(*) FROM kg_predict('p01', 'speaks', 1, 'super');
SELECT kg_drop('super');

-- A search_path with a schema of other operators, casts and functions in front changes nothing.
SET ROLE regress_metasd_nobody;
CREATE TABLE own AS SELECT * FROM tools.people();
CREATE FUNCTION wrong(a text, b text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'attacked'; END$$;
CREATE FUNCTION wrong(a bigint, b bigint) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'attacked'; END$$;
CREATE FUNCTION wrong(a text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$BEGIN RAISE 'attacked'; END$$;
CREATE OPERATOR = (LEFTARG = text, RIGHTARG = text, FUNCTION = wrong);
CREATE OPERATOR = (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = wrong);
CREATE OPERATOR > (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = wrong);
CREATE FUNCTION unnest(text[]) RETURNS SETOF text LANGUAGE sql AS $$SELECT regress_metasd.wrong($1)$$;
CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE 'attacked'; END$$;
CREATE DOMAIN text AS pg_catalog.int4;
CREATE DOMAIN int8 AS pg_catalog.text;
CREATE TABLE entity (run bigint);
CREATE TABLE pg_locks (pid int);
SET search_path = regress_metasd, pg_catalog, public;
SELECT 'p07'::pg_catalog.text = 'p07'::pg_catalog.text;
SELECT public.kg_train('attacked', 'own', params => tools.thorough()) AS run \gset
SELECT tools.ended(:run);
SELECT tail, known FROM kg_predict('p07', 'speaks', 1);
SELECT tail, known FROM kg_predict('p01', 'speaks', 1, known => 'mark');
SELECT head FROM kg_predict_heads('speaks', 'French', 1);
SELECT name, last_status FROM metasd.models;
SET client_min_messages = warning;
SELECT kg_cancel(:run);
RESET client_min_messages;
SELECT triples FROM kg_estimate('own');
SELECT kg_drop('attacked');
RESET search_path;
SET search_path = regress_metasd, public;
DROP OPERATOR regress_metasd.= (pg_catalog.text, pg_catalog.text);
DROP OPERATOR regress_metasd.= (bigint, bigint);
DROP OPERATOR regress_metasd.> (bigint, bigint);
DROP DOMAIN regress_metasd.text, regress_metasd.int8;
DROP FUNCTION regress_metasd.clock_timestamp(), regress_metasd.unnest(text[]);

-- A worker has to log in as the owner (before PostgreSQL 17): a role that cannot is told at once.
RESET ROLE;
GRANT SELECT ON people TO regress_metasd_group;
CREATE FUNCTION try_to_train() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    PERFORM kg_train('group', 'people');
    RAISE 'trains';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' ', SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;
SET ROLE regress_metasd_group;
SELECT try_to_train() = CASE WHEN current_setting('server_version_num')::int >= 170000 THEN 'trains'
    ELSE 'role "regress_metasd_group" cannot own a training: it is not permitted to log in '
         'Before PostgreSQL 17 a background worker cannot connect as such a role. Train as a role with LOGIN.' END AS "as the version can";

-- What a role has among its settings does not reach the worker.
RESET ROLE;
ALTER ROLE regress_metasd_nobody SET lock_timeout = '10ms';
ALTER ROLE regress_metasd_nobody SET default_transaction_read_only = on;
ALTER ROLE regress_metasd_nobody SET default_transaction_isolation = serializable;
ALTER ROLE regress_metasd_nobody SET statement_timeout = '10ms';
ALTER ROLE regress_metasd_nobody SET search_path = nowhere;
SET ROLE regress_metasd_nobody;
BEGIN;
SELECT kg_train('settings', 'own', params => tools.quick()) AS run \gset
SELECT pg_sleep(0.05); -- the worker waits for this transaction, longer than the role's lock_timeout
COMMIT;
SELECT tools.ended(:run);
SELECT kg_drop('settings');

-- A session that may not write cannot train or drop.
BEGIN READ ONLY;
SELECT kg_train('settings', 'own');
ROLLBACK;
BEGIN READ ONLY;
SELECT kg_drop('settings');
ROLLBACK;

-- A role that is gone has left its model to the superusers.
SELECT kg_train('orphan', 'people') AS run;
SELECT kg_train('orphan', 'own', params => tools.quick()) AS run \gset
SELECT tools.ended(:run);
RESET ROLE;
ALTER TABLE own OWNER TO regress_metasd_owner;
DROP OWNED BY regress_metasd_nobody;
DROP ROLE regress_metasd_nobody;
SELECT name, owner FROM metasd.models WHERE name = 'orphan';
SELECT count(*) FROM kg_predict('p07', 'speaks', 1, 'orphan');
SELECT count(*) FROM kg_predict('p07', 'speaks', 1, 'orphan', 'include');
SELECT kg_train('orphan');
SET ROLE regress_metasd_owner;
SELECT kg_drop('orphan');
SELECT kg_owner('orphan', 'regress_metasd_owner');
-- They may give it to another role; so may its owner, to one that he is a member of.
RESET ROLE;
SELECT kg_owner('orphan', 'regress_metasd_member');
SET ROLE regress_metasd_member;
SELECT count(*) FROM kg_predict('p07', 'speaks', 1, 'orphan');
\set VERBOSITY sqlstate
SELECT kg_owner('orphan', 'regress_metasd_reader'); -- the server has its own words for it
\set VERBOSITY default
SELECT kg_owner('orphan', 'regress_metasd_owner');
SELECT owner FROM metasd.models WHERE name = 'orphan';
RESET ROLE;
SELECT kg_owner('orphan', 0);
SELECT kg_owner('nothing', 'regress_metasd_owner');
SELECT kg_drop('orphan');

SELECT count(kg_drop(name)) FROM metasd.models;
SET client_min_messages = warning;
DROP SCHEMA regress_metasd CASCADE;
DROP ROLE regress_metasd_owner, regress_metasd_member, regress_metasd_reader, regress_metasd_group;
RESET SESSION AUTHORIZATION;
DROP ROLE regress_metasd_superuser;
