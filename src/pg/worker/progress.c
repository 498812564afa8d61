#include "pg/worker/progress.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "pg/catalog/statement.h"
#include "pg/worker/peak.h"

#define HEARTBEAT_EVERY_MS 1000

/* ---- the run's row while it trains ---- */

static void
write_heartbeat(void *context)
{
    static MetasdStatement statement = {
        "UPDATE metasd.run SET status = 'running', started = COALESCE(started, "
        "clock_timestamp()), pid = $2, heartbeat = clock_timestamp(), phase = $3, epoch = $4, "
        "done = $5, total = $6, loss = $7 WHERE id = $1",
        7,
        {INT8OID, INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID, FLOAT8OID},
        NULL};
    const MetasdReporter *reporter = context;
    const MetasdHeartbeat *heartbeat = &reporter->heartbeat;
    Datum values[7] = {Int64GetDatum(reporter->run),          Int32GetDatum(MyProcPid),
                       CStringGetTextDatum(heartbeat->phase), Int32GetDatum(heartbeat->epoch),
                       Int64GetDatum(heartbeat->done),        Int64GetDatum(heartbeat->total),
                       Float8GetDatum(heartbeat->loss)};
    const char *nulls = heartbeat->total == 0   ? "   nnnn"
                        : heartbeat->epoch == 0 ? "   n  n" /* probes have no epoch */
                                                : NULL;

    if (metasd_statement_execute(&statement, values, nulls, false) == 0)
        reporter->transactions->gone = true;
}

/* Tells pg_stat_activity where the training is. */
static void
show_activity(const MetasdReporter *reporter)
{
    const MetasdHeartbeat *heartbeat = &reporter->heartbeat;
    char text[512];
    int len;

    len = snprintf(text, sizeof(text), "metasd: training model \"%.256s\", %s", reporter->model,
                   heartbeat->phase);
    if (heartbeat->total > 0 && heartbeat->epoch == 0 && len < (int)sizeof(text))
        snprintf(text + len, sizeof(text) - len, ", probe " INT64_FORMAT " of " INT64_FORMAT,
                 heartbeat->done + 1, heartbeat->total);
    else if (heartbeat->total > 0 && len < (int)sizeof(text))
        snprintf(text + len, sizeof(text) - len,
                 ", epoch %d of %d, batch " INT64_FORMAT " of " INT64_FORMAT, heartbeat->epoch,
                 reporter->epochs, heartbeat->done, heartbeat->total);
    pgstat_report_activity(STATE_RUNNING, text);
}

/* Tells pg_stat_activity and the run's row where the training is. */
static void
send_heartbeat(MetasdReporter *reporter)
{
    show_activity(reporter);
    metasd_transaction_run(reporter->transactions, write_heartbeat, reporter);
    reporter->sent = GetCurrentTimestamp();
}

void
metasd_progress_phase(MetasdReporter *reporter, const char *phase)
{
    reporter->heartbeat = (MetasdHeartbeat){.phase = phase};
    metasd_peak_look();
    send_heartbeat(reporter);
    reporter->epoch_started = reporter->sent;
}

typedef struct GraphReport {
    const MetasdReporter *reporter;
    const MetasdGraph *graph;
    Jsonb *params, *metrics;
} GraphReport;

static void
write_graph(void *context)
{
    static MetasdStatement statement = {
        "UPDATE metasd.run SET params = $2, entities = $3, relations = $4, triples = $5, "
        "metrics = $6 WHERE id = $1",
        6,
        {INT8OID, JSONBOID, INT8OID, INT8OID, INT8OID, JSONBOID},
        NULL};
    const GraphReport *report = context;
    Datum values[6] = {Int64GetDatum(report->reporter->run),
                       JsonbPGetDatum(report->params),
                       Int64GetDatum((int64)report->graph->entities),
                       Int64GetDatum((int64)report->graph->relations),
                       Int64GetDatum((int64)report->graph->triples),
                       JsonbPGetDatum(report->metrics)};

    metasd_statement_execute(&statement, values, NULL, false);
}

void
metasd_progress_graph(MetasdReporter *reporter, const MetasdGraph *graph, Jsonb *params,
                      Jsonb *metrics)
{
    GraphReport report = {
        .reporter = reporter, .graph = graph, .params = params, .metrics = metrics};

    metasd_transaction_run(reporter->transactions, write_graph, &report);
}

/* ---- epochs ---- */

static Datum
mrr_datum(const MetasdRanks *ranks, char *null)
{
    if (ranks->n == 0)
        *null = 'n';
    return Float8GetDatum(ranks->n > 0 ? ranks->reciprocal / (double)ranks->n : 0);
}

typedef struct EpochReport {
    MetasdReporter *reporter;
    const MetasdTraining *training;
    const MetasdEpoch *epoch;
} EpochReport;

static void
write_epoch(void *context)
{
    static MetasdStatement statement = {
        "INSERT INTO metasd.epoch (run, epoch, seconds, loss_full, loss_trial, loss_quiz, "
        "loss_mutual, loss_pruned, mrr_full, mrr_pruned, sparsity, threshold, regrown, dropped, "
        "lr, kept) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        16,
        {INT8OID, INT4OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID,
         FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, INT8OID, INT8OID, FLOAT8OID, BOOLOID},
        NULL};
    const EpochReport *report = context;
    const MetasdReporter *reporter = report->reporter;
    const MetasdStepOptions *options = &report->training->options.step;
    const MetasdEpoch *epoch = report->epoch;
    const MetasdLosses *losses = &epoch->losses;
    bool guided = epoch->pruned && report->training->trainer.state.size.has_student;
    char nulls[] = "                ";
    Datum values[16] = {
        Int64GetDatum(reporter->run),
        Int32GetDatum(epoch->epoch),
        Float8GetDatum((double)(GetCurrentTimestamp() - reporter->epoch_started) / 1e6),
        Float8GetDatum(losses->full),
        Float8GetDatum(losses->trial),
        Float8GetDatum(losses->quiz),
        Float8GetDatum(losses->mutual_full),
        Float8GetDatum(epoch->finetunes ? losses->finetune : losses->mutual_student),
        mrr_datum(&epoch->full, &nulls[8]),
        mrr_datum(&epoch->student, &nulls[9]),
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
    if (!guided || epoch->finetunes || !options->quiz)
        nulls[4] = nulls[5] = 'n';
    if (!guided || (!epoch->finetunes && !options->mutual))
        nulls[6] = nulls[7] = 'n';
    if (!epoch->pruned)
        nulls[9] = nulls[11] = nulls[12] = nulls[13] = 'n';
    write_heartbeat(report->reporter);
    if (!reporter->transactions->gone)
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

/* An epoch is a heartbeat, too: where epochs are short there are no others. */
static void
report_epoch(void *context)
{
    EpochReport *report = context;
    MetasdReporter *reporter = report->reporter;

    reload_settings();
    show_activity(reporter);
    metasd_transaction_run(reporter->transactions, write_epoch, report);
    reporter->sent = reporter->epoch_started = GetCurrentTimestamp();
}

MetasdStatus
metasd_progress_epoch(MetasdReporter *reporter, const MetasdTraining *training,
                      const MetasdEpoch *epoch)
{
    EpochReport report = {.reporter = reporter, .training = training, .epoch = epoch};

    return metasd_transaction_guard(reporter->transactions, report_epoch, &report);
}

static void
report_heartbeat(void *context)
{
    reload_settings();
    send_heartbeat(context);
}

MetasdStatus
metasd_progress_heartbeat(MetasdReporter *reporter, const MetasdHeartbeat *heartbeat)
{
    reporter->heartbeat = *heartbeat;
    if (!TimestampDifferenceExceeds(reporter->sent, GetCurrentTimestamp(), HEARTBEAT_EVERY_MS))
        return METASD_OK;
    return metasd_transaction_guard(reporter->transactions, report_heartbeat, reporter);
}

/* ---- the end ---- */

typedef struct EndReport {
    MetasdReporter *reporter;
    const char *status, *error;
} EndReport;

static void
write_end(void *context)
{
    static MetasdStatement statement = {
        "UPDATE metasd.run SET status = $2, error = $3, finished = clock_timestamp(), pid = NULL "
        "WHERE id = $1",
        3,
        {INT8OID, TEXTOID, TEXTOID},
        NULL};
    const EndReport *report = context;
    Datum values[3] = {Int64GetDatum(report->reporter->run), CStringGetTextDatum(report->status),
                       report->error ? CStringGetTextDatum(report->error) : (Datum)0};

    metasd_statement_execute(&statement, values, report->error ? NULL : "  n", false);
}

static void
report_end(void *context)
{
    EndReport *report = context;

    metasd_transaction_run(report->reporter->transactions, write_end, report);
}

void
metasd_progress_end(MetasdReporter *reporter, const char *status, const char *error)
{
    MetasdTransactions *transactions = reporter->transactions;
    EndReport report = {.reporter = reporter, .status = status, .error = error};
    bool dying = ProcDiePending;

    /*
     * A worker that is told to terminate writes down why before it does. It serves interrupts
     * meanwhile: where it waits for a lock, barriers of others and a second SIGTERM must not wait.
     */
    if (dying)
        ProcDiePending = false;
    transactions->error = NULL;
    if (metasd_transaction_guard(transactions, report_end, &report) != METASD_OK)
        ereport(LOG, (errmsg("metasd run " INT64_FORMAT ": its end could not be recorded: %s",
                             reporter->run, transactions->error->message)));
    if (dying)
        ProcDiePending = InterruptPending = true;
}
