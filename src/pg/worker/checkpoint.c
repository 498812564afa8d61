#include "pg/worker/checkpoint.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/base/hash.h"
#include "core/train/checkpoint.h"
#include "pg/catalog/model.h"
#include "pg/catalog/statement.h"

/* Bytes of a row: a worker needs that memory twice, and a statement that writes it is short. */
#define CHUNK ((Size)8 << 20)

/* A training spends at most one part in SHARE of its time on checkpoints. */
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
metasd_checkpoint_identify(MetasdCheckpointState *state, MetasdProcess *process,
                           const MetasdGraph *graph, const MetasdInput *input)
{
    metasd_process_check_status(process, metasd_graph_hash(&process->team, graph, &state->graph));
    state->graph = hash_labels(state->graph, input->entities);
    state->graph = hash_labels(state->graph, input->relations);
    state->last = GetCurrentTimestamp();
}

/* ---- writing ---- */

/* A checkpoint being written. */
typedef struct Writing {
    MetasdProcess *process;
    MetasdTraining *training;
    const MetasdCheckpointState *state;
    MetasdCheckpoint checkpoint;
    int part;
    int32 chunk;
    bytea *data; /* of the chunk */
} Writing;

/* Removes a part, whole or begun. */
static void
delete_part(int64 run, int part)
{
    static MetasdStatement statement = {
        "DELETE FROM metasd.checkpoint WHERE run = $1 AND part = $2", 2, {INT8OID, INT2OID}, NULL};
    Datum values[2] = {Int64GetDatum(run), Int16GetDatum((int16)part)};

    metasd_statement_execute(&statement, values, NULL, false);
}

static void
clear_part(void *context)
{
    const Writing *writing = context;

    delete_part(writing->process->launch.run, writing->part);
}

/*
 * Changes the run's row: kg_drop, which locks it first, must see the chunk or keep it from being
 * there. A lock would do for that, but not where its snapshot is older than the chunk.
 */
static void
write_chunk(void *context)
{
    static MetasdStatement statement = {
        "WITH r AS (UPDATE metasd.run SET heartbeat = clock_timestamp() WHERE id = $1 "
        "RETURNING id) INSERT INTO metasd.checkpoint (run, part, chunk, data) "
        "SELECT r.id, $2, $3, $4 FROM r",
        4,
        {INT8OID, INT2OID, INT4OID, BYTEAOID},
        NULL};
    const Writing *writing = context;
    Datum values[4] = {Int64GetDatum(writing->process->launch.run),
                       Int16GetDatum((int16)writing->part), Int32GetDatum(writing->chunk),
                       PointerGetDatum(writing->data)};

    writing->process->transactions.gone =
        metasd_statement_execute(&statement, values, NULL, false) == 0;
}

/* From now on the part that was written counts. The model's row is locked first, as in kg_drop. */
static void
finish_part(void *context)
{
    static MetasdStatement statement = {
        "UPDATE metasd.run SET checkpoint = $2, checkpoint_epoch = $3 WHERE id = $1",
        3,
        {INT8OID, INT2OID, INT4OID},
        NULL};
    const Writing *writing = context;
    int64 run = writing->process->launch.run;
    Datum values[3] = {Int64GetDatum(run), Int16GetDatum((int16)writing->part),
                       Int32GetDatum(writing->training->trainer.progress.epoch)};

    if (!metasd_model_find(writing->state->model, true) ||
        metasd_statement_execute(&statement, values, NULL, false) == 0) {
        writing->process->transactions.gone = true;
        return;
    }
    delete_part(run, 1 - writing->part);
    ForceSyncCommit(); /* the workers' other commits do not wait for the disk */
}

static void
write_checkpoint(void *context)
{
    Writing *writing = context;
    MetasdProcess *process = writing->process;
    MetasdTransactions *transactions = &process->transactions;
    MetasdTraining *training = writing->training;
    Size n;

    writing->data = palloc(VARHDRSZ + CHUNK);
    metasd_process_check_status(
        process, metasd_checkpoint_save(&writing->checkpoint, &process->team, &training->trainer,
                                        &training->options, writing->state->graph));
    metasd_transaction_run(transactions, clear_part, writing);
    for (writing->chunk = 0;; writing->chunk++) {
        n = metasd_checkpoint_next(&writing->checkpoint, VARDATA(writing->data), CHUNK);
        if (n == 0)
            break;
        SET_VARSIZE(writing->data, VARHDRSZ + n);
        metasd_transaction_run(transactions, write_chunk, writing);
        CHECK_FOR_INTERRUPTS();
    }
    metasd_transaction_run(transactions, finish_part, writing);
    pfree(writing->data);
}

static double
seconds_since(TimestampTz begun)
{
    return (double)(GetCurrentTimestamp() - begun) / 1e6;
}

/* After the last epoch there is nothing to lose: the version is about to be stored. */
static bool
is_due(const MetasdCheckpointState *state, const MetasdTraining *training)
{
    double since = seconds_since(state->last);

    if (state->every < 0 || training->trainer.progress.epoch >= training->options.epochs)
        return false;
    return state->every == 0 || (since >= state->every && since >= SHARE * state->seconds);
}

/*
 * A checkpoint that cannot be written, for lack of space perhaps, is no reason to end a training
 * that may yet succeed. A session's or an administrator's wish is.
 */
static MetasdStatus
forgive_error(MetasdProcess *process)
{
    ErrorData *error = process->transactions.error;

    if (process->transactions.gone || error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
        error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
        return METASD_INTERRUPTED;
    ereport(LOG, (errmsg("metasd run " INT64_FORMAT ": a checkpoint could not be written: %s",
                         process->launch.run, error->message)));
    FreeErrorData(error);
    process->transactions.error = NULL;
    return METASD_OK;
}

MetasdStatus
metasd_checkpoint_after_epoch(MetasdCheckpointState *state, MetasdProcess *process,
                              MetasdTraining *training)
{
    Writing writing = {
        .process = process, .training = training, .state = state, .part = state->part == 0 ? 1 : 0};
    TimestampTz begun = GetCurrentTimestamp();
    MetasdStatus status;

    if (!is_due(state, training))
        return METASD_OK;
    status = metasd_transaction_guard(&process->transactions, write_checkpoint, &writing);
    state->last = GetCurrentTimestamp();
    state->seconds = seconds_since(begun);
    if (status != METASD_OK)
        return forgive_error(process);
    state->part = writing.part;
    return METASD_OK;
}

/* ---- reading ---- */

typedef struct Reading {
    MetasdProcess *process;
    MetasdTraining *training;
    const MetasdCheckpointState *state;
} Reading;

/* Raises the error that the core finds in the bytes that it was fed. */
static void
check_fed(const Reading *reading, MetasdStatus status)
{
    int64 run = reading->process->launch.run;
    const char *model = reading->state->model;

    if (status == METASD_INVALID)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the triples have changed since run " INT64_FORMAT " began", run),
                        errhint("SELECT kg_train(%s) trains with the present triples.",
                                quote_literal_cstr(model))));
    if (status == METASD_CORRUPT)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("the checkpoint of run " INT64_FORMAT " is damaged", run),
                        errhint("SELECT kg_train(%s) starts anew.", quote_literal_cstr(model))));
    metasd_process_check_status(reading->process, status);
}

/* Feeds the core a chunk; false where there are no more. */
static bool
feed_chunk(const Reading *reading, MetasdCheckpoint *checkpoint, int32 chunk)
{
    static MetasdStatement statement = {
        "SELECT data FROM metasd.checkpoint WHERE run = $1 AND part = $2 AND chunk = $3",
        3,
        {INT8OID, INT2OID, INT4OID},
        NULL};
    Datum values[3] = {Int64GetDatum(reading->process->launch.run),
                       Int16GetDatum((int16)reading->state->part), Int32GetDatum(chunk)};
    Datum stored;
    bytea *data;
    bool isnull;

    if (metasd_statement_execute(&statement, values, NULL, true) == 0)
        return false;
    stored = metasd_statement_value(0, 1, &isnull);
    data = DatumGetByteaPP(stored);
    check_fed(reading,
              metasd_checkpoint_feed(checkpoint, VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data)));
    if (PointerGetDatum(data) != stored) /* a short one is in the row itself */
        pfree(data);
    SPI_freetuptable(SPI_tuptable);
    return true;
}

/* The training repeats the epochs after the checkpoint. */
static void
forget_epochs(int64 run, int after)
{
    static MetasdStatement statement = {
        "DELETE FROM metasd.epoch WHERE run = $1 AND epoch > $2", 2, {INT8OID, INT4OID}, NULL};
    Datum values[2] = {Int64GetDatum(run), Int32GetDatum(after)};

    metasd_statement_execute(&statement, values, NULL, false);
}

static void
load_checkpoint(void *context)
{
    const Reading *reading = context;
    MetasdTraining *training = reading->training;
    MetasdCheckpoint *checkpoint = palloc(sizeof(*checkpoint));

    metasd_checkpoint_load(checkpoint, &training->trainer, &training->options,
                           reading->state->graph);
    for (int32 chunk = 0; feed_chunk(reading, checkpoint, chunk); chunk++)
        CHECK_FOR_INTERRUPTS();
    check_fed(reading, metasd_checkpoint_end(checkpoint, &reading->process->team));
    forget_epochs(reading->process->launch.run, training->trainer.progress.epoch);
}

void
metasd_checkpoint_resume(const MetasdCheckpointState *state, MetasdProcess *process,
                         MetasdTraining *training)
{
    Reading reading = {.process = process, .training = training, .state = state};

    metasd_transaction_run(&process->transactions, load_checkpoint, &reading);
    ereport(LOG, (errmsg("metasd run " INT64_FORMAT " goes on after epoch %d", process->launch.run,
                         training->trainer.progress.epoch)));
}

/* ---- the end ---- */

void
metasd_checkpoint_forget(const char *model)
{
    static MetasdStatement statement = {"DELETE FROM metasd.checkpoint c USING metasd.run r "
                                        "WHERE c.run = r.id AND r.model = $1",
                                        1,
                                        {TEXTOID},
                                        NULL};
    Datum value = CStringGetTextDatum(model);

    metasd_statement_execute(&statement, &value, NULL, false);
}
