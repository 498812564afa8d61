/*
 * wait.c - CALL kg_wait(run, timeout): shows epochs as they end, and returns when the run ends.
 *
 * It is a procedure, so that it can commit. Between two looks at the run it holds no snapshot and
 * no lock, and each look sees all that has been committed.
 */
#include "pg/base/compat.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pg/access/access.h"
#include "pg/catalog/extension.h"
#include "pg/catalog/run.h"
#include "pg/catalog/statement.h"
#include "pg/control/doubt_notes.h"
#include "pg/control/import_notes.h"
#include "pg/control/run_state.h"

#define LOOK_AGAIN_MS 200

PG_FUNCTION_INFO_V1(metasd_kg_wait);

/* ---- epochs ---- */

/* "1:02:03" or "2:03" */
static char *
format_time(double seconds)
{
    long s = (long)(seconds + 0.5);

    return s >= 3600 ? psprintf("%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60)
                     : psprintf("%ld:%02ld", s / 60, s % 60);
}

/* A figure of row ROW; NAN if it is NULL. */
static double
figure_of(uint64 row, const char *column)
{
    bool isnull;
    Datum value = metasd_statement_value(row, metasd_statement_column(column), &isnull);

    return isnull ? NAN : DatumGetFloat8(value);
}

/* The losses of an epoch; fine-tuning has only that of the pruned model. */
static char *
format_loss(double full, double pruned)
{
    if (isnan(full) && isnan(pruned))
        return pstrdup(_("no loss"));
    if (isnan(full))
        return psprintf(_("loss (pruned %.3f)"), pruned);
    if (isnan(pruned))
        return psprintf(_("loss %.3f"), full);
    return psprintf(_("loss %.3f (pruned %.3f)"), full, pruned);
}

/*
 * The losses and the validation metrics, which a training without validation triples lacks. A model
 * that learns alone and of which nothing is pruned is not called pruned.
 */
static char *
format_figures(uint64 row)
{
    double loss_full = figure_of(row, "loss_full"), loss_pruned = figure_of(row, "loss_pruned");
    double full = figure_of(row, "mrr_full"), pruned = figure_of(row, "mrr_pruned");
    char *loss;

    if (isnan(loss_full) && !isnan(loss_pruned) && figure_of(row, "sparsity") == 0) {
        loss_full = loss_pruned;
        full = pruned;
        loss_pruned = pruned = NAN;
    }
    loss = format_loss(loss_full, loss_pruned);

    if (isnan(full) && isnan(pruned))
        return loss;
    if (isnan(full))
        return psprintf(_("%s, validation MRR (pruned %.3f)"), loss, pruned);
    if (isnan(pruned))
        return psprintf(_("%s, validation MRR %.3f"), loss, full);
    return psprintf(_("%s, validation MRR %.3f (pruned %.3f)"), loss, full, pruned);
}

/* An INFO line for each epoch after *SHOWN. */
static void
show_epochs(int64 run, int epochs, int *shown)
{
    static MetasdStatement statement = {
        "SELECT epoch, seconds, loss_full, loss_pruned, mrr_full, mrr_pruned, kept, sparsity "
        "FROM metasd.epoch WHERE run = $1 AND epoch > $2 ORDER BY epoch",
        2,
        {INT8OID, INT4OID},
        NULL};
    Datum values[2] = {Int64GetDatum(run), Int32GetDatum(*shown)};
    uint64 n = metasd_statement_execute(&statement, values, NULL, false);

    for (uint64 i = 0; i < n; i++) {
        double seconds = figure_of(i, "seconds"), sparsity = figure_of(i, "sparsity");
        char *figures = format_figures(i), *left;
        bool isnull, kept;

        *shown =
            DatumGetInt32(metasd_statement_value(i, metasd_statement_column("epoch"), &isnull));
        kept = DatumGetBool(metasd_statement_value(i, metasd_statement_column("kept"), &isnull));
        left = format_time(seconds * (epochs - *shown));
        ereport(INFO, (kept ? errmsg("epoch %d of %d: %s, sparsity %.2f, %.1f s, %s left, kept so "
                                     "far",
                                     *shown, epochs, figures, sparsity, seconds, left)
                            : errmsg("epoch %d of %d: %s, sparsity %.2f, %.1f s, %s left", *shown,
                                     epochs, figures, sparsity, seconds, left)));
    }
}

/* Skips the epochs before a run was resumed: they have been shown before. */
static void
skip_resumed(int64 run, const MetasdRunState *state, int *shown)
{
    if (*shown >= state->resumed)
        return;
    *shown = state->resumed;
    ereport(INFO, (errmsg("run " INT64_FORMAT " was resumed from its checkpoint, after "
                          "epoch %d of %d",
                          run, state->resumed, state->epochs)));
}

/* Reports a version that was not promoted, or was promoted without a comparison. */
static void
show_promotion(int64 run, const MetasdRunState *state)
{
    if (state->note && state->promoted)
        ereport(NOTICE, (errmsg("version " INT64_FORMAT " of model \"%s\" was promoted without a "
                                "comparison",
                                run, state->model),
                         errdetail_internal("%s", state->note)));
    else if (state->note)
        ereport(
            NOTICE,
            (errmsg("version " INT64_FORMAT " of model \"%s\" was not promoted", run, state->model),
             errdetail_internal("%s", state->note),
             state->kept ? errhint("SELECT kg_promote(%s, " INT64_FORMAT ") lets it serve "
                                   "anyway.",
                                   quote_literal_cstr(state->model), run)
                         : errhint("Its embeddings are not kept: the parameter keep_versions is 1, "
                                   "which keeps only those of the version that serves.")));
}

/* The same of a run that imports: nothing that kg_train does would do the same. */
static int
import_hint(int64 run, const MetasdRunState *state)
{
    if (state->resumable)
        return errhint("SELECT kg_resume(" INT64_FORMAT ") goes on from the last checkpoint, "
                       "kg_import starts anew.",
                       run);
    if (state->serves)
        return errhint("The version that served before still serves. Call kg_import again when "
                       "that is mended.");
    return errhint("Call kg_import again when that is mended.");
}

/* An errhint: what to do about a run that has not succeeded. */
static int
end_hint(int64 run, const MetasdRunState *state)
{
    char *name = quote_literal_cstr(state->model);

    if (state->import.given)
        return import_hint(run, state);
    if (state->resumable && state->serves)
        return errhint("The version that served before still serves. SELECT kg_resume(" INT64_FORMAT
                       ") goes on from the last checkpoint, SELECT kg_train(%s) starts anew.",
                       run, name);
    if (state->resumable)
        return errhint("SELECT kg_resume(" INT64_FORMAT ") goes on from the last checkpoint, "
                       "SELECT kg_train(%s) starts anew.",
                       run, name);
    if (state->serves)
        return errhint("The version that served before still serves. SELECT kg_train(%s) starts "
                       "anew.",
                       name);
    return errhint("SELECT kg_train(%s) starts anew.", name);
}

/* An errmsg: how a run ended that has not succeeded. */
static int
end_message(int64 run, const MetasdRunState *state)
{
    if (strcmp(state->status, "failed") == 0)
        return errmsg("run " INT64_FORMAT " of model \"%s\" failed", run, state->model);
    if (strcmp(state->status, "cancelled") == 0)
        return errmsg("run " INT64_FORMAT " of model \"%s\" was cancelled", run, state->model);
    return errmsg("run " INT64_FORMAT " of model \"%s\" was interrupted", run, state->model);
}

/* True if the run has succeeded; an error if it has ended in another way. */
static bool
check_end(int64 run, const MetasdRunState *state)
{
    const char *status = state->status;

    if (strcmp(status, "succeeded") == 0)
        return true;
    if (strcmp(status, "queued") == 0 || strcmp(status, "running") == 0)
        return false;
    ereport(ERROR, (errcode(strcmp(status, "cancelled") == 0 ? ERRCODE_QUERY_CANCELED
                                                             : ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
                    end_message(run, state),
                    state->secret  ? errdetail("Those who may read all that it was made of may "
                                                "know why.")
                    : state->error ? errdetail_internal("%s", state->error)
                                   : errdetail("The training worker is gone."),
                    end_hint(run, state)));
}

static void
check_state(int64 run, MetasdRunState *state)
{
    bool known, why;

    CommandCounterIncrement(); /* this transaction may have started it */
    PushActiveSnapshot(GetTransactionSnapshot());
    known = state->exists && metasd_access_may_know_run(run, &why);
    PopActiveSnapshot();
    if (!known) /* not everybody may know its name */
        metasd_run_unknown(run);
    state->secret = !why;
    if (state->started_here)
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
to_milliseconds(const Interval *interval)
{
    return (double)interval->time / 1000.0 +
           ((double)interval->month * 30 + (double)interval->day) * 86400e3;
}

/* The notes that the caller has been shown. */
typedef struct Progress {
    int shown; /* epochs */
    bool start, probes, rank, rows, doubts, imported;
} Progress;

/* Says once from which version the training starts, or why it does not start from one. */
static void
note_start(const MetasdRunState *state, Progress *progress)
{
    const MetasdRunStart *start = &state->start;

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

/* Says once what probes have chosen. */
static void
note_probes(const MetasdRunState *state, Progress *progress)
{
    const MetasdRunChoice *choice = &state->choice;

    if (!progress->probes && choice->probes)
        ereport(INFO, (errmsg("%s probes chose regularizer %s, reg %s, relation_weight %s, "
                              "class_weights %s",
                              choice->probes, choice->regularizer, choice->reg,
                              choice->relation_weight, choice->class_weights)));
    progress->probes = choice->probes != NULL;
}

/* Says once that memory does not allow the default rank. */
static void
note_rank(const MetasdRunState *state, Progress *progress)
{
    if (!progress->rank && state->default_rank > 0)
        ereport(
            NOTICE,
            (errmsg("the default rank was lowered from %d to %d", state->default_rank, state->rank),
             errdetail("metasd.train_mem allows no higher rank."),
             errhint("Raise metasd.train_mem to get the default rank, or set the parameter rank "
                     "to keep the lower one.")));
    progress->rank = state->default_rank > 0;
}

/* Says once how many rows of the sources were left out. */
static void
note_rows(const MetasdRunState *state, Progress *progress)
{
    if (progress->rows)
        return;
    if (state->skipped > 0)
        ereport(NOTICE, (errmsg_plural("%lld row with a null or empty identifier was left out",
                                       "%lld rows with a null or empty identifier were left out",
                                       (unsigned long)state->skipped, (long long)state->skipped)));
    if (state->unknown > 0 && state->import.given)
        ereport(NOTICE, (errmsg_plural("%lld validation row was left out: there is no embedding of "
                                       "its entity or relation",
                                       "%lld validation rows were left out: there are no "
                                       "embeddings of their entities or relations",
                                       (unsigned long)state->unknown, (long long)state->unknown)));
    else if (state->unknown > 0)
        ereport(NOTICE, (errmsg_plural("%lld validation row was left out: the source does not have "
                                       "its entity or relation",
                                       "%lld validation rows were left out: the source does not "
                                       "have their entity or relation",
                                       (unsigned long)state->unknown, (long long)state->unknown)));
    progress->rows = state->skipped > 0 || state->unknown > 0;
}

/* Reports rows of the model that pruning has left without a weight. */
static void
show_empty(const MetasdRunState *state)
{
    if (state->empty > 0)
        ereport(NOTICE,
                (errmsg_plural("%lld row of model \"%s\" is empty: pruning has left it no weight",
                               "%lld rows of model \"%s\" are empty: pruning has left them no "
                               "weight",
                               (unsigned long)state->empty, (long long)state->empty, state->model),
                 errdetail("All answers to a question about such an entity or relation have the "
                           "same score."),
                 state->import.given
                     ? errhint("Import again with a lower sparsity.")
                     : errhint("Train longer, at a higher rank or a lower sparsity.")));
}

/* Reports an import that has succeeded: there were no epochs to show, but if it is fine-tuned. */
static void
show_import(const MetasdRunState *state)
{
    const MetasdRunImport *import = &state->import;

    if (!import->given)
        return;
    if (import->tunes)
        return;
    if (import->stored)
        ereport(INFO, (errmsg("imported embeddings of rank %d (entities: %s, relations: %s): "
                              "validation MRR %s (stored %s), sparsity %s",
                              state->rank, import->entities, import->relations, import->full,
                              import->stored, import->sparsity)));
    else
        ereport(INFO, (errmsg("imported embeddings of rank %d (entities: %s, relations: %s): "
                              "sparsity %s",
                              state->rank, import->entities, import->relations, import->sparsity)));
}

/* Shows news of the run and commits; true if the run has succeeded. */
static bool
show_news(int64 run, Progress *progress)
{
    MetasdRunState state;
    bool ended;

    if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    (void)metasd_extension_hold(metasd_extension());
    state = metasd_run_state_find(run);
    check_state(run, &state);
    note_start(&state, progress);
    note_probes(&state, progress);
    note_rank(&state, progress);
    progress->doubts = progress->doubts || metasd_doubt_notes_show(run);
    progress->imported = progress->imported || metasd_import_notes_show(run);
    skip_resumed(run, &state, &progress->shown);
    show_epochs(run, state.epochs, &progress->shown);
    ended = check_end(run, &state);
    note_rows(&state, progress);
    if (ended) {
        show_import(&state);
        show_empty(&state);
        show_promotion(run, &state);
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
    double most = PG_ARGISNULL(1) ? INFINITY : to_milliseconds(PG_GETARG_INTERVAL_P(1));
    Progress progress = {0};
    int64 run;

    refuse_atomic(fcinfo);
    if (PG_ARGISNULL(0))
        PG_RETURN_VOID();
    run = PG_GETARG_INT64(0);
    while (!show_news(run, &progress)) {
        if ((double)(GetCurrentTimestamp() - begun) / 1000.0 >= most) {
            ereport(WARNING, (errmsg("run " INT64_FORMAT " is still running", run)));
            break;
        }
        metasd_run_sleep(LOOK_AGAIN_MS);
    }
    PG_RETURN_VOID();
}
