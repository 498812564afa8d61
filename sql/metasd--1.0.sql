/* sql/metasd--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION metasd" to load this file. \quit

-- ---- catalog: the tables. Only the functions below write them, with the rights of the extension's owner ----

CREATE SCHEMA metasd;
COMMENT ON SCHEMA metasd IS 'knowledge-graph models: views for people, and the tables behind them';
GRANT USAGE ON SCHEMA metasd TO PUBLIC;

-- References to roles and relations hold an OID and a name. A dump has the name. A restore accepts a
-- name that means nothing in its database.
CREATE TYPE metasd.role_ref;
CREATE FUNCTION metasd.role_ref_in(cstring) RETURNS metasd.role_ref
AS 'MODULE_PATHNAME', 'metasd_role_ref_in_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE;
CREATE FUNCTION metasd.role_ref_out(metasd.role_ref) RETURNS cstring
AS 'MODULE_PATHNAME', 'metasd_role_ref_out_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE;
CREATE FUNCTION metasd.role_ref_recv(internal) RETURNS metasd.role_ref
AS 'MODULE_PATHNAME', 'metasd_role_ref_recv_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE;
CREATE FUNCTION metasd.role_ref_send(metasd.role_ref) RETURNS bytea
AS 'MODULE_PATHNAME', 'metasd_role_ref_send_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE;
CREATE TYPE metasd.role_ref (INPUT = metasd.role_ref_in, OUTPUT = metasd.role_ref_out,
                             RECEIVE = metasd.role_ref_recv, SEND = metasd.role_ref_send,
                             INTERNALLENGTH = VARIABLE, ALIGNMENT = int4, STORAGE = plain);
CREATE TYPE metasd.relation_ref;
CREATE FUNCTION metasd.relation_ref_in(cstring) RETURNS metasd.relation_ref
AS 'MODULE_PATHNAME', 'metasd_relation_ref_in_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE;
CREATE FUNCTION metasd.relation_ref_out(metasd.relation_ref) RETURNS cstring
AS 'MODULE_PATHNAME', 'metasd_relation_ref_out_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE;
CREATE FUNCTION metasd.relation_ref_recv(internal) RETURNS metasd.relation_ref
AS 'MODULE_PATHNAME', 'metasd_relation_ref_recv_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE;
CREATE FUNCTION metasd.relation_ref_send(metasd.relation_ref) RETURNS bytea
AS 'MODULE_PATHNAME', 'metasd_relation_ref_send_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE;
CREATE TYPE metasd.relation_ref (INPUT = metasd.relation_ref_in, OUTPUT = metasd.relation_ref_out,
                                 RECEIVE = metasd.relation_ref_recv, SEND = metasd.relation_ref_send,
                                 INTERNALLENGTH = VARIABLE, ALIGNMENT = int4, STORAGE = plain);
CREATE FUNCTION metasd.role_ref(oid) RETURNS metasd.role_ref
AS 'MODULE_PATHNAME', 'metasd_role_ref_of_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE;
CREATE FUNCTION metasd.relation_ref(oid) RETURNS metasd.relation_ref
AS 'MODULE_PATHNAME', 'metasd_relation_ref_of_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE;
CREATE FUNCTION metasd.oid_of(metasd.role_ref) RETURNS regrole
AS 'MODULE_PATHNAME', 'metasd_role_oid_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE;
CREATE FUNCTION metasd.oid_of(metasd.relation_ref) RETURNS regclass
AS 'MODULE_PATHNAME', 'metasd_relation_oid_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE;
COMMENT ON TYPE metasd.role_ref IS
'a role: its name, or its name after a minus if the role has been dropped. A name that means no role of this server is kept as a mere name';
COMMENT ON TYPE metasd.relation_ref IS
'a relation: its qualified name and its owner, or its name after a minus if the relation has been dropped. A name that means no relation of this database, or one of another owner, is kept as a mere name';
COMMENT ON FUNCTION metasd.role_ref_in(cstring) IS 'reads the text of type metasd.role_ref';
COMMENT ON FUNCTION metasd.role_ref_out(metasd.role_ref) IS
'writes the text of type metasd.role_ref';
COMMENT ON FUNCTION metasd.role_ref_recv(internal) IS
'reads the binary form of type metasd.role_ref, which is its text';
COMMENT ON FUNCTION metasd.role_ref_send(metasd.role_ref) IS
'writes the binary form of type metasd.role_ref, which is its text';
COMMENT ON FUNCTION metasd.relation_ref_in(cstring) IS 'reads the text of type metasd.relation_ref';
COMMENT ON FUNCTION metasd.relation_ref_out(metasd.relation_ref) IS
'writes the text of type metasd.relation_ref';
COMMENT ON FUNCTION metasd.relation_ref_recv(internal) IS
'reads the binary form of type metasd.relation_ref, which is its text';
COMMENT ON FUNCTION metasd.relation_ref_send(metasd.relation_ref) IS
'writes the binary form of type metasd.relation_ref, which is its text';
COMMENT ON FUNCTION metasd.role_ref(oid) IS
'makes a reference to the role of that OID; null if there is none';
COMMENT ON FUNCTION metasd.relation_ref(oid) IS
'makes a reference to the relation of that OID; null if there is none';
COMMENT ON FUNCTION metasd.oid_of(metasd.role_ref) IS
'returns the role of a reference; null if it does not exist any more';
COMMENT ON FUNCTION metasd.oid_of(metasd.relation_ref) IS
'returns the relation of a reference; null if it does not exist any more';

-- The tables have no foreign keys, because pg_restore --jobs loads them in any order.
CREATE TABLE metasd.model (
    name text PRIMARY KEY,
    owner metasd.role_ref NOT NULL,
    source metasd.relation_ref NOT NULL,
    head text NOT NULL,
    relation text NOT NULL,
    tail text NOT NULL,
    validation metasd.relation_ref,
    params jsonb NOT NULL DEFAULT '{}',
    serving bigint,
    history bigint[] NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE metasd.model IS
'one row per model: the source of its triples and the run that answers its questions';
COMMENT ON COLUMN metasd.model.params IS
'parameters that the owner has given; all others have their defaults';
COMMENT ON COLUMN metasd.model.serving IS
'run whose embeddings answer questions; null before the first success';
COMMENT ON COLUMN metasd.model.history IS
'runs that served before, the latest last; kg_rollback returns to the last one';

CREATE TABLE metasd.run (
    id bigserial PRIMARY KEY,
    uuid uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    model text NOT NULL,
    source metasd.relation_ref NOT NULL,
    head text NOT NULL,
    relation text NOT NULL,
    tail text NOT NULL,
    status text NOT NULL
        CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'interrupted')),
    pid integer,
    queued timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    started timestamptz,
    finished timestamptz,
    heartbeat timestamptz,
    phase text,
    epoch integer,
    done bigint,
    total bigint,
    loss float8,
    params jsonb NOT NULL,
    entities bigint,
    relations bigint,
    triples bigint,
    metrics jsonb,
    bytes bigint,
    error text,
    kept boolean NOT NULL DEFAULT false,
    note text,
    resumed timestamptz,
    checkpoint smallint,
    checkpoint_epoch integer,
    resumed_epoch integer,
    validation metasd.relation_ref
) WITH (fillfactor = 50);
CREATE INDEX run_model ON metasd.run (model);
COMMENT ON TABLE metasd.run IS
'one row per training; a successful training is a version of its model';
COMMENT ON COLUMN metasd.run.uuid IS
'identifies the version outside the database, for example in the file of its image: run numbers start again after CREATE EXTENSION';
COMMENT ON COLUMN metasd.run.pid IS 'process of the worker; null when it has ended';
COMMENT ON COLUMN metasd.run.heartbeat IS 'when the worker last wrote this row';
COMMENT ON COLUMN metasd.run.phase IS
'present activity of the worker: starting, reading, probing, training, pruning (an import), comparing or storing';
COMMENT ON COLUMN metasd.run.epoch IS 'the current epoch, from 1';
COMMENT ON COLUMN metasd.run.done IS 'batches of the current epoch that are finished, or probes';
COMMENT ON COLUMN metasd.run.total IS 'all batches of the current epoch, or all probes at most';
COMMENT ON COLUMN metasd.run.loss IS
'loss of the last batch: of the full model, or in fine-tuning of the pruned model';
COMMENT ON COLUMN metasd.run.params IS
'parameters as given; after the worker has read the source, all parameters with their values';
COMMENT ON COLUMN metasd.run.metrics IS
'figures of the training; validation, full and stored hold filtered validation metrics of the pruned model, of the full model if there is one, and of the pruned model as stored; degrees holds the MRR by the number of training triples of the answer, from each power of two to the next';
COMMENT ON COLUMN metasd.run.bytes IS 'size of the stored embeddings in bytes';
COMMENT ON COLUMN metasd.run.source IS
'relation that the run was trained from. Roles that may read it may ask this version. The model may have another source by now';
COMMENT ON COLUMN metasd.run.resumed IS 'time when kg_resume last started the run again';
COMMENT ON COLUMN metasd.run.checkpoint IS
'complete part of metasd.checkpoint, 0 or 1; the other part is being written or does not exist';
COMMENT ON COLUMN metasd.run.checkpoint_epoch IS 'last epoch that the checkpoint contains';
COMMENT ON COLUMN metasd.run.resumed_epoch IS
'last epoch before kg_resume last started the run again';
COMMENT ON COLUMN metasd.run.validation IS
'relation of its validation triples; null if they were held out of the source. Only roles that may read it see how many validation triples a relation has';
COMMENT ON COLUMN metasd.run.kept IS
'whether its embeddings are stored; parameter keep_versions sets the number of stored versions';
COMMENT ON COLUMN metasd.run.note IS
'reason why the version was not promoted when its training ended, or was promoted without a comparison';
COMMENT ON COLUMN metasd.run.status IS
'status as last written; metasd.run_status() also notices workers that have died';

CREATE TABLE metasd.epoch (
    run bigint NOT NULL,
    epoch integer NOT NULL,
    seconds float8 NOT NULL,
    loss_full float8,
    loss_trial float8,
    loss_quiz float8,
    loss_mutual float8,
    loss_pruned float8,
    mrr_full float8,
    mrr_pruned float8,
    sparsity float8,
    threshold float8,
    regrown bigint,
    dropped bigint,
    lr float8,
    kept boolean NOT NULL,
    PRIMARY KEY (run, epoch)
);
COMMENT ON TABLE metasd.epoch IS
'one row per epoch of a training. Losses are means over the training examples. A figure is null if the epoch did not compute it';
COMMENT ON COLUMN metasd.epoch.loss_full IS
'loss of the full model on the facts, with its regularizer; null in fine-tuning';
COMMENT ON COLUMN metasd.epoch.loss_trial IS
'loss of the pruned model, which the full model teaches, in the trial step before the quiz';
COMMENT ON COLUMN metasd.epoch.loss_quiz IS
'loss of the pruned model on the quiz triples after the trial step';
COMMENT ON COLUMN metasd.epoch.loss_mutual IS
'loss of the full model in mutual learning: its loss on the facts plus its divergence from the pruned model';
COMMENT ON COLUMN metasd.epoch.loss_pruned IS
'loss of the pruned model: in mutual learning it includes the divergence from the full model; null in an epoch that does not train the pruned model';
COMMENT ON COLUMN metasd.epoch.mrr_full IS
'filtered validation MRR of the full model, both directions; null where the pruned model has learnt alone from the first epoch on, and in fine-tuning without pruning';
COMMENT ON COLUMN metasd.epoch.mrr_pruned IS
'filtered validation MRR of the pruned model, both directions; null before the first pruning';
COMMENT ON COLUMN metasd.epoch.sparsity IS 'fraction of the weights that the mask prunes';
COMMENT ON COLUMN metasd.epoch.threshold IS
'smallest salience of a weight that the mask keeps; with pruning magnitude, its smallest magnitude';
COMMENT ON COLUMN metasd.epoch.regrown IS
'weights that this mask keeps and the previous mask pruned';
COMMENT ON COLUMN metasd.epoch.dropped IS
'weights that this mask prunes and the previous mask kept';
COMMENT ON COLUMN metasd.epoch.lr IS 'learning rate of the epoch';
COMMENT ON COLUMN metasd.epoch.kept IS
'whether no earlier epoch is better by more than chance; the embeddings of the last such epoch are stored';

CREATE TABLE metasd.entity (
    run bigint NOT NULL,
    id integer NOT NULL,
    label text NOT NULL,
    degree bigint NOT NULL,
    embedding bytea NOT NULL,
    PRIMARY KEY (run, id)
);
ALTER TABLE metasd.entity ALTER COLUMN embedding SET STORAGE EXTERNAL;
COMMENT ON TABLE metasd.entity IS
'pruned embeddings of entities, as encoded sparse rows. They are deleted with their run, or earlier according to parameter keep_versions';
COMMENT ON COLUMN metasd.entity.id IS
'number of the entity in this version, from 0, in the order of the labels'' bytes';
COMMENT ON COLUMN metasd.entity.degree IS
'number of triples that have the entity as head or tail, those included that the training held out';

CREATE TABLE metasd.relation (
    run bigint NOT NULL,
    id integer NOT NULL,
    label text NOT NULL,
    count bigint NOT NULL,
    embedding bytea NOT NULL,
    reciprocal bytea NOT NULL,
    held_out bigint NOT NULL DEFAULT 0,
    mrr float8,
    tail_slope real,
    tail_offset real,
    head_slope real,
    head_offset real,
    irreflexive boolean NOT NULL DEFAULT false,
    PRIMARY KEY (run, id)
);
ALTER TABLE metasd.relation ALTER COLUMN embedding SET STORAGE EXTERNAL;
ALTER TABLE metasd.relation ALTER COLUMN reciprocal SET STORAGE EXTERNAL;
COMMENT ON TABLE metasd.relation IS
'pruned embeddings of relations and of their reciprocals. They are deleted with those of entities';
COMMENT ON COLUMN metasd.relation.id IS
'number of the relation in this version, from 0, in the order of the labels'' bytes';
COMMENT ON COLUMN metasd.relation.count IS 'number of triples of the relation, those included that the training held out';
COMMENT ON COLUMN metasd.relation.embedding IS 'scores tails of (head, relation)';
COMMENT ON COLUMN metasd.relation.reciprocal IS 'scores heads of (relation, tail)';
COMMENT ON COLUMN metasd.relation.tail_offset IS 'see tail_slope';
COMMENT ON COLUMN metasd.relation.head_offset IS 'see tail_slope; for heads';
COMMENT ON COLUMN metasd.relation.held_out IS
'number of triples of the relation that were held out for validation';
COMMENT ON COLUMN metasd.relation.mrr IS
'filtered validation MRR of the stored embeddings, both directions';
COMMENT ON COLUMN metasd.relation.tail_slope IS
'probability of a tail = 1 / (1 + exp(-(slope x log odds by softmax + offset))). If null, the slope and the offset of the whole model count, which are in the metrics of the run';
COMMENT ON COLUMN metasd.relation.head_slope IS 'see tail_slope; for heads';
COMMENT ON COLUMN metasd.relation.irreflexive IS
'whether fewer than 1 in 100 of its training triples lead from an entity to itself. If so, no question is answered with its own entity';

CREATE TABLE metasd.checkpoint (
    run bigint NOT NULL,
    part smallint NOT NULL,
    chunk integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (run, part, chunk)
);
ALTER TABLE metasd.checkpoint ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE metasd.checkpoint IS
'states of trainings that are running or have ended early, for kg_resume; dumps leave its rows out';
COMMENT ON COLUMN metasd.checkpoint.part IS
'0 or 1: a new checkpoint is written beside the previous one, which is deleted when the run''s row names the new one';

SELECT pg_catalog.pg_extension_config_dump('metasd.model', '');
SELECT pg_catalog.pg_extension_config_dump('metasd.run', '');
SELECT pg_catalog.pg_extension_config_dump('metasd.run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('metasd.epoch', '');
SELECT pg_catalog.pg_extension_config_dump('metasd.entity', '');
SELECT pg_catalog.pg_extension_config_dump('metasd.relation', '');

-- ---- access: views for people. They show the models that the caller may ask ----

-- Others may put functions into the schema of the extension, which is searched here. So names of functions have
-- their schema, and operators get the very types that they are made for.

CREATE FUNCTION metasd.run_status(run bigint, status text) RETURNS text
AS 'MODULE_PATHNAME', 'metasd_run_status_sql' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 10;
COMMENT ON FUNCTION metasd.run_status(bigint, text) IS
'returns the present status of a run whose row says STATUS: interrupted if its worker has died since. Users who may not ask the model get STATUS';

CREATE FUNCTION metasd.may_ask(
    owner metasd.role_ref, source metasd.relation_ref, head text, relation text, tail text
) RETURNS boolean
AS 'MODULE_PATHNAME', 'metasd_may_ask_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION metasd.may_ask(metasd.role_ref, metasd.relation_ref, text, text, text) IS
'tells whether the current user may ask a model of that owner and source';

CREATE VIEW metasd.models WITH (security_barrier) AS
SELECT m.name, metasd.oid_of(m.owner) AS owner, metasd.oid_of(m.source) AS source,
       m.head, m.relation, m.tail, metasd.oid_of(m.validation) AS validation, m.params,
       m.serving, s.finished AS trained, s.entities, s.relations, s.triples,
       coalesce(s.metrics #>> '{stored,mrr}'::text[], s.metrics #>> '{validation,mrr}'::text[])::float8 AS mrr, s.bytes,
       l.id AS last_run, metasd.run_status(l.id, l.status) AS last_status
FROM metasd.model m
LEFT JOIN metasd.run s ON s.id = m.serving
LEFT JOIN LATERAL (SELECT r.id, r.status FROM metasd.run r
                   WHERE r.model = m.name
                     AND metasd.may_ask(m.owner, r.source, r.head, r.relation, r.tail)
                   ORDER BY r.id DESC LIMIT 1) l ON true
WHERE metasd.may_ask(m.owner, coalesce(s.source, m.source), coalesce(s.head, m.head),
                     coalesce(s.relation, m.relation), coalesce(s.tail, m.tail));
COMMENT ON VIEW metasd.models IS
'models that the current user may ask, with the run that serves each and the last training that they may know of. The owner, the source and the validation relation are null if they have been dropped; bytes are those of the stored embeddings';

CREATE VIEW metasd.versions WITH (security_barrier) AS
SELECT r.model, r.id AS run, metasd.run_status(r.id, r.status) AS status,
       coalesce(r.id = m.serving, false) AS serving, r.queued, r.started, r.finished,
       extract(epoch FROM coalesce(r.finished, r.heartbeat)
                          - coalesce(r.resumed, r.started))::float8 AS seconds,
       r.entities, r.relations, r.triples, r.params,
       CASE WHEN r.validation IS NULL
                 OR metasd.may_ask(m.owner, r.validation, r.head, r.relation, r.tail) THEN r.metrics
            ELSE (r.metrics - 'degrees'::text) #- '{calibration,tenths}'::text[] END AS metrics,
       r.bytes,
       CASE WHEN pg_catalog.pg_has_role(metasd.oid_of(m.owner), 'USAGE'::text)
                 OR (NOT coalesce(r.metrics ? 'import'::text, false)
                     AND (r.validation IS NULL
                          OR metasd.may_ask(m.owner, r.validation, r.head, r.relation, r.tail)))
           THEN r.error END AS error,
       r.kept, r.note, r.resumed,
       CASE WHEN (r.id, r.checkpoint) IN (SELECT c.run, c.part FROM metasd.checkpoint c)
           THEN r.checkpoint_epoch END AS checkpoint_epoch
FROM metasd.run r
JOIN metasd.model m ON m.name = r.model
WHERE metasd.may_ask(m.owner, r.source, r.head, r.relation, r.tail);
COMMENT ON VIEW metasd.versions IS
'all trainings of the models that the current user may ask: their status, figures and errors, whether their embeddings are kept, why a version was not promoted, and the epoch after which kg_resume would continue. The metrics by degree and by tenths of probability, and the error, are left out for users who may not read the validation relation; only the owner sees the error of an import. seconds count from the start or the last resume';

CREATE VIEW metasd.relations WITH (security_barrier) AS
SELECT m.name AS model, r.id AS run, l.label AS relation, l.count AS triples,
       CASE WHEN v.shown THEN l.held_out END AS held_out, CASE WHEN v.shown THEN l.mrr END AS mrr,
       CASE WHEN l.tail_slope IS NOT NULL THEN 'relation'::text
            WHEN r.metrics #> '{calibration,slope}'::text[] IS NOT NULL THEN 'model'::text
            END AS calibration,
       l.irreflexive
FROM metasd.model m
JOIN metasd.run r ON r.id = m.serving
JOIN metasd.relation l ON l.run = r.id
JOIN LATERAL (SELECT r.validation IS NULL
                     OR metasd.may_ask(m.owner, r.validation, r.head, r.relation, r.tail) AS shown
              OFFSET 0) v ON true
WHERE metasd.may_ask(m.owner, r.source, r.head, r.relation, r.tail);
COMMENT ON VIEW metasd.relations IS
'relations of the models that the current user may ask: their triples, how many of these were held out for validation, and the filtered validation MRR on these. The last two are null for users who may not read the validation relation. calibration is relation if the held-out triples of the relation itself calibrate its probabilities, model if those of the whole model do, and null if none were held out. irreflexive tells that no answer is the entity of the question itself, because hardly any training triple leads from an entity to itself';

CREATE VIEW metasd.progress WITH (security_barrier) AS
SELECT p.model, p.run, p.status, p.phase, p.epoch, p.epochs, p.done, p.total, p.loss,
       p.elapsed, p.remaining, p.pid
FROM (SELECT r.model, r.id AS run, metasd.run_status(r.id, r.status) AS status, r.phase, r.epoch,
             (r.params ->> 'epochs'::text)::integer AS epochs,
             r.done, r.total, r.loss,
             pg_catalog.date_trunc('second'::text, pg_catalog.clock_timestamp() - coalesce(r.resumed, r.started, r.queued)) AS elapsed,
             pg_catalog.make_interval(secs => pg_catalog.round(e.each
                 * ((r.params ->> 'epochs'::text)::float8 - r.epoch::float8 + 1::float8
                    - coalesce(r.done::float8 / nullif(r.total, 0)::float8, 0::float8))))
                 AS remaining,
             r.pid
      FROM metasd.run r
      JOIN metasd.model m ON m.name = r.model
      LEFT JOIN LATERAL (SELECT pg_catalog.avg(x.seconds) AS each
                         FROM (SELECT seconds FROM metasd.epoch WHERE run = r.id
                               ORDER BY epoch DESC LIMIT 3) x) e ON true
      WHERE r.status IN ('queued', 'running')
        AND metasd.may_ask(m.owner, r.source, r.head, r.relation, r.tail)) p
WHERE p.status IN ('queued', 'running');
COMMENT ON VIEW metasd.progress IS
'trainings under way: phase, epoch, finished batches of the epoch or probes (done of total), loss of the last batch, time elapsed and remaining';

CREATE VIEW metasd.learning_curve WITH (security_barrier) AS
SELECT r.model, e.run, e.epoch, e.seconds, e.loss_full, e.loss_trial, e.loss_quiz,
       e.loss_mutual, e.loss_pruned, e.mrr_full, e.mrr_pruned, e.sparsity,
       e.threshold, e.regrown, e.dropped, e.lr, e.kept
FROM metasd.epoch e
JOIN metasd.run r ON r.id = e.run
JOIN metasd.model m ON m.name = r.model
WHERE metasd.may_ask(m.owner, r.source, r.head, r.relation, r.tail);
COMMENT ON VIEW metasd.learning_curve IS
'epochs of trainings: losses, filtered validation MRR of the full and the pruned model, the pruning mask';
COMMENT ON COLUMN metasd.learning_curve.loss_full IS
'loss of the full model on the facts, with its regularizer; null in fine-tuning';
COMMENT ON COLUMN metasd.learning_curve.loss_trial IS
'loss of the pruned model, which the full model teaches, in the trial step before the quiz';
COMMENT ON COLUMN metasd.learning_curve.loss_quiz IS
'loss of the pruned model on the quiz triples after the trial step';
COMMENT ON COLUMN metasd.learning_curve.loss_mutual IS
'loss of the full model in mutual learning: its loss on the facts plus its divergence from the pruned model';
COMMENT ON COLUMN metasd.learning_curve.loss_pruned IS
'loss of the pruned model: in mutual learning it includes the divergence from the full model; null in an epoch that does not train the pruned model';
COMMENT ON COLUMN metasd.learning_curve.mrr_full IS
'filtered validation MRR of the full model, both directions; null where the pruned model has learnt alone from the first epoch on, and in fine-tuning without pruning';
COMMENT ON COLUMN metasd.learning_curve.mrr_pruned IS
'filtered validation MRR of the pruned model, both directions; null before the first pruning';
COMMENT ON COLUMN metasd.learning_curve.sparsity IS 'fraction of the weights that the mask prunes';
COMMENT ON COLUMN metasd.learning_curve.threshold IS
'smallest salience of a weight that the mask keeps; with pruning magnitude, its smallest magnitude';
COMMENT ON COLUMN metasd.learning_curve.regrown IS
'weights that this mask keeps and the previous mask pruned';
COMMENT ON COLUMN metasd.learning_curve.dropped IS
'weights that this mask prunes and the previous mask kept';
COMMENT ON COLUMN metasd.learning_curve.lr IS 'learning rate of the epoch';
COMMENT ON COLUMN metasd.learning_curve.kept IS
'whether no earlier epoch is better by more than chance; the embeddings of the last such epoch are stored';

GRANT SELECT ON metasd.models, metasd.versions, metasd.relations, metasd.progress,
                metasd.learning_curve TO PUBLIC;

-- ---- control: start, stop, promote and schedule trainings ----

CREATE FUNCTION kg_train(
    model text,
    source regclass DEFAULT NULL,
    head text DEFAULT NULL,
    relation text DEFAULT NULL,
    tail text DEFAULT NULL,
    validation regclass DEFAULT NULL,
    params jsonb DEFAULT '{}'
) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_kg_train' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_train(text, regclass, text, text, text, regclass, jsonb) IS
'starts to train a model from a relation of triples in the background, and returns the number of the run. source is the relation; head, relation and tail are the names of its columns; validation is a relation of triples for validation, or - for none; params are training parameters. An argument that is not given keeps the value that the model remembers. A new model has columns head, relation and tail';

CREATE FUNCTION kg_import(
    model text,
    entities regclass,
    relations regclass,
    source regclass DEFAULT NULL,
    params jsonb DEFAULT '{}',
    head text DEFAULT NULL,
    relation text DEFAULT NULL,
    tail text DEFAULT NULL,
    validation regclass DEFAULT NULL
) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_kg_import' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_import(text, regclass, regclass, regclass, jsonb, text, text, text, regclass) IS
'makes a version of a model from embeddings that were trained elsewhere, in a background worker when the transaction commits, and returns the number of its run. entities and relations are tables with columns label and embedding (real[]); relations may have a column reciprocal, an embedding that scores heads. source has the facts that the model was trained on, and is read as in kg_train. Facts of validation were not trained on: they rank the version and calibrate its probabilities. params has parameters of kg_train, such as family, sparsity and storage, and three of its own: layout (halves: real parts, then imaginary parts; interleaved: each real part is followed by its imaginary part), missing (error, or skip: triples with a label that has no embedding are left out), and finetune, the number of epochs that train the pruned weights. By default nothing is pruned or trained';

CREATE PROCEDURE kg_wait(run bigint, timeout interval DEFAULT NULL)
AS 'MODULE_PATHNAME', 'metasd_kg_wait' LANGUAGE C;
COMMENT ON PROCEDURE kg_wait(bigint, interval) IS
'shows the epochs of a training as they end, and returns when the training ends or the timeout has passed. An error if the training fails. To cancel the call does not stop the training';

CREATE FUNCTION kg_cancel(run bigint) RETURNS boolean
AS 'MODULE_PATHNAME', 'metasd_kg_cancel' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_cancel(bigint) IS
'stops a training, and returns true. Returns false, with a notice, if the run is not running. The version that serves still serves';

CREATE FUNCTION kg_resume(run bigint) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_kg_resume' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_resume(bigint) IS
'continues a training that failed, was cancelled or was interrupted from its last checkpoint, and returns its run. The result is the same as without the break. An error if the run is running, has succeeded or has no checkpoint. The run fails if the facts of the source have changed';

CREATE FUNCTION kg_drop(model text) RETURNS void
AS 'MODULE_PATHNAME', 'metasd_kg_drop' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_drop(text) IS
'drops a model with all its versions. A training of the model stops when the transaction commits';

CREATE FUNCTION kg_promote(model text, version bigint) RETURNS void
AS 'MODULE_PATHNAME', 'metasd_kg_promote' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_promote(text, bigint) IS
'lets a version of a model serve when the transaction commits. version is the number of a successful run whose embeddings are kept. Only for the owner of the model';

CREATE FUNCTION kg_rollback(model text) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_kg_rollback' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_rollback(text) IS
'lets the version that served last before the present one serve again when the transaction commits, and returns it. Further calls return further back. Versions whose embeddings are not kept are skipped. Only for the owner of the model';

CREATE FUNCTION kg_owner(model text, role regrole) RETURNS void
AS 'MODULE_PATHNAME', 'metasd_kg_owner' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_owner(text, regrole) IS
'gives a model to another role, of which the caller must be a member. Only for the owner of the model or, if that role has been dropped, for a superuser. An error while a training runs. The schedule of the model ends';

CREATE FUNCTION kg_schedule(model text, schedule text) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_kg_schedule' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_schedule(text, text) IS
'trains a model repeatedly with the extension pg_cron, as the caller, who must own the model. schedule has the syntax of pg_cron (minute, hour, day of the month, month, day of the week). Returns the number of the job in cron.job. A former schedule of the model is replaced';

CREATE FUNCTION kg_unschedule(model text) RETURNS boolean
AS 'MODULE_PATHNAME', 'metasd_kg_unschedule' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_unschedule(text) IS
'ends the schedule of a model, and returns true. Returns false, with a notice, if the model has none. A training under way continues';

CREATE FUNCTION metasd.train_scheduled(model text) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_train_scheduled_sql' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metasd.train_scheduled(text) IS
'jobs of kg_schedule call it: it does the same as kg_train(model). While a training of the model runs it only writes a line into the server log, and returns null';

-- ---- worker: library metasd_train ----

CREATE FUNCTION kg_estimate(
    source regclass,
    head text DEFAULT 'head',
    relation text DEFAULT 'relation',
    tail text DEFAULT 'tail',
    params jsonb DEFAULT '{}',
    OUT triples bigint,
    OUT entities bigint,
    OUT relations bigint,
    OUT skipped bigint,
    OUT rank integer,
    OUT epochs integer,
    OUT train_bytes bigint,
    OUT stored_bytes bigint,
    OUT checkpoint_bytes bigint,
    OUT params_used jsonb
) RETURNS record
AS '$libdir/metasd_train', 'metasd_kg_estimate' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_estimate(regclass, text, text, text, jsonb) IS
'reads a source and estimates a training of it: the numbers of triples, entities and relations, rows skipped because of null or empty identifiers, rank and epochs, train_bytes of memory, stored_bytes of the embeddings, checkpoint_bytes at most, and the parameters that it would use, with the values that reg, regularizer, relation_weight and class_weights have without probes';

-- ---- serve: answer questions ----

CREATE FUNCTION metasd.predict_support(internal) RETURNS internal
AS 'MODULE_PATHNAME', 'metasd_predict_support_sql' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION metasd.predict_support(internal) IS
'tells the planner the rows and the cost of a question';

CREATE FUNCTION metasd.predict_many_support(internal) RETURNS internal
AS 'MODULE_PATHNAME', 'metasd_predict_many_support_sql' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION metasd.predict_many_support(internal) IS
'tells the planner the rows and the cost of a batch of questions';

CREATE FUNCTION kg_predict(
    head text, relation anycompatible, k integer DEFAULT 10, model text DEFAULT NULL,
    known text DEFAULT 'exclude', candidates regclass DEFAULT NULL, candidate_ids "any" DEFAULT NULL,
    min_probability real DEFAULT NULL,
    OUT rank integer, OUT tail text, OUT score real, OUT probability real, OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;
COMMENT ON FUNCTION kg_predict(text, anycompatible, integer, text, text, regclass, "any", real) IS
'returns the k most likely tails of (head, relation), best first. Known facts of the source are excluded, marked or included according to known. Answers of equal score have the same rank, and are ordered by the bytes of their labels. If the relation is irreflexive (see metasd.relations), the head itself is no answer. Answers are all entities, or those in the first column of candidates, which is read as the caller, or those in the array candidate_ids. What the model does not know, given or among these, is judged by its facts in the source, unless metasd.fold_in is off. rank counts among these, probability among all entities. Answers with a probability below min_probability are left out. probability is calibrated with facts held out of the training: of 100 answers given 0.8, about 80 are such facts. If none were held out, it is the softmax of the scores. It is null for a fact marked as known';

CREATE FUNCTION kg_predict(
    head anyelement, relation anycompatible, k integer DEFAULT 10, model text DEFAULT NULL,
    known text DEFAULT 'exclude', candidates regclass DEFAULT NULL, candidate_ids "any" DEFAULT NULL,
    min_probability real DEFAULT NULL,
    OUT rank integer, OUT tail anyelement, OUT score real, OUT probability real,
    OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;
COMMENT ON FUNCTION kg_predict(anyelement, anycompatible, integer, text, text, regclass, "any", real) IS
'does the same for identifiers of any type, and returns tails in the type of the head';

CREATE FUNCTION kg_predict_heads(
    relation anycompatible, tail text, k integer DEFAULT 10, model text DEFAULT NULL,
    known text DEFAULT 'exclude', candidates regclass DEFAULT NULL, candidate_ids "any" DEFAULT NULL,
    min_probability real DEFAULT NULL,
    OUT rank integer, OUT head text, OUT score real, OUT probability real, OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict_heads'
LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;
COMMENT ON FUNCTION kg_predict_heads(anycompatible, text, integer, text, text, regclass, "any", real) IS
'returns the k most likely heads of (relation, tail), best first. Known facts of the source are excluded, marked or included according to known. Answers of equal score have the same rank, and are ordered by the bytes of their labels. If the relation is irreflexive (see metasd.relations), the tail itself is no answer. Answers are all entities, or those in the first column of candidates, which is read as the caller, or those in the array candidate_ids. What the model does not know, given or among these, is judged by its facts in the source, unless metasd.fold_in is off. rank counts among these, probability among all entities. Answers with a probability below min_probability are left out. probability is calibrated with facts held out of the training: of 100 answers given 0.8, about 80 are such facts. If none were held out, it is the softmax of the scores. It is null for a fact marked as known';

CREATE FUNCTION kg_predict_heads(
    relation anycompatible, tail anyelement, k integer DEFAULT 10, model text DEFAULT NULL,
    known text DEFAULT 'exclude', candidates regclass DEFAULT NULL, candidate_ids "any" DEFAULT NULL,
    min_probability real DEFAULT NULL,
    OUT rank integer, OUT head anyelement, OUT score real, OUT probability real,
    OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict_heads'
LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;
COMMENT ON FUNCTION kg_predict_heads(anycompatible, anyelement, integer, text, text, regclass, "any", real) IS
'does the same for identifiers of any type, and returns heads in the type of the tail';

CREATE FUNCTION kg_predict_many(
    entities anyarray, relations anycompatiblearray, k integer DEFAULT 10,
    model text DEFAULT NULL, known text DEFAULT 'exclude', side text DEFAULT 'tail',
    candidates regclass DEFAULT NULL, candidate_ids "any" DEFAULT NULL,
    min_probability real DEFAULT NULL,
    OUT query bigint, OUT head anyelement, OUT relation anycompatible, OUT tail anyelement,
    OUT rank integer, OUT score real, OUT probability real, OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict_many' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10000 COST 1000000 SUPPORT metasd.predict_many_support;
COMMENT ON FUNCTION kg_predict_many(anyarray, anycompatiblearray, integer, text, text, text, regclass, "any", real) IS
'answers many questions in one call, each like kg_predict. query is the position of the question in the array entities. relations has one element per question, or one for all. With side head the entities are tails, and the answers are heads, as in kg_predict_heads. Rows come in the order of the questions, best answers first, and rank counts within a question. Memory use does not depend on the number of questions';

CREATE FUNCTION kg_predict_many(
    queries regclass, k integer DEFAULT 10,
    model text DEFAULT NULL, known text DEFAULT 'exclude', side text DEFAULT 'tail',
    candidates regclass DEFAULT NULL, candidate_ids "any" DEFAULT NULL,
    min_probability real DEFAULT NULL,
    OUT query bigint, OUT head text, OUT relation text, OUT tail text,
    OUT rank integer, OUT score real, OUT probability real, OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict_many_of' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10000 COST 1000000 SUPPORT metasd.predict_many_support;
COMMENT ON FUNCTION kg_predict_many(regclass, integer, text, text, text, regclass, "any", real) IS
'answers the questions in a relation, which is read as the caller. Its columns are head and relation or, with side head, relation and tail, or have the names that the source of the model uses. Identifiers are returned as text. query numbers the rows in the order in which they are read';

-- PostgreSQL must know the types of a result before the relation is read, so the next two functions take
-- them from an argument. It has no default, because the type of a default would not be known in time.
CREATE FUNCTION kg_predict_many(
    queries regclass, k integer, identifiers anyelement,
    model text DEFAULT NULL, known text DEFAULT 'exclude', side text DEFAULT 'tail',
    candidates regclass DEFAULT NULL, candidate_ids "any" DEFAULT NULL,
    min_probability real DEFAULT NULL,
    OUT query bigint, OUT head anyelement, OUT relation text, OUT tail anyelement,
    OUT rank integer, OUT score real, OUT probability real, OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict_many_of' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10000 COST 1000000 SUPPORT metasd.predict_many_support;
COMMENT ON FUNCTION kg_predict_many(regclass, integer, anyelement, text, text, text, regclass, "any", real) IS
'does the same, and returns heads and tails in the type of identifiers. Only the type of that argument counts: identifiers => NULL::integer';

CREATE FUNCTION kg_predict_many(
    queries regclass, k integer, identifiers anyelement, relation_identifiers anycompatible,
    model text DEFAULT NULL, known text DEFAULT 'exclude', side text DEFAULT 'tail',
    candidates regclass DEFAULT NULL, candidate_ids "any" DEFAULT NULL,
    min_probability real DEFAULT NULL,
    OUT query bigint, OUT head anyelement, OUT relation anycompatible, OUT tail anyelement,
    OUT rank integer, OUT score real, OUT probability real, OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict_many_of' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10000 COST 1000000 SUPPORT metasd.predict_many_support;
COMMENT ON FUNCTION kg_predict_many(regclass, integer, anyelement, anycompatible, text, text, text, regclass, "any", real) IS
'does the same, and returns relations in the type of relation_identifiers, too';

-- Head, relation and tail may have three different types. Literals and untyped parameters are text.
CREATE FUNCTION kg_predict_relations(
    head anycompatible, tail text, k integer DEFAULT 10, model text DEFAULT NULL,
    known text DEFAULT 'exclude', min_probability real DEFAULT NULL,
    OUT rank integer, OUT relation text, OUT score real, OUT probability real,
    OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict_relations'
LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;
COMMENT ON FUNCTION kg_predict_relations(anycompatible, text, integer, text, text, real) IS
'returns the k most likely relations from head to tail, best first. Known facts of the source are excluded, marked or included according to known. Answers of equal score have the same rank, and are ordered by the bytes of their labels. probability is calibrated with facts held out of the training, for pairs between which a relation is missing. If none were held out, it is the softmax of the scores. It is null for a fact marked as known. Answers with a probability below min_probability are left out';

CREATE FUNCTION kg_predict_relations(
    head anycompatible, tail anyelement, k integer DEFAULT 10, model text DEFAULT NULL,
    known text DEFAULT 'exclude', min_probability real DEFAULT NULL,
    OUT rank integer, OUT relation text, OUT score real, OUT probability real,
    OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict_relations'
LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;
COMMENT ON FUNCTION kg_predict_relations(anycompatible, anyelement, integer, text, text, real) IS
'returns the k most likely relations from head to tail, best first. Known facts of the source are excluded, marked or included according to known. Answers of equal score have the same rank, and are ordered by the bytes of their labels. probability is calibrated with facts held out of the training, for pairs between which a relation is missing. If none were held out, it is the softmax of the scores. It is null for a fact marked as known. Answers with a probability below min_probability are left out';

CREATE FUNCTION kg_score(
    head anycompatible, relation text, tail text, model text DEFAULT NULL, side text DEFAULT 'tail'
) RETURNS real
AS 'MODULE_PATHNAME', 'metasd_kg_score' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION kg_score(anycompatible, text, text, text, text) IS
'returns the score of a triple. A higher score is more likely. It is the score of the tail in kg_predict or, with side head, that of the head in kg_predict_heads; the model learns the two separately. -Infinity for an entity in an irreflexive relation to itself. What the model does not know is judged by its facts in the source, unless metasd.fold_in is off. Null if it has none';

CREATE FUNCTION kg_score(
    head anycompatible, relation text, tail anyelement, model text DEFAULT NULL, side text DEFAULT 'tail'
) RETURNS real
AS 'MODULE_PATHNAME', 'metasd_kg_score' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION kg_score(anycompatible, text, anyelement, text, text) IS
'returns the score of a triple. A higher score is more likely. It is the score of the tail in kg_predict or, with side head, that of the head in kg_predict_heads; the model learns the two separately. -Infinity for an entity in an irreflexive relation to itself. What the model does not know is judged by its facts in the source, unless metasd.fold_in is off. Null if it has none';

CREATE FUNCTION kg_score(
    head anycompatible, relation "any", tail text, model text DEFAULT NULL, side text DEFAULT 'tail'
) RETURNS real
AS 'MODULE_PATHNAME', 'metasd_kg_score' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION kg_score(anycompatible, "any", text, text, text) IS
'returns the score of a triple. A higher score is more likely. It is the score of the tail in kg_predict or, with side head, that of the head in kg_predict_heads; the model learns the two separately. -Infinity for an entity in an irreflexive relation to itself. What the model does not know is judged by its facts in the source, unless metasd.fold_in is off. Null if it has none';

CREATE FUNCTION kg_score(
    head anycompatible, relation "any", tail anyelement, model text DEFAULT NULL, side text DEFAULT 'tail'
) RETURNS real
AS 'MODULE_PATHNAME', 'metasd_kg_score' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION kg_score(anycompatible, "any", anyelement, text, text) IS
'returns the score of a triple. A higher score is more likely. It is the score of the tail in kg_predict or, with side head, that of the head in kg_predict_heads; the model learns the two separately. -Infinity for an entity in an irreflexive relation to itself. What the model does not know is judged by its facts in the source, unless metasd.fold_in is off. Null if it has none';

CREATE FUNCTION kg_rank(
    head anycompatible, relation text, tail text, model text DEFAULT NULL,
    OUT rank double precision, OUT pessimistic_rank bigint, OUT candidates bigint
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_rank' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 1 COST 1000 SUPPORT metasd.predict_support;
COMMENT ON FUNCTION kg_rank(anycompatible, text, text, text) IS
'returns the filtered rank of a tail: among all entities of the model except other known tails of (head, relation) in the present source. rank = 1 + entities of higher score + half of those of equal score; pessimistic_rank counts all of these; candidates is the number of ranked entities, the tail included. What the model does not know is judged by its facts in the source, unless metasd.fold_in is off. No rows, with a notice, if it has none';

CREATE FUNCTION kg_rank(
    head anycompatible, relation text, tail anyelement, model text DEFAULT NULL,
    OUT rank double precision, OUT pessimistic_rank bigint, OUT candidates bigint
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_rank' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 1 COST 1000 SUPPORT metasd.predict_support;
COMMENT ON FUNCTION kg_rank(anycompatible, text, anyelement, text) IS
'returns the filtered rank of a tail: among all entities of the model except other known tails of (head, relation) in the present source. rank = 1 + entities of higher score + half of those of equal score; pessimistic_rank counts all of these; candidates is the number of ranked entities, the tail included. What the model does not know is judged by its facts in the source, unless metasd.fold_in is off. No rows, with a notice, if it has none';

CREATE FUNCTION kg_rank(
    head anycompatible, relation "any", tail text, model text DEFAULT NULL,
    OUT rank double precision, OUT pessimistic_rank bigint, OUT candidates bigint
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_rank' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 1 COST 1000 SUPPORT metasd.predict_support;
COMMENT ON FUNCTION kg_rank(anycompatible, "any", text, text) IS
'returns the filtered rank of a tail: among all entities of the model except other known tails of (head, relation) in the present source. rank = 1 + entities of higher score + half of those of equal score; pessimistic_rank counts all of these; candidates is the number of ranked entities, the tail included. What the model does not know is judged by its facts in the source, unless metasd.fold_in is off. No rows, with a notice, if it has none';

CREATE FUNCTION kg_rank(
    head anycompatible, relation "any", tail anyelement, model text DEFAULT NULL,
    OUT rank double precision, OUT pessimistic_rank bigint, OUT candidates bigint
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_rank' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 1 COST 1000 SUPPORT metasd.predict_support;
COMMENT ON FUNCTION kg_rank(anycompatible, "any", anyelement, text) IS
'returns the filtered rank of a tail: among all entities of the model except other known tails of (head, relation) in the present source. rank = 1 + entities of higher score + half of those of equal score; pessimistic_rank counts all of these; candidates is the number of ranked entities, the tail included. What the model does not know is judged by its facts in the source, unless metasd.fold_in is off. No rows, with a notice, if it has none';

CREATE FUNCTION kg_similar(
    entity text, k integer DEFAULT 10, model text DEFAULT NULL,
    OUT rank integer, OUT entity text, OUT similarity real
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_similar' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;
COMMENT ON FUNCTION kg_similar(text, integer, text) IS
'returns the k entities whose embeddings have the highest cosine similarity to that of the entity. Entities of equal similarity have the same rank, and are ordered by the bytes of their labels. An entity which the model does not know is judged by its facts in the source, unless metasd.fold_in is off';

CREATE FUNCTION kg_similar(
    entity anyelement, k integer DEFAULT 10, model text DEFAULT NULL,
    OUT rank integer, OUT entity anyelement, OUT similarity real
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_similar' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;
COMMENT ON FUNCTION kg_similar(anyelement, integer, text) IS
'does the same for identifiers of any type';

CREATE FUNCTION kg_embedding(entity anycompatible, model text DEFAULT NULL) RETURNS real[]
AS 'MODULE_PATHNAME', 'metasd_kg_embedding' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION kg_embedding(anycompatible, text) IS
'returns the pruned embedding of an entity, zeros included. That of an entity which the model does not know is made of its facts in the source, unless metasd.fold_in is off. Null if it has none';

CREATE FUNCTION kg_embedding_sparse(entity anycompatible, model text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'metasd_kg_embedding_sparse' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION kg_embedding_sparse(anycompatible, text) IS
'returns the non-zero weights of an entity''s embedding as {place:weight,...}/width, with places from 1 on. The type sparsevec of pgvector reads this text. The embedding of an entity which the model does not know is made of its facts in the source, unless metasd.fold_in is off. Null if it has none';

CREATE FUNCTION kg_relation_embedding(
    relation anycompatible, model text DEFAULT NULL, reciprocal boolean DEFAULT false
) RETURNS real[]
AS 'MODULE_PATHNAME', 'metasd_kg_relation_embedding' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION kg_relation_embedding(anycompatible, text, boolean) IS
'returns the pruned embedding of a relation, zeros included: the one that scores tails or, if reciprocal is true, the one that scores heads. That of a relation which the model does not know is made of its facts in the source, unless metasd.fold_in is off. Null if it has none';

CREATE FUNCTION kg_entity_embeddings(
    model text DEFAULT NULL, OUT label text, OUT embedding real[]
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_entity_embeddings' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10000 COST 100000;
COMMENT ON FUNCTION kg_entity_embeddings(text) IS
'returns the pruned embeddings of all entities that the model knows, in the order of the bytes of their labels: a table that kg_import takes';

CREATE FUNCTION kg_relation_embeddings(
    model text DEFAULT NULL, OUT label text, OUT embedding real[], OUT reciprocal real[]
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_relation_embeddings' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 100 COST 10000;
COMMENT ON FUNCTION kg_relation_embeddings(text) IS
'returns the pruned embeddings of all relations that the model knows, in the order of the bytes of their labels: embedding scores tails, reciprocal scores heads. A table that kg_import takes';

-- ---- survey: look at a whole graph ----

CREATE FUNCTION kg_discover(
    model text DEFAULT NULL, k integer DEFAULT 100, relation text DEFAULT NULL,
    head text DEFAULT NULL, tail text DEFAULT NULL, candidates regclass DEFAULT NULL,
    min_probability real DEFAULT NULL, subjects text DEFAULT 'known',
    OUT rank integer, OUT head text, OUT relation text, OUT tail text,
    OUT score real, OUT probability real
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_discover' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 100 COST 1000000;
COMMENT ON FUNCTION kg_discover(text, integer, text, text, text, regclass, real, text) IS
'returns the k most probable facts that the source does not hold, best first, in the whole graph or of what is named: a relation, a head, a tail, candidates. The source is read once, with the rights that kg_predict has. subjects tells which entities may be heads of a relation: those that are its head in a fact of the source (known), also the ten entities that are most similar to each of these (like), or all. candidates is a relation, read as the caller, whose first column holds the entities that may be tails; or heads, if tail is given. Facts of equal probability have the same rank, and are ordered by the bytes of their labels. score is that of kg_score. probability counts both questions that a fact answers, and how many answers questions of its relation have. It is calibrated with facts held out of the training, as if the source lacked one fact in ten. Facts less probable than min_probability are left out. Parallel workers take part if max_parallel_workers_per_gather allows them; they change no result';

CREATE FUNCTION kg_suspects(
    model text DEFAULT NULL, k integer DEFAULT 100, relation text DEFAULT NULL,
    OUT rank integer, OUT head text, OUT relation text, OUT tail text,
    OUT best_tail text, OUT tail_rank integer, OUT best_head text, OUT head_rank integer,
    OUT deviation real
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_suspects' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 100 COST 1000000;
COMMENT ON FUNCTION kg_suspects(text, integer, text) IS
'returns the k facts of the source that its other facts support least: of all, or of a relation. A fact is judged without its own part in the training';
-- ---- explain: the facts behind an answer ----

CREATE FUNCTION kg_explain(
    head text, relation anycompatible, tail text, k integer DEFAULT 10, model text DEFAULT NULL,
    OUT rank integer, OUT kind text, OUT head text, OUT relation anycompatible, OUT tail text,
    OUT share real
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_explain' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10 COST 10000;
COMMENT ON FUNCTION kg_explain(text, anycompatible, text, integer, text) IS
'returns the k facts of the source that count most for a triple, or against it. kind says what they are: facts of the head, facts of the tail, or like cases, which are facts of the relation between other entities near these. share is the fact''s part of all that speaks for and against the tail among the facts that were looked at; it is negative for facts that speak against it, and these come last. A fact speaks for the tail if learning it raises the score of the triple more than those of the answers that compete with it, to first order. The triple itself, if it is a fact, does not count. The source is read as the caller. An entity or relation which the model does not know is judged by its facts in the source, read as the model''s owner, unless metasd.fold_in is off. No rows, with a notice, if nothing speaks for the triple';

CREATE FUNCTION kg_explain(
    head anyelement, relation anycompatible, tail anyelement, k integer DEFAULT 10,
    model text DEFAULT NULL,
    OUT rank integer, OUT kind text, OUT head anyelement, OUT relation anycompatible,
    OUT tail anyelement, OUT share real
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_explain' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10 COST 10000;
COMMENT ON FUNCTION kg_explain(anyelement, anycompatible, anyelement, integer, text) IS
'does the same for identifiers of any type, and returns them in the types of the question';

-- ---- evaluate: rank the answers of known facts ----

CREATE TYPE metasd.ranked_answer AS (
    answer bigint,
    rank double precision,
    pessimistic_rank bigint,
    candidates bigint,
    unseen boolean,
    probability real,
    holds boolean,
    range integer,
    claimed double precision,
    held bigint
);
COMMENT ON TYPE metasd.ranked_answer IS
'for kg_evaluate: a row of one of three kinds. The rank of one answer (columns answer to unseen), or the first answer of the model with its probability (probability, holds), or a range of probability with the answers in it (range, claimed, held)';
COMMENT ON COLUMN metasd.ranked_answer.answer IS 'number of the ranked entity';
COMMENT ON COLUMN metasd.ranked_answer.rank IS
'1 + entities of higher score + half of the entities of equal score';
COMMENT ON COLUMN metasd.ranked_answer.pessimistic_rank IS
'1 + entities of higher score + all entities of equal score';
COMMENT ON COLUMN metasd.ranked_answer.candidates IS
'number of ranked entities, the answer included';
COMMENT ON COLUMN metasd.ranked_answer.unseen IS
'whether the model does not know the answer or an entity or relation of the question';
COMMENT ON COLUMN metasd.ranked_answer.probability IS 'probability of the model''s first answer';
COMMENT ON COLUMN metasd.ranked_answer.holds IS
'whether the first answer is one of the answers to be ranked';
COMMENT ON COLUMN metasd.ranked_answer.range IS 'number of a range of probability';
COMMENT ON COLUMN metasd.ranked_answer.claimed IS
'sum of the probabilities of all answers in that range';
COMMENT ON COLUMN metasd.ranked_answer.held IS
'number of answers in that range that are to be ranked';

CREATE FUNCTION metasd.entity_number(model text, label text) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_entity_number_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION metasd.entity_number(text, text) IS
'for kg_evaluate: returns the number of the entity of that label in the version that serves, 0 or more. A label that the model does not know gets a negative number';

CREATE FUNCTION metasd.relation_number(model text, label text) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_relation_number_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION metasd.relation_number(text, text) IS
'for kg_evaluate: returns the number of the relation of that label in the version that serves, 0 or more. A label that the model does not know gets a negative number';

CREATE FUNCTION metasd.occurrences(model text, relation boolean, number bigint) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_occurrences_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION metasd.occurrences(text, boolean, bigint) IS
'for kg_evaluate: returns in how many triples, those included that the training held out, the entity or, if relation is true, the relation of that number is; 0 if the model does not know it';

CREATE FUNCTION metasd.rank_answers(
    model text, side text, entity bigint, relation bigint, answers bigint[], known bigint[]
) RETURNS metasd.ranked_answer[]
AS 'MODULE_PATHNAME', 'metasd_rank_answers_sql' LANGUAGE C STABLE PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION metasd.rank_answers(text, text, bigint, bigint, bigint[], bigint[]) IS
'for kg_evaluate: ranks each answer of (entity, relation, ?) or, for side head, of (?, relation, entity) among all entities that are neither answers nor known. Arguments are numbers of entities and relations. Further rows hold the first of these entities with its probability, and for each range of probability the sum over the answers in it. An error for numbers that the model does not have; null if an argument is null';

CREATE FUNCTION kg_evaluate(
    model text, test regclass, by text DEFAULT NULL,
    head text DEFAULT NULL, relation text DEFAULT NULL, tail text DEFAULT NULL,
    filters regclass[] DEFAULT '{}',
    OUT bucket text, OUT triples bigint, OUT unseen bigint,
    OUT mrr double precision, OUT mrr_pessimistic double precision,
    OUT hits_1 double precision, OUT hits_3 double precision, OUT hits_10 double precision,
    OUT mean_rank double precision, OUT amri double precision,
    OUT brier double precision, OUT ece double precision,
    OUT claimed double precision, OUT ece_all double precision
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_evaluate' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10 COST 1000000;
COMMENT ON FUNCTION kg_evaluate(text, regclass, text, text, text, text, regclass[]) IS
'ranks the head and the tail of each test triple among all entities of the model. Other facts of the source, of the validation relation, of the test relation and of filters are left out. triples counts answers, two per test triple; unseen counts those with an entity or relation that the model does not know. mrr is the mean reciprocal rank, mrr_pessimistic the same if the answer comes last among equal scores; hits_1, hits_3 and hits_10 are the fractions of ranks up to 1, 3 and 10; amri is the adjusted mean rank index (1 best, 0 chance). brier and ece judge the probability of the first answer to each question against whether it is a test triple: brier is the mean squared difference (0 best); ece is the expected calibration error over ten equal ranges of probability (0 best). claimed and ece_all judge all answers that are no known facts: claimed is the sum of their probabilities per test triple (1 best); ece_all sums, over nine ranges of probability with two per power of ten, the differences between the summed probabilities and the number of test triples, per test triple (0 best). The last four are null if the model knows none of the questions; the last two also by degree. by splits the rows by side, relation, frequency (of the relation in training) or degree (of the entity to be found), the last two in powers of ten. An error if test has no triple';

-- ---- report: a page to look at ----

-- kg_report asks the questions of a page by these names: others may put functions into the schema of kg_discover,
-- but not into this one.
CREATE FUNCTION metasd.discoveries(
    model text, k integer, relation text, head text, tail text, candidates regclass,
    min_probability real, subjects text,
    OUT rank integer, OUT head text, OUT relation text, OUT tail text,
    OUT score real, OUT probability real
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_discover' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 100 COST 1000000;
COMMENT ON FUNCTION metasd.discoveries(text, integer, text, text, text, regclass, real, text) IS
'for kg_report: does the same as kg_discover';

CREATE FUNCTION metasd.suspects(
    model text, k integer, relation text,
    OUT rank integer, OUT head text, OUT relation text, OUT tail text,
    OUT best_tail text, OUT tail_rank integer, OUT best_head text, OUT head_rank integer,
    OUT deviation real
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_suspects' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 100 COST 1000000;
COMMENT ON FUNCTION metasd.suspects(text, integer, text) IS
'for kg_report: does the same as kg_suspects';

CREATE FUNCTION metasd.reasons(
    head text, relation text, tail text, k integer, model text,
    OUT rank integer, OUT kind text, OUT head text, OUT relation text, OUT tail text,
    OUT share real
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_explain' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10 COST 10000;
COMMENT ON FUNCTION metasd.reasons(text, text, text, integer, text) IS
'for kg_report: does the same as kg_explain';

CREATE FUNCTION metasd.answers(
    entities text[], relations text[], k integer, model text, known text, side text,
    candidates regclass, candidate_ids text[], min_probability real,
    OUT query bigint, OUT head text, OUT relation text, OUT tail text,
    OUT rank integer, OUT score real, OUT probability real, OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict_many' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10000 COST 1000000;
COMMENT ON FUNCTION metasd.answers(text[], text[], integer, text, text, text, regclass, text[], real) IS
'for kg_report: does the same as kg_predict_many';

CREATE FUNCTION kg_report(model text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'metasd_kg_report' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION kg_report(text) IS
'returns a page of HTML about the version of a model that serves: what it was trained on, its learning curve, its accuracy by relation and by how often entities occur, how far its probabilities hold, the best discoveries and the worst suspects with what speaks for and against them, a map of its entities, its size and the versions before. The page needs no other file and no script. In psql: \pset tuples_only, \pset format unaligned, \o FILE';
