-- Warm start: a training of a model that starts from the version that serves.
CREATE TABLE people AS SELECT * FROM tools.people();
-- Figures of metrics that do not depend on the processor.
CREATE VIEW starts AS
SELECT run, tools.nth(run) AS version, status, serving, params ->> 'rank' AS rank,
       tools.nth((metrics #>> '{warm_start,version}')::bigint) AS "from",
       tools.nth((metrics #>> '{warm_start,not_from}')::bigint) AS "not from",
       (metrics -> 'warm_start') - 'version' - 'not_from' AS start
FROM metasd.versions ORDER BY run;

-- The first starts anew, and says nothing of it.
SELECT kg_train('people', 'people', params => tools.thorough() || '{"warm_start": null, "promote_tolerance": 1}') AS run \gset
SELECT tools.ended(:run);
SELECT version, status, serving, rank, start FROM starts;
SELECT params ->> 'warm_start' AS warm_start FROM metasd.versions WHERE run = :run;

-- The next starts from it, and is as good after few epochs; one that starts anew is not. People, a relation and a
-- place are new, and some people are gone.
DELETE FROM people WHERE head IN ('p01', 'p02');
INSERT INTO people VALUES ('p31', 'works_at', 'bakery'), ('p31', 'lives_in', 'Arles'), ('p32', 'lives_in', 'Brest'),
    ('p32', 'works_at', 'harbour'), ('p31', 'visits', 'Lyon'), ('p32', 'visits', 'Lyon');
CREATE FUNCTION finds() RETURNS text LANGUAGE sql AS $$
SELECT string_agg(tail, ' ' ORDER BY q.head) FROM (VALUES ('p07', 'speaks'), ('p17', 'lives_in'), ('p27', 'works_at'),
    ('p31', 'speaks'), ('p32', 'speaks')) q(head, relation), kg_predict(q.head, q.relation, 1, model => 'people')
$$;
SELECT kg_train('people', params => '{"epochs": 6, "warmup": 1, "ramp": 0}') AS second \gset
SELECT tools.ended(:second);
SELECT "from", start FROM starts WHERE run = :second;
SELECT finds();
DELETE FROM metasd.epoch;
\set VERBOSITY sqlstate
CALL kg_wait(:second);
\set VERBOSITY default
SELECT kg_train('people', params => '{"warm_start": false}') AS run \gset
SELECT tools.ended(:run);
SELECT start FROM starts WHERE run = :run;
SELECT finds() = 'French Brest mill French Breton' AS found;
SELECT kg_promote('people', :second);

-- Again and again, on a graph that stays as it is.
SELECT kg_train('people', params => '{"warm_start": true}') AS fourth \gset
SELECT tools.ended(:fourth);
SELECT kg_train('people') AS fifth \gset
SELECT tools.ended(:fifth);
SELECT version, "from", start FROM starts WHERE run >= :fourth;
SELECT finds();

-- The same seed, from the same version, gives the same bits, whatever the number of workers.
CREATE FUNCTION stored(run bigint) RETURNS text LANGUAGE sql AS $$
SELECT md5(string_agg(embedding::text, ' ' ORDER BY id)) FROM metasd.entity e WHERE e.run = stored.run
$$;
SELECT kg_promote('people', :fourth);
SELECT kg_train('people', params => '{"workers": 2}') AS run \gset
SELECT tools.ended(:run);
SELECT "from", stored(:fifth) = stored(:run) AS same FROM starts WHERE run = :run;

-- Versions that will not do: of another rank or family, trained on what is held out now, of other entities,
-- damaged.
SELECT kg_train('people', params => '{"workers": null, "rank": 32}') AS seventh \gset
SELECT tools.ended(:seventh);
DELETE FROM metasd.epoch;
\set VERBOSITY sqlstate
CALL kg_wait(:seventh);
\set VERBOSITY default
SELECT kg_train('people', params => '{"family": "distmult"}') AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('people', params => '{"validation_fraction": 0.1}') AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('people', params => '{"validation_fraction": 0}') AS run \gset
SELECT tools.ended(:run);
CREATE TABLE others AS SELECT 'x' || head AS head, relation, tail FROM people;
SELECT kg_train('people', 'others') AS run \gset
SELECT tools.ended(:run);
UPDATE metasd.entity SET embedding = set_byte(embedding, 8, 255 - get_byte(embedding, 8)) WHERE run = :run AND id = 3;
SELECT kg_train('people', 'others') AS run \gset
SELECT tools.ended(:run);
DELETE FROM metasd.relation WHERE run = :run AND id = 0;
SELECT kg_train('people', 'others') AS run \gset
SELECT tools.ended(:run);
SELECT version, status, "from", "not from", start FROM starts WHERE run >= :seventh;

-- A default rank that is near that of the version becomes it; a source that grows need not start anew.
SELECT kg_drop('people');
CREATE FUNCTION by_default() RETURNS integer LANGUAGE sql AS
$$SELECT rank FROM kg_estimate('people', params => '{"preset": "fast"}')$$;
SELECT kg_train('people', 'people', params => jsonb_build_object('rank', round(by_default() * 0.95), 'epochs', 1)) AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('people', params => '{"rank": null, "preset": "fast"}') AS run \gset
SELECT tools.ended(:run);
SELECT params -> 'rank' = to_jsonb(round(by_default() * 0.95)) AS kept, tools.nth((metrics #>> '{warm_start,version}')::bigint) AS version,
       params -> 'epochs' AS epochs
FROM metasd.versions WHERE run = :run;
SELECT kg_train('people', params => '{"epochs": null}') AS run \gset
SELECT tools.ended(:run);
SELECT (params ->> 'epochs')::int AS epochs, (SELECT epochs FROM kg_estimate('people', params => '{"preset": "fast"}')) AS anew
FROM metasd.versions WHERE run = :run;

-- A rank that memory has lowered is kept, and the version is read beside it.
SELECT kg_drop('people');
SELECT set_config('metasd.train_mem', (train_bytes / 1150)::text, false) <> '' AS set
FROM kg_estimate('people', params => '{"rank": 250, "preset": "best"}');
SELECT kg_train('people', 'people', params => '{"preset": "best", "epochs": 2}') AS run \gset
SELECT tools.ended(:run);
SELECT kg_train('people') AS run \gset
SELECT tools.ended(:run);
SELECT count(DISTINCT params -> 'rank') AS ranks, bool_and((params ->> 'rank')::int BETWEEN 110 AND 490) AS lowered,
       max(metrics #>> '{warm_start,version}')::bigint = min(run) AS warm, max((metrics ->> 'rank_by_default')::int) AS "by default"
FROM metasd.versions WHERE model = 'people';
RESET metasd.train_mem;

-- What it is read into counts.
SELECT a.train_bytes > b.train_bytes AS more
FROM kg_estimate('people') a, kg_estimate('people', params => '{"warm_start": false}') b;

SELECT kg_drop('people');
DROP VIEW starts;
DROP TABLE people, others;
DROP FUNCTION finds(), stored(bigint), by_default();
