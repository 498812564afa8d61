/*
 * leader.c - the background worker of one run: it trains, alone or as the leader of a crew.
 *
 * It holds the run's lock from its first moment to its last, waits for the
 * transaction that launched it, reads the source in one short transaction, trains
 * outside any, and stores in one more.
 */
#include "pg/worker/job.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "core/math/blas.h"
#include "pg/catalog/catalog.h"
#include "pg/worker/team_shm.h"
#include "pg/catalog/quota.h"
#include "pg/catalog/run.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void metasd_train_main(Datum argument);

/* ---- what a run consists of ---- */

static Jsonb *
copy_json(MemoryContext context, Datum value)
{
    Jsonb *json = DatumGetJsonbP(value), *copy = MemoryContextAlloc(context, VARSIZE(json));

    memcpy(copy, json, VARSIZE(json));
    return copy;
}

static void
load_run(MetasdJob *job, const void *what)
{
    static MetasdStatement look = {"SELECT model, params, source, head, relation, tail, "
                                   "checkpoint, metrics -> 'warm_start', validation "
                                   "FROM metasd.run WHERE id = $1 AND (NOT $2 "
                                   "OR status = 'queued')",
                                   2,
                                   {INT8OID, BOOLOID},
                                   NULL};
    /*
     * The row of a run to be resumed was there before the transaction that starts it, and may have
     * been rolled back to what it was.
     */
    Datum run[2] = {Int64GetDatum(job->launch.run), BoolGetDatum(job->launch.resume)};
    MetasdModel *model = NULL;
    MetasdRemembered source = {.given = false}, validation = {.given = false};
    char *column[3];
    MemoryContext spi;
    Datum said;
    bool isnull;

    (void)what;
    if (metasd_statement_execute(&look, run, NULL, true) > 0) {
        job->model = MemoryContextStrdup(
            job->context, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
        metasd_params_read(&job->remembered, DatumGetJsonbP(metasd_statement_value(0, 2, &isnull)));
        source = metasd_statement_relation(0, 3);
        validation = metasd_statement_relation(0, 9);
        for (int i = 0; i < 3; i++)
            column[i] = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4 + i);
        job->keep.part = DatumGetInt16(metasd_statement_value(0, 7, &isnull));
        if (isnull)
            job->keep.part = -1;
        said = metasd_statement_value(0, 8, &isnull);
        if (!isnull) /* of a run that is resumed */
            job->warm.said = copy_json(job->context, said);
        model = metasd_model_find(job->model, false);
    }
    if (!model) {
        job->gone = true;
        return;
    }
    if (!OidIsValid(model->owner))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_OBJECT),
                 errmsg("the role that owned model \"%s\" does not exist any more", job->model),
                 errhint("A superuser can give the model to another role with kg_owner.")));
    if (model->owner != job->launch.owner)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("model \"%s\" has another owner by now", job->model),
                        errhint("Let that role train it.")));
    spi = MemoryContextSwitchTo(job->context);
    job->params = job->remembered;
    job->source =
        metasd_source_open_remembered(&source, false, job->model, column, job->launch.owner);
    if (validation.given)
        job->validation =
            metasd_source_open_remembered(&validation, true, job->model, column, job->launch.owner);
    MemoryContextSwitchTo(spi);
}

static void
read_triples(MetasdJob *job, const void *what)
{
    MemoryContext spi = MemoryContextSwitchTo(job->context);

    (void)what;
    metasd_input_read(&job->input, job->source, job->validation, job->launch.owner,
                      job->launch.train_mem, metasd_limits_memory_setting(&job->launch));
    MemoryContextSwitchTo(spi);
    metasd_warm_start_read(job);
}

static void
refuse_memory(const MetasdJob *job, size_t bytes, size_t most)
{
    const char *setting = metasd_limits_memory_setting(&job->launch);

    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("training needs %zu MB of memory, %s allows %zu MB", bytes >> 20,
                           setting, most >> 20),
                    errdetail("Entities: %u, relations: %u, rank: %zu, batch: %zu, workers: %d.",
                              metasd_labelset_count(job->input.entities),
                              metasd_labelset_count(job->input.relations), job->options.rank,
                              job->options.batch, Max(1, job->wished)),
                    job->wished > 1
                        ? errhint("Raise %s, or lower the parameters rank, batch or "
                                  "workers.",
                                  setting)
                        : errhint("Raise %s, or lower the parameters rank or batch.", setting)));
}

/*
 * What to train, by how many members; what would not fit is refused before anything is allocated.
 */
static void
make_plan(MetasdJob *job)
{
    size_t most = (size_t)job->launch.train_mem * 1024, besides = metasd_warm_start_bytes(job),
           bytes;
    MetasdPlan plan = metasd_plan(&job->input, job->launch.max_workers, most, &job->params);

    job->options = plan.options;
    job->split = plan.split;
    job->wished = plan.members;
    job->rank_wish = plan.rank_wish;
    if (__builtin_add_overflow(plan.bytes, besides, &bytes))
        bytes = SIZE_MAX;
    if (most > 0 && bytes > most)
        refuse_memory(job, bytes, most);
}

/* A hash of every label, by number, in the current memory context. */
static uint64 *
keys_of(const MetasdLabelSet *labels)
{
    uint32 n = metasd_labelset_count(labels);
    uint64 *keys = palloc_extended((Size)Max(n, 1) * sizeof(*keys), MCXT_ALLOC_HUGE);

    for (uint32 i = 0; i < n; i++) {
        MetasdLabel label = metasd_labelset_get(labels, i);

        keys[i] = hash_bytes_extended((const unsigned char *)label.data, (int)label.len, 0);
    }
    return keys;
}

static void
build_graph(MetasdJob *job)
{
    MetasdInput *input = &job->input;
    uint32 entities = metasd_labelset_count(input->entities);
    uint32 relations = metasd_labelset_count(input->relations);
    MetasdArena arena = metasd_transaction_arena(
        metasd_graph_bytes(input->count, input->validation_count, entities, relations),
        &job->graph_memory);

    job->split.entity_keys = keys_of(input->entities);
    job->split.relation_keys = keys_of(input->relations);
    metasd_process_check_status(job, metasd_graph_build(&job->graph, &job->team, &arena,
                                                        input->triples, input->count,
                                                        input->validation, input->validation_count,
                                                        entities, relations, &job->split));
    pfree(input->triples);
    input->triples = NULL;
}

/* The memory of a worker that trains alone. */
static void
take_memory(MetasdJob *job)
{
    MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure();

    metasd_trainer_take(&job->trainer, &shared, &own, &job->graph, &job->options, 1);
    shared = metasd_transaction_arena(metasd_arena_ok(&shared) ? shared.used : SIZE_MAX, NULL);
    own = metasd_transaction_arena(metasd_arena_ok(&own) ? own.used : SIZE_MAX, NULL);
    metasd_trainer_take(&job->trainer, &shared, &own, &job->graph, &job->options, 1);
}

static void
train(MetasdJob *job)
{
    MetasdTrainEvents events;

    if (!job->crew) {
        take_memory(job);
        metasd_checkpoint_resume(job);
        metasd_warm_start_fill(job);
    }
    metasd_progress_phase(job, "training");
    events = metasd_leader_events(job);
    metasd_process_check_status(job, metasd_train(&job->trainer, &job->team, &job->graph,
                                                  &job->options, &events, &job->best));
}

static void
wait_for_launcher(const MetasdJob *job)
{
    pgstat_report_activity(STATE_RUNNING, "metasd: waiting for the transaction that started it");
    StartTransactionCommand();
    HOLD_CANCEL_INTERRUPTS(); /* until the run's row is there to say so */
    XactLockTableWait(job->launch.transaction, NULL, NULL, XLTW_None);
    RESUME_CANCEL_INTERRUPTS();
    CommitTransactionCommand();
}

/* All of it. An error ends the run; job->gone leaves without a word. */
static void
run_job(MetasdJob *job, const void *what)
{
    (void)what;
    wait_for_launcher(job);
    metasd_transaction_run(job, load_run, NULL);
    ereport(
        LOG,
        (errmsg("metasd run " INT64_FORMAT " of model \"%s\" started", job->launch.run, job->model),
         errdetail("OpenBLAS uses its kernels for processors of type %s.", metasd_blas_kernels())));
    metasd_progress_phase(job, "reading");
    metasd_transaction_run(job, read_triples, NULL);
    make_plan(job);
    metasd_recruit_launch(job);
    build_graph(job);
    metasd_checkpoint_identify(job);
    metasd_recruit_wait(job);
    metasd_progress_graph(job);
    train(job);
    metasd_progress_phase(job, "storing");
    metasd_store(job);
}

/* ---- the process ---- */

static void
conclude(MetasdJob *job, bool succeeded)
{
    const char *status = "failed";
    char *reason;

    if (job->gone) {
        ereport(LOG, (errmsg("metasd run " INT64_FORMAT " is gone: its training stops",
                             job->launch.run)));
        return;
    }
    if (succeeded) {
        ereport(LOG, (errmsg("metasd run " INT64_FORMAT " of model \"%s\" succeeded",
                             job->launch.run, job->model)));
        return;
    }
    if (job->error->sqlerrcode == ERRCODE_QUERY_CANCELED)
        status = "cancelled";
    else if (job->error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
        status = "interrupted";
    reason = metasd_transaction_error_text(job->error);
    metasd_progress_end(job, status, reason); /* before a message, which serves interrupts */
    ereport(LOG,
            (strcmp(status, "failed") == 0
                 ? errmsg("metasd run " INT64_FORMAT " failed: %s", job->launch.run, reason)
             : strcmp(status, "cancelled") == 0
                 ? errmsg("metasd run " INT64_FORMAT " cancelled: %s", job->launch.run, reason)
                 : errmsg("metasd run " INT64_FORMAT " interrupted: %s", job->launch.run, reason)));
}

void
metasd_train_main(Datum argument)
{
    MetasdJob *job = metasd_process_start();
    MetasdStatus status;

    (void)argument;
    metasd_process_connect(job);
    metasd_limits_obey(job);
    metasd_quota_hold(job->launch.owner, job->launch.place);
    metasd_run_lock(job->launch.extension, job->launch.run);
    status = metasd_transaction_guard(job, run_job, NULL);
    if (status != METASD_OK && job->crew) /* the followers need not wait for what comes now */
        metasd_team_shm_stop(job->crew, job->error->sqlerrcode,
                             metasd_transaction_error_text(job->error));
    HOLD_CANCEL_INTERRUPTS(); /* too late */
    conclude(job, status == METASD_OK);
    pgstat_report_stat(true);
    CHECK_FOR_INTERRUPTS(); /* told to terminate: ends as the postmaster expects */
    proc_exit(0);
}
