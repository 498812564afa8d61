/*
 * leader.c - the background worker of one run: it trains, alone or as the leader of a team.
 *
 * It holds the run's lock from its first moment to its last, waits for the transaction that
 * launched it, reads the source in one short transaction, trains outside any, and stores in one
 * more.
 */
#include "pg/base/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

#include "core/graph/graph_build.h"
#include "core/math/blas.h"
#include "pg/base/json.h"
#include "pg/catalog/model.h"
#include "pg/catalog/reference.h"
#include "pg/catalog/statement.h"
#include "pg/catalog/quota.h"
#include "pg/catalog/run.h"
#include "pg/source/source.h"
#include "pg/worker/checkpoint.h"
#include "pg/worker/compare.h"
#include "pg/worker/doubts.h"
#include "pg/worker/import.h"
#include "pg/worker/input.h"
#include "pg/worker/limits.h"
#include "pg/worker/peak.h"
#include "pg/worker/plan.h"
#include "pg/worker/presets.h"
#include "pg/worker/probing.h"
#include "pg/worker/process.h"
#include "pg/worker/progress.h"
#include "pg/worker/recruit.h"
#include "pg/worker/store.h"
#include "pg/worker/team_shm.h"
#include "pg/worker/warm_start.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void metasd_train_main(Datum argument);

/* The last loss that was not finite. */
typedef struct NonFinite {
    int epoch;
    size_t batch;
    double lr; /* of the next attempt */
} NonFinite;

/* All of a run; each function of other files takes the pieces that it needs. */
typedef struct MetasdJob {
    MetasdProcess *process;
    MetasdReporter reporter;
    MetasdSource *source, *validation; /* validation may be NULL */
    MetasdParams params;
    MetasdImport import;
    MetasdInput input;
    MetasdPlan plan;
    MetasdTraining training;
    MetasdRecruits *recruits; /* NULL: this process trains alone */
    MetasdCheckpointState checkpoints;
    MetasdWarmStart warm;
    Jsonb *probes; /* the run's metrics of its probes, or NULL */
    Jsonb *doubts; /* likewise of slips in its source */
    NonFinite non_finite;
} MetasdJob;

/* ---- the run's row ---- */

static Jsonb *
copy_json(MemoryContext context, Datum value)
{
    Jsonb *json = DatumGetJsonbP(value), *copy = MemoryContextAlloc(context, VARSIZE(json));

    memcpy(copy, json, VARSIZE(json));
    return copy;
}

static void
check_owner(const MetasdModel *model, Oid owner)
{
    if (!OidIsValid(model->owner))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_OBJECT),
                 errmsg("the role that owned model \"%s\" does not exist any more", model->name),
                 errhint("A superuser can give the model to another role with kg_owner.")));
    if (model->owner != owner)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("model \"%s\" has another owner by now", model->name),
                        errhint("Let that role train it.")));
}

/*
 * Reads the row. That of a run to be resumed was there before the transaction that starts it, and
 * may be as it was because that was rolled back.
 */
static void
load_run(void *context)
{
    static MetasdStatement look = {"SELECT model, params, source, head, relation, tail, "
                                   "checkpoint, metrics -> 'warm_start', validation, "
                                   "metrics -> 'probes' FROM metasd.run WHERE id = $1 AND (NOT $2 "
                                   "OR status = 'queued')",
                                   2,
                                   {INT8OID, BOOLOID},
                                   NULL};
    MetasdJob *job = context;
    const MetasdLaunch *launch = &job->process->launch;
    Datum run[2] = {Int64GetDatum(launch->run), BoolGetDatum(launch->resume)};
    MetasdModel *model = NULL;
    MetasdRemembered source = {.given = false}, validation = {.given = false};
    char *name = NULL, *column[3];
    MemoryContext spi;
    Datum warm, probes;
    bool isnull;

    if (metasd_statement_execute(&look, run, NULL, true) > 0) {
        name = MemoryContextStrdup(TopMemoryContext,
                                   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
        metasd_params_read(&job->params, DatumGetJsonbP(metasd_statement_value(0, 2, &isnull)));
        source = metasd_statement_relation(0, 3);
        validation = metasd_statement_relation(0, 9);
        for (int i = 0; i < 3; i++)
            column[i] = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4 + i);
        job->checkpoints.part = DatumGetInt16(metasd_statement_value(0, 7, &isnull));
        if (isnull)
            job->checkpoints.part = -1;
        warm = metasd_statement_value(0, 8, &isnull);
        if (!isnull) /* of a run that is resumed */
            job->warm.metrics = copy_json(TopMemoryContext, warm);
        probes = metasd_statement_value(0, 10, &isnull);
        if (!isnull) /* likewise */
            job->probes = copy_json(TopMemoryContext, probes);
        model = metasd_model_find(name, false);
    }
    if (!model) {
        job->process->transactions.gone = true;
        return;
    }
    job->reporter.model = job->checkpoints.model = name;
    check_owner(model, launch->owner);
    spi = MemoryContextSwitchTo(TopMemoryContext);
    job->source = metasd_source_open_remembered(&source, false, name, column, launch->owner);
    if (validation.given)
        job->validation =
            metasd_source_open_remembered(&validation, true, name, column, launch->owner);
    metasd_import_find(&job->import, launch->run);
    MemoryContextSwitchTo(spi);
}

/* ---- the plan ---- */

static void
refuse_memory(const MetasdJob *job, size_t bytes, size_t most)
{
    const char *setting = metasd_limits_memory_setting(&job->process->launch);
    const MetasdPlan *plan = &job->plan;

    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("training needs %zu MB of memory, %s allows %zu MB", bytes >> 20,
                           setting, most >> 20),
                    errdetail("Entities: %u, relations: %u, rank: %zu, batch: %zu, workers: %d.",
                              metasd_labelset_count(job->input.entities),
                              metasd_labelset_count(job->input.relations), plan->options.rank,
                              plan->options.batch, Max(1, plan->members)),
                    job->import.given ? errhint("Raise %s.", setting)
                    : plan->members > 1
                        ? errhint("Raise %s, or lower the parameters rank, batch or "
                                  "workers.",
                                  setting)
                        : errhint("Raise %s, or lower the parameters rank or batch.", setting)));
}

/* An import that is not fine-tuned has nothing that probes could choose for it. */
static void
settle_import(MetasdJob *job)
{
    metasd_import_settle(&job->import, &job->params);
    if (job->params.value[METASD_P_FINETUNE] > 0)
        return;
    metasd_presets_apply(&job->params, &job->input, false, false);
    metasd_probing_forgo(&job->params);
}

/*
 * Reads the triples, plans their training, and reads the version that it may start from. A plan
 * that needs too much memory is refused before any of it is allocated.
 */
static void
read_and_plan(void *context)
{
    MetasdJob *job = context;
    const MetasdLaunch *launch = &job->process->launch;
    size_t most = (size_t)launch->train_mem * 1024, bytes;
    MetasdTraining *training = &job->training;
    MetasdPlan *plan = &job->plan;
    MemoryContext spi = MemoryContextSwitchTo(TopMemoryContext);

    if (job->import.given)
        metasd_import_open(&job->import, launch->owner);
    metasd_input_read(&job->input, job->source, job->validation, launch->owner, launch->train_mem,
                      metasd_limits_memory_setting(launch), job->import.given ? &job->import : NULL,
                      metasd_params_family(&job->params));
    metasd_peak_look();
    if (job->import.given)
        settle_import(job);
    else
        job->doubts = metasd_doubts_find(&job->input);
    MemoryContextSwitchTo(spi);
    *plan = metasd_plan(&job->input, launch->max_workers, most, &job->params);
    training->held_out = metasd_held_out(job->validation, plan->split.validation_fraction);
    if (metasd_warm_start_read(&job->warm, launch, job->reporter.model, &job->input,
                               &training->held_out, &job->params))
        metasd_plan_follow(plan, &job->input, launch->max_workers, job->warm.version != 0,
                           &job->params);
    if (__builtin_add_overflow(plan->bytes, metasd_warm_start_bytes(&job->warm), &bytes))
        bytes = SIZE_MAX;
    if (most > 0 && bytes > most)
        refuse_memory(job, bytes, most);
    training->options = plan->options;
    training->split = plan->split;
    job->reporter.epochs = plan->options.epochs;
    job->checkpoints.every = 60 * job->params.value[METASD_P_CHECKPOINT_EVERY];
}

/* ---- the graph ---- */

/* A hash of every label, in the order of their numbers. */
static uint64 *
hash_labels(const MetasdLabelSet *labels)
{
    uint32 n = metasd_labelset_count(labels);
    uint64 *keys = palloc_extended((Size)Max(n, 1) * sizeof(*keys), MCXT_ALLOC_HUGE);

    for (uint32 i = 0; i < n; i++) {
        MetasdLabel label = metasd_labelset_get(labels, i);

        keys[i] = hash_bytes_extended((const unsigned char *)label.data, (int)label.len, 0);
    }
    return keys;
}

/* Returns the memory that holds the graph; that of its building is free again. */
static void *
build_graph(MetasdProcess *process, MetasdInput *input, MetasdTraining *training)
{
    uint32 entities = metasd_labelset_count(input->entities);
    uint32 relations = metasd_labelset_count(input->relations);
    MetasdGraph *graph = &training->graph;
    MetasdGraphBuilding building;
    void *memory, *kept;
    MetasdArena measured = metasd_arena_measure();
    MetasdArena arena = metasd_process_arena(
        metasd_graph_building_bytes(input->count, input->validation_count, entities, relations),
        &memory);

    training->split.entity_keys = hash_labels(input->entities);
    training->split.relation_keys = hash_labels(input->relations);
    metasd_process_check_status(
        process, metasd_graph_begin(&building, graph, &process->team, &arena, input->triples,
                                    input->count, input->validation, input->validation_count,
                                    entities, relations, &training->split));
    metasd_graph_take(graph, &measured);
    arena = metasd_process_arena(metasd_arena_ok(&measured) ? measured.used : SIZE_MAX, &kept);
    metasd_graph_take(graph, &arena);
    metasd_process_check_status(process, metasd_graph_fill(&building, graph, &process->team));
    metasd_peak_look();
    pfree(memory);
    pfree(input->triples);
    input->triples = NULL;
    return kept;
}

/*
 * Builds the graph, and probes, while followers start. A team shares a copy of it; a process that
 * trains alone keeps the one that was built.
 */
static void
form_team(MetasdJob *job)
{
    MetasdProcess *process = job->process;
    MetasdTraining *training = &job->training;
    void *built;

    job->recruits = metasd_recruit_launch(process, job->reporter.model, job->plan.members);
    built = build_graph(process, &job->input, training);
    metasd_checkpoint_identify(&job->checkpoints, process, &training->graph, &job->input);
    if (!process->launch.resume)
        job->probes = metasd_probing_run(process, &job->reporter, training, &job->params);
    if (process->shm)
        metasd_recruit_wait(job->recruits, process, training);
    if (process->shm)
        pfree(built);
    else {
        training->memory[0] = built;
        metasd_training_take(training);
    }
}

/* The run's metrics that are known before it trains. */
static Jsonb *
input_metrics(const MetasdJob *job)
{
    MetasdJson *json = metasd_json_begin();

    metasd_json_whole(json, "workers", job->process->team.size);
    metasd_json_whole(json, "skipped_rows", (int64)job->input.skipped);
    metasd_json_whole(json, "unknown_rows", (int64)job->input.unknown);
    if (job->plan.rank_wish > 0)
        metasd_json_whole(json, "rank_by_default", job->plan.rank_wish);
    if (job->warm.metrics)
        metasd_json_object(json, "warm_start", job->warm.metrics);
    if (job->probes)
        metasd_json_object(json, "probes", job->probes);
    if (job->doubts)
        metasd_json_object(json, "doubts", job->doubts);
    if (job->import.given)
        metasd_json_object(json, "import", metasd_import_metrics(&job->import));
    return metasd_json_end(json);
}

/* ---- training ---- */

static MetasdStatus
epoch_ended(void *context, const MetasdEpoch *epoch)
{
    MetasdJob *job = context;

    METASD_TRY(metasd_progress_epoch(&job->reporter, &job->training, epoch));
    return metasd_checkpoint_after_epoch(&job->checkpoints, job->process, &job->training);
}

static MetasdStatus
batch_ended(void *context, int epoch, size_t done, size_t total, double loss)
{
    MetasdJob *job = context;
    MetasdHeartbeat heartbeat = {.phase = "training",
                                 .epoch = epoch,
                                 .done = (int64)done,
                                 .total = (int64)total,
                                 .loss = loss};

    return metasd_progress_heartbeat(&job->reporter, &heartbeat);
}

static MetasdStatus
epoch_repeats(void *context, int epoch, size_t batch, double lr, bool again)
{
    MetasdJob *job = context;

    job->non_finite = (NonFinite){.epoch = epoch, .batch = batch, .lr = lr};
    if (again)
        ereport(LOG, (errmsg("metasd run " INT64_FORMAT ": a loss is not finite in epoch %d, batch "
                             "%zu; the epoch starts again with learning rate %g",
                             job->reporter.run, epoch, batch, lr)));
    return METASD_OK;
}

static void
raise_non_finite(const NonFinite *last, int repeats)
{
    if (repeats == 0)
        ereport(ERROR,
                (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                 errmsg("a loss is not finite in epoch %d, batch %zu", last->epoch, last->batch),
                 errdetail("A training of so many entities cannot go back to the version that it "
                           "started from."),
                 errhint("Lower the parameter lr, or set warm_start to false.")));
    ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                    errmsg("a loss is not finite in epoch %d, batch %zu", last->epoch, last->batch),
                    errdetail_plural("The epoch was repeated %d time, each with half the "
                                     "learning rate, down to %g.",
                                     "The epoch was repeated %d times, each with half the "
                                     "learning rate, down to %g.",
                                     METASD_REPEATS, METASD_REPEATS, last->lr * 2),
                    errhint("Lower the parameter lr, or raise reg.")));
}

/* Trains from a checkpoint, from the version that serves, or from random weights. */
static void
train_model(MetasdJob *job)
{
    MetasdProcess *process = job->process;
    MetasdTraining *training = &job->training;
    MetasdTrainEvents events = {
        .context = job, .epoch = epoch_ended, .batch = batch_ended, .repeat = epoch_repeats};
    MetasdStatus status;

    if (process->launch.resume) {
        metasd_progress_phase(&job->reporter, "resuming");
        metasd_checkpoint_resume(&job->checkpoints, process, training);
    }
    metasd_warm_start_fill(&job->warm, process, training);
    if (job->import.given && training->options.finetune == 0) {
        metasd_progress_phase(&job->reporter, "pruning");
        metasd_process_check_status(
            process, metasd_train_adopt(&training->trainer, &process->team, &training->graph,
                                        &training->options, &training->best));
        return;
    }
    if (process->shm)
        metasd_recruit_begin(job->recruits, process, training, &job->params);
    metasd_progress_phase(&job->reporter, "training");
    status = metasd_train(&training->trainer, &process->team, &training->graph, &training->options,
                          &events, &training->best);
    if (status == METASD_NON_FINITE)
        raise_non_finite(&job->non_finite, training->trainer.progress.repeats - 1);
    metasd_process_check_status(process, status);
}

/* ---- the run ---- */

/* Which of the libraries that can be there computes, and how: a support case begins with that. */
static void
log_start(const MetasdReporter *reporter)
{
    const char *library = metasd_blas_library(), *kernels = metasd_blas_kernels();

    ereport(LOG,
            (errmsg("metasd run " INT64_FORMAT " of model \"%s\" started", reporter->run,
                    reporter->model),
             kernels ? errdetail("Matrix products come from %s, kernels for processors of type %s.",
                                 library, kernels)
                     : errdetail("Matrix products come from %s.", library)));
}

static void
wait_for_launcher(TransactionId launcher)
{
    pgstat_report_activity(STATE_RUNNING, "metasd: waiting for the transaction that started it");
    StartTransactionCommand();
    HOLD_CANCEL_INTERRUPTS(); /* until the run's row is there to say so */
    XactLockTableWait(launcher, NULL, NULL, XLTW_None);
    RESUME_CANCEL_INTERRUPTS();
    CommitTransactionCommand();
}

/* All of it. An error ends the run; if the run is gone the worker leaves without a word. */
static void
run_job(void *context)
{
    MetasdJob *job = context;
    MetasdProcess *process = job->process;
    MetasdReporter *reporter = &job->reporter;

    wait_for_launcher(process->launch.transaction);
    metasd_transaction_run(&process->transactions, load_run, job);
    log_start(reporter);
    metasd_progress_phase(reporter, "reading");
    metasd_transaction_run(&process->transactions, read_and_plan, job);
    metasd_compare_prepare(process, reporter);
    form_team(job);
    if (job->import.given && !process->launch.resume)
        metasd_import_fill(&job->import, process, &job->training);
    metasd_progress_graph(reporter, &job->training.graph, metasd_params_json(&job->params),
                          input_metrics(job));
    train_model(job);
    metasd_progress_phase(reporter, "storing");
    metasd_store(process, reporter, &job->input, &job->training, &job->params);
}

/* ---- the end ---- */

static void
conclude(MetasdJob *job, bool succeeded)
{
    const MetasdTransactions *transactions = &job->process->transactions;
    int64 run = job->reporter.run;
    const char *status = "failed";
    char *reason;

    if (transactions->gone) {
        ereport(LOG, (errmsg("metasd run " INT64_FORMAT " is gone: its training stops", run)));
        return;
    }
    if (succeeded) {
        ereport(LOG, (errmsg("metasd run " INT64_FORMAT " of model \"%s\" succeeded", run,
                             job->reporter.model)));
        return;
    }
    if (transactions->error->sqlerrcode == ERRCODE_QUERY_CANCELED)
        status = "cancelled";
    else if (transactions->error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
        status = "interrupted";
    reason = metasd_transaction_error_text(transactions->error);
    /* before the message below, which serves interrupts */
    metasd_progress_end(&job->reporter, status, reason);
    ereport(LOG, (strcmp(status, "failed") == 0
                      ? errmsg("metasd run " INT64_FORMAT " failed: %s", run, reason)
                  : strcmp(status, "cancelled") == 0
                      ? errmsg("metasd run " INT64_FORMAT " cancelled: %s", run, reason)
                      : errmsg("metasd run " INT64_FORMAT " interrupted: %s", run, reason)));
}

void
metasd_train_main(Datum argument)
{
    MetasdProcess *process = metasd_process_start();
    MetasdJob *job = MemoryContextAllocZero(TopMemoryContext, sizeof(*job));
    const MetasdLaunch *launch = &process->launch;
    MetasdStatus status;

    (void)argument;
    job->process = process;
    job->reporter = (MetasdReporter){.transactions = &process->transactions, .run = launch->run};
    metasd_process_connect(process);
    metasd_limits_obey(&process->launch);
    metasd_quota_hold(launch->owner, launch->place);
    metasd_run_lock(launch->extension, launch->run);
    status = metasd_transaction_guard(&process->transactions, run_job, job);
    if (status != METASD_OK && process->shm) { /* followers need not wait for the rest */
        const ErrorData *error = process->transactions.error;

        metasd_team_shm_stop(process->shm, error->sqlerrcode, metasd_transaction_error_text(error));
    }
    HOLD_CANCEL_INTERRUPTS(); /* too late */
    conclude(job, status == METASD_OK);
    pgstat_report_stat(true);
    CHECK_FOR_INTERRUPTS(); /* told to terminate: ends as the postmaster expects */
    proc_exit(0);
}
