/*
 * checkpoint.c - what lets a training go on later: all of its state, in rows of metasd.checkpoint.
 *
 * A run has two parts, of which its row names the one that is whole. The other is written chunk by
 * chunk, each in a transaction of its own; the last of these lets the row name it and removes the
 * part before. Whenever the server stops, the row names a whole part, or none if there never was
 * one.
 */
#include "pg/worker/job.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pg/catalog/catalog.h"
#include "core/train/checkpoint.h"
#include "core/base/hash.h"
#include "pg/params/params.h"

/* Bytes of a row: a worker needs it twice, and a statement that writes it is over in an instant. */
#define CHUNK ((Size)8 << 20)

/* A training spends one part in so many of its time on checkpoints, at most. */
#define SHARE 50

/* ---- which graph ---- */

static uint64_t
hash_labels(uint64_t hash, const MetasdLabelSet *labels)
{
    for (uint32 i = 0; i < metasd_labelset_count(labels); i++) {
        MetasdLabel label = metasd_labelset_get(labels, i);

        hash = metasd_hash(hash, label.data, label.len);
        CHECK_FOR_INTERRUPTS();
    }
    return hash;
}

void
metasd_checkpoint_identify(MetasdJob *job)
{
    metasd_process_check_status(job, metasd_graph_hash(&job->team, &job->graph, &job->keep.graph));
    job->keep.graph = hash_labels(job->keep.graph, job->input.entities);
    job->keep.graph = hash_labels(job->keep.graph, job->input.relations);
    job->keep.last = GetCurrentTimestamp();
}

/* ---- writing ---- */

/* A checkpoint being written. */
typedef struct Writing {
    MetasdCheckpoint checkpoint;
    int part;
    int32 chunk;
    bytea *data; /* of the chunk */
} Writing;

/* Removes a part, whole or begun. */
static void
delete_part(MetasdJob *job, int part)
{
    static MetasdStatement statement = {
        "DELETE FROM metasd.checkpoint WHERE run = $1 AND part = $2", 2, {INT8OID, INT2OID}, NULL};
    Datum values[2] = {Int64GetDatum(job->launch.run), Int16GetDatum((int16)part)};

    metasd_statement_execute(&statement, values, NULL, false);
}

static void
clear_part(MetasdJob *job, const void *what)
{
    const Writing *writing = what;

    delete_part(job, writing->part);
}

/*
 * Changes the run's row: kg_drop, which locks it first, must see the chunk or keep it from being
 * there. A lock would do for that, but not where its snapshot is older than the chunk.
 */
static void
write_chunk(MetasdJob *job, const void *what)
{
    static MetasdStatement statement = {
        "WITH r AS (UPDATE metasd.run SET heartbeat = clock_timestamp() WHERE id = $1 "
        "RETURNING id) INSERT INTO metasd.checkpoint (run, part, chunk, data) "
        "SELECT r.id, $2, $3, $4 FROM r",
        4,
        {INT8OID, INT2OID, INT4OID, BYTEAOID},
        NULL};
    const Writing *writing = what;
    Datum values[4] = {Int64GetDatum(job->launch.run), Int16GetDatum((int16)writing->part),
                       Int32GetDatum(writing->chunk), PointerGetDatum(writing->data)};

    job->gone = metasd_statement_execute(&statement, values, NULL, false) == 0;
}

/* The part that was written is the one that counts from now on. */
static void
finish_part(MetasdJob *job, const void *what)
{
    static MetasdStatement statement = {
        "UPDATE metasd.run SET checkpoint = $2, checkpoint_epoch = $3 WHERE id = $1",
        3,
        {INT8OID, INT2OID, INT4OID},
        NULL};
    const Writing *writing = what;
    Datum values[3] = {Int64GetDatum(job->launch.run), Int16GetDatum((int16)writing->part),
                       Int32GetDatum(job->trainer.progress.epoch)};

    job->gone = !metasd_store_lock_model(job) ||
                metasd_statement_execute(&statement, values, NULL, false) == 0;
    if (job->gone)
        return;
    delete_part(job, 1 - writing->part);
    ForceSyncCommit(); /* the workers' other commits wait for no disk */
}

static void
write_checkpoint(MetasdJob *job, const void *what)
{
    Writing *writing = palloc(sizeof(*writing));
    Size n;

    (void)what;
    writing->part = job->keep.part == 0 ? 1 : 0;
    writing->data = palloc(VARHDRSZ + CHUNK);
    metasd_process_check_status(job, metasd_checkpoint_save(&writing->checkpoint, &job->team,
                                                            &job->trainer, &job->options,
                                                            job->keep.graph));
    metasd_transaction_run(job, clear_part, writing);
    for (writing->chunk = 0;; writing->chunk++) {
        n = metasd_checkpoint_next(&writing->checkpoint, VARDATA(writing->data), CHUNK);
        if (n == 0)
            break;
        SET_VARSIZE(writing->data, VARHDRSZ + n);
        metasd_transaction_run(job, write_chunk, writing);
        CHECK_FOR_INTERRUPTS();
    }
    metasd_transaction_run(job, finish_part, writing);
    job->keep.part = writing->part;
    pfree(writing->data);
    pfree(writing);
}

static double
seconds_since(TimestampTz begun)
{
    return (double)(GetCurrentTimestamp() - begun) / 1e6;
}

/* After the last epoch there is nothing left to lose but what is about to be stored. */
static bool
is_due(const MetasdJob *job)
{
    double every = 60 * job->params.value[METASD_P_CHECKPOINT_EVERY];
    double since = seconds_since(job->keep.last);

    if (every < 0 || job->trainer.progress.epoch >= job->options.epochs)
        return false;
    return every == 0 || (since >= every && since >= SHARE * job->keep.seconds);
}

/*
 * A checkpoint that cannot be written, for lack of space perhaps, is no reason to end a training
 * that may yet succeed. What a session or an administrator asks for is.
 */
static MetasdStatus
forgive(MetasdJob *job)
{
    int code = job->error->sqlerrcode;

    if (job->gone || code == ERRCODE_QUERY_CANCELED || code == ERRCODE_ADMIN_SHUTDOWN)
        return METASD_INTERRUPTED;
    ereport(LOG, (errmsg("metasd run " INT64_FORMAT ": a checkpoint could not be written: %s",
                         job->launch.run, job->error->message)));
    FreeErrorData(job->error);
    job->error = NULL;
    return METASD_OK;
}

MetasdStatus
metasd_checkpoint_after_epoch(MetasdJob *job)
{
    TimestampTz begun = GetCurrentTimestamp();
    MetasdStatus status;

    if (!is_due(job))
        return METASD_OK;
    status = metasd_transaction_guard(job, write_checkpoint, NULL);
    job->keep.last = GetCurrentTimestamp();
    job->keep.seconds = seconds_since(begun);
    return status == METASD_OK ? METASD_OK : forgive(job);
}

/* ---- reading ---- */

/* What the core says of the bytes it was fed. */
static void
check_fed(const MetasdJob *job, MetasdStatus status)
{
    if (status == METASD_INVALID)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the triples have changed since run " INT64_FORMAT " began",
                               job->launch.run),
                        errhint("SELECT kg_train(%s) trains with the present triples.",
                                quote_literal_cstr(job->model))));
    if (status == METASD_CORRUPT)
        ereport(ERROR,
                (errcode(ERRCODE_DATA_CORRUPTED),
                 errmsg("the checkpoint of run " INT64_FORMAT " is damaged", job->launch.run),
                 errhint("SELECT kg_train(%s) starts anew.", quote_literal_cstr(job->model))));
    metasd_process_check_status((MetasdJob *)job, status);
}

/* Feeds the core a chunk; false where there are no more. */
static bool
feed_chunk(const MetasdJob *job, MetasdCheckpoint *checkpoint, int32 chunk)
{
    static MetasdStatement statement = {
        "SELECT data FROM metasd.checkpoint WHERE run = $1 AND part = $2 AND chunk = $3",
        3,
        {INT8OID, INT2OID, INT4OID},
        NULL};
    Datum values[3] = {Int64GetDatum(job->launch.run), Int16GetDatum((int16)job->keep.part),
                       Int32GetDatum(chunk)};
    Datum stored;
    bytea *data;
    bool isnull;

    if (metasd_statement_execute(&statement, values, NULL, true) == 0)
        return false;
    stored = metasd_statement_value(0, 1, &isnull);
    data = DatumGetByteaPP(stored);
    check_fed(job, metasd_checkpoint_feed(checkpoint, VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data)));
    if (PointerGetDatum(data) != stored) /* which a short one is, in the row itself */
        pfree(data);
    SPI_freetuptable(SPI_tuptable);
    return true;
}

/* Epochs after the checkpoint will be again. */
static void
forget_epochs(const MetasdJob *job)
{
    static MetasdStatement statement = {
        "DELETE FROM metasd.epoch WHERE run = $1 AND epoch > $2", 2, {INT8OID, INT4OID}, NULL};
    Datum values[2] = {Int64GetDatum(job->launch.run), Int32GetDatum(job->trainer.progress.epoch)};

    metasd_statement_execute(&statement, values, NULL, false);
}

static void
load(MetasdJob *job, const void *what)
{
    MetasdCheckpoint *checkpoint = palloc(sizeof(*checkpoint));

    (void)what;
    metasd_checkpoint_load(checkpoint, &job->trainer, &job->options, job->keep.graph);
    for (int32 chunk = 0; feed_chunk(job, checkpoint, chunk); chunk++)
        CHECK_FOR_INTERRUPTS();
    check_fed(job, metasd_checkpoint_end(checkpoint, &job->team));
    forget_epochs(job);
}

void
metasd_checkpoint_resume(MetasdJob *job)
{
    if (!job->launch.resume)
        return;
    metasd_progress_phase(job, "resuming");
    metasd_transaction_run(job, load, NULL);
    ereport(LOG, (errmsg("metasd run " INT64_FORMAT " goes on after epoch %d", job->launch.run,
                         job->trainer.progress.epoch)));
}

/* ---- the end ---- */

void
metasd_checkpoint_forget(const MetasdJob *job)
{
    static MetasdStatement statement = {"DELETE FROM metasd.checkpoint c USING metasd.run r "
                                        "WHERE c.run = r.id AND r.model = $1",
                                        1,
                                        {TEXTOID},
                                        NULL};
    Datum value = CStringGetTextDatum(job->model);

    metasd_statement_execute(&statement, &value, NULL, false);
}
