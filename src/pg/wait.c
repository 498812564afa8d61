/*
 * wait.c - CALL kg_wait(run, timeout): shows epochs as they end, returns with the training.
 *
 * A procedure, so that it can commit: between two looks no snapshot and no lock is
 * held, and every look sees what has been committed since.
 */
#include "compat.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "ask.h"
#include "catalog.h"
#include "run.h"

#define LOOK_EVERY_MS 200

PG_FUNCTION_INFO_V1(metasd_kg_wait);

/* What a look finds. */
typedef struct Look {
    bool exists;
    bool started_here; /* by this very transaction, which nobody else can see yet */
    char *model;
    const char *status;
    char *error;
    int epochs;             /* at most, 0 while unknown */
    int64 skipped, unknown; /* rows left out, 0 while not known */
} Look;

static Look
look_at(int64 run)
{
    static MetasdStatement statement = {
        "SELECT model, status, error, (params ->> 'epochs'::pg_catalog.text)::pg_catalog.int4, "
        "xmin, (metrics ->> 'skipped_rows'::pg_catalog.text)::pg_catalog.int8, "
        "(metrics ->> 'unknown_rows'::pg_catalog.text)::pg_catalog.int8 "
        "FROM metasd.run WHERE id OPERATOR(pg_catalog.=) $1",
        1,
        {INT8OID},
        NULL};
    Datum value = Int64GetDatum(run);
    Look look = {0};
    bool isnull;

    if (metasd_execute(&statement, &value, NULL, false) == 0)
        return look;
    look.exists = true;
    look.model = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
    look.status = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
    look.error = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3);
    look.epochs = DatumGetInt32(metasd_column(0, 4, &isnull));
    if (isnull)
        look.epochs = 0;
    look.started_here =
        TransactionIdIsCurrentTransactionId(DatumGetTransactionId(metasd_column(0, 5, &isnull)));
    look.skipped = DatumGetInt64(metasd_column(0, 6, &isnull)); /* a NULL comes as 0 */
    look.unknown = DatumGetInt64(metasd_column(0, 7, &isnull));
    return look;
}

/*
 * The status counts as of now, not as of the row: where the run has ended in between, its row is
 * looked at again, for the reason and the last epochs.
 */
static Look
look_twice(int64 run)
{
    Look look = look_at(run);
    const char *status;

    if (!look.exists)
        return look;
    status = metasd_run_status(run, look.status);
    if (strcmp(status, look.status) != 0) {
        look = look_at(run);
        look.status = status;
    }
    return look;
}

static double
float_column(uint64 row, int column)
{
    bool isnull;
    Datum value = metasd_column(row, column, &isnull);

    return isnull ? NAN : DatumGetFloat8(value);
}

static void
append_figure(StringInfo line, const char *before, double x, const char *after)
{
    if (!isnan(x))
        appendStringInfo(line, "%s%.3f%s", before, x, after);
}

/* "1:02:03" or "2:03" */
static char *
clock_time(double seconds)
{
    long s = (long)(seconds + 0.5);

    return s >= 3600 ? psprintf("%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60)
                     : psprintf("%ld:%02ld", s / 60, s % 60);
}

/* An INFO line for each epoch after *shown. Figures of the pruned model are in parentheses. */
static void
show_epochs(int64 run, int epochs, int *shown)
{
    static MetasdStatement statement = {
        "SELECT epoch, seconds, loss_source, loss_mutual_student, mrr_source, mrr_pruned, best, "
        "sparsity FROM metasd.epoch WHERE run OPERATOR(pg_catalog.=) $1 "
        "AND epoch OPERATOR(pg_catalog.>) $2 ORDER BY epoch",
        2,
        {INT8OID, INT4OID},
        NULL};
    Datum values[2] = {Int64GetDatum(run), Int32GetDatum(*shown)};
    uint64 n = metasd_execute(&statement, values, NULL, false);

    for (uint64 i = 0; i < n; i++) {
        StringInfoData line;
        bool isnull;
        double seconds = float_column(i, 2);

        *shown = DatumGetInt32(metasd_column(i, 1, &isnull));
        initStringInfo(&line);
        appendStringInfo(&line, "epoch %d of %d: loss", *shown, epochs);
        append_figure(&line, " ", float_column(i, 3), "");
        append_figure(&line, " (pruned ", float_column(i, 4), ")");
        append_figure(&line, ", validation MRR ", float_column(i, 5), "");
        append_figure(&line, " (pruned ", float_column(i, 6), ")");
        appendStringInfo(&line, ", sparsity %.2f, %.1f s, %s left", float_column(i, 8), seconds,
                         clock_time(seconds * (epochs - *shown)));
        if (DatumGetBool(metasd_column(i, 7, &isnull)))
            appendStringInfoString(&line, ", best so far");
        ereport(INFO, (errmsg_internal("%s", line.data)));
    }
}

/* True if the run has ended well; an error if it has ended otherwise. */
static bool
has_ended(int64 run, const Look *look)
{
    const char *status = look->status;

    if (strcmp(status, "succeeded") == 0)
        return true;
    if (strcmp(status, "queued") == 0 || strcmp(status, "running") == 0)
        return false;
    ereport(ERROR, (errcode(strcmp(status, "cancelled") == 0 ? ERRCODE_QUERY_CANCELED
                                                             : ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
                    errmsg("run " INT64_FORMAT " of model \"%s\" %s%s", run, look->model,
                           strcmp(status, "failed") == 0 ? "" : "was ", status),
                    look->error ? errdetail_internal("%s", look->error)
                                : errdetail("The training worker is gone."),
                    errhint("What served before goes on serving. SELECT kg_train(%s) starts anew.",
                            quote_literal_cstr(look->model))));
}

static void
check_look(int64 run, const Look *look)
{
    MetasdModel *model = look->exists ? metasd_model_find(look->model, false) : NULL;

    if (!model)
        metasd_run_unknown(run);
    if (!metasd_model_may_ask(model))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("permission denied for model \"%s\"", model->name)));
    if (look->started_here)
        ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
                        errmsg("run " INT64_FORMAT " was started by this transaction", run),
                        errdetail("Training begins when the transaction commits."),
                        errhint("COMMIT before CALL kg_wait.")));
}

static void
refuse_atomic(FunctionCallInfo fcinfo)
{
    bool atomic = !fcinfo->context || !IsA(fcinfo->context, CallContext) ||
                  castNode(CallContext, fcinfo->context)->atomic;

    if (atomic)
        ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
                        errmsg("kg_wait cannot run inside a transaction block or a function"),
                        errdetail("It would hold the transaction open while it waits."),
                        errhint("COMMIT, then CALL kg_wait as a statement of its own.")));
}

static double
milliseconds(const Interval *interval)
{
    return (double)interval->time / 1000.0 +
           ((double)interval->month * 30 + (double)interval->day) * 86400e3;
}

/* What the caller has been told so far. */
typedef struct Progress {
    int epochs;
    bool rows;
} Progress;

/* Rows of the sources that take no part, once. */
static void
note_rows(const Look *look, Progress *progress)
{
    if (progress->rows)
        return;
    if (look->skipped > 0)
        ereport(NOTICE, (errmsg(INT64_FORMAT " rows with a null or empty identifier were left out",
                                look->skipped)));
    if (look->unknown > 0)
        ereport(NOTICE, (errmsg(INT64_FORMAT " validation rows were left out: the source does not "
                                             "have their entity or relation",
                                look->unknown)));
    progress->rows = look->skipped > 0 || look->unknown > 0;
}

/* Tells what is new, commits, and leaves nothing behind; true if the run has ended well. */
static bool
look_once(int64 run, Progress *progress)
{
    Look look;
    bool ended;

    if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    (void)metasd_extension_hold(metasd_extension());
    look = look_twice(run);
    check_look(run, &look);
    show_epochs(run, look.epochs, &progress->epochs);
    ended = has_ended(run, &look);
    note_rows(&look, progress);
    SPI_commit();
    SPI_finish();
    return ended;
}

/* kg_wait(run bigint, timeout interval) */
Datum
metasd_kg_wait(PG_FUNCTION_ARGS)
{
    TimestampTz begun = GetCurrentTimestamp();
    double most = PG_ARGISNULL(1) ? INFINITY : milliseconds(PG_GETARG_INTERVAL_P(1));
    Progress progress = {0};
    int64 run;

    refuse_atomic(fcinfo);
    if (PG_ARGISNULL(0))
        PG_RETURN_VOID();
    run = PG_GETARG_INT64(0);
    while (!look_once(run, &progress)) {
        if ((double)(GetCurrentTimestamp() - begun) / 1000.0 >= most) {
            ereport(WARNING, (errmsg("run " INT64_FORMAT " is still going on", run)));
            break;
        }
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_EVERY_MS,
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    }
    PG_RETURN_VOID();
}
