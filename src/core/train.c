#include "train.h"

#include <math.h>
#include <string.h>

#include "prune.h"
#include "random.h"

static bool
guided(const MetasdTrainOptions *options)
{
    return options->step.quiz || options->step.mutual;
}

static size_t
table_floats(const MetasdTrainer *trainer)
{
    const MetasdStep *step = &trainer->step;

    return ((size_t)step->entities + step->relation_rows) * step->width;
}

void
metasd_trainer_take(MetasdTrainer *trainer, MetasdArena *arena, const MetasdGraph *graph,
                    const MetasdTrainOptions *options, int members)
{
    MetasdStep *step = &trainer->step;
    size_t table = 0, largest = options->batch;

    *step = (MetasdStep){.entities = graph->entities,
                         .relation_rows = 2 * graph->relations,
                         .family = options->family,
                         .guided = guided(options)};
    if (options->step.quiz && options->quiz_batch > largest)
        largest = options->quiz_batch;
    step->batch = largest;
    if (__builtin_mul_overflow(options->rank, options->family->reals_per_rank, &step->width) ||
        __builtin_mul_overflow((size_t)step->entities + step->relation_rows, step->width, &table))
        arena->overflowed = true;
    if (arena->overflowed)
        return;
    metasd_step_take(step, arena, members, METASD_SCORE_FLOATS);
    metasd_batcher_take(&trainer->batches, arena, &graph->part[METASD_TRAIN], options->batch);
    metasd_batcher_take(&trainer->quizzes, arena, &graph->part[METASD_QUIZ], options->quiz_batch);
    metasd_batcher_take(&trainer->validation, arena, &graph->part[METASD_VALIDATION], largest);
    metasd_ranker_take(&trainer->ranker, arena, members, largest);
    for (int i = 0; i < 3; i++)
        trainer->saved[i] = METASD_TAKE(arena, float, i < 2 || step->guided ? table : 0);
    trainer->best = METASD_TAKE(arena, float, table);
    trainer->old_mask = METASD_TAKE(arena, uint8_t, table);
    trainer->class_weights = METASD_TAKE(arena, float, graph->entities);
    trainer->bins = METASD_TAKE(arena, uint64_t, (size_t)members * METASD_PRUNE_BINS);
    trainer->changes = METASD_TAKE(arena, uint64_t, (size_t)members * 3);
}

static void
count_class_weights(MetasdTrainer *trainer, const MetasdGraph *graph)
{
    const MetasdGroups *train = &graph->part[METASD_TRAIN];
    float most = 1;

    for (uint32_t e = 0; e < graph->entities; e++)
        trainer->class_weights[e] = 0;
    for (size_t i = 0; i < train->examples; i++)
        trainer->class_weights[train->tails[i]] += 1;
    for (uint32_t e = 0; e < graph->entities; e++)
        most = fmaxf(most, trainer->class_weights[e]);
    for (uint32_t e = 0; e < graph->entities; e++)
        trainer->class_weights[e] = 0.1f + 0.9f * trainer->class_weights[e] / most;
}

void
metasd_trainer_prepare(MetasdTrainer *trainer, const MetasdGraph *graph,
                       const MetasdTrainOptions *options)
{
    metasd_batcher_prepare(&trainer->batches);
    metasd_batcher_prepare(&trainer->quizzes);
    metasd_batcher_prepare(&trainer->validation);
    /* The same validation questions every epoch, in an order that a limit can cut. */
    metasd_batcher_shuffle(&trainer->validation, options->seed, METASD_STREAM_SPLIT);
    trainer->step.class_weights = NULL;
    if (options->class_weights) {
        count_class_weights(trainer, graph);
        trainer->step.class_weights = trainer->class_weights;
    }
}

/* ---- one epoch ---- */

typedef struct Training {
    MetasdTrainer *trainer;
    MetasdTeam *team;
    const MetasdGraph *graph;
    const MetasdTrainOptions *options;
    const MetasdTrainEvents *events;
    MetasdStepOptions step; /* with the learning rates in force */
    MetasdRun own[2];
    int repeats;
    uint64_t quiz_rounds;
} Training;

/* Member 0 does what all share; the others wait for it. */
#define BY_LEADER(training, body)                                                                  \
    do {                                                                                           \
        METASD_TRY((training)->team->barrier((training)->team));                                   \
        if ((training)->team->rank == 0)                                                           \
            body;                                                                                  \
        METASD_TRY((training)->team->barrier((training)->team));                                   \
    } while (0)

static void
copy_own(const Training *training, void *to, const void *from, size_t width)
{
    for (int i = 0; i < 2; i++)
        memcpy((char *)to + training->own[i].first * width,
               (const char *)from + training->own[i].first * width,
               (training->own[i].end - training->own[i].first) * width);
}

static void
save_or_restore(const Training *training, bool restore)
{
    MetasdTrainer *trainer = training->trainer;
    float *state[3] = {trainer->step.weights, trainer->step.sums, trainer->step.meta_sums};

    for (int i = 0; i < (trainer->step.guided ? 3 : 2); i++)
        copy_own(training, restore ? state[i] : trainer->saved[i],
                 restore ? trainer->saved[i] : state[i], sizeof(float));
}

/* The sparsity of an epoch (from 1): 0 in the warm-up, then rising to the full value. */
static double
sparsity_of(const MetasdTrainOptions *options, int epoch)
{
    int pruned = epoch - options->warmup;

    if (pruned <= 0)
        return 0;
    if (pruned >= options->ramp)
        return options->sparsity;
    /* Cubic (Zhu and Gupta 2017): quickly at first, while much can go without loss. */
    return options->sparsity * (1.0 - pow(1.0 - (double)pruned / options->ramp, 3));
}

/* Takes the mask of an epoch and counts what changed against the one before. */
static MetasdStatus
take_mask(Training *training, MetasdEpoch *report, double sparsity)
{
    MetasdTrainer *trainer = training->trainer;
    MetasdStep *step = &trainer->step;
    uint64_t *mine = trainer->changes + 3 * (size_t)training->team->rank, kept = 0;
    float cut;

    copy_own(training, trainer->old_mask, step->mask, 1);
    METASD_TRY(metasd_step_prune(step, training->team, sparsity, trainer->bins, &cut));
    mine[0] = mine[1] = mine[2] = 0;
    for (int i = 0; i < 2; i++)
        for (size_t j = training->own[i].first; j < training->own[i].end; j++) {
            mine[0] += step->mask[j] > trainer->old_mask[j];
            mine[1] += step->mask[j] < trainer->old_mask[j];
            mine[2] += step->mask[j];
        }
    METASD_TRY(training->team->barrier(training->team));
    report->came = report->went = 0;
    for (int member = 0; member < training->team->size; member++) {
        report->came += trainer->changes[3 * member];
        report->went += trainer->changes[3 * member + 1];
        kept += trainer->changes[3 * member + 2];
    }
    report->cut = cut;
    report->sparsity = 1.0 - (double)kept / (double)table_floats(trainer);
    return training->team->barrier(training->team);
}

static void
next_quiz(Training *training)
{
    MetasdBatcher *quizzes = &training->trainer->quizzes;

    if (metasd_batcher_next(quizzes))
        return;
    metasd_batcher_shuffle(quizzes, training->options->seed,
                           METASD_STREAM_QUIZ + (training->quiz_rounds++ << 8));
    (void)metasd_batcher_next(quizzes); /* stays empty where there is no quiz at all */
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
run_batches(Training *training, MetasdEpoch *report, size_t *batch)
{
    MetasdTrainer *trainer = training->trainer;
    const MetasdTrainEvents *events = training->events;
    MetasdBatcher *batches = &trainer->batches;
    MetasdStepOptions step = training->step;
    double examples = (double)training->graph->part[METASD_TRAIN].examples;
    size_t total;

    step.quiz = step.quiz && report->pruned;
    step.mutual = step.mutual && report->pruned;
    report->losses = (MetasdLosses){0};
    BY_LEADER(training,
              metasd_batcher_shuffle(batches, training->options->seed,
                                     METASD_STREAM_EPOCH + ((uint64_t)report->epoch << 8)));
    total = metasd_batcher_count(batches);
    for (*batch = 1; *batch <= total; (*batch)++) {
        MetasdStatus status = METASD_OK;
        MetasdLosses losses;

        BY_LEADER(training, {
            (void)metasd_batcher_next(batches);
            if (step.quiz)
                next_quiz(training);
        });
        METASD_TRY(metasd_step(&trainer->step, training->team, &step, &batches->batch,
                               &trainer->quizzes.batch, &losses));
        add_losses(&report->losses, &losses, (double)batches->batch.n / examples);
        if (training->team->rank == 0 && events->batch)
            status = events->batch(events->context, report->epoch, *batch, total, losses.source);
        METASD_TRY(status);
    }
    return METASD_OK;
}

/* Ranks the validation triples by source and student. */
static MetasdStatus
validate(Training *training, MetasdEpoch *report)
{
    MetasdTrainer *trainer = training->trainer;
    MetasdBatcher *questions = &trainer->validation;

    report->source = report->student = (MetasdRanks){0};
    BY_LEADER(training, questions->next = 0);
    while (report->student.n < training->options->validation_most) {
        BY_LEADER(training, (void)metasd_batcher_next(questions));
        if (questions->batch.n == 0)
            break;
        METASD_TRY(metasd_rank_batch(&trainer->ranker, &trainer->step, training->team,
                                     trainer->step.weights, &questions->batch,
                                     &training->graph->known, &report->source));
        METASD_TRY(metasd_rank_batch(&trainer->ranker, &trainer->step, training->team,
                                     trainer->step.student, &questions->batch,
                                     &training->graph->known, &report->student));
    }
    return METASD_OK;
}

/* An epoch, repeated from its start at half the rate while its losses are not finite. */
static MetasdStatus
run_epoch(Training *training, MetasdEpoch *report)
{
    const MetasdTrainEvents *events = training->events;

    save_or_restore(training, false);
    for (;;) {
        uint64_t quiz_rounds = training->quiz_rounds;
        size_t batch = 0;
        bool again;
        MetasdStatus status = METASD_OK;

        report->lr = (double)training->step.lr;
        if (report->pruned)
            METASD_TRY(take_mask(training, report, sparsity_of(training->options, report->epoch)));
        status = run_batches(training, report, &batch);
        if (status != METASD_NON_FINITE)
            return status;
        again = training->repeats++ < METASD_REPEATS;
        training->step.lr /= 2;
        training->step.meta_lr /= 2;
        training->step.student_lr /= 2;
        status = METASD_OK;
        if (training->team->rank == 0 && events->repeat)
            status = events->repeat(events->context, report->epoch, batch,
                                    (double)training->step.lr, again);
        METASD_TRY(status);
        if (!again)
            return METASD_NON_FINITE;
        METASD_TRY(training->team->barrier(training->team));
        save_or_restore(training, true);
        training->quiz_rounds = quiz_rounds;
        BY_LEADER(training, training->trainer->quizzes.next = training->trainer->quizzes.pieces);
    }
}

static double
mrr(const MetasdRanks *ranks)
{
    return ranks->n ? ranks->reciprocal / (double)ranks->n : 0;
}

/* Is this epoch's student the best of those pruned to the full sparsity? */
static bool
better(const MetasdTrainOptions *options, const MetasdEpoch *report, const MetasdEpoch *best)
{
    bool full = report->epoch >= options->warmup + options->ramp;

    if (report->epoch < options->epochs && !full)
        return false;
    return best->epoch == 0 || report->student.n == 0 ||
           mrr(&report->student) > mrr(&best->student);
}

MetasdStatus
metasd_train(MetasdTrainer *trainer, MetasdTeam *team, const MetasdGraph *graph,
             const MetasdTrainOptions *options, const MetasdTrainEvents *events, MetasdEpoch *best)
{
    Training training = {.trainer = trainer,
                         .team = team,
                         .graph = graph,
                         .options = options,
                         .events = events,
                         .step = options->step};

    *best = (MetasdEpoch){0};
    metasd_step_own(&trainer->step, team, training.own);
    METASD_TRY(metasd_step_init(&trainer->step, team, options->seed, METASD_INITIAL_SCALE));
    for (int epoch = 1; epoch <= options->epochs; epoch++) {
        MetasdEpoch report = {.epoch = epoch, .pruned = epoch > options->warmup};
        MetasdStatus status = METASD_OK;

        METASD_TRY(run_epoch(&training, &report));
        if (!guided(options) || epoch == options->epochs)
            report.pruned = true;
        if (!guided(options)) /* nobody taught a student: it is the source, pruned now */
            METASD_TRY(take_mask(&training, &report, options->sparsity));
        METASD_TRY(validate(&training, &report));
        report.best = better(options, &report, best);
        if (report.best) {
            *best = report;
            copy_own(&training, trainer->best, trainer->step.student, sizeof(float));
            METASD_TRY(team->barrier(team));
        }
        if (team->rank == 0 && events->epoch)
            status = events->epoch(events->context, &report);
        METASD_TRY(status);
        if (options->patience > 0 && best->epoch > 0 && report.student.n > 0 &&
            epoch - best->epoch >= options->patience)
            break;
    }
    return METASD_OK;
}
