-- Roles and relations as the catalog remembers them: what is read in, what is there, what is written.
CREATE ROLE regress_metasd_plain;
CREATE ROLE "regress_metasd Mixed.""case""";
CREATE ROLE "-regress_metasd";
CREATE ROLE regress_metasd_holder; -- of the tables
CREATE SCHEMA regress_metasd AUTHORIZATION regress_metasd_holder;
CREATE SCHEMA "Regress. ""of"" metasd" AUTHORIZATION regress_metasd_holder;
SET ROLE regress_metasd_holder;
CREATE TABLE regress_metasd.plain ();
CREATE TABLE regress_metasd."select" ();
CREATE TABLE "Regress. ""of"" metasd"."a ""b"".C" ();
CREATE VIEW "Regress. ""of"" metasd"."-minus" AS SELECT 1;
CREATE TABLE regress_metasd."made of fact" ();
RESET ROLE;

-- A name is looked up as SQL would, and written as SQL wants it; input never fails.
SELECT given, given::metasd.role_ref AS written, metasd.oid_of(given::metasd.role_ref) IS NOT NULL AS "is there"
FROM unnest(ARRAY['regress_metasd_plain', ' REGRESS_metasd_plain ', '"regress_metasd Mixed.""case"""', '"-regress_metasd"',
                  '-regress_metasd', '-regress_metasd_plain', '-"regress_metasd Mixed.""case"""', 'regress_metasd_never',
                  '"', '', '-', '--', '.', 'a.b', 'public', 'a b', '10', '4294967295']) given;
SELECT given, regexp_replace(given::metasd.relation_ref::text, '(pg_class of ).*', '\1somebody') AS written, metasd.oid_of(given::metasd.relation_ref) IS NOT NULL AS "is there"
FROM unnest(ARRAY['regress_metasd.plain', 'regress_metasd."select"', 'plain', 'PG_catalog . pg_CLASS', 'pg_class',
                  '"Regress. ""of"" metasd"."a ""b"".C"', '"Regress. ""of"" metasd"."-minus"', '-regress_metasd.plain',
                  '"-minus"', 'regress_metasd.never', 'never.plain', '"', '', '-', '.', '..', 'a.b.c', 'a b', '1259',
                  'regress_metasd."made of fact"', ' of ', 'x of y of z', '-x of y']) given;
-- That of another role is another one, but for what is a superuser's or the current user's.
SELECT given, given::metasd.relation_ref AS written, metasd.oid_of(given::metasd.relation_ref) IS NOT NULL AS "is there"
FROM unnest(ARRAY['regress_metasd.plain of regress_metasd_holder', 'regress_metasd.plain of "regress_metasd_holder"',
                  'regress_metasd.plain of regress_metasd_plain', 'regress_metasd.plain of regress_metasd_never', 'regress_metasd.plain of "',
                  'regress_metasd."made of fact" of regress_metasd_holder', '"made of fact of regress_metasd_holder']) given;
SELECT metasd.oid_of('pg_catalog.pg_class of regress_metasd_never'::metasd.relation_ref) AS "of a superuser";
SET ROLE regress_metasd_holder;
SELECT metasd.oid_of('regress_metasd.plain of regress_metasd_never'::metasd.relation_ref) IS NOT NULL AS "of the current user";
RESET ROLE;
ALTER ROLE regress_metasd_holder RENAME TO "regress_metasd of holders";
SELECT 'regress_metasd.plain'::metasd.relation_ref, 'regress_metasd.plain'::metasd.relation_ref::text::metasd.relation_ref AS again;
ALTER ROLE "regress_metasd of holders" RENAME TO regress_metasd_holder;
SET search_path = regress_metasd;
SELECT 'plain'::metasd.relation_ref;
SET quote_all_identifiers = on;
SELECT 'plain'::metasd.relation_ref AS relation, 'regress_metasd_plain'::metasd.role_ref AS role,
       'plain'::metasd.relation_ref::text::metasd.relation_ref AS again;
RESET quote_all_identifiers;
RESET search_path;
SELECT NULL::metasd.role_ref IS NULL AS a, NULL::metasd.relation_ref IS NULL AS b, metasd.role_ref(NULL) IS NULL AS c,
       metasd.role_ref(0) IS NULL AS d, metasd.relation_ref(0) IS NULL AS e, metasd.role_ref(4294967295) IS NULL AS f,
       metasd.relation_ref(4294967295) IS NULL AS g, metasd.oid_of(NULL::metasd.role_ref) IS NULL AS h;
SELECT length(repeat('x', 5000)::metasd.relation_ref::text);

-- What is remembered is the object, under whatever name.
CREATE TABLE remembered (what text, role metasd.role_ref, relation metasd.relation_ref);
INSERT INTO remembered VALUES
    ('by number', metasd.role_ref('regress_metasd_plain'::regrole), metasd.relation_ref('regress_metasd.plain'::regclass)),
    ('by name', 'regress_metasd_plain', 'regress_metasd.plain'),
    ('others', '"regress_metasd Mixed.""case"""', '"Regress. ""of"" metasd"."a ""b"".C"'),
    ('with a minus', '"-regress_metasd"', '"Regress. ""of"" metasd"."-minus"'),
    ('not there', 'regress_metasd_later', 'regress_metasd.later'),
    ('of another', 'regress_metasd_later', 'regress_metasd.plain of regress_metasd_plain'),
    ('view to come', NULL, 'regress_metasd.view_later of regress_metasd_holder'),
    ('view of another', NULL, 'regress_metasd.view_later of regress_metasd_never'),
    ('view of nobody', NULL, 'regress_metasd.view_later'),
    ('view dropped', NULL, '-regress_metasd.view_later'),
    ('view that is none', NULL, 'regress_metasd.mere_view_later of regress_metasd_holder'),
    ('dropped before', '-regress_metasd_plain', '-regress_metasd.plain'),
    ('none', NULL, NULL);
CREATE VIEW shown AS SELECT what, role, metasd.oid_of(role) IS NOT NULL AS role_is_there,
                            relation, metasd.oid_of(relation) IS NOT NULL AS relation_is_there FROM remembered;
SELECT * FROM shown;
ALTER ROLE regress_metasd_plain RENAME TO "regress_metasd Renamed";
ALTER TABLE regress_metasd.plain RENAME TO "Renamed";
ALTER TABLE regress_metasd."Renamed" SET SCHEMA "Regress. ""of"" metasd";
SELECT * FROM shown;

-- All that is written, as text or binary, is read in as what it was.
SELECT current_setting('data_directory') || '/references' AS file \gset
CREATE TABLE copied (LIKE remembered);
COPY remembered TO :'file';
COPY copied FROM :'file';
COPY remembered TO :'file' (FORMAT binary);
COPY copied FROM :'file' (FORMAT binary);
SELECT r.what, count(*) FROM remembered r JOIN copied c
    ON r.what = c.what AND r.role::text IS NOT DISTINCT FROM c.role::text AND r.relation::text IS NOT DISTINCT FROM c.relation::text
       AND metasd.oid_of(r.role) IS NOT DISTINCT FROM metasd.oid_of(c.role)
       AND metasd.oid_of(r.relation) IS NOT DISTINCT FROM metasd.oid_of(c.relation)
GROUP BY r.what ORDER BY r.what;
SELECT convert_from(metasd.role_ref_send('-"X y"'), 'UTF8') AS role, convert_from(metasd.relation_ref_send('regress_metasd."select"'), 'UTF8') AS relation;

-- What is dropped is nobody and nothing, even once another object has its name, and after a dump.
-- So is what was not there: a dump would else give it to whoever has taken the name meanwhile.
DROP TABLE "Regress. ""of"" metasd"."Renamed";
DROP ROLE "regress_metasd Renamed";
SELECT * FROM shown;
CREATE TABLE "Regress. ""of"" metasd"."Renamed" ();
CREATE ROLE "regress_metasd Renamed";
CREATE TABLE regress_metasd.plain ();
CREATE ROLE regress_metasd_plain;
CREATE TABLE regress_metasd.later ();
CREATE ROLE regress_metasd_later;
SELECT * FROM shown;
TRUNCATE copied;
COPY remembered TO :'file';
COPY copied FROM :'file';
SELECT c.what, c.role, metasd.oid_of(c.role) IS NOT NULL AS role_is_there, c.relation, metasd.oid_of(c.relation) IS NOT NULL AS relation_is_there
FROM copied c;

-- But a materialized view may come after what remembers it, if it is of the owner that is remembered: pg_dump has it so.
CREATE MATERIALIZED VIEW regress_metasd.view_later AS SELECT 1;
ALTER MATERIALIZED VIEW regress_metasd.view_later OWNER TO regress_metasd_holder;
CREATE VIEW regress_metasd.mere_view_later AS SELECT 1;
ALTER VIEW regress_metasd.mere_view_later OWNER TO regress_metasd_holder;
SELECT what, relation, metasd.oid_of(relation) FROM remembered WHERE what LIKE 'view %';
DROP MATERIALIZED VIEW regress_metasd.view_later;
SELECT what, relation, metasd.oid_of(relation) FROM remembered WHERE what LIKE 'view %';

-- Anybody may look at what is remembered; it gives no rights.
SET ROLE regress_metasd_plain;
SELECT metasd.may_ask('regress_metasd_later', 'regress_metasd.later', 'head', 'relation', 'tail') AS a,
       metasd.may_ask('-regress_metasd_plain', '-regress_metasd.later', 'head', 'relation', 'tail') AS b,
       metasd.may_ask('regress_metasd_never', 'pg_catalog.pg_class', 'relname', 'oid', 'relkind') AS "as reader of all three columns",
       metasd.may_ask('regress_metasd_never', 'pg_catalog.pg_class', 'relname', 'never', 'relkind') AS "of columns there are not",
       metasd.may_ask('regress_metasd_plain', '', '', '', '') AS "as owner";
RESET ROLE;

SET client_min_messages = warning;
DROP VIEW shown;
DROP TABLE remembered, copied;
DROP SCHEMA regress_metasd, "Regress. ""of"" metasd" CASCADE;
DROP ROLE regress_metasd_plain, "regress_metasd Mixed.""case""", "-regress_metasd", "regress_metasd Renamed", regress_metasd_later, regress_metasd_holder;
RESET client_min_messages;
