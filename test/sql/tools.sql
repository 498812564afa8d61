-- What the other files use: waits without figures, a small graph, a view that holds a training up.
CREATE SCHEMA tools;
GRANT USAGE ON SCHEMA tools TO PUBLIC;

-- Waits for the end of a run, and says how it ended. kg_wait would show losses and times, which
-- are not the same everywhere.
CREATE FUNCTION tools.ended(run bigint) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
DECLARE
    status text;
BEGIN
    FOR i IN 1 .. 18000 LOOP
        SELECT v.status INTO status FROM metasd.versions v WHERE v.run = ended.run;
        IF status IS NULL OR status NOT IN ('queued', 'running') THEN
            RETURN coalesce(status, 'no such run');
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN 'still ' || status;
END $$;

-- Waits until no worker trains any more.
CREATE FUNCTION tools.all_workers_gone() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
BEGIN
    FOR i IN 1 .. 18000 LOOP
        PERFORM pg_stat_clear_snapshot();
        IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'metasd training' AND datname = current_database()) THEN
            RETURN true;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN false;
END $$;

-- Waits until a run has got to a phase.
CREATE FUNCTION tools.reached(run bigint, phase text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
BEGIN
    FOR i IN 1 .. 18000 LOOP
        IF EXISTS (SELECT FROM metasd.progress p WHERE p.run = reached.run AND p.phase = reached.phase)
        THEN
            RETURN true;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN false;
END $$;

-- With a trigger of this function before inserts into metasd.epoch, a training waits as its sixth epoch ends while
-- the gate is closed: its checkpoint is that of the fifth.
CREATE TABLE tools.epoch_gate AS SELECT false AS closed;
CREATE FUNCTION tools.wait_at_epoch_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
BEGIN
    WHILE NEW.epoch = 6 AND (SELECT closed FROM tools.epoch_gate) LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN NEW;
END $$;

-- Waits for that checkpoint, and says of which epoch the last one is.
CREATE FUNCTION tools.kept(run bigint) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 18000 LOOP
        EXIT WHEN (SELECT v.checkpoint_epoch = 5 FROM metasd.versions v WHERE v.run = kept.run);
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN (SELECT v.checkpoint_epoch FROM metasd.versions v WHERE v.run = kept.run);
END $$;

-- A worker that reads a view with this function waits while a session has the advisory lock 7.
CREATE FUNCTION tools.gate() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_stat_activity
               WHERE pid = pg_backend_pid() AND backend_type = 'metasd training') THEN
        PERFORM pg_advisory_xact_lock_shared(7);
    END IF;
    RETURN true;
END $$;

-- The numbers of runs depend on how many there were before. Shown instead is the place of a run among
-- those of its model: 1 for the first.
CREATE FUNCTION tools.nth(run bigint) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT nullif(count(*), 0)
    FROM metasd.run r JOIN metasd.run before ON before.model = r.model AND before.id <= r.id
    WHERE r.id = nth.run
$$;

-- What is said of runs, with #1 for the number of a first run, and # for that of one that is not there.
CREATE FUNCTION tools.hide_ids(said text) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    before CONSTANT text := '(\m(?:[Rr]un|[Vv]ersion) |\mkg_\w+\((?:''[^'']*'', )?)';
    id text;
BEGIN
    FOR id IN SELECT part[2] FROM regexp_matches(said, before || '(\d+)', 'g') part LOOP
        said := regexp_replace(said, before || id || '\M', '\1#' || coalesce(tools.nth(id::bigint)::text, ''), 'g');
    END LOOP;
    RETURN said;
END $$;
SELECT tools.hide_ids('Run 7, version 17 and kg_resume(27) of kg_promote(''p37'', 47), of 57');

-- The error that a statement ends with, its DETAIL and HINT, without the numbers of runs.
CREATE FUNCTION tools.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN tools.hide_ids(concat_ws(E'\n', message, nullif(detail, ''), nullif(hint, '')));
END $$;
SELECT tools.error_of('SELECT 1'), tools.error_of($$DO 'BEGIN RAISE ''run 7'' USING DETAIL = ''of 8'', HINT = ''kg_wait(7)''; END'$$);

-- The error that a statement ends with, with its code, its DETAIL and HINT; whoever runs the tests is "postgres".
CREATE FUNCTION tools.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN tools.hide_ids(replace(code || ': ' || concat_ws(E'\n', message, nullif(detail, ''), nullif(hint, '')),
                                  '"' || session_user || '"', '"postgres"'));
END $$;
SELECT tools.failure('SELECT 1'), tools.failure('SELECT 1 / 0');

-- Thirty people: who works in the bakery lives in Arles and speaks French, and so on. Three facts
-- are missing: a model has to find them.
CREATE FUNCTION tools.people(OUT head text, OUT relation text, OUT tail text)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT format('p%s', lpad(i::text, 2, '0')), r,
           (CASE r WHEN 'works_at' THEN '{mill,bakery,harbour}'
                   WHEN 'lives_in' THEN '{Calais,Arles,Brest}'
                   ELSE '{Flemish,French,Breton}' END::text[])[1 + i % 3]
    FROM generate_series(1, 30) i, unnest('{works_at,lives_in,speaks}'::text[]) r
    WHERE (i, r) NOT IN ((7, 'speaks'), (17, 'lives_in'), (27, 'works_at'))
$$;
SELECT relation, count(*), count(DISTINCT tail) AS tails FROM tools.people() GROUP BY 1 ORDER BY 1;

-- Parameters that learn it by heart, and others for a training that only has to end.
CREATE FUNCTION tools.thorough() RETURNS jsonb LANGUAGE sql AS $$
    SELECT '{"rank": 64, "epochs": 60, "warmup": 30, "ramp": 10, "batch": 64, "lr": 0.1, "sparsity": 0.5, "regularizer": "dura",
             "reg": 0.02, "relation_weight": 0.5, "validation_fraction": 0, "warm_start": false}'::jsonb
$$;
CREATE FUNCTION tools.quick() RETURNS jsonb LANGUAGE sql AS
$$SELECT '{"rank": 8, "epochs": 3, "warmup": 1, "ramp": 1, "finetune": 0, "quiz": true, "mutual": true, "batch": 64,
         "promote_tolerance": 1, "warm_start": false}'::jsonb$$;
