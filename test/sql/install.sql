-- What CREATE EXTENSION brings, and that each function says what it does.
CREATE EXTENSION metasd;
\dx+ metasd
SELECT p.oid::regprocedure AS "function without a comment"
FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_proc'::regclass
  AND obj_description(p.oid, 'pg_proc') IS NULL
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'metasd');
SELECT c.relname, c.relacl IS NULL AS private
FROM pg_class c WHERE c.relnamespace = 'metasd'::regnamespace AND c.relkind IN ('r', 'v', 'S')
ORDER BY 1;
