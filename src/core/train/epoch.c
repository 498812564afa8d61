#include "core/train/epoch.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/base/random.h"
#include "core/train/finetune.h"
#include "core/train/lean.h"
#include "core/train/phases.h"
#include "core/train/rounding.h"

/* ---- batches and quizzes: the same for every member ---- */

static MetasdStatus
shuffle_batches(MetasdTrainLoop *training)
{
    return metasd_batcher_shuffle(&training->trainer->batches, training->team,
                                  training->options->seed,
                                  METASD_STREAM_EPOCH + ((uint64_t)training->epoch << 8));
}

static MetasdStatus
shuffle_quizzes(MetasdTrainLoop *training)
{
    return metasd_batcher_shuffle(
        &training->trainer->quizzes, training->team, training->options->seed,
        METASD_STREAM_QUIZ + (training->trainer->progress.quiz_rounds++ << 8));
}

static MetasdStatus
next_batch(MetasdTrainLoop *training)
{
    MetasdBatcher *quizzes = &training->trainer->quizzes;

    METASD_TRY(metasd_batcher_next(&training->trainer->batches, training->team));
    if (!training->step.quiz || quizzes->pieces == 0)
        return METASD_OK;
    if (quizzes->next == quizzes->pieces)
        METASD_TRY(shuffle_quizzes(training));
    return metasd_batcher_next(quizzes, training->team);
}

MetasdStatus
metasd_epoch_place_quizzes(MetasdTrainLoop *training)
{
    MetasdProgress *progress = &training->trainer->progress;

    if (progress->quiz_rounds > 0) { /* the order of the round that was under way */
        progress->quiz_rounds--;
        METASD_TRY(shuffle_quizzes(training));
    }
    training->trainer->quizzes.next = progress->quiz_next;
    return METASD_OK;
}

/* ---- this member's part of the tables ---- */

/* Copies this member's rows of a table; a weight has `width` bytes. */
static MetasdStatus
copy_own(const MetasdTrainLoop *training, void *to, const void *from, size_t width)
{
    MetasdChunks chunk;

    for (chunk = metasd_team_chunks(training->team, training->own, 2, 1);
         metasd_team_next_chunk(&chunk);)
        memcpy((char *)to + chunk.first * width, (const char *)from + chunk.first * width,
               (chunk.end - chunk.first) * width);
    return chunk.status;
}

/* The number of tables in trainer->saved that are used. */
static int
saved_tables(const MetasdTrainer *trainer)
{
    return trainer->state.size.has_quiz ? 3 : 2;
}

static MetasdStatus
save_tables(MetasdTrainLoop *training)
{
    MetasdTrainer *trainer = training->trainer;
    const float *tables[3] = {trainer->state.weights, trainer->state.sums,
                              trainer->state.quiz_sums};

    for (int i = 0; i < saved_tables(trainer) && !trainer->state.size.lean; i++)
        METASD_TRY(copy_own(training, trainer->saved[i], tables[i], sizeof(float)));
    training->quiz_rounds = trainer->progress.quiz_rounds;
    trainer->progress.quiz_next = trainer->quizzes.next;
    return METASD_OK;
}

MetasdStatus
metasd_epoch_make_student(MetasdTrainLoop *training, bool rounded)
{
    MetasdState *state = &training->trainer->state;
    MetasdStorage storage = rounded ? training->options->storage : METASD_FLOAT32;
    MetasdChunks chunk;

    if (state->size.lean)
        return metasd_lean_show_student(state, training->team, storage);
    for (chunk = metasd_team_chunks(training->team, training->own, 2, 3);
         metasd_team_next_chunk(&chunk);)
        for (size_t i = chunk.first; i < chunk.end; i++)
            state->student[i] = state->mask[i] ? state->weights[i] : 0.0f;
    METASD_TRY(chunk.status);
    return rounded ? metasd_rounding_fit(state, training->team, storage) : METASD_OK;
}

MetasdStatus
metasd_epoch_keep(MetasdTrainLoop *training)
{
    MetasdTrainer *trainer = training->trainer;

    if (trainer->state.size.lean)
        return metasd_best_weights_keep(&trainer->lean_best, &trainer->state, training->team);
    return copy_own(training, trainer->best, trainer->state.student, sizeof(float));
}

/*
 * Nothing has kept the start of the epoch: goes back to the best weights, as a training does that
 * starts from a version, or to random ones. The mask stays.
 */
static MetasdStatus
go_back(MetasdTrainLoop *training)
{
    MetasdTrainer *trainer = training->trainer;
    bool kept = trainer->progress.best.epoch > 0;
    MetasdState *state = &trainer->state;
    MetasdChunks chunk;

    if (kept)
        METASD_TRY(metasd_best_weights_restore(&trainer->lean_best, state, training->team));
    for (chunk = metasd_team_chunks(training->team, training->own, 2, 1);
         !kept && metasd_team_next_chunk(&chunk);)
        memset(state->weights + chunk.first, 0, (chunk.end - chunk.first) * sizeof(float));
    METASD_TRY(chunk.status);
    return metasd_state_fill_weights(state, training->team, training->own, 2,
                                     training->options->seed, METASD_INITIAL_SCALE,
                                     kept ? METASD_WARM_SUM : 0);
}

static MetasdStatus
restore_tables(MetasdTrainLoop *training)
{
    MetasdState *state = &training->trainer->state;
    float *tables[3] = {state->weights, state->sums, state->quiz_sums};

    training->trainer->progress.quiz_rounds = training->quiz_rounds;
    METASD_TRY(metasd_epoch_place_quizzes(training));
    METASD_TRY(training->team->barrier(training->team)); /* all have seen the failure */
    if (state->size.lean)
        METASD_TRY(go_back(training));
    for (int i = 0; i < saved_tables(training->trainer) && !state->size.lean; i++)
        METASD_TRY(copy_own(training, tables[i], training->trainer->saved[i], sizeof(float)));
    METASD_TRY(metasd_epoch_make_student(training, state->rounds != METASD_FLOAT32));
    return training->team->barrier(training->team);
}

/* A loss is of the weights before its batch: only this check sees those after the last one. */
static MetasdStatus
check_weights(MetasdTrainLoop *training)
{
    MetasdTrainer *trainer = training->trainer;
    uint64_t broken = 0;
    MetasdChunks chunk;

    for (chunk = metasd_team_chunks(training->team, training->own, 2, 1);
         metasd_team_next_chunk(&chunk);)
        for (size_t i = chunk.first; i < chunk.end; i++)
            broken += !(fabsf(trainer->state.weights[i]) <= FLT_MAX);
    METASD_TRY(chunk.status);
    trainer->broken[training->team->rank] = broken;
    METASD_TRY(training->team->barrier(training->team));
    broken = 0;
    for (int member = 0; member < training->team->size; member++)
        broken += trainer->broken[member];
    METASD_TRY(training->team->barrier(training->team));
    return broken > 0 ? METASD_NON_FINITE : METASD_OK;
}

/* ---- one epoch ---- */

MetasdStatus
metasd_epoch_mask(MetasdTrainLoop *training, MetasdEpoch *report, double sparsity)
{
    MetasdTrainer *trainer = training->trainer;
    MetasdState *state = &trainer->state;
    size_t all = ((size_t)state->entities + state->relation_rows) * state->width;
    MetasdPruned pruned;

    METASD_TRY(
        metasd_prune_mask(&trainer->pruner, &trainer->state, training->team, sparsity, &pruned));
    report->pruned = true;
    report->threshold = pruned.threshold;
    report->sparsity = 1.0 - (double)pruned.kept / (double)all;
    report->regrown = pruned.regrown;
    report->dropped = pruned.dropped;
    return METASD_OK;
}

static void
add_losses(MetasdLosses *sum, const MetasdLosses *losses, double weight)
{
    sum->tail += weight * losses->tail;
    sum->relation += weight * losses->relation;
    sum->reg += weight * losses->reg;
    sum->full += weight * losses->full;
    sum->trial += weight * losses->trial;
    sum->quiz += weight * losses->quiz;
    sum->mutual_full += weight * losses->mutual_full;
    sum->mutual_student += weight * losses->mutual_student;
    sum->finetune += weight * losses->finetune;
}

/* One step, on the rows that it touches if those are few. */
static MetasdStatus
take_step(MetasdTrainLoop *training, MetasdLosses *losses)
{
    MetasdTrainer *trainer = training->trainer;
    const MetasdBatch *batch = &trainer->batches.batch, *quiz = &trainer->quizzes.batch;

    return training->sampled
               ? metasd_excerpt_step(&trainer->excerpt, &trainer->state, training->team,
                                     &training->step, &trainer->context, batch, quiz, losses)
               : metasd_step(&trainer->state, training->team, &training->step, &trainer->context,
                             batch, quiz, losses);
}

/* All batches of an epoch once; in a failure *batch is the number of its batch, from 1. */
static MetasdStatus
run_batches(MetasdTrainLoop *training, MetasdEpoch *report, size_t *batch)
{
    MetasdTrainer *trainer = training->trainer;
    const MetasdTrainEvents *events = training->events;
    const MetasdBatch *examples = &trainer->batches.batch;
    double all = (double)training->graph->part[METASD_TRAIN].examples;
    size_t total;

    report->losses = (MetasdLosses){0};
    METASD_TRY(shuffle_batches(training));
    METASD_TRY(metasd_batcher_count(&trainer->batches, training->team, &total));
    if (training->options->most_batches > 0 && total > training->options->most_batches)
        total = training->options->most_batches;
    if (report->finetunes && !training->sampled)
        METASD_TRY(metasd_finetune_begin(&trainer->state, training->team));
    for (*batch = 1; *batch <= total; (*batch)++) {
        MetasdLosses losses;

        METASD_TRY(next_batch(training));
        trainer->context.round = ((uint64_t)training->epoch << 32) + *batch;
        METASD_TRY(take_step(training, &losses));
        add_losses(&report->losses, &losses, (double)examples->n / all);
        if (training->team->rank == 0 && events->batch)
            METASD_TRY(events->batch(events->context, report->epoch, *batch, total,
                                     report->finetunes ? losses.finetune : losses.full));
    }
    *batch = total;
    METASD_TRY(metasd_finetune_end(&trainer->state, training->team));
    return check_weights(training);
}

/* Halves the rates and goes back to the start of the epoch, or ends the training. */
static MetasdStatus
repeat_epoch(MetasdTrainLoop *training, size_t batch)
{
    const MetasdTrainEvents *events = training->events;
    MetasdProgress *progress = &training->trainer->progress;
    /* A lean training cannot go back to a version that it has started from. */
    bool lost = training->trainer->state.size.lean && progress->warm && progress->best.epoch == 0;
    bool again = progress->repeats++ < METASD_REPEATS && !lost;

    training->step.lr /= 2;
    training->step.quiz_lr /= 2;
    training->step.student_lr /= 2;
    if (training->team->rank == 0 && events->repeat)
        METASD_TRY(events->repeat(events->context, training->epoch, batch,
                                  (double)training->step.lr, again));
    return again ? restore_tables(training) : METASD_NON_FINITE;
}

/*
 * Is a batch of this epoch scored against a sample? Not in fine-tuning, where the kept weights of
 * all entities are no more than the weights of the sample: sparse products take about twice the
 * time per weight, and all entities are worth that. (On WN18RR, samples of a tenth cost the full
 * model .02 of MRR.)
 */
static bool
samples_entities(const MetasdTrainLoop *training, bool finetunes)
{
    const MetasdState *state = &training->trainer->state;
    double all = (1.0 - training->trainer->progress.sparsity) * (double)state->entities;

    if (state->size.negatives == 0)
        return false;
    return !finetunes || state->size.lean || !state->sparse[0] ||
           all > (double)(state->size.negatives + state->size.batch);
}

/* The student as this epoch sees it: the one that was ranked may have been rounded. */
static MetasdStatus
begin_student(MetasdTrainLoop *training, int epoch)
{
    const MetasdTrainOptions *options = training->options;
    bool rounds = metasd_phases_rounds(options, epoch);

    if (options->storage == METASD_FLOAT32)
        return METASD_OK;
    training->trainer->state.rounds = rounds ? options->storage : METASD_FLOAT32;
    METASD_TRY(metasd_epoch_make_student(training, rounds));
    return training->team->barrier(training->team);
}

/* Sets the stages and rates of an epoch, and takes its mask. */
static MetasdStatus
begin_epoch(MetasdTrainLoop *training, MetasdEpoch *report)
{
    const MetasdTrainOptions *options = training->options;
    MetasdProgress *progress = &training->trainer->progress;
    bool with_student =
        metasd_phases_has_student(options) && metasd_phases_prunes(options, report->epoch);
    bool finetunes = metasd_phases_finetunes(options, report->epoch);
    float part = (float)ldexp(1.0, -progress->repeats);

    if (metasd_phases_takes_mask(options, report->epoch)) {
        METASD_TRY(
            metasd_epoch_mask(training, report, metasd_phases_sparsity(options, report->epoch)));
        progress->masked = true;
        progress->sparsity = report->sparsity;
        progress->threshold = report->threshold;
    }
    METASD_TRY(begin_student(training, report->epoch));
    report->pruned = with_student;
    report->finetunes = finetunes;
    report->sparsity = progress->sparsity;
    report->threshold = progress->threshold;
    training->step.quiz = options->step.quiz && with_student && !finetunes;
    training->step.mutual = options->step.mutual && with_student && !finetunes;
    training->step.finetune = finetunes;
    training->step.relation_weight =
        finetunes ? fminf(options->step.relation_weight, options->finetune_relation_weight)
                  : options->step.relation_weight;
    training->step.lr = metasd_phases_rate(options, report->epoch) * part;
    training->step.quiz_lr = options->step.quiz_lr * part;
    training->step.student_lr = options->step.student_lr * part;
    training->sampled = samples_entities(training, finetunes);
    return METASD_OK;
}

MetasdStatus
metasd_epoch_run(MetasdTrainLoop *training, MetasdEpoch *report)
{
    METASD_TRY(begin_epoch(training, report));
    METASD_TRY(save_tables(training));
    for (;;) {
        size_t batch = 0;
        MetasdStatus status;

        report->lr = (double)training->step.lr;
        status = run_batches(training, report, &batch);
        if (status != METASD_NON_FINITE)
            return status;
        METASD_TRY(repeat_epoch(training, batch));
    }
}
