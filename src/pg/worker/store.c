#include "pg/worker/store.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/resowner.h"

#include "core/codec/row_codec.h"
#include "core/train/holdout.h"
#include "pg/base/json.h"
#include "pg/catalog/model.h"
#include "pg/catalog/statement.h"
#include "pg/image/image_cache.h"
#include "pg/worker/checkpoint.h"
#include "pg/worker/compare.h"
#include "pg/worker/limits.h"
#include "pg/worker/peak.h"
#include "pg/worker/rows.h"
#include "pg/worker/team_shm.h"

/* ---- rounding ---- */

/* Findings about the weights that will be stored. */
typedef struct Findings {
    MetasdRanks ranks; /* of the validation triples that the training ranked */
    MetasdHoldout holdout;
    MetasdTenth tenths[10]; /* of the probabilities of its calibration */
    size_t empty;           /* rows of entities and relations, both ways, without a weight */
} Findings;

static MetasdStorage
find_storage(const MetasdParams *params)
{
    return (MetasdStorage)params->value[METASD_P_STORAGE];
}

/* Rounds all rows to the weights that their bytes will be read as; store encodes them later. */
static MetasdStatus
round_weights(const MetasdTrainer *trainer, MetasdStorage storage, MetasdTeam *team)
{
    const MetasdState *state = &trainer->state;
    size_t rows = (size_t)state->entities + state->relation_rows;

    for (size_t i = 0; i < rows; i++) {
        METASD_TRY(metasd_row_round(metasd_state_storage_of(state, i, storage), state->width,
                                    trainer->best + i * state->width));
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK + state->width));
    }
    return METASD_OK;
}

static MetasdStatus
count_empty(const MetasdTrainer *trainer, MetasdTeam *team, size_t *empty)
{
    const MetasdState *state = &trainer->state;
    size_t rows = (size_t)state->entities + state->relation_rows;

    *empty = 0;
    for (size_t i = 0; i < rows; i++) {
        const float *row = trainer->best + i * state->width;
        size_t j = 0;

        while (j < state->width && row[j] == 0)
            j++;
        *empty += j == state->width;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK + j));
    }
    return METASD_OK;
}

static void
take_holdout(MetasdHoldout *holdout, const MetasdGraph *graph)
{
    MetasdArena arena = metasd_arena_measure();

    metasd_holdout_take(holdout, &arena, graph);
    arena = metasd_process_arena(metasd_arena_ok(&arena) ? arena.used : SIZE_MAX, NULL);
    metasd_holdout_take(holdout, &arena, graph);
}

/* Rounds the best weights, and ranks the validation triples with them. */
static void
round_best(MetasdProcess *process, MetasdTraining *training, MetasdStorage storage,
           Findings *findings)
{
    MetasdTrainer *trainer = &training->trainer;
    MetasdTeam alone = metasd_process_team_of_one(process);

    take_holdout(&findings->holdout, &training->graph);
    findings->ranks = (MetasdRanks){0};
    if (storage != METASD_FLOAT32)
        metasd_process_check_status(process, round_weights(trainer, storage, &alone));
    metasd_process_check_status(process, count_empty(trainer, &alone, &findings->empty));
    metasd_process_check_status(process, metasd_holdout(&findings->holdout, &trainer->state, &alone,
                                                        trainer->best, &trainer->validation,
                                                        &training->graph, training->best.student.n,
                                                        &findings->ranks));
    metasd_process_check_status(
        process, metasd_calibrate_tenths(&findings->holdout.calibration, &alone, findings->tenths));
    if (storage == METASD_FLOAT32) /* they are the weights that were ranked before */
        findings->ranks = training->best.student;
}

/* ---- the version ---- */

static void
append_ranks(MetasdJson *json, const char *name, const MetasdRanks *ranks)
{
    static const char *const hits[] = {"hits_1", "hits_3", "hits_10"};
    double n = (double)ranks->n;

    if (ranks->n == 0)
        return;
    metasd_json_open(json, name);
    metasd_json_whole(json, "queries", (int64)ranks->n);
    metasd_json_fixed(json, "mrr", ranks->reciprocal / n, 6);
    for (int i = 0; i < (int)lengthof(hits); i++)
        metasd_json_fixed(json, hits[i], (double)ranks->hits[i] / n, 6);
    metasd_json_fixed(json, "mean_rank", ranks->rank / n, 2);
    metasd_json_close(json);
}

/* A calibration's size and sigmoid; the caller closes the object. */
static void
append_sigmoid(MetasdJson *json, const char *name, const MetasdCalibration *calibration)
{
    uint64 answers = 0, facts = 0;

    for (size_t bin = 0; bin < METASD_BINS; bin++) {
        answers += calibration->whole_bins[bin].all;
        facts += calibration->whole_bins[bin].holding;
    }
    metasd_json_open(json, name);
    metasd_json_whole(json, "questions", (int64)calibration->asked);
    metasd_json_whole(json, "answers", (int64)answers);
    metasd_json_whole(json, "facts", (int64)facts);
    metasd_json_number(json, "slope", (double)calibration->whole.slope, 9);
    metasd_json_number(json, "offset", (double)calibration->whole.offset, 9);
    metasd_json_number(json, "base", (double)calibration->whole.base, 9);
    metasd_json_number(json, "steep", (double)calibration->whole.steep, 9);
}

/* MRR by the degree of the answer, in ranges that double; a range without answers is left out. */
static void
append_degrees(MetasdJson *json, const MetasdHoldout *holdout)
{
    metasd_json_open_list(json, "degrees");
    for (int range = 0; range < METASD_HOLDOUT_DEGREES; range++) {
        size_t n = holdout->degree_ranked[range];

        if (n == 0)
            continue;
        metasd_json_open(json, NULL);
        metasd_json_whole(json, "from", range > 0 ? INT64CONST(1) << (range - 1) : 0);
        metasd_json_whole(json, "queries", (int64)n);
        metasd_json_fixed(json, "mrr", holdout->degree_reciprocal[range] / (double)n, 6);
        metasd_json_close(json);
    }
    metasd_json_close_list(json);
}

/* The answers by tenths of their probability, for a reliability diagram. */
static void
append_tenths(MetasdJson *json, const MetasdTenth tenths[10])
{
    metasd_json_open_list(json, "tenths");
    for (int t = 0; t < 10; t++) {
        metasd_json_open(json, NULL);
        metasd_json_whole(json, "answers", (int64)tenths[t].all);
        metasd_json_whole(json, "facts", (int64)tenths[t].holding);
        metasd_json_number(json, "claimed", tenths[t].claimed, 9);
        metasd_json_close(json);
    }
    metasd_json_close_list(json);
}

static void
append_calibration(MetasdJson *json, const Findings *findings)
{
    const MetasdHoldout *holdout = &findings->holdout;

    if (holdout->calibration.asked == 0)
        return;
    append_sigmoid(json, "calibration", &holdout->calibration);
    append_tenths(json, findings->tenths);
    if (holdout->relation_calibration.asked > 0) {
        append_sigmoid(json, "relations", &holdout->relation_calibration);
        metasd_json_close(json);
    }
    metasd_json_close(json);
}

/* A version about to be stored. */
typedef struct Storing {
    MetasdProcess *process;
    const char *model;
    const MetasdInput *input;
    MetasdTraining *training;
    const MetasdParams *params;
    Findings findings;
    MetasdComparison comparison;
    bool outdated; /* another version serves by now than the one compared with */
} Storing;

/* The most memory of the training, that of followers included. */
static size_t
count_peak_bytes(const MetasdProcess *process)
{
    return metasd_peak_bytes() +
           (process->shm ? pg_atomic_read_u64(&process->shm->shared->followers_bytes) : 0);
}

/* The run's row has metrics of the input already. */
static Datum
write_metrics(const Storing *storing)
{
    const MetasdTraining *training = storing->training;
    const MetasdEpoch *best = &training->best;
    const MetasdState *state = &training->trainer.state;
    const Findings *findings = &storing->findings;
    size_t rows = (size_t)state->entities + state->relation_rows;
    TimestampTz started = storing->process->started;
    MetasdJson *json = metasd_json_begin();

    metasd_json_whole(json, "epoch", best->epoch);
    metasd_json_fixed(json, "sparsity", best->sparsity, 6);
    metasd_json_number(json, "threshold", (double)best->threshold, 9);
    metasd_json_whole(json, "empty_rows", (int64)findings->empty);
    metasd_json_fixed(json, "seconds", (double)(GetCurrentTimestamp() - started) / 1e6, 1);
    metasd_json_whole(json, "dense_bytes", (int64)(rows * state->width * sizeof(float)));
    metasd_json_whole(json, "peak_memory", (int64)count_peak_bytes(storing->process));
    if (!OidIsValid(training->held_out.validation)) /* the next version's comparison reads it */
        metasd_json_number(json, "held_out", training->held_out.fraction, 9);
    metasd_compare_append(json, &storing->comparison);
    append_ranks(json, "validation", &best->student);
    append_ranks(json, "full", &best->full);
    append_ranks(json, "stored", &findings->ranks);
    if (findings->ranks.n > 0)
        append_degrees(json, &findings->holdout);
    append_calibration(json, findings);
    return JsonbPGetDatum(metasd_json_end(json));
}

/*
 * Deletes the embeddings of old versions. Besides the version that serves the newest stay, so that
 * `keep_versions` are left. Their rows are deleted like any others: a transaction that still sees
 * them serve goes on reading them, also to build an image. Rows of metasd.run stay, too.
 */
static void
prune_versions(const char *model, int64 keep)
{
    static MetasdStatement mark = {
        "UPDATE metasd.run SET kept = false WHERE id = ANY (ARRAY(SELECT r.id FROM metasd.run r "
        "JOIN metasd.model m ON m.name = r.model WHERE m.name = $1 AND r.kept "
        "AND r.id <> m.serving ORDER BY r.id DESC OFFSET $2)) RETURNING id",
        2,
        {TEXTOID, INT8OID},
        NULL};
    static MetasdStatement statements[] = {
        {"DELETE FROM metasd.entity WHERE run = $1", 1, {INT8OID}, NULL},
        {"DELETE FROM metasd.relation WHERE run = $1", 1, {INT8OID}, NULL},
        {"UPDATE metasd.model SET history = array_remove(history, $1) WHERE $1 = ANY (history)",
         1,
         {INT8OID},
         NULL}};
    Datum values[2] = {CStringGetTextDatum(model), Int64GetDatum(keep - 1)};
    uint64 n = metasd_statement_execute(&mark, values, NULL, false);
    SPITupleTable *rows = SPI_tuptable;

    for (uint64 i = 0; i < n; i++) {
        bool isnull;
        Datum run = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull);

        for (int s = 0; s < (int)lengthof(statements); s++)
            metasd_statement_execute(&statements[s], &run, NULL, false);
    }
}

/* Ends the run, and lets its version serve if it may; false if the run is gone. */
static bool
promote_version(const Storing *storing, size_t bytes)
{
    static MetasdStatement finish = {
        "UPDATE metasd.run SET status = 'succeeded', finished = clock_timestamp(), phase = NULL, "
        "pid = NULL, metrics = metrics || $2, bytes = $3, note = $4, kept = true WHERE id = $1",
        4,
        {INT8OID, JSONBOID, INT8OID, TEXTOID},
        NULL};
    int64 run = storing->process->launch.run;
    const char *note = storing->comparison.note;
    Datum of_run[4] = {Int64GetDatum(run), write_metrics(storing), Int64GetDatum((int64)bytes),
                       note ? CStringGetTextDatum(note) : (Datum)0};

    if (metasd_statement_execute(&finish, of_run, note ? NULL : "   n", false) == 0)
        return false;
    if (storing->comparison.promoted)
        metasd_model_serve(storing->model, run);
    prune_versions(storing->model, (int64)storing->params->value[METASD_P_KEEP_VERSIONS]);
    return true;
}

/*
 * Shares the version's image before any session sees it serve, in place of the training, of which
 * nothing is needed any more: only the image's rows are. Without an image it serves as well,
 * though its first question takes longer: a failure does not undo the training. An end of the
 * worker does.
 */
static void
publish_image(const char *model, int64 run)
{
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;

    metasd_image_cache_forget();
    BeginInternalSubTransaction(NULL);
    PG_TRY();
    {
        metasd_image_cache_publish(model, metasd_limits_cache_size());
        ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        ErrorData *error;

        MemoryContextSwitchTo(context);
        error = CopyErrorData();
        if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
            error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
            PG_RE_THROW();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
        ereport(LOG, (errmsg("metasd run " INT64_FORMAT ": the image of its version could not be "
                             "built: %s",
                             run, error->message)));
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
}

/* Locks the model's row before anything else, as kg_drop does. */
static void
store_version(void *context)
{
    Storing *storing = context;
    const MetasdProcess *process = storing->process;
    bool *gone = &storing->process->transactions.gone;
    MetasdModel *model = metasd_model_find(storing->model, true);
    size_t bytes;

    *gone = !model;
    if (*gone)
        return;
    storing->outdated = model->serving != storing->comparison.serving;
    if (storing->outdated)
        return;
    bytes = metasd_rows_write(process->launch.run, find_storage(storing->params), storing->input,
                              storing->training, &storing->findings.holdout);
    metasd_checkpoint_forget(storing->model);
    ForceSyncCommit();
    *gone = !promote_version(storing, bytes);
    if (!storing->comparison.promoted || *gone)
        return;
    metasd_training_free(storing->training, process);
    publish_image(storing->model, process->launch.run);
}

static void
log_note(const Storing *storing)
{
    int64 run = storing->process->launch.run;

    ereport(LOG, (storing->comparison.promoted
                      ? errmsg("metasd run " INT64_FORMAT " of model \"%s\" was promoted without a "
                               "comparison",
                               run, storing->model)
                      : errmsg("metasd run " INT64_FORMAT " of model \"%s\" was not promoted", run,
                               storing->model),
                  errdetail_internal("%s", storing->comparison.note)));
}

/* The model's row is not locked while versions are compared: that may take minutes. */
void
metasd_store(MetasdProcess *process, MetasdReporter *reporter, const MetasdInput *input,
             MetasdTraining *training, const MetasdParams *params)
{
    Storing storing = {.process = process,
                       .model = reporter->model,
                       .input = input,
                       .training = training,
                       .params = params};

    round_best(process, training, find_storage(params), &storing.findings);
    do {
        metasd_progress_phase(reporter, "comparing");
        storing.comparison = metasd_compare(process, reporter, input, training,
                                            params->value[METASD_P_PROMOTE_TOLERANCE]);
        metasd_progress_phase(reporter, "storing");
        metasd_transaction_run(&process->transactions, store_version, &storing);
    } while (storing.outdated);
    if (storing.comparison.note)
        log_note(&storing);
}
