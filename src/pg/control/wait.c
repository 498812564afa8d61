/*
 * wait.c - CALL kg_wait(run, timeout): shows epochs as they end, and returns with the run.
 *
 * A procedure, so that it can commit: between two looks no snapshot and no lock is
 * held, and every look sees what has been committed since.
 */
#include "pg/base/compat.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pg/access/access.h"
#include "pg/catalog/catalog.h"
#include "pg/catalog/run.h"

#define LOOK_EVERY_MS 200

PG_FUNCTION_INFO_V1(metasd_kg_wait);

/* The version that a training starts from, as texts; NULL where not known, or not so. */
typedef struct Start {
    char *version, *new_entities, *entities, *new_relations, *relations;
    char *not_from, *reason; /* the version that it does not start from, and why: a sentence */
} Start;

/* What a look finds. */
typedef struct Look {
    bool exists;
    bool started_here; /* by this very transaction, which nobody else can see yet */
    char *model;
    const char *status;
    char *error;
    int epochs;             /* at most, 0 while unknown */
    int64 skipped, unknown; /* rows left out, 0 while not known */
    Start start;
    char *note;          /* of a version: why it was not promoted, or not compared; or NULL */
    bool promoted;       /* at its end */
    bool kept;           /* it has embeddings, or may have them yet */
    bool resumable;      /* it has a checkpoint */
    int resumed;         /* the epoch after which it was resumed, or 0 */
    int rank, rank_wish; /* and the default that memory does not allow, or 0 */
    int64 empty;         /* entities and relations without a weight, 0 while not known */
} Look;

static char *
row_text(int column)
{
    return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

static Look
look_at(int64 run)
{
    static MetasdStatement statement = {
        "SELECT model, status, error, (params ->> 'epochs')::int4, xmin, "
        "(metrics ->> 'skipped_rows')::int8, (metrics ->> 'unknown_rows')::int8, note, "
        "(metrics ->> 'promoted')::bool, kept, EXISTS (SELECT FROM metasd.checkpoint c "
        "WHERE c.run = run.id AND c.part = run.checkpoint), resumed_epoch, "
        "(params ->> 'rank')::int4, (metrics ->> 'rank_by_default')::int4, "
        "(metrics ->> 'empty_rows')::int8, metrics #>> '{warm_start,version}', "
        "metrics #>> '{warm_start,new_entities}', entities, "
        "metrics #>> '{warm_start,new_relations}', relations, "
        "metrics #>> '{warm_start,not_from}', metrics #>> '{warm_start,reason}' FROM metasd.run "
        "WHERE id = $1",
        1,
        {INT8OID},
        NULL};
    Datum value = Int64GetDatum(run);
    Look look = {0};
    bool isnull;

    if (metasd_statement_execute(&statement, &value, NULL, false) == 0)
        return look;
    look.exists = true;
    look.model = row_text(1);
    look.status = row_text(2);
    look.error = row_text(3);
    look.epochs =
        DatumGetInt32(metasd_statement_value(0, 4, &isnull)); /* a NULL comes as 0 or false */
    look.started_here = TransactionIdIsCurrentTransactionId(
        DatumGetTransactionId(metasd_statement_value(0, 5, &isnull)));
    look.skipped = DatumGetInt64(metasd_statement_value(0, 6, &isnull));
    look.unknown = DatumGetInt64(metasd_statement_value(0, 7, &isnull));
    look.note = row_text(8);
    look.promoted = DatumGetBool(metasd_statement_value(0, 9, &isnull));
    look.kept = DatumGetBool(metasd_statement_value(0, 10, &isnull));
    look.resumable = DatumGetBool(metasd_statement_value(0, 11, &isnull));
    look.resumed = DatumGetInt32(metasd_statement_value(0, 12, &isnull));
    look.rank = DatumGetInt32(metasd_statement_value(0, 13, &isnull));
    look.rank_wish = DatumGetInt32(metasd_statement_value(0, 14, &isnull));
    look.empty = DatumGetInt64(metasd_statement_value(0, 15, &isnull));
    look.start = (Start){.version = row_text(16),
                         .new_entities = row_text(17),
                         .entities = row_text(18),
                         .new_relations = row_text(19),
                         .relations = row_text(20),
                         .not_from = row_text(21),
                         .reason = row_text(22)};
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
    Datum value = metasd_statement_value(row, column, &isnull);

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
        "SELECT epoch, seconds, loss_full, loss_pruned, mrr_full, mrr_pruned, best, sparsity "
        "FROM metasd.epoch WHERE run = $1 AND epoch > $2 ORDER BY epoch",
        2,
        {INT8OID, INT4OID},
        NULL};
    Datum values[2] = {Int64GetDatum(run), Int32GetDatum(*shown)};
    uint64 n = metasd_statement_execute(&statement, values, NULL, false);

    for (uint64 i = 0; i < n; i++) {
        StringInfoData line;
        bool isnull;
        double seconds = float_column(i, 2);

        *shown = DatumGetInt32(metasd_statement_value(i, 1, &isnull));
        initStringInfo(&line);
        appendStringInfo(&line, "epoch %d of %d: loss", *shown, epochs);
        append_figure(&line, " ", float_column(i, 3), "");
        append_figure(&line, " (pruned ", float_column(i, 4), ")");
        append_figure(&line, ", validation MRR ", float_column(i, 5), "");
        append_figure(&line, " (pruned ", float_column(i, 6), ")");
        appendStringInfo(&line, ", sparsity %.2f, %.1f s, %s left", float_column(i, 8), seconds,
                         clock_time(seconds * (epochs - *shown)));
        if (DatumGetBool(metasd_statement_value(i, 7, &isnull)))
            appendStringInfoString(&line, ", best so far");
        ereport(INFO, (errmsg_internal("%s", line.data)));
    }
}

/* Epochs of before a run was resumed have been shown before. */
static void
pass_over_resumed(int64 run, const Look *look, int *shown)
{
    if (*shown >= look->resumed)
        return;
    *shown = look->resumed;
    ereport(INFO, (errmsg("run " INT64_FORMAT " was resumed from its checkpoint, after "
                          "epoch %d of %d",
                          run, look->resumed, look->epochs)));
}

/* What has become of a version, where it is not what one expects. */
static void
show_promotion(int64 run, const Look *look)
{
    if (look->note && look->promoted)
        ereport(NOTICE, (errmsg("version " INT64_FORMAT " of model \"%s\" was promoted without a "
                                "comparison",
                                run, look->model),
                         errdetail_internal("%s", look->note)));
    else if (look->note)
        ereport(
            NOTICE,
            (errmsg("version " INT64_FORMAT " of model \"%s\" was not promoted", run, look->model),
             errdetail_internal("%s", look->note),
             look->kept ? errhint("SELECT kg_promote(%s, " INT64_FORMAT ") lets it serve "
                                  "anyway.",
                                  quote_literal_cstr(look->model), run)
                        : errhint("Its embeddings are not kept: the parameter keep_versions is 1, "
                                  "which keeps only those of the version that serves.")));
}

/* What to do about a run that has not succeeded: an errhint. */
static int
advise(int64 run, const Look *look)
{
    char *name = quote_literal_cstr(look->model);

    if (look->resumable)
        return errhint("The version that served before still serves. SELECT kg_resume(" INT64_FORMAT
                       ") goes on from the last checkpoint, SELECT kg_train(%s) starts anew.",
                       run, name);
    return errhint("The version that served before still serves. SELECT kg_train(%s) starts anew.",
                   name);
}

/* That a run has not succeeded: an errmsg. */
static int
end_message(int64 run, const Look *look)
{
    if (strcmp(look->status, "failed") == 0)
        return errmsg("run " INT64_FORMAT " of model \"%s\" failed", run, look->model);
    if (strcmp(look->status, "cancelled") == 0)
        return errmsg("run " INT64_FORMAT " of model \"%s\" was cancelled", run, look->model);
    return errmsg("run " INT64_FORMAT " of model \"%s\" was interrupted", run, look->model);
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
                    end_message(run, look),
                    look->error ? errdetail_internal("%s", look->error)
                                : errdetail("The training worker is gone."),
                    advise(run, look)));
}

static void
check_look(int64 run, const Look *look)
{
    MetasdModel *model = look->exists ? metasd_model_find(look->model, false) : NULL;

    if (!model || !metasd_access_may_ask(model)) /* its name is not for everybody */
        metasd_run_unknown(run);
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
    int shown; /* epochs */
    bool start, rank, rows;
} Progress;

/* Which version the training starts from, or why not from that which serves; once. */
static void
note_start(const Look *look, Progress *progress)
{
    const Start *start = &look->start;

    if (!progress->start && start->version)
        ereport(INFO,
                (errmsg("the training starts from version %s", start->version),
                 errdetail("New to that version are %s of %s entities and %s of %s relations.",
                           start->new_entities, start->entities, start->new_relations,
                           start->relations)));
    if (!progress->start && start->not_from)
        ereport(INFO, (errmsg("the training does not start from version %s", start->not_from),
                       errdetail_internal("%s", start->reason)));
    progress->start = start->version || start->not_from;
}

/* A default that memory has lowered, once. */
static void
note_rank(const Look *look, Progress *progress)
{
    if (!progress->rank && look->rank_wish > 0)
        ereport(
            NOTICE,
            (errmsg("the default rank was lowered from %d to %d", look->rank_wish, look->rank),
             errdetail("metasd.train_mem allows no higher rank."),
             errhint("Raise metasd.train_mem to get the default rank, or set the parameter rank "
                     "to keep the lower one.")));
    progress->rank = look->rank_wish > 0;
}

/* Rows of the sources that take no part, once. */
static void
note_rows(const Look *look, Progress *progress)
{
    if (progress->rows)
        return;
    if (look->skipped > 0)
        ereport(NOTICE, (errmsg_plural("%lld row with a null or empty identifier was left out",
                                       "%lld rows with a null or empty identifier were left out",
                                       (unsigned long)look->skipped, (long long)look->skipped)));
    if (look->unknown > 0)
        ereport(NOTICE, (errmsg_plural("%lld validation row was left out: the source does not have "
                                       "its entity or relation",
                                       "%lld validation rows were left out: the source does not "
                                       "have their entity or relation",
                                       (unsigned long)look->unknown, (long long)look->unknown)));
    progress->rows = look->skipped > 0 || look->unknown > 0;
}

/* Rows of the model that answer nothing. */
static void
show_empty(const Look *look)
{
    if (look->empty > 0)
        ereport(NOTICE,
                (errmsg_plural("%lld row of model \"%s\" is empty: pruning has left it no weight",
                               "%lld rows of model \"%s\" are empty: pruning has left them no "
                               "weight",
                               (unsigned long)look->empty, (long long)look->empty, look->model),
                 errdetail("All answers to a question about such an entity or relation have the "
                           "same score."),
                 errhint("Train longer, at a higher rank or a lower sparsity.")));
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
    note_start(&look, progress);
    note_rank(&look, progress);
    pass_over_resumed(run, &look, &progress->shown);
    show_epochs(run, look.epochs, &progress->shown);
    ended = has_ended(run, &look);
    note_rows(&look, progress);
    if (ended) {
        show_empty(&look);
        show_promotion(run, &look);
    }
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
            ereport(WARNING, (errmsg("run " INT64_FORMAT " is still running", run)));
            break;
        }
        metasd_run_sleep(LOOK_EVERY_MS);
    }
    PG_RETURN_VOID();
}
