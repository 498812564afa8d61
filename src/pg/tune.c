/*
 * tune.c - the worker's side of a tuning: trainings one after another on one graph, by this worker
 * alone, until the search (core/tune.h) is over or its time is.
 *
 * The model remembers the best parameters in one transaction at the end. However the tuning ends
 * before, nothing but its row and its trials has changed.
 */
#include "job.h"

#include <math.h>
#include <sys/resource.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "catalog.h"
#include "tune.h"

/* The parameters that are searched, in the order of MetasdAxis. */
static const MetasdParam parameter_of[METASD_AXES] = {METASD_P_LR, METASD_P_RANK, METASD_P_REG,
                                                      METASD_P_RELATION_WEIGHT};
static const char *const name_of[METASD_AXES] = {"lr", "rank", "reg", "relation_weight"};

struct MetasdTuning {
    MetasdTune search;
    MetasdArena shared, own; /* over memory that the largest trial fits */
    MetasdTuneTrial trial;   /* under way, or the last one */
    int number;              /* of it, from 1 */
    int epochs;              /* of it that have ended */
    TimestampTz begun;       /* when it was */
    double answers;          /* that an MRR is of */
};

/* How a trial ended. */
typedef struct Outcome {
    const MetasdTuning *tuning;
    const char *text;
    double seconds, mrr_source, mrr_pruned;
    bool best;
} Outcome;

/* ---- candidates as parameters ---- */

/*
 * What kg_train would make of the candidate's parameters: where defaults depend on each other, that
 * is not the present ones with some replaced.
 */
static MetasdParams
params_of(const MetasdJob *job, const MetasdTune *search, int candidate)
{
    MetasdParams params = job->remembered;

    for (int axis = 0; axis < METASD_AXES && candidate > 0; axis++)
        if (!search->options.fixed[axis]) {
            params.value[parameter_of[axis]] = search->candidate[candidate].x[axis];
            params.given[parameter_of[axis]] = true;
        }
    metasd_params_default(&params, job->graph.entities, job->graph.relations, job->input.count);
    if (!params.given[METASD_P_RANK]) /* as memory allows */
        params.value[METASD_P_RANK] = job->params.value[METASD_P_RANK];
    return params;
}

/* A shorter training has the same shape: all that is counted in epochs is shortened alike. */
static MetasdTrainOptions
options_of(const MetasdJob *job, const MetasdTune *search, const MetasdTuneTrial *trial)
{
    MetasdParams params = params_of(job, search, trial->candidate);
    MetasdTrainOptions options;
    MetasdSplit split;
    double part;

    metasd_params_options(&params, &options, &split);
    part = (double)trial->epochs / options.epochs;
    options.warmup = (int)floor(options.warmup * part);
    options.ramp = (int)floor(options.ramp * part);
    options.finetune = (int)floor(options.finetune * part);
    options.epochs = trial->epochs;
    return options;
}

/* The searched parameters of a candidate. */
static Jsonb *
json_of(const MetasdTune *search, int candidate)
{
    MetasdJson *json = metasd_json_begin();

    for (int axis = 0; axis < METASD_AXES; axis++)
        if (!search->options.fixed[axis])
            metasd_json_number(json, name_of[axis], search->candidate[candidate].x[axis], 9);
    return metasd_json_end(json);
}

/* ---- memory ---- */

/* The highest rank, up to twice the present one, that metasd.train_mem allows. */
static double
most_rank(const MetasdJob *job)
{
    size_t most = (size_t)job->launch.train_mem * 1024;
    MetasdTrainOptions options = job->options;
    size_t least = options.rank, above = 2 * options.rank + 1;

    while (above - least > 1) {
        options.rank = least + (above - least) / 2;
        if (most == 0 || metasd_train_bytes(&job->input, &options, &job->split, 1) <= most)
            least = options.rank;
        else
            above = options.rank;
    }
    return (double)least;
}

/* Takes memory for all trials at once, so that none fails for want of it. */
static void
take_memory(MetasdJob *job, MetasdTuning *tuning)
{
    const MetasdTune *search = &tuning->search;
    size_t shared_bytes = 0, own_bytes = 0;

    for (int i = 0; i < search->candidates; i++) {
        MetasdTuneTrial trial = {.candidate = i, .epochs = search->options.epochs};
        MetasdTrainOptions options = options_of(job, search, &trial);
        MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure();

        metasd_trainer_take(&job->trainer, &shared, &own, &job->graph, &options, 1);
        shared_bytes = Max(shared_bytes, metasd_arena_ok(&shared) ? shared.used : SIZE_MAX);
        own_bytes = Max(own_bytes, metasd_arena_ok(&own) ? own.used : SIZE_MAX);
    }
    tuning->shared = metasd_private_arena(shared_bytes, NULL);
    tuning->own = metasd_private_arena(own_bytes, NULL);
}

/* ---- a trial ---- */

static void
write_trial(MetasdJob *job, const void *what)
{
    static MetasdStatement statement = {
        "INSERT INTO metasd.trial (run, trial, rung, candidate, params, epochs, seconds, outcome, "
        "mrr_source, mrr_pruned, best) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        11,
        {INT8OID, INT4OID, INT4OID, INT4OID, JSONBOID, INT4OID, FLOAT8OID, TEXTOID, FLOAT8OID,
         FLOAT8OID, BOOLOID},
        NULL};
    /*
     * As kg_drop does, the run's row first: else the trial could outlive it. It is changed, for a
     * kg_drop whose snapshot is older than the trial.
     */
    static MetasdStatement row = {"UPDATE metasd.run SET heartbeat = pg_catalog.clock_timestamp() "
                                  "WHERE id OPERATOR(pg_catalog.=) $1",
                                  1,
                                  {INT8OID},
                                  NULL};
    const Outcome *outcome = what;
    const MetasdTuning *tuning = outcome->tuning;
    const MetasdTuneTrial *trial = &tuning->trial;
    bool has_mrr = !isnan(outcome->mrr_pruned);
    Datum values[11] = {
        Int64GetDatum(job->launch.run),
        Int32GetDatum(tuning->number),
        Int32GetDatum(trial->rung),
        Int32GetDatum(trial->candidate),
        JsonbPGetDatum(json_of(&tuning->search, trial->candidate)),
        Int32GetDatum(tuning->epochs),
        Float8GetDatum(outcome->seconds),
        CStringGetTextDatum(outcome->text),
        Float8GetDatum(outcome->mrr_source),
        Float8GetDatum(outcome->mrr_pruned),
        BoolGetDatum(outcome->best),
    };

    if (metasd_execute(&row, values, NULL, false) == 0)
        job->gone = true;
    else
        metasd_execute(&statement, values, has_mrr ? NULL : "        nn ", false);
}

/* Where the tuning is, for its row; the trial under way is the one after those that have ended. */
static MetasdBeat
beat_of(const MetasdTuning *tuning)
{
    return (MetasdBeat){.phase = "tuning",
                        .trial = tuning->number,
                        .trials = tuning->search.planned,
                        .epochs = tuning->trial.epochs};
}

static MetasdStatus
batch_ended(void *context, int epoch, size_t done, size_t total, double loss)
{
    MetasdJob *job = context;
    MetasdBeat beat = beat_of(job->search);

    beat.epoch = epoch;
    beat.done = (int64)done;
    beat.total = (int64)total;
    beat.loss = loss;
    return metasd_report_beat(job, &beat);
}

static MetasdStatus
epoch_ended(void *context, const MetasdEpoch *epoch)
{
    MetasdJob *job = context;

    job->search->epochs = epoch->epoch;
    return METASD_OK;
}

static bool
was_stopped(const MetasdJob *job, MetasdStatus status)
{
    return status == METASD_INTERRUPTED && job->timed_out && !job->error && !ProcDiePending;
}

/* Trains; the status is METASD_INTERRUPTED where there was no more time. */
static MetasdStatus
train(MetasdJob *job, MetasdTuning *tuning)
{
    MetasdTrainEvents events = {.context = job, .epoch = epoch_ended, .batch = batch_ended};
    MetasdStatus status;

    job->options = options_of(job, &tuning->search, &tuning->trial);
    tuning->shared.used = tuning->own.used = 0;
    metasd_trainer_take(&job->trainer, &tuning->shared, &tuning->own, &job->graph, &job->options,
                        1);
    if (!metasd_arena_ok(&tuning->shared) || !metasd_arena_ok(&tuning->own))
        elog(ERROR, "the memory of a trial is not as large as was measured");
    tuning->epochs = 0;
    tuning->begun = GetCurrentTimestamp();
    job->beat = beat_of(tuning);
    job->stop_at = job->deadline;
    status =
        metasd_train(&job->trainer, &job->team, &job->graph, &job->options, &events, &job->best);
    job->stop_at = 0;
    if (status != METASD_NON_FINITE && !was_stopped(job, status))
        metasd_check_status(job, status);
    return status;
}

static double
mrr_of(const MetasdRanks *ranks)
{
    return ranks->n > 0 ? ranks->reciprocal / (double)ranks->n : NAN;
}

/* Makes the search's next trial; false once its time is over. */
static bool
run_trial(MetasdJob *job, MetasdTuning *tuning)
{
    Outcome outcome = {.tuning = tuning, .mrr_source = NAN, .mrr_pruned = NAN};
    MetasdStatus status;

    tuning->number++;
    status = train(job, tuning);
    outcome.seconds = (double)(GetCurrentTimestamp() - tuning->begun) / 1e6;
    outcome.text = status == METASD_OK           ? "finished"
                   : status == METASD_NON_FINITE ? "diverged"
                                                 : "stopped";
    if (status == METASD_OK) {
        outcome.mrr_source = mrr_of(&job->best.source);
        outcome.mrr_pruned = mrr_of(&job->best.student);
        tuning->answers = (double)job->best.student.n;
    }
    if (status != METASD_INTERRUPTED) {
        metasd_tune_report(&tuning->search, &tuning->trial, outcome.mrr_pruned, outcome.seconds);
        outcome.best = metasd_tune_is_best(&tuning->search, &tuning->trial);
    }
    metasd_job_transaction(job, write_trial, &outcome);
    return status != METASD_INTERRUPTED;
}

/* ---- the end ---- */

/* None where it is less than 0. */
static void
append_mrr(MetasdJson *json, const char *name, double mrr)
{
    if (!(mrr >= 0))
        return;
    metasd_json_open(json, name);
    metasd_json_fixed(json, "mrr", mrr, 6);
    metasd_json_close(json);
}

static Datum
metrics_json(const MetasdJob *job, const MetasdTuneChoice *choice)
{
    const MetasdTuning *tuning = job->search;
    const MetasdTune *search = &tuning->search;
    MetasdJson *json = metasd_json_begin();
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    metasd_append_input(json, job);
    metasd_json_whole(json, "trials", tuning->number);
    metasd_json_whole(json, "epochs", choice->rung < 0 ? 0 : search->epochs[choice->rung]);
    metasd_json_fixed(json, "margin", metasd_tune_margin(tuning->answers), 6);
    metasd_json_fixed(json, "seconds", (double)(GetCurrentTimestamp() - job->started) / 1e6, 1);
    metasd_json_whole(json, "peak_memory", usage.ru_maxrss * 1024L);
    metasd_json_bool(json, "better", choice->candidate > 0);
    metasd_json_object(json, "best", json_of(search, choice->candidate));
    append_mrr(json, "validation", choice->rung >= 0 ? choice->mrr : -1);
    append_mrr(json, "before", choice->rung >= 0 ? choice->present_mrr : -1);
    return JsonbPGetDatum(metasd_json_end(json));
}

/*
 * What the tuning was given was in force in all of its trials: it is remembered with what was
 * found.
 */
static void
remember(MetasdJob *job, const MetasdTuneChoice *choice)
{
    static MetasdStatement statement = {
        "UPDATE metasd.model SET params = params OPERATOR(pg_catalog.||) $2 "
        "OPERATOR(pg_catalog.||) $3 WHERE name OPERATOR(pg_catalog.=) $1",
        3,
        {TEXTOID, JSONBOID, JSONBOID},
        NULL};
    Datum values[3] = {CStringGetTextDatum(job->model), JsonbPGetDatum(job->fixed),
                       JsonbPGetDatum(json_of(&job->search->search, choice->candidate))};

    metasd_execute(&statement, values, NULL, false);
}

static void
write_result(MetasdJob *job, const void *what)
{
    static MetasdStatement statement = {
        "UPDATE metasd.run SET status = 'succeeded', finished = pg_catalog.clock_timestamp(), "
        "phase = NULL, pid = NULL, metrics = $2 WHERE id OPERATOR(pg_catalog.=) $1",
        2,
        {INT8OID, JSONBOID},
        NULL};
    const MetasdTuneChoice *choice = what;
    Datum values[2] = {Int64GetDatum(job->launch.run), metrics_json(job, choice)};

    if (!metasd_lock_model(job) || metasd_execute(&statement, values, NULL, false) == 0) {
        job->gone = true;
        return;
    }
    ForceSyncCommit();
    if (choice->candidate > 0)
        remember(job, choice);
}

static void
log_choice(const MetasdJob *job, const MetasdTuneChoice *choice)
{
    if (choice->rung < 0)
        ereport(LOG, (errmsg("metasd run " INT64_FORMAT ": no other parameters could be "
                             "compared within the budget",
                             job->launch.run),
                      errhint("Give kg_tune a larger budget.")));
    else
        ereport(LOG,
                (choice->candidate > 0
                     ? errmsg_plural("metasd run " INT64_FORMAT
                                     ": other parameters are the best of %d trial",
                                     "metasd run " INT64_FORMAT
                                     ": other parameters are the best of %d trials",
                                     job->search->number, job->launch.run, job->search->number)
                     : errmsg_plural("metasd run " INT64_FORMAT
                                     ": the present parameters are the best of %d trial",
                                     "metasd run " INT64_FORMAT
                                     ": the present parameters are the best of %d trials",
                                     job->search->number, job->launch.run, job->search->number)));
}

/* ---- the search ---- */

static MetasdTuneOptions
search_options(const MetasdJob *job)
{
    MetasdTuneOptions options = {.seed = job->options.seed, .epochs = job->options.epochs};
    MetasdParams fixed;

    metasd_params_read(&fixed, job->fixed);
    for (int axis = 0; axis < METASD_AXES; axis++) {
        options.present.x[axis] = job->params.value[parameter_of[axis]];
        options.fixed[axis] = fixed.given[parameter_of[axis]];
    }
    options.most_rank =
        options.fixed[METASD_AXIS_RANK] ? (double)job->options.rank : most_rank(job);
    return options;
}

static void
check_validation(const MetasdJob *job)
{
    if (job->graph.part_triples[METASD_VALIDATION] > 0)
        return;
    ereport(ERROR,
            (errcode(ERRCODE_NO_DATA_FOUND),
             errmsg("there are no triples to validate parameters on"),
             errdetail_plural("%zu of %zu triple is for training.",
                              "%zu of %zu triples are for training.", job->graph.triples,
                              job->graph.part_triples[METASD_TRAIN], job->graph.triples),
             errhint("Raise the parameter validation_fraction, or name a validation source with "
                     "kg_train(model, validation => ...).")));
}

static double
seconds_left(const MetasdJob *job)
{
    return (double)(job->deadline - GetCurrentTimestamp()) / 1e6;
}

void
metasd_tune(MetasdJob *job)
{
    MetasdTuning *tuning = MemoryContextAllocZero(job->context, sizeof(*tuning));
    MetasdTuneOptions options = search_options(job);
    MetasdTuneChoice choice;

    check_validation(job);
    job->search = tuning;
    metasd_tune_start(&tuning->search, &options);
    take_memory(job, tuning);
    metasd_report_phase(job, "tuning");
    while (metasd_tune_next(&tuning->search, seconds_left(job), &tuning->trial) &&
           run_trial(job, tuning))
        ;
    choice = metasd_tune_choice(&tuning->search, metasd_tune_margin(tuning->answers));
    metasd_job_transaction(job, write_result, &choice);
    log_choice(job, &choice);
}
