#include "core/train/train_internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/train/phases.h"
#include "core/base/random.h"

/* ---- batches and quizzes: every member goes through the same ones ---- */

static MetasdStatus
start_epoch(MetasdTrainLoop *training)
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

MetasdStatus
metasd_epoch_copy_own(const MetasdTrainLoop *training, void *to, const void *from, size_t width)
{
    MetasdWalk walk;

    for (walk = metasd_team_walk(training->team, training->own, 2, 1);
         metasd_team_walk_next(&walk);)
        memcpy((char *)to + walk.first * width, (const char *)from + walk.first * width,
               (walk.end - walk.first) * width);
    return walk.status;
}

/* Of trainer->saved, those that are used. */
static int
saved_tables(const MetasdTrainer *trainer)
{
    return trainer->step.quizzed ? 3 : 2;
}

static MetasdStatus
save(MetasdTrainLoop *training)
{
    MetasdTrainer *trainer = training->trainer;
    const float *state[3] = {trainer->step.weights, trainer->step.sums, trainer->step.quiz_sums};

    for (int i = 0; i < saved_tables(trainer); i++)
        METASD_TRY(metasd_epoch_copy_own(training, trainer->saved[i], state[i], sizeof(float)));
    training->quiz_rounds = trainer->progress.quiz_rounds;
    trainer->progress.quiz_next = trainer->quizzes.next;
    return METASD_OK;
}

MetasdStatus
metasd_epoch_make_student(MetasdTrainLoop *training)
{
    MetasdState *step = &training->trainer->step;
    MetasdWalk walk;

    for (walk = metasd_team_walk(training->team, training->own, 2, 3);
         metasd_team_walk_next(&walk);)
        for (size_t i = walk.first; i < walk.end; i++)
            step->student[i] = step->mask[i] ? step->weights[i] : 0.0f;
    return walk.status;
}

static MetasdStatus
restore(MetasdTrainLoop *training)
{
    MetasdState *step = &training->trainer->step;
    float *state[3] = {step->weights, step->sums, step->quiz_sums};

    training->trainer->progress.quiz_rounds = training->quiz_rounds;
    METASD_TRY(metasd_epoch_place_quizzes(training));
    METASD_TRY(training->team->barrier(training->team)); /* all have seen the failure */
    for (int i = 0; i < saved_tables(training->trainer); i++)
        METASD_TRY(
            metasd_epoch_copy_own(training, state[i], training->trainer->saved[i], sizeof(float)));
    METASD_TRY(metasd_epoch_make_student(training));
    return training->team->barrier(training->team);
}

/* A loss is of the weights before its batch: what the last one did to them shows only here. */
static MetasdStatus
check_weights(MetasdTrainLoop *training)
{
    MetasdTrainer *trainer = training->trainer;
    uint64_t broken = 0;
    MetasdWalk walk;

    for (walk = metasd_team_walk(training->team, training->own, 2, 1);
         metasd_team_walk_next(&walk);)
        for (size_t i = walk.first; i < walk.end; i++)
            broken += !(fabsf(trainer->step.weights[i]) <= FLT_MAX);
    METASD_TRY(walk.status);
    trainer->broken[training->team->rank] = broken;
    METASD_TRY(training->team->barrier(training->team));
    broken = 0;
    for (int member = 0; member < training->team->size; member++)
        broken += trainer->broken[member];
    METASD_TRY(training->team->barrier(training->team));
    return broken > 0 ? METASD_NON_FINITE : METASD_OK;
}

/* ---- an epoch ---- */

MetasdStatus
metasd_epoch_mask(MetasdTrainLoop *training, MetasdEpoch *report, double sparsity)
{
    MetasdTrainer *trainer = training->trainer;
    MetasdState *step = &trainer->step;
    size_t all = ((size_t)step->entities + step->relation_rows) * step->width;
    MetasdMasked masked;

    METASD_TRY(metasd_mask_take(step, training->team, sparsity, trainer->bins, &masked));
    report->pruned = true;
    report->cut = masked.cut;
    report->sparsity = 1.0 - (double)masked.kept / (double)all;
    report->came = masked.came;
    report->went = masked.went;
    return METASD_OK;
}

static void
add_losses(MetasdLosses *sum, const MetasdLosses *losses, double weight)
{
    sum->tail += weight * losses->tail;
    sum->relation += weight * losses->relation;
    sum->reg += weight * losses->reg;
    sum->source += weight * losses->source;
    sum->trial += weight * losses->trial;
    sum->quiz += weight * losses->quiz;
    sum->mutual_source += weight * losses->mutual_source;
    sum->mutual_student += weight * losses->mutual_student;
}

/* All batches of an epoch once; *batch is the one (from 1) that a failure happened in. */
static MetasdStatus
run_batches(MetasdTrainLoop *training, MetasdEpoch *report, size_t *batch)
{
    MetasdTrainer *trainer = training->trainer;
    const MetasdTrainEvents *events = training->events;
    const MetasdBatch *examples = &trainer->batches.batch;
    double all = (double)training->graph->part[METASD_TRAIN].examples;
    size_t total;

    report->losses = (MetasdLosses){0};
    METASD_TRY(start_epoch(training));
    METASD_TRY(metasd_batcher_count(&trainer->batches, training->team, &total));
    if (report->alone)
        METASD_TRY(metasd_finetune_begin(&trainer->step, training->team));
    for (*batch = 1; *batch <= total; (*batch)++) {
        MetasdLosses losses;

        METASD_TRY(next_batch(training));
        trainer->step.round = ((uint64_t)training->epoch << 32) + *batch;
        METASD_TRY(metasd_step(&trainer->step, training->team, &training->step, examples,
                               &trainer->quizzes.batch, &losses));
        add_losses(&report->losses, &losses, (double)examples->n / all);
        if (training->team->rank == 0 && events->batch)
            METASD_TRY(events->batch(events->context, report->epoch, *batch, total,
                                     report->alone ? losses.mutual_student : losses.source));
    }
    *batch = total;
    METASD_TRY(metasd_finetune_end(&trainer->step, training->team));
    return check_weights(training);
}

/* Halves the rates and goes back to the start of the epoch, or ends the training. */
static MetasdStatus
repeat_epoch(MetasdTrainLoop *training, size_t batch)
{
    const MetasdTrainEvents *events = training->events;
    bool again = training->trainer->progress.repeats++ < METASD_REPEATS;

    training->step.lr /= 2;
    training->step.quiz_lr /= 2;
    training->step.student_lr /= 2;
    if (training->team->rank == 0 && events->repeat)
        METASD_TRY(events->repeat(events->context, training->epoch, batch,
                                  (double)training->step.lr, again));
    return again ? restore(training) : METASD_NON_FINITE;
}

/*
 * Is a batch of this epoch scored against a sample? Not for a student alone whose kept weights of
 * all entities are no more than the sample has weights: sparse products take about twice as long a
 * weight, and all entities are worth that. (On WN18RR, samples of a tenth cost the source .02.)
 */
static bool
samples(const MetasdTrainLoop *training, bool alone)
{
    const MetasdState *step = &training->trainer->step;
    double all = (1.0 - training->trainer->progress.sparsity) * (double)step->entities;

    if (step->negatives == 0)
        return false;
    return !alone || !step->sparse[0] || all > (double)(step->negatives + step->batch);
}

/* The stages of an epoch, its mask, and what it begins with. */
static MetasdStatus
begin_epoch(MetasdTrainLoop *training, MetasdEpoch *report)
{
    const MetasdTrainOptions *options = training->options;
    MetasdProgress *progress = &training->trainer->progress;
    bool with_student =
        metasd_phases_guided(options) && metasd_phases_prunes(options, report->epoch);
    bool alone = metasd_phases_finetunes(options, report->epoch);
    float part = (float)ldexp(1.0, -progress->repeats);

    if (metasd_phases_takes_mask(options, report->epoch)) {
        METASD_TRY(
            metasd_epoch_mask(training, report, metasd_phases_sparsity(options, report->epoch)));
        progress->masked = true;
        progress->sparsity = report->sparsity;
        progress->cut = report->cut;
    }
    report->pruned = with_student;
    report->alone = alone;
    report->sparsity = progress->sparsity;
    report->cut = progress->cut;
    training->step.quiz = options->step.quiz && with_student && !alone;
    training->step.mutual = options->step.mutual && with_student && !alone;
    training->step.alone = alone;
    training->step.relation_weight =
        alone ? fminf(options->step.relation_weight, options->finetune_relation_weight)
              : options->step.relation_weight;
    training->step.lr = metasd_phases_rate(options, report->epoch) * part;
    training->step.quiz_lr = options->step.quiz_lr * part;
    training->step.student_lr = options->step.student_lr * part;
    training->trainer->step.sampler = samples(training, alone) ? &training->trainer->sampler : NULL;
    return METASD_OK;
}

MetasdStatus
metasd_epoch_run(MetasdTrainLoop *training, MetasdEpoch *report)
{
    METASD_TRY(begin_epoch(training, report));
    METASD_TRY(save(training));
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
