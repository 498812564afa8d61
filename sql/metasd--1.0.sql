/* sql/metasd--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION metasd" to load this file. \quit

-- ---- state: written by the functions below alone, with the rights of the extension's owner ----

CREATE SCHEMA metasd;
COMMENT ON SCHEMA metasd IS 'knowledge-graph models: views for people, and the tables behind them';
GRANT USAGE ON SCHEMA metasd TO PUBLIC;

-- Roles and relations as they are remembered: a name with the OID behind it. In a dump it is the name
-- of then, and one that means nothing where it is restored does no harm.
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
'a role: its name, with a minus in front once it has been dropped; what is restored where there is no such role stays the name of nobody';
COMMENT ON TYPE metasd.relation_ref IS
'a relation: its qualified name and that of its owner, or its name with a minus in front once it has been dropped; what is restored where there is no such relation, or only one of another owner, stays a mere name';
COMMENT ON FUNCTION metasd.role_ref_in(cstring) IS 'input of type metasd.role_ref';
COMMENT ON FUNCTION metasd.role_ref_out(metasd.role_ref) IS 'output of type metasd.role_ref';
COMMENT ON FUNCTION metasd.role_ref_recv(internal) IS 'binary input of type metasd.role_ref: its text';
COMMENT ON FUNCTION metasd.role_ref_send(metasd.role_ref) IS 'binary output of type metasd.role_ref: its text';
COMMENT ON FUNCTION metasd.relation_ref_in(cstring) IS 'input of type metasd.relation_ref';
COMMENT ON FUNCTION metasd.relation_ref_out(metasd.relation_ref) IS 'output of type metasd.relation_ref';
COMMENT ON FUNCTION metasd.relation_ref_recv(internal) IS 'binary input of type metasd.relation_ref: its text';
COMMENT ON FUNCTION metasd.relation_ref_send(metasd.relation_ref) IS 'binary output of type metasd.relation_ref: its text';
COMMENT ON FUNCTION metasd.role_ref(oid) IS 'a reference to the role of that OID; null if there is none';
COMMENT ON FUNCTION metasd.relation_ref(oid) IS
'a reference to the relation of that OID; null if there is none';
COMMENT ON FUNCTION metasd.oid_of(metasd.role_ref) IS 'the role; null if it is not there any more';
COMMENT ON FUNCTION metasd.oid_of(metasd.relation_ref) IS
'the relation; null if it is not there any more';

-- No foreign keys: pg_restore --jobs loads these tables in any order.
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
COMMENT ON TABLE metasd.model IS 'one row per model: where its triples come from and which run answers its questions';
COMMENT ON COLUMN metasd.model.params IS 'parameters as the owner gave them; all others have their defaults';
COMMENT ON COLUMN metasd.model.serving IS 'run whose embeddings answer; null before the first success';
COMMENT ON COLUMN metasd.model.history IS 'runs that served before, the latest last; kg_rollback goes back along them';

CREATE TABLE metasd.run (
    id bigserial PRIMARY KEY,
    uuid uuid NOT NULL DEFAULT gen_random_uuid(),
    model text NOT NULL,
    source metasd.relation_ref NOT NULL,
    head text NOT NULL,
    relation text NOT NULL,
    tail text NOT NULL,
    status text NOT NULL
        CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'interrupted')),
    pid integer,
    queued timestamptz NOT NULL DEFAULT clock_timestamp(),
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
COMMENT ON TABLE metasd.run IS 'one row per training; a successful training is a version of its model';
COMMENT ON COLUMN metasd.run.uuid IS 'names the version in other places, as in the file of its image; run numbers begin anew with CREATE EXTENSION';
COMMENT ON COLUMN metasd.run.pid IS 'process of the worker; null when it has ended';
COMMENT ON COLUMN metasd.run.heartbeat IS 'when the worker last wrote this row';
COMMENT ON COLUMN metasd.run.phase IS 'what the worker does: starting, reading, training, comparing or storing';
COMMENT ON COLUMN metasd.run.epoch IS 'the current epoch, from 1';
COMMENT ON COLUMN metasd.run.done IS 'batches of the current epoch that are done';
COMMENT ON COLUMN metasd.run.total IS 'all batches of the current epoch';
COMMENT ON COLUMN metasd.run.loss IS 'loss of the full model in the last batch';
COMMENT ON COLUMN metasd.run.params IS 'parameters as given; once the source has been read, with all defaults';
COMMENT ON COLUMN metasd.run.metrics IS 'figures of the training; validation, full and stored: filtered validation metrics of the pruned model, of the full model, and of the pruned model as stored';
COMMENT ON COLUMN metasd.run.bytes IS 'bytes of the stored embeddings';
COMMENT ON COLUMN metasd.run.source IS 'the relation that it was trained from: roles that may read it may ask this version; the model may have another source since';
COMMENT ON COLUMN metasd.run.resumed IS 'when kg_resume last started it again';
COMMENT ON COLUMN metasd.run.checkpoint IS 'which part of metasd.checkpoint is complete, 0 or 1; the other part is being written or does not exist';
COMMENT ON COLUMN metasd.run.checkpoint_epoch IS 'the last epoch that the checkpoint contains';
COMMENT ON COLUMN metasd.run.resumed_epoch IS 'the last epoch before kg_resume started it again';
COMMENT ON COLUMN metasd.run.validation IS 'the relation that its validation triples came from; null: they were held out of the source. A role that may not read it does not see how many validation triples a relation has';
COMMENT ON COLUMN metasd.run.kept IS 'whether its embeddings are stored: parameter keep_versions says for how many versions';
COMMENT ON COLUMN metasd.run.note IS 'why the version was not promoted when its training ended, or why it was promoted without a comparison';
COMMENT ON COLUMN metasd.run.status IS 'status as last written; metasd.run_status() also knows workers that have died';

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
    best boolean NOT NULL,
    PRIMARY KEY (run, epoch)
);
COMMENT ON TABLE metasd.epoch IS 'one row per epoch of a training. Losses are means over the training examples; a figure is null where the epoch did not compute it';
COMMENT ON COLUMN metasd.epoch.loss_full IS 'loss of the full model on the facts, with its regularizer; null in fine-tuning';
COMMENT ON COLUMN metasd.epoch.loss_trial IS 'loss of the pruned model, taught by the full model, in the trial step before the quiz';
COMMENT ON COLUMN metasd.epoch.loss_quiz IS 'loss of the pruned model on the quiz triples after the trial step';
COMMENT ON COLUMN metasd.epoch.loss_mutual IS 'loss of the full model in mutual learning: on the facts, and its divergence from the pruned model';
COMMENT ON COLUMN metasd.epoch.loss_pruned IS 'loss of the pruned model: in mutual learning with its divergence from the full model, in fine-tuning its own; null in an epoch without either';
COMMENT ON COLUMN metasd.epoch.mrr_full IS 'filtered validation MRR of the full model, both directions';
COMMENT ON COLUMN metasd.epoch.mrr_pruned IS 'filtered validation MRR of the pruned model, both directions; null before the first pruning';
COMMENT ON COLUMN metasd.epoch.sparsity IS 'part of the weights that the mask prunes';
COMMENT ON COLUMN metasd.epoch.threshold IS 'smallest salience of a weight that the mask keeps: its magnitude, if parameter pruning says so';
COMMENT ON COLUMN metasd.epoch.regrown IS 'weights that this mask keeps and the mask before it pruned';
COMMENT ON COLUMN metasd.epoch.dropped IS 'weights that this mask prunes and the mask before it kept';
COMMENT ON COLUMN metasd.epoch.lr IS 'learning rate of the epoch';
COMMENT ON COLUMN metasd.epoch.best IS 'whether it is the best epoch so far, whose embeddings would be stored';

CREATE TABLE metasd.entity (
    run bigint NOT NULL,
    id integer NOT NULL,
    label text NOT NULL,
    degree bigint NOT NULL,
    embedding bytea NOT NULL,
    PRIMARY KEY (run, id)
);
ALTER TABLE metasd.entity ALTER COLUMN embedding SET STORAGE EXTERNAL;
COMMENT ON TABLE metasd.entity IS 'pruned embeddings of entities, as encoded sparse rows; deleted with their run, or earlier, according to parameter keep_versions';
COMMENT ON COLUMN metasd.entity.id IS 'number of the entity in this version, from 0, in the order of the labels'' bytes';
COMMENT ON COLUMN metasd.entity.degree IS 'how often the entity is in the training triples, as head or tail';

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
COMMENT ON TABLE metasd.relation IS 'pruned embeddings of relations and of their reciprocals; deleted like those of entities';
COMMENT ON COLUMN metasd.relation.id IS 'number of the relation in this version, from 0, in the order of the labels'' bytes';
COMMENT ON COLUMN metasd.relation.count IS 'training triples of the relation';
COMMENT ON COLUMN metasd.relation.embedding IS 'scores tails of (head, relation)';
COMMENT ON COLUMN metasd.relation.reciprocal IS 'scores heads of (relation, tail)';
COMMENT ON COLUMN metasd.relation.tail_offset IS 'see tail_slope';
COMMENT ON COLUMN metasd.relation.head_offset IS 'see tail_slope; for heads';
COMMENT ON COLUMN metasd.relation.held_out IS 'how many triples of the relation were held out for validation';
COMMENT ON COLUMN metasd.relation.mrr IS 'filtered validation MRR of the embeddings as stored, both directions';
COMMENT ON COLUMN metasd.relation.tail_slope IS
'probability of a tail = 1 / (1 + exp(-(slope x log odds by softmax + offset))); null: slope and offset of the whole model count, which are in the metrics of the run';
COMMENT ON COLUMN metasd.relation.head_slope IS 'see tail_slope; for heads';
COMMENT ON COLUMN metasd.relation.irreflexive IS
'whether fewer than 1 in 100 of its training triples lead from an entity to itself: none is predicted then';

CREATE TABLE metasd.checkpoint (
    run bigint NOT NULL,
    part smallint NOT NULL,
    chunk integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (run, part, chunk)
);
ALTER TABLE metasd.checkpoint ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE metasd.checkpoint IS 'state of trainings that are running or ended early, for kg_resume; dumps leave its rows out';
COMMENT ON COLUMN metasd.checkpoint.part IS '0 or 1: a new checkpoint is written beside the one before, which is deleted once the run''s row names the new one';

SELECT pg_catalog.pg_extension_config_dump('metasd.model', '');
SELECT pg_catalog.pg_extension_config_dump('metasd.run', '');
SELECT pg_catalog.pg_extension_config_dump('metasd.run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('metasd.epoch', '');
SELECT pg_catalog.pg_extension_config_dump('metasd.entity', '');
SELECT pg_catalog.pg_extension_config_dump('metasd.relation', '');

-- ---- views for people: what the caller may ask about ----

CREATE FUNCTION metasd.run_status(run bigint, status text) RETURNS text
AS 'MODULE_PATHNAME', 'metasd_run_status_sql' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 10;
COMMENT ON FUNCTION metasd.run_status(bigint, text) IS
'the status of a run whose row says STATUS: interrupted if its worker has died since; STATUS itself for whoever may not ask the model';

CREATE FUNCTION metasd.may_ask(
    owner metasd.role_ref, source metasd.relation_ref, head text, relation text, tail text
) RETURNS boolean
AS 'MODULE_PATHNAME', 'metasd_may_ask_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION metasd.may_ask(metasd.role_ref, metasd.relation_ref, text, text, text) IS
'whether the current user may ask a model of that owner and source';

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
                   ORDER BY r.id DESC LIMIT 1) l ON true
WHERE metasd.may_ask(m.owner, coalesce(s.source, m.source), coalesce(s.head, m.head),
                     coalesce(s.relation, m.relation), coalesce(s.tail, m.tail));
COMMENT ON VIEW metasd.models IS
'models the current user may ask, the run that serves each, and its last training; owner, source and validation are null once they have been dropped';

CREATE VIEW metasd.versions WITH (security_barrier) AS
SELECT r.model, r.id AS run, metasd.run_status(r.id, r.status) AS status,
       coalesce(r.id = m.serving, false) AS serving, r.queued, r.started, r.finished,
       extract(epoch FROM coalesce(r.finished, r.heartbeat)
                          - coalesce(r.resumed, r.started))::float8 AS seconds,
       r.entities, r.relations, r.triples, r.params, r.metrics, r.bytes, r.error,
       r.kept, r.note, r.resumed,
       CASE WHEN (r.id, r.checkpoint) IN (SELECT c.run, c.part FROM metasd.checkpoint c)
           THEN r.checkpoint_epoch END AS checkpoint_epoch
FROM metasd.run r
JOIN metasd.model m ON m.name = r.model
WHERE metasd.may_ask(m.owner, r.source, r.head, r.relation, r.tail);
COMMENT ON VIEW metasd.versions IS
'every training of the models the current user may ask: how it ended, its figures, its error, whether its embeddings are kept, why it was not promoted, and the epoch from which kg_resume would go on; seconds are those since it was started or resumed';

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
'the relations of the models the current user may ask: triples, how many were held out for validation, filtered validation MRR by these (both null for whoever may not read the validation source, where there is one), and whether probabilities are calibrated by the relation''s own held-out triples, by those of the model (the relation has few), or not at all (null: nothing was held out); and whether no entity is predicted as what stands in the relation to itself, as hardly any does in training';

CREATE VIEW metasd.progress WITH (security_barrier) AS
SELECT p.model, p.run, p.status, p.phase, p.epoch, p.epochs, p.done, p.total, p.loss,
       p.elapsed, p.remaining, p.pid
FROM (SELECT r.model, r.id AS run, metasd.run_status(r.id, r.status) AS status, r.phase, r.epoch,
             (r.params ->> 'epochs'::text)::integer AS epochs,
             r.done, r.total, r.loss,
             date_trunc('second', clock_timestamp() - coalesce(r.resumed, r.started, r.queued)) AS elapsed,
             make_interval(secs => round(e.each
                 * ((r.params ->> 'epochs'::text)::float8 - r.epoch::float8 + 1::float8
                    - coalesce(r.done::float8 / nullif(r.total, 0)::float8, 0::float8))))
                 AS remaining,
             r.pid
      FROM metasd.run r
      JOIN metasd.model m ON m.name = r.model
      LEFT JOIN LATERAL (SELECT avg(x.seconds) AS each
                         FROM (SELECT seconds FROM metasd.epoch WHERE run = r.id
                               ORDER BY epoch DESC LIMIT 3) x) e ON true
      WHERE r.status IN ('queued', 'running')
        AND metasd.may_ask(m.owner, r.source, r.head, r.relation, r.tail)) p
WHERE p.status IN ('queued', 'running');
COMMENT ON VIEW metasd.progress IS
'trainings under way: phase, epoch, batches of the epoch done of total, loss of the full model, time elapsed and remaining';

CREATE VIEW metasd.learning_curve WITH (security_barrier) AS
SELECT r.model, e.run, e.epoch, e.seconds, e.loss_full, e.loss_trial, e.loss_quiz,
       e.loss_mutual, e.loss_pruned, e.mrr_full, e.mrr_pruned, e.sparsity,
       e.threshold, e.regrown, e.dropped, e.lr, e.best
FROM metasd.epoch e
JOIN metasd.run r ON r.id = e.run
JOIN metasd.model m ON m.name = r.model
WHERE metasd.may_ask(m.owner, r.source, r.head, r.relation, r.tail);
COMMENT ON VIEW metasd.learning_curve IS
'epoch by epoch: losses, filtered validation MRR of the full and the pruned model, the pruning mask';
COMMENT ON COLUMN metasd.learning_curve.loss_full IS 'loss of the full model on the facts, with its regularizer; null in fine-tuning';
COMMENT ON COLUMN metasd.learning_curve.loss_trial IS 'loss of the pruned model, taught by the full model, in the trial step before the quiz';
COMMENT ON COLUMN metasd.learning_curve.loss_quiz IS 'loss of the pruned model on the quiz triples after the trial step';
COMMENT ON COLUMN metasd.learning_curve.loss_mutual IS 'loss of the full model in mutual learning: on the facts, and its divergence from the pruned model';
COMMENT ON COLUMN metasd.learning_curve.loss_pruned IS 'loss of the pruned model: in mutual learning with its divergence from the full model, in fine-tuning its own; null in an epoch without either';
COMMENT ON COLUMN metasd.learning_curve.mrr_full IS 'filtered validation MRR of the full model, both directions';
COMMENT ON COLUMN metasd.learning_curve.mrr_pruned IS 'filtered validation MRR of the pruned model, both directions; null before the first pruning';
COMMENT ON COLUMN metasd.learning_curve.sparsity IS 'part of the weights that the mask prunes';
COMMENT ON COLUMN metasd.learning_curve.threshold IS 'smallest salience of a weight that the mask keeps: its magnitude, if parameter pruning says so';
COMMENT ON COLUMN metasd.learning_curve.regrown IS 'weights that this mask keeps and the mask before it pruned';
COMMENT ON COLUMN metasd.learning_curve.dropped IS 'weights that this mask prunes and the mask before it kept';
COMMENT ON COLUMN metasd.learning_curve.lr IS 'learning rate of the epoch';
COMMENT ON COLUMN metasd.learning_curve.best IS 'whether it is the best epoch so far, whose embeddings would be stored';

GRANT SELECT ON metasd.models, metasd.versions, metasd.relations, metasd.progress,
                metasd.learning_curve TO PUBLIC;

-- ---- training ----

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
'starts a background training of a model from a relation of triples, and returns the run''s id; what is not given is as the model remembers it, at first columns head, relation and tail';

CREATE PROCEDURE kg_wait(run bigint, timeout interval DEFAULT NULL)
AS 'MODULE_PATHNAME', 'metasd_kg_wait' LANGUAGE C;
COMMENT ON PROCEDURE kg_wait(bigint, interval) IS
'shows a training''s epochs as they end, and returns when the training ends; an error if it fails. Cancelling the call does not stop the training';

CREATE FUNCTION kg_cancel(run bigint) RETURNS boolean
AS 'MODULE_PATHNAME', 'metasd_kg_cancel' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_cancel(bigint) IS
'stops a training; the version that serves goes on serving. False, with a notice, if it was not running';

CREATE FUNCTION kg_resume(run bigint) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_kg_resume' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_resume(bigint) IS
'lets a training that failed, was cancelled or was interrupted go on from its last checkpoint, and returns its run: the result is that of a training that never stopped. An error if it is running, has succeeded, or has no checkpoint; the run fails if the source has changed';

CREATE FUNCTION kg_drop(model text) RETURNS void
AS 'MODULE_PATHNAME', 'metasd_kg_drop' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_drop(text) IS
'drops a model with all its versions; a training of it stops at commit';

CREATE FUNCTION kg_promote(model text, version bigint) RETURNS void
AS 'MODULE_PATHNAME', 'metasd_kg_promote' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_promote(text, bigint) IS
'lets a version of a model serve, at commit: any successful training whose embeddings are kept, by the number of its run. For the model''s owner';

CREATE FUNCTION kg_rollback(model text) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_kg_rollback' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_rollback(text) IS
'lets the version serve again, at commit, that served before the present one, and returns it; called again, the one before that. Versions whose embeddings are not kept are passed over. For the model''s owner';

CREATE FUNCTION kg_owner(model text, role regrole) RETURNS void
AS 'MODULE_PATHNAME', 'metasd_kg_owner' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_owner(text, regrole) IS
'gives a model to another role, of which the caller must be a member; for the model''s owner or, where that role is gone, for a superuser. A training under way must have ended, and the model''s schedule ends';

CREATE FUNCTION kg_schedule(model text, schedule text) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_kg_schedule' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_schedule(text, text) IS
'trains a model again and again through the extension pg_cron, as the caller, who must own the model, by a schedule in its syntax (minute, hour, day of the month, month, day of the week); returns the number of the job in cron.job. Replaces the model''s schedule, if it has one';

CREATE FUNCTION kg_unschedule(model text) RETURNS boolean
AS 'MODULE_PATHNAME', 'metasd_kg_unschedule' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kg_unschedule(text) IS
'ends what kg_schedule began; a training under way goes on. False, with a notice, if the model had no schedule';

CREATE FUNCTION metasd.train_scheduled(model text) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_train_scheduled_sql' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metasd.train_scheduled(text) IS
'what a job of kg_schedule calls: kg_train(model), but null, with a line in the server log, while a training of the model goes on';

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
'reads a source and tells what training it would take: its size, the parameters it would use, bytes of memory, bytes stored, bytes of a checkpoint at most';

-- ---- asking ----

CREATE FUNCTION metasd.predict_support(internal) RETURNS internal
AS 'MODULE_PATHNAME', 'metasd_predict_support_sql' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION metasd.predict_support(internal) IS
'for the planner: rows and cost of a question';

CREATE FUNCTION metasd.predict_many_support(internal) RETURNS internal
AS 'MODULE_PATHNAME', 'metasd_predict_many_support_sql' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION metasd.predict_many_support(internal) IS
'for the planner: rows and cost of a batch of questions';

CREATE FUNCTION kg_predict(
    head text, relation anycompatible, k integer DEFAULT 10, model text DEFAULT NULL,
    known text DEFAULT 'exclude', candidates regclass DEFAULT NULL, candidate_ids "any" DEFAULT NULL,
    min_probability real DEFAULT NULL,
    OUT rank integer, OUT tail text, OUT score real, OUT probability real, OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;

CREATE FUNCTION kg_predict(
    head anyelement, relation anycompatible, k integer DEFAULT 10, model text DEFAULT NULL,
    known text DEFAULT 'exclude', candidates regclass DEFAULT NULL, candidate_ids "any" DEFAULT NULL,
    min_probability real DEFAULT NULL,
    OUT rank integer, OUT tail anyelement, OUT score real, OUT probability real,
    OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;

CREATE FUNCTION kg_predict_heads(
    relation anycompatible, tail text, k integer DEFAULT 10, model text DEFAULT NULL,
    known text DEFAULT 'exclude', candidates regclass DEFAULT NULL, candidate_ids "any" DEFAULT NULL,
    min_probability real DEFAULT NULL,
    OUT rank integer, OUT head text, OUT score real, OUT probability real, OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict_heads'
LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;

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

-- The types of a result must be known before the relation is looked at: these take them from an argument. It has no
-- default, as a default's type is not known where a query names the function.
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

-- Head, relation and tail may each have a type of its own, and literals and parameters without one are text.
CREATE FUNCTION kg_predict_relations(
    head anycompatible, tail text, k integer DEFAULT 10, model text DEFAULT NULL,
    known text DEFAULT 'exclude', min_probability real DEFAULT NULL,
    OUT rank integer, OUT relation text, OUT score real, OUT probability real,
    OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict_relations'
LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;

CREATE FUNCTION kg_predict_relations(
    head anycompatible, tail anyelement, k integer DEFAULT 10, model text DEFAULT NULL,
    known text DEFAULT 'exclude', min_probability real DEFAULT NULL,
    OUT rank integer, OUT relation text, OUT score real, OUT probability real,
    OUT known boolean
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_predict_relations'
LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;

CREATE FUNCTION kg_score(
    head anycompatible, relation text, tail text, model text DEFAULT NULL, side text DEFAULT 'tail'
) RETURNS real
AS 'MODULE_PATHNAME', 'metasd_kg_score' LANGUAGE C STABLE PARALLEL SAFE COST 100;

CREATE FUNCTION kg_score(
    head anycompatible, relation text, tail anyelement, model text DEFAULT NULL, side text DEFAULT 'tail'
) RETURNS real
AS 'MODULE_PATHNAME', 'metasd_kg_score' LANGUAGE C STABLE PARALLEL SAFE COST 100;

CREATE FUNCTION kg_score(
    head anycompatible, relation "any", tail text, model text DEFAULT NULL, side text DEFAULT 'tail'
) RETURNS real
AS 'MODULE_PATHNAME', 'metasd_kg_score' LANGUAGE C STABLE PARALLEL SAFE COST 100;

CREATE FUNCTION kg_score(
    head anycompatible, relation "any", tail anyelement, model text DEFAULT NULL, side text DEFAULT 'tail'
) RETURNS real
AS 'MODULE_PATHNAME', 'metasd_kg_score' LANGUAGE C STABLE PARALLEL SAFE COST 100;

CREATE FUNCTION kg_rank(
    head anycompatible, relation text, tail text, model text DEFAULT NULL,
    OUT rank double precision, OUT pessimistic_rank bigint, OUT candidates bigint
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_rank' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 1 COST 1000 SUPPORT metasd.predict_support;

CREATE FUNCTION kg_rank(
    head anycompatible, relation text, tail anyelement, model text DEFAULT NULL,
    OUT rank double precision, OUT pessimistic_rank bigint, OUT candidates bigint
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_rank' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 1 COST 1000 SUPPORT metasd.predict_support;

CREATE FUNCTION kg_rank(
    head anycompatible, relation "any", tail text, model text DEFAULT NULL,
    OUT rank double precision, OUT pessimistic_rank bigint, OUT candidates bigint
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_rank' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 1 COST 1000 SUPPORT metasd.predict_support;

CREATE FUNCTION kg_rank(
    head anycompatible, relation "any", tail anyelement, model text DEFAULT NULL,
    OUT rank double precision, OUT pessimistic_rank bigint, OUT candidates bigint
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_rank' LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 1 COST 1000 SUPPORT metasd.predict_support;

CREATE FUNCTION kg_similar(
    entity text, k integer DEFAULT 10, model text DEFAULT NULL,
    OUT rank integer, OUT entity text, OUT similarity real
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_similar' LANGUAGE C STABLE PARALLEL SAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;

CREATE FUNCTION kg_similar(
    entity anyelement, k integer DEFAULT 10, model text DEFAULT NULL,
    OUT rank integer, OUT entity anyelement, OUT similarity real
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'metasd_kg_similar' LANGUAGE C STABLE PARALLEL SAFE
ROWS 10 COST 1000 SUPPORT metasd.predict_support;

CREATE FUNCTION kg_embedding(entity anycompatible, model text DEFAULT NULL) RETURNS real[]
AS 'MODULE_PATHNAME', 'metasd_kg_embedding' LANGUAGE C STABLE PARALLEL SAFE COST 100;

CREATE FUNCTION kg_embedding_sparse(entity anycompatible, model text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'metasd_kg_embedding_sparse' LANGUAGE C STABLE PARALLEL SAFE COST 100;

COMMENT ON FUNCTION kg_predict(text, anycompatible, integer, text, text, regclass, "any", real) IS
'the k most likely tails of (head, relation), best first; known facts of the source are excluded, marked or included. Answers of the same score have the same rank, as by rank(), and come in the order of their labels'' bytes. The head itself is no answer where the relation is irreflexive (see metasd.relations). Among all entities, or those in the first column of candidates, read as the caller, or in the array candidate_ids; rank is among those, probability against all. Answers of a probability below min_probability are left out. probability: as calibrated by facts held out of the training, so that of the answers given 0.8 about 80 of 100 hold, that is are among such facts; the softmax of the scores where none were held out; null for a fact marked as known';
COMMENT ON FUNCTION kg_predict(anyelement, anycompatible, integer, text, text, regclass, "any", real) IS
'the k most likely tails of (head, relation), best first, as identifiers of the head''s type; all else as asked with text';
COMMENT ON FUNCTION kg_predict_heads(anycompatible, text, integer, text, text, regclass, "any", real) IS
'the k most likely heads of (relation, tail), best first; known facts of the source are excluded, marked or included. Answers of the same score have the same rank, as by rank(), and come in the order of their labels'' bytes. The tail itself is no answer where the relation is irreflexive (see metasd.relations). Among all entities, or those in the first column of candidates, read as the caller, or in the array candidate_ids; rank is among those, probability against all. Answers of a probability below min_probability are left out. probability: as calibrated by facts held out of the training, so that of the answers given 0.8 about 80 of 100 hold, that is are among such facts; the softmax of the scores where none were held out; null for a fact marked as known';
COMMENT ON FUNCTION kg_predict_heads(anycompatible, anyelement, integer, text, text, regclass, "any", real) IS
'the k most likely heads of (relation, tail), best first, as identifiers of the tail''s type; all else as asked with text';
COMMENT ON FUNCTION kg_predict_many(anyarray, anycompatiblearray, integer, text, text, text, regclass, "any", real) IS
'kg_predict of many questions, answered by triples: query is the place of an entity in the array, relations has as many elements, or one for all. With side head the entities are tails, and heads the answers, as in kg_predict_heads. Rows are in the order of the questions, best answers first, and rank counts within a question. Memory does not grow with the number of questions';
COMMENT ON FUNCTION kg_predict_many(regclass, integer, text, text, text, regclass, "any", real) IS
'kg_predict of the questions in a relation, read as the caller: columns head and relation or, with side head, relation and tail, or as the model''s source calls them; identifiers are returned as text, query counts the rows in the order in which they are read';
COMMENT ON FUNCTION kg_predict_many(regclass, integer, anyelement, text, text, text, regclass, "any", real) IS
'the same, with heads and tails in the type of identifiers, whose value does not matter: identifiers => NULL::integer';
COMMENT ON FUNCTION kg_predict_many(regclass, integer, anyelement, anycompatible, text, text, text, regclass, "any", real) IS
'the same, with relations in the type of relation_identifiers, too';
COMMENT ON FUNCTION kg_predict_relations(anycompatible, text, integer, text, text, real) IS
'the k most likely relations from head to tail, best first; known facts of the source are excluded, marked or included. Answers of the same score have the same rank, as by rank(), and come in the order of their labels'' bytes. probability: as calibrated by facts held out of the training, of pairs between which a relation is missing; the softmax of the scores where none were held out; null for a fact marked as known. Answers of a probability below min_probability are left out';
COMMENT ON FUNCTION kg_predict_relations(anycompatible, anyelement, integer, text, text, real) IS
'the k most likely relations from head to tail, best first; known facts of the source are excluded, marked or included. Answers of the same score have the same rank, as by rank(), and come in the order of their labels'' bytes. probability: as calibrated by facts held out of the training, of pairs between which a relation is missing; the softmax of the scores where none were held out; null for a fact marked as known. Answers of a probability below min_probability are left out';
COMMENT ON FUNCTION kg_score(anycompatible, text, text, text, text) IS
'the score of a triple, higher is more likely: that of its tail in kg_predict or, with side head, that of its head in kg_predict_heads, which the model learns apart. -Infinity for an entity in an irreflexive relation to itself; null if the model does not know one of the three';
COMMENT ON FUNCTION kg_score(anycompatible, text, anyelement, text, text) IS
'the score of a triple, higher is more likely: that of its tail in kg_predict or, with side head, that of its head in kg_predict_heads, which the model learns apart. -Infinity for an entity in an irreflexive relation to itself; null if the model does not know one of the three';
COMMENT ON FUNCTION kg_score(anycompatible, "any", text, text, text) IS
'the score of a triple, higher is more likely: that of its tail in kg_predict or, with side head, that of its head in kg_predict_heads, which the model learns apart. -Infinity for an entity in an irreflexive relation to itself; null if the model does not know one of the three';
COMMENT ON FUNCTION kg_score(anycompatible, "any", anyelement, text, text) IS
'the score of a triple, higher is more likely: that of its tail in kg_predict or, with side head, that of its head in kg_predict_heads, which the model learns apart. -Infinity for an entity in an irreflexive relation to itself; null if the model does not know one of the three';
COMMENT ON FUNCTION kg_rank(anycompatible, text, text, text) IS
'the filtered rank of a tail: among all entities of the model but other known tails of (head, relation), by the source as it is now. rank = 1 + entities scored higher + half of those scored the same, pessimistic_rank counts all of these, candidates are the entities ranked, the tail included; no rows, with a notice, if the model does not know one of the three';
COMMENT ON FUNCTION kg_rank(anycompatible, text, anyelement, text) IS
'the filtered rank of a tail: among all entities of the model but other known tails of (head, relation), by the source as it is now. rank = 1 + entities scored higher + half of those scored the same, pessimistic_rank counts all of these, candidates are the entities ranked, the tail included; no rows, with a notice, if the model does not know one of the three';
COMMENT ON FUNCTION kg_rank(anycompatible, "any", text, text) IS
'the filtered rank of a tail: among all entities of the model but other known tails of (head, relation), by the source as it is now. rank = 1 + entities scored higher + half of those scored the same, pessimistic_rank counts all of these, candidates are the entities ranked, the tail included; no rows, with a notice, if the model does not know one of the three';
COMMENT ON FUNCTION kg_rank(anycompatible, "any", anyelement, text) IS
'the filtered rank of a tail: among all entities of the model but other known tails of (head, relation), by the source as it is now. rank = 1 + entities scored higher + half of those scored the same, pessimistic_rank counts all of these, candidates are the entities ranked, the tail included; no rows, with a notice, if the model does not know one of the three';
COMMENT ON FUNCTION kg_similar(text, integer, text) IS
'the k entities whose embeddings point the same way, by cosine. Entities of the same similarity have the same rank, as by rank(), and come in the order of their labels'' bytes';
COMMENT ON FUNCTION kg_similar(anyelement, integer, text) IS
'the k entities whose embeddings point the same way, by cosine, as identifiers of the caller''s type';
COMMENT ON FUNCTION kg_embedding(anycompatible, text) IS
'the pruned embedding of an entity, zeros included; null if the model does not know it';
COMMENT ON FUNCTION kg_embedding_sparse(anycompatible, text) IS
'the weights of an entity''s embedding that are not zero, as {place:weight,...}/width with places from 1 on: what pgvector''s sparsevec reads; null if the model does not know it';

-- ---- evaluation ----

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
'for kg_evaluate, one row of three kinds: the rank of one answer (answer to unseen); or the model''s first answer and its probability (probability, holds); or a range of probability and the answers in it (range, claimed, held)';
COMMENT ON COLUMN metasd.ranked_answer.answer IS 'number of the entity that is ranked';
COMMENT ON COLUMN metasd.ranked_answer.rank IS '1 + entities scored higher + half of the entities with the same score';
COMMENT ON COLUMN metasd.ranked_answer.pessimistic_rank IS '1 + entities scored higher + all entities with the same score';
COMMENT ON COLUMN metasd.ranked_answer.candidates IS 'entities that are ranked, the answer included';
COMMENT ON COLUMN metasd.ranked_answer.unseen IS 'whether the model does not know the answer or the query';
COMMENT ON COLUMN metasd.ranked_answer.probability IS 'of the model''s first answer';
COMMENT ON COLUMN metasd.ranked_answer.holds IS 'whether the first answer is one of the answers to be ranked';
COMMENT ON COLUMN metasd.ranked_answer.range IS 'number of a range of probability';
COMMENT ON COLUMN metasd.ranked_answer.claimed IS 'sum of the probabilities of all answers in that range';
COMMENT ON COLUMN metasd.ranked_answer.held IS 'how many answers in that range hold, that is are to be ranked';

CREATE FUNCTION metasd.entity_number(model text, label text) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_entity_number_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION metasd.entity_number(text, text) IS
'for kg_evaluate: the number of an entity in the version that serves, 0 or more; a negative number made of the label if the model does not know it';

CREATE FUNCTION metasd.relation_number(model text, label text) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_relation_number_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION metasd.relation_number(text, text) IS
'for kg_evaluate: the number of a relation in the version that serves, 0 or more; a negative number made of the label if the model does not know it';

CREATE FUNCTION metasd.occurrences(model text, relation boolean, number bigint) RETURNS bigint
AS 'MODULE_PATHNAME', 'metasd_occurrences_sql' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION metasd.occurrences(text, boolean, bigint) IS
'for kg_evaluate: in how many training triples the relation, or else the entity, of that number is; 0 if the model does not know it';

CREATE FUNCTION metasd.rank_answers(
    model text, side text, entity bigint, relation bigint, answers bigint[], known bigint[]
) RETURNS metasd.ranked_answer[]
AS 'MODULE_PATHNAME', 'metasd_rank_answers_sql' LANGUAGE C STABLE PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION metasd.rank_answers(text, text, bigint, bigint, bigint[], bigint[]) IS
'for kg_evaluate: ranks each answer of (entity, relation, ?) or, for side head, (?, relation, entity) among all entities that are neither answers nor known, all given by number; and adds the first of these entities with its probability, which has no rank, and for each range of probability that answers are in their sum; an error for numbers the model does not have, null for null';

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
'ranks the head and the tail of every test triple among all entities of the model, other facts of source, validation source, test relation and filters left out: answers ranked (two a triple), those with an entity or relation the model does not know, mean reciprocal rank, also with ties counted against the model, part of the ranks up to 1, 3 and 10, mean rank, adjusted mean rank index (1 best, 0 chance). Of the first answer to each question that the test triples ask, its probability against whether it is a test triple: Brier score (mean square of the difference, 0 best) and expected calibration error (in each of ten equal ranges of probability, how far the mean probability is from the part that holds; the mean of that over all such answers; 0 best). Of all answers to these questions that are no known facts: what their probabilities sum to, for each that is a test triple (claimed, 1 best), and how far, in nine ranges of probability, two a power of ten, the sum is from the number that are, all differences together for each that is (ece_all, 0 best); ties share what they have. All four are null where the model knows none of the questions, the last two also by degree. by: one row for each side, relation, or power of ten of how often the relation (frequency) or the entity to be found (degree; of a first answer, itself) is in the training triples. An error if test has no triple';
