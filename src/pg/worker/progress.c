#include "pg/worker/job.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "pg/catalog/catalog.h"
#include "pg/catalog/quota.h"
#include "pg/catalog/run.h"

#define BEAT_EVERY_MS 1000

void
metasd_transaction_run(MetasdJob *job, MetasdJobFunction work, const void *what)
{
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    job->gone = !metasd_extension_hold(job->launch.extension);
    if (!job->gone) {
        PushActiveSnapshot(GetTransactionSnapshot());
        SPI_connect();
        work(job, what);
    }
    if (job->gone)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the run is gone")));
    SPI_finish();
    PopActiveSnapshot();
    CommitTransactionCommand();
    metasd_run_keep_locks();
    MemoryContextSwitchTo(job->context);
    pgstat_report_stat(false); /* else autovacuum never learns of what was written */
}

MetasdStatus
metasd_transaction_guard(MetasdJob *job, MetasdJobFunction work, const void *what)
{
    PG_TRY();
    {
        work(job, what);
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(job->context);
        job->error = CopyErrorData();
        FlushErrorState();
        AbortOutOfAnyTransaction();
        metasd_run_keep_locks();
        metasd_quota_hold_again();
        MemoryContextSwitchTo(job->context);
    }
    PG_END_TRY();
    return job->error ? METASD_INTERRUPTED : METASD_OK;
}

/* ---- the run's row while it trains ---- */

static void
write_beat(MetasdJob *job, const void *what)
{
    static MetasdStatement statement = {
        "UPDATE metasd.run SET status = 'running', started = COALESCE(started, "
        "clock_timestamp()), pid = $2, heartbeat = clock_timestamp(), phase = $3, epoch = $4, "
        "done = $5, total = $6, loss = $7 WHERE id = $1",
        7,
        {INT8OID, INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID, FLOAT8OID},
        NULL};
    const MetasdHeartbeat *beat = what;
    Datum values[7] = {Int64GetDatum(job->launch.run),   Int32GetDatum(MyProcPid),
                       CStringGetTextDatum(beat->phase), Int32GetDatum(beat->epoch),
                       Int64GetDatum(beat->done),        Int64GetDatum(beat->total),
                       Float8GetDatum(beat->loss)};
    const char *nulls = beat->total > 0 ? NULL : "   nnnn";

    if (metasd_statement_execute(&statement, values, nulls, false) == 0)
        job->gone = true;
}

/* Tells pg_stat_activity where the training is. */
static void
show_activity(const MetasdJob *job)
{
    const MetasdHeartbeat *beat = &job->beat;
    char text[512];
    int len;

    len = snprintf(text, sizeof(text), "metasd: training model \"%.256s\", %s", job->model,
                   beat->phase);
    if (beat->total > 0 && len < (int)sizeof(text))
        snprintf(text + len, sizeof(text) - len,
                 ", epoch %d of %d, batch " INT64_FORMAT " of " INT64_FORMAT, beat->epoch,
                 job->options.epochs, beat->done, beat->total);
    pgstat_report_activity(STATE_RUNNING, text);
}

/* Tells pg_stat_activity and the run's row where the training is. */
static void
send_beat(MetasdJob *job)
{
    show_activity(job);
    metasd_transaction_run(job, write_beat, &job->beat);
    job->last_beat = GetCurrentTimestamp();
}

void
metasd_progress_phase(MetasdJob *job, const char *phase)
{
    job->beat = (MetasdHeartbeat){.phase = phase};
    send_beat(job);
}

void
metasd_progress_append_input(MetasdJson *json, const MetasdJob *job)
{
    metasd_json_whole(json, "workers", job->team.size);
    metasd_json_whole(json, "skipped_rows", (int64)job->input.skipped);
    metasd_json_whole(json, "unknown_rows", (int64)job->input.unknown);
    if (job->rank_wish > 0)
        metasd_json_whole(json, "rank_by_default", job->rank_wish);
    if (job->warm.said)
        metasd_json_object(json, "warm_start", job->warm.said);
}

static void
write_graph(MetasdJob *job, const void *what)
{
    static MetasdStatement statement = {
        "UPDATE metasd.run SET params = $2, entities = $3, relations = $4, triples = $5, "
        "metrics = $6 WHERE id = $1",
        6,
        {INT8OID, JSONBOID, INT8OID, INT8OID, INT8OID, JSONBOID},
        NULL};
    Datum values[6] = {
        Int64GetDatum(job->launch.run), JsonbPGetDatum(metasd_params_json(&job->params)),
        Int64GetDatum((int64)job->graph.entities), Int64GetDatum((int64)job->graph.relations),
        Int64GetDatum((int64)job->graph.triples)};
    MetasdJson *json = metasd_json_begin();

    metasd_progress_append_input(json, job);
    values[5] = JsonbPGetDatum(metasd_json_end(json));
    metasd_statement_execute(&statement, values, NULL, false);
}

void
metasd_progress_graph(MetasdJob *job)
{
    metasd_transaction_run(job, write_graph, NULL);
}

/* ---- callbacks of the core ---- */

static Datum
mrr_of(const MetasdRanks *ranks, char *null)
{
    if (ranks->n == 0)
        *null = 'n';
    return Float8GetDatum(ranks->n > 0 ? ranks->reciprocal / (double)ranks->n : 0);
}

static void
write_epoch(MetasdJob *job, const void *what)
{
    static MetasdStatement statement = {
        "INSERT INTO metasd.epoch (run, epoch, seconds, loss_full, loss_trial, loss_quiz, "
        "loss_mutual, loss_pruned, mrr_full, mrr_pruned, sparsity, threshold, regrown, dropped, "
        "lr, best) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        16,
        {INT8OID, INT4OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID,
         FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, INT8OID, INT8OID, FLOAT8OID, BOOLOID},
        NULL};
    const MetasdEpoch *epoch = what;
    const MetasdLosses *losses = &epoch->losses;
    bool guided = epoch->pruned && job->trainer.state.size.has_student;
    char nulls[] = "                ";
    Datum values[16] = {
        Int64GetDatum(job->launch.run),
        Int32GetDatum(epoch->epoch),
        Float8GetDatum((double)(GetCurrentTimestamp() - job->epoch_started) / 1e6),
        Float8GetDatum(losses->full),
        Float8GetDatum(losses->trial),
        Float8GetDatum(losses->quiz),
        Float8GetDatum(losses->mutual_full),
        Float8GetDatum(epoch->finetunes ? losses->finetune : losses->mutual_student),
        mrr_of(&epoch->full, &nulls[8]),
        mrr_of(&epoch->student, &nulls[9]),
        Float8GetDatum(epoch->sparsity),
        Float8GetDatum(epoch->threshold),
        Int64GetDatum((int64)epoch->regrown),
        Int64GetDatum((int64)epoch->dropped),
        Float8GetDatum(epoch->lr),
        BoolGetDatum(epoch->best),
    };

    /* A loss that was not computed is not 0. */
    if (epoch->finetunes)
        nulls[3] = nulls[6] = 'n';
    if (!guided || epoch->finetunes || !job->options.step.quiz)
        nulls[4] = nulls[5] = 'n';
    if (!guided || (!epoch->finetunes && !job->options.step.mutual))
        nulls[6] = nulls[7] = 'n';
    if (!epoch->pruned)
        nulls[9] = nulls[11] = nulls[12] = nulls[13] = 'n';
    write_beat(job, &job->beat);
    if (!job->gone)
        metasd_statement_execute(&statement, values, nulls, false);
}

static void
reload_settings(void)
{
    if (ConfigReloadPending) {
        ConfigReloadPending = false;
        ProcessConfigFile(PGC_SIGHUP);
    }
}

/* An epoch is a beat: where one takes less time than from beat to beat, there are no others. */
static void
epoch_work(MetasdJob *job, const void *what)
{
    reload_settings();
    show_activity(job);
    metasd_transaction_run(job, write_epoch, what);
    job->last_beat = job->epoch_started = GetCurrentTimestamp();
}

static MetasdStatus
epoch_ended(void *context, const MetasdEpoch *epoch)
{
    METASD_TRY(metasd_transaction_guard(context, epoch_work, epoch));
    return metasd_checkpoint_after_epoch(context);
}

static void
batch_work(MetasdJob *job, const void *what)
{
    (void)what;
    reload_settings();
    send_beat(job);
}

MetasdStatus
metasd_progress_heartbeat(MetasdJob *job, const MetasdHeartbeat *beat)
{
    job->beat = *beat;
    if (!TimestampDifferenceExceeds(job->last_beat, GetCurrentTimestamp(), BEAT_EVERY_MS))
        return METASD_OK;
    return metasd_transaction_guard(job, batch_work, NULL);
}

static MetasdStatus
batch_ended(void *context, int epoch, size_t done, size_t total, double loss)
{
    MetasdHeartbeat beat = {.phase = "training",
                            .epoch = epoch,
                            .done = (int64)done,
                            .total = (int64)total,
                            .loss = loss};

    return metasd_progress_heartbeat(context, &beat);
}

static MetasdStatus
epoch_repeats(void *context, int epoch, size_t batch, double lr, bool again)
{
    MetasdJob *job = context;

    job->trouble.epoch = epoch;
    job->trouble.batch = batch;
    job->trouble.lr = lr;
    if (again)
        ereport(LOG, (errmsg("metasd run " INT64_FORMAT ": a loss is not finite in epoch %d, batch "
                             "%zu; the epoch starts again with learning rate %g",
                             job->launch.run, epoch, batch, lr)));
    return METASD_OK;
}

MetasdTrainEvents
metasd_leader_events(MetasdJob *job)
{
    job->epoch_started = GetCurrentTimestamp();
    return (MetasdTrainEvents){
        .context = job, .epoch = epoch_ended, .batch = batch_ended, .repeat = epoch_repeats};
}

/* ---- the end ---- */

typedef struct End {
    const char *status, *error;
} End;

static void
write_end(MetasdJob *job, const void *what)
{
    static MetasdStatement statement = {
        "UPDATE metasd.run SET status = $2, error = $3, finished = clock_timestamp(), pid = NULL "
        "WHERE id = $1",
        3,
        {INT8OID, TEXTOID, TEXTOID},
        NULL};
    const End *end = what;
    Datum values[3] = {Int64GetDatum(job->launch.run), CStringGetTextDatum(end->status),
                       end->error ? CStringGetTextDatum(end->error) : (Datum)0};

    metasd_statement_execute(&statement, values, end->error ? NULL : "  n", false);
}

static void
end_work(MetasdJob *job, const void *what)
{
    metasd_transaction_run(job, write_end, what);
}

void
metasd_progress_end(MetasdJob *job, const char *status, const char *error)
{
    End end = {.status = status, .error = error};
    bool dying = ProcDiePending;

    /*
     * A worker that is told to terminate writes down why before it does. It serves interrupts
     * meanwhile: where it waits for a lock, barriers of others and a second SIGTERM must not.
     */
    if (dying)
        ProcDiePending = false;
    job->error = NULL;
    if (metasd_transaction_guard(job, end_work, &end) != METASD_OK)
        ereport(LOG, (errmsg("metasd run " INT64_FORMAT ": its end could not be recorded: %s",
                             job->launch.run, job->error->message)));
    if (dying)
        ProcDiePending = InterruptPending = true;
}
