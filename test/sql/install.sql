-- What CREATE EXTENSION brings, and that each function says what it does.
CREATE EXTENSION metasd;
SELECT pg_describe_object(classid, objid, 0) AS "Object description" FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'metasd')
  -- Newer servers list the types of tables, views and arrays, which belong to others, as well.
  AND NOT (classid = 'pg_type'::regclass
           AND EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
                       WHERE t.oid = objid AND (c.relkind <> 'c' OR t.typcategory = 'A')))
ORDER BY pg_describe_object(classid, objid, 0) COLLATE "C";
SELECT p.oid::regprocedure AS "function without a comment"
FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_proc'::regclass
  AND obj_description(p.oid, 'pg_proc') IS NULL
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'metasd');

-- Everyone may read the views, and nothing else.
SELECT c.relname, c.relkind, has_table_privilege('public', c.oid, 'SELECT') AS read,
       has_table_privilege('public', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
           AS "any other right"
FROM pg_class c
WHERE c.relnamespace = 'metasd'::regnamespace AND c.relkind IN ('r', 'v', 'S')
ORDER BY c.relkind, c.relname;

-- The schema takes no objects of others.
SELECT has_schema_privilege('public', 'metasd', 'USAGE') AS usage,
       has_schema_privilege('public', 'metasd', 'CREATE') AS create;

-- Before the first training there is nothing to ask.
SELECT name FROM metasd.models;
SELECT * FROM kg_predict('France', 'borders');

-- The functions live in the schema of CREATE EXTENSION, which need not be in the search_path.
DROP EXTENSION metasd;
CREATE SCHEMA kg;
CREATE EXTENSION metasd SCHEMA kg;
CREATE TABLE facts (head text, relation text, tail text);
INSERT INTO facts VALUES ('France', 'borders', 'Spain'), ('France', 'borders', 'Italy'), ('Italy', 'borders', 'Austria');
SELECT kg.kg_train('world', 'facts', params => '{"rank": 4, "epochs": 2}') AS run \gset
-- (a wait without the figures that kg_wait shows: they differ from processor to processor)
CREATE PROCEDURE wait_for_all() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 18000 LOOP
        IF NOT EXISTS (SELECT FROM metasd.progress) THEN
            RETURN;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RAISE 'waited in vain';
END $$;
CALL wait_for_all();
SELECT count(*) FROM kg.kg_predict('France', 'borders');

-- DROP EXTENSION takes the models along, and the same session can start again.
DROP EXTENSION metasd;
DROP SCHEMA kg;
SELECT to_regnamespace('metasd') AS "what is left";
CREATE EXTENSION metasd;
SELECT kg_train('world', 'facts', params => '{"rank": 4, "epochs": 2}') AS run;
CALL wait_for_all();
SELECT name, serving, triples, entities FROM metasd.models;
SELECT count(*) FROM kg_predict('France', 'borders');
SELECT kg_drop('world');
DROP PROCEDURE wait_for_all();
DROP TABLE facts;

-- Only a superuser can install it.
CREATE ROLE regress_metasd_installer;
GRANT CREATE ON DATABASE :DBNAME TO regress_metasd_installer;
DROP EXTENSION metasd;
SET ROLE regress_metasd_installer;
CREATE EXTENSION metasd;
RESET ROLE;
REVOKE CREATE ON DATABASE :DBNAME FROM regress_metasd_installer;
DROP ROLE regress_metasd_installer;
CREATE EXTENSION metasd;
