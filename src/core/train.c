#include "train.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "random.h"

/* Is there a student before the end? */
static bool
guided(const MetasdTrainOptions *options)
{
    return options->step.quiz || options->step.mutual || options->finish > 0;
}

/* ---- memory ---- */

static size_t
table_floats(const MetasdTrainer *trainer)
{
    const MetasdStep *step = &trainer->step;

    return ((size_t)step->entities + step->relation_rows) * step->width;
}

/* Examples of the largest batch of any kind: a small graph needs no memory for large batches. */
static size_t
most_examples(const MetasdGraph *graph, const size_t sizes[METASD_PARTS])
{
    size_t most = 1;

    for (int part = 0; part < METASD_PARTS; part++) {
        size_t examples = metasd_batch_most(&graph->part[part], sizes[part]);

        most = examples > most ? examples : most;
    }
    return most;
}

/*
 * Groups that a batch of examples has, of all parts: as many as on average and some more. Rare
 * batches with more cost a block more; room for as many groups as examples would cost memory
 * always.
 */
static size_t
most_queries(const MetasdGraph *graph, const MetasdTrainOptions *options, size_t batch)
{
    size_t most = METASD_TILE;

    for (int part = 0; part < METASD_VALIDATION && !options->random_triples; part++) {
        const MetasdGroups *groups = &graph->part[part];
        double size = (double)(part == METASD_TRAIN ? options->batch : options->quiz_batch);
        double mean = size * (double)groups->count / (double)(groups->examples + 1);

        if (1.1 * mean >= (double)batch)
            return batch;
        most = 1.1 * mean > (double)most ? (size_t)(1.1 * mean) : most;
    }
    return options->random_triples || most > batch ? batch : most;
}

void
metasd_trainer_take(MetasdTrainer *trainer, MetasdArena *shared, MetasdArena *own,
                    const MetasdGraph *graph, const MetasdTrainOptions *options, int members)
{
    MetasdStep *step = &trainer->step;
    bool larger_quiz = options->step.quiz && options->quiz_batch > options->batch;
    size_t sizes[METASD_PARTS] = {[METASD_TRAIN] = options->batch,
                                  [METASD_QUIZ] = options->step.quiz ? options->quiz_batch : 1,
                                  [METASD_VALIDATION] =
                                      larger_quiz ? options->quiz_batch : options->batch};
    size_t table = 0;

    *step = (MetasdStep){.entities = graph->entities,
                         .relation_rows = 2 * graph->relations,
                         .batch = most_examples(graph, sizes),
                         .family = options->family,
                         .queries = most_queries(graph, options, most_examples(graph, sizes)),
                         .guided = guided(options),
                         .apart = options->apart,
                         .salience = options->salience,
                         .alignment = options->alignment,
                         .negatives = options->negatives < graph->entities ? options->negatives : 0,
                         .most_density = metasd_sparse_kernels()->most_density};
    if (__builtin_mul_overflow(options->rank, options->family->reals_per_rank, &step->width) ||
        __builtin_mul_overflow((size_t)step->entities + step->relation_rows, step->width, &table))
        shared->overflowed = true;
    if (shared->overflowed)
        return;
    metasd_step_take(step, shared, members, METASD_SCORE_FLOATS);
    metasd_batcher_take(&trainer->batches, own, &graph->part[METASD_TRAIN], sizes[METASD_TRAIN]);
    metasd_batcher_take(&trainer->quizzes, own, &graph->part[METASD_QUIZ], sizes[METASD_QUIZ]);
    metasd_batcher_take(&trainer->validation, own, &graph->part[METASD_VALIDATION],
                        sizes[METASD_VALIDATION]);
    trainer->class_weights = METASD_TAKE(own, float, graph->entities);
    if (step->negatives > 0)
        metasd_sampler_take(&trainer->sampler, own, &step->entity_slices, step->negatives,
                            step->batch, options->by_degree ? &graph->part[METASD_TRAIN] : NULL);
    metasd_ranker_take(&trainer->ranker, shared, members, step->batch);
    for (int i = 0; i < 3; i++)
        trainer->saved[i] = METASD_TAKE(shared, float, i < 2 || step->guided ? table : 0);
    trainer->best = METASD_TAKE(shared, float, table);
    trainer->old_mask = METASD_TAKE(shared, uint8_t, table);
    trainer->bins = METASD_TAKE(shared, uint64_t, (size_t)members * METASD_PRUNE_BINS);
    trainer->changes = METASD_TAKE(shared, uint64_t, (size_t)members * 3);
    trainer->broken = METASD_TAKE(shared, uint64_t, (size_t)members);
}

/* ---- batches and quizzes: every member goes through the same ones ---- */

typedef struct Training {
    MetasdTrainer *trainer;
    MetasdTeam *team;
    const MetasdGraph *graph;
    const MetasdTrainOptions *options;
    const MetasdTrainEvents *events;
    MetasdStepOptions step; /* with the learning rates in force, and the stages of this epoch */
    MetasdRun own[2];
    int epoch, repeats;
    double sparsity, cut;                    /* of the mask in force */
    MetasdRanks source;                      /* as last ranked */
    uint64_t quiz_rounds, saved_quiz_rounds; /* begun, and begun before the epoch */
    size_t saved_quiz;                       /* where in its round the epoch began */
} Training;

static MetasdStatus
count_class_weights(const Training *training)
{
    const MetasdGroups *train = &training->graph->part[METASD_TRAIN];
    float *weights = training->trainer->class_weights, most = 1;
    uint32_t entities = training->graph->entities;
    MetasdTeam *team = training->team;

    for (uint32_t e = 0; e < entities; e++) {
        weights[e] = 0;
        METASD_TRY(metasd_team_work(team, 1));
    }
    for (size_t i = 0; i < train->examples; i++) {
        weights[train->tails[i]] += 1;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    for (uint32_t e = 0; e < entities; e++) {
        most = fmaxf(most, weights[e]);
        METASD_TRY(metasd_team_work(team, 1));
    }
    for (uint32_t e = 0; e < entities; e++) {
        weights[e] = 0.1f + 0.9f * weights[e] / most;
        METASD_TRY(metasd_team_work(team, 1));
    }
    return METASD_OK;
}

static MetasdStatus
prepare(Training *training)
{
    MetasdTrainer *trainer = training->trainer;
    MetasdTeam *team = training->team;

    if (training->options->random_triples)
        trainer->batches.most = trainer->quizzes.most = 1;
    METASD_TRY(metasd_batcher_prepare(&trainer->batches, team));
    METASD_TRY(metasd_batcher_prepare(&trainer->quizzes, team));
    METASD_TRY(metasd_batcher_prepare(&trainer->validation, team));
    /* The same validation questions every epoch, in an order that a limit can cut. */
    METASD_TRY(metasd_batcher_shuffle(&trainer->validation, team, training->options->seed,
                                      METASD_STREAM_SPLIT));
    trainer->step.seed = training->options->seed;
    if (trainer->step.negatives > 0)
        METASD_TRY(metasd_sampler_prepare(&trainer->sampler, team));
    trainer->step.class_weights = training->options->class_weights ? trainer->class_weights : NULL;
    return trainer->step.class_weights ? count_class_weights(training) : METASD_OK;
}

static MetasdStatus
start_epoch(Training *training)
{
    return metasd_batcher_shuffle(&training->trainer->batches, training->team,
                                  training->options->seed,
                                  METASD_STREAM_EPOCH + ((uint64_t)training->epoch << 8));
}

static MetasdStatus
shuffle_quizzes(Training *training)
{
    return metasd_batcher_shuffle(&training->trainer->quizzes, training->team,
                                  training->options->seed,
                                  METASD_STREAM_QUIZ + (training->quiz_rounds++ << 8));
}

static MetasdStatus
next_batch(Training *training)
{
    MetasdBatcher *quizzes = &training->trainer->quizzes;

    METASD_TRY(metasd_batcher_next(&training->trainer->batches, training->team));
    if (!training->step.quiz || quizzes->pieces == 0)
        return METASD_OK;
    if (quizzes->next == quizzes->pieces)
        METASD_TRY(shuffle_quizzes(training));
    return metasd_batcher_next(quizzes, training->team);
}

static MetasdStatus
restore_quizzes(Training *training)
{
    training->quiz_rounds = training->saved_quiz_rounds;
    if (training->quiz_rounds > 0) { /* the order of the round that was under way */
        training->quiz_rounds--;
        METASD_TRY(shuffle_quizzes(training));
    }
    training->trainer->quizzes.next = training->saved_quiz;
    return METASD_OK;
}

/* ---- this member's part of the tables ---- */

static MetasdStatus
copy_own(const Training *training, void *to, const void *from, size_t width)
{
    MetasdWalk walk;

    for (walk = metasd_walk(training->team, training->own, 2, 1); metasd_walk_next(&walk);)
        memcpy((char *)to + walk.first * width, (const char *)from + walk.first * width,
               (walk.end - walk.first) * width);
    return walk.status;
}

static MetasdStatus
save(Training *training)
{
    MetasdTrainer *trainer = training->trainer;
    const float *state[3] = {trainer->step.weights, trainer->step.sums, trainer->step.meta_sums};

    for (int i = 0; i < (trainer->step.guided ? 3 : 2); i++)
        METASD_TRY(copy_own(training, trainer->saved[i], state[i], sizeof(float)));
    training->saved_quiz_rounds = training->quiz_rounds;
    training->saved_quiz = trainer->quizzes.next;
    return METASD_OK;
}

static MetasdStatus
restore(Training *training)
{
    MetasdStep *step = &training->trainer->step;
    float *state[3] = {step->weights, step->sums, step->meta_sums};
    MetasdWalk walk;

    METASD_TRY(restore_quizzes(training));
    METASD_TRY(training->team->barrier(training->team)); /* all have seen the failure */
    for (int i = 0; i < (step->guided ? 3 : 2); i++)
        METASD_TRY(copy_own(training, state[i], training->trainer->saved[i], sizeof(float)));
    for (walk = metasd_walk(training->team, training->own, 2, 3); metasd_walk_next(&walk);)
        for (size_t i = walk.first; i < walk.end; i++)
            step->student[i] = step->mask[i] ? step->weights[i] : 0.0f;
    METASD_TRY(walk.status);
    return training->team->barrier(training->team);
}

/* A loss is of the weights before its batch: what the last one did to them shows only here. */
static MetasdStatus
check_weights(Training *training)
{
    MetasdTrainer *trainer = training->trainer;
    uint64_t broken = 0;
    MetasdWalk walk;

    for (walk = metasd_walk(training->team, training->own, 2, 1); metasd_walk_next(&walk);)
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

/* ---- masks ---- */

/* Is the student of this epoch pruned? The last one's is, so that there is a model to keep. */
static bool
is_pruned(const MetasdTrainOptions *options, int epoch)
{
    return epoch > options->warmup || epoch == options->epochs;
}

/* The sparsity of a pruned epoch: it rises to the full value. */
static double
sparsity_of(const MetasdTrainOptions *options, int epoch)
{
    int pruned = epoch - options->warmup;

    if (pruned >= options->ramp || epoch == options->epochs)
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
    MetasdWalk walk;
    float cut;

    METASD_TRY(copy_own(training, trainer->old_mask, step->mask, 1));
    METASD_TRY(metasd_step_prune(step, training->team, sparsity, trainer->bins, &cut));
    mine[0] = mine[1] = mine[2] = 0;
    for (walk = metasd_walk(training->team, training->own, 2, 1); metasd_walk_next(&walk);)
        for (size_t i = walk.first; i < walk.end; i++) {
            mine[0] += step->mask[i] > trainer->old_mask[i];
            mine[1] += step->mask[i] < trainer->old_mask[i];
            mine[2] += step->mask[i];
        }
    METASD_TRY(walk.status);
    METASD_TRY(training->team->barrier(training->team));
    report->came = report->went = 0;
    for (int member = 0; member < training->team->size; member++) {
        report->came += trainer->changes[3 * member];
        report->went += trainer->changes[3 * member + 1];
        kept += trainer->changes[3 * member + 2];
    }
    report->pruned = true;
    report->cut = cut;
    report->sparsity = 1.0 - (double)kept / (double)table_floats(trainer);
    return training->team->barrier(training->team);
}

/* ---- an epoch ---- */

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
    const MetasdBatch *examples = &trainer->batches.batch;
    double all = (double)training->graph->part[METASD_TRAIN].examples;
    size_t total;

    report->losses = (MetasdLosses){0};
    METASD_TRY(start_epoch(training));
    METASD_TRY(metasd_batcher_count(&trainer->batches, training->team, &total));
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
    return check_weights(training);
}

/* Halves the rates and goes back to the start of the epoch, or ends the training. */
static MetasdStatus
repeat_epoch(Training *training, size_t batch)
{
    const MetasdTrainEvents *events = training->events;
    bool again = training->repeats++ < METASD_REPEATS;

    training->step.lr /= 2;
    training->step.meta_lr /= 2;
    training->step.student_lr /= 2;
    if (training->team->rank == 0 && events->repeat)
        METASD_TRY(events->repeat(events->context, training->epoch, batch,
                                  (double)training->step.lr, again));
    return again ? restore(training) : METASD_NON_FINITE;
}

/* Epochs in which the student learns alone: they begin with a mask, so after the warm-up. */
static int
finish_of(const MetasdTrainOptions *options)
{
    int most = options->epochs - options->warmup;

    return most < 0 ? 0 : options->finish < most ? options->finish : most;
}

static bool
finishes(const MetasdTrainOptions *options, int epoch)
{
    return epoch > options->epochs - finish_of(options);
}

/* The learning rate of an epoch. */
static float
rate_of(const MetasdTrainOptions *options, int epoch)
{
    float from = options->finish_lr > 0 ? options->finish_lr : options->step.lr;

    return finishes(options, epoch)
               ? from * (float)(options->epochs - epoch + 1) / (float)(finish_of(options) + 1)
               : options->step.lr;
}

/*
 * Is a batch of this epoch scored against a sample? Not for a student alone whose kept weights of
 * all entities are no more than the sample has weights: sparse products take about twice as long a
 * weight, and all entities are worth that. (On WN18RR, samples of a tenth cost the source .02.)
 */
static bool
samples(const Training *training, bool alone)
{
    const MetasdStep *step = &training->trainer->step;
    double all = (1.0 - training->sparsity) * (double)step->entities;

    if (step->negatives == 0)
        return false;
    return !alone || !step->sparse[0] || all > (double)(step->negatives + step->batch);
}

/*
 * A mask is taken for every epoch. After the ramp it stays where that is asked for, and in a finish.
 */
static bool
takes_mask(const Training *training, int epoch)
{
    const MetasdTrainOptions *options = training->options;
    bool stays = options->fixed_mask || finishes(options, epoch);

    return guided(options) && is_pruned(options, epoch) &&
           (!stays || epoch - options->warmup <= options->ramp || epoch == options->warmup + 1);
}

/* The stages of an epoch, and its mask. */
static MetasdStatus
begin_epoch(Training *training, MetasdEpoch *report)
{
    const MetasdTrainOptions *options = training->options;
    bool with_student = guided(options) && is_pruned(options, report->epoch);
    bool alone = finishes(options, report->epoch);

    if (takes_mask(training, report->epoch)) {
        METASD_TRY(take_mask(training, report, sparsity_of(options, report->epoch)));
        training->sparsity = report->sparsity;
        training->cut = report->cut;
    }
    report->pruned = with_student;
    report->alone = alone;
    report->sparsity = training->sparsity;
    report->cut = training->cut;
    training->step.quiz = options->step.quiz && with_student && !alone;
    training->step.mutual = options->step.mutual && with_student && !alone;
    training->step.alone = alone;
    training->step.relation_weight =
        alone ? fminf(options->step.relation_weight, options->finish_relation_weight)
              : options->step.relation_weight;
    training->step.lr = rate_of(options, report->epoch) * (float)ldexp(1.0, -training->repeats);
    training->trainer->step.sampler = samples(training, alone) ? &training->trainer->sampler : NULL;
    return METASD_OK;
}

/* An epoch, repeated from its start at half the rates while a loss is not finite. */
static MetasdStatus
run_epoch(Training *training, MetasdEpoch *report)
{
    METASD_TRY(save(training));
    METASD_TRY(begin_epoch(training, report));
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

/* Ranks the validation triples by the student, or else by the source. */
static MetasdStatus
rank_validation(Training *training, bool student, MetasdRanks *ranks)
{
    MetasdTrainer *trainer = training->trainer;
    MetasdStep *step = &trainer->step;
    const MetasdBatch *batch = &trainer->validation.batch;

    trainer->validation.next = 0;
    while (ranks->n < training->options->validation_most) {
        METASD_TRY(metasd_batcher_next(&trainer->validation, training->team));
        if (batch->n == 0)
            break;
        METASD_TRY(metasd_rank_batch(&trainer->ranker, step, training->team,
                                     student ? step->student : step->weights, student, batch,
                                     &training->graph->known, ranks));
    }
    return METASD_OK;
}

/*
 * Ranks what an epoch has changed: not a source that does not learn any more, and not a student
 * that is still the whole source.
 */
static MetasdStatus
validate(Training *training, MetasdEpoch *report)
{
    if (!report->alone || training->source.n == 0) {
        training->source = (MetasdRanks){0};
        METASD_TRY(rank_validation(training, false, &training->source));
    }
    report->source = report->student = training->source;
    if (!report->pruned)
        return METASD_OK;
    report->student = (MetasdRanks){0};
    return rank_validation(training, true, &report->student);
}

/* ---- the training ---- */

static double
mrr(const MetasdRanks *ranks)
{
    return ranks->n ? ranks->reciprocal / (double)ranks->n : 0;
}

/* Is this epoch's student the best of those pruned to the full sparsity? */
static bool
better(const MetasdTrainOptions *options, const MetasdEpoch *report, const MetasdEpoch *best)
{
    bool ramped = report->epoch >= options->warmup + options->ramp;

    if (guided(options) && report->epoch < options->epochs && !(report->pruned && ramped))
        return false;
    return best->epoch == 0 || report->student.n == 0 ||
           mrr(&report->student) > mrr(&best->student);
}

static bool
is_valid(const MetasdTrainOptions *options)
{
    return options->rank > 0 && options->batch > 0 && options->epochs > 0 && options->warmup >= 0 &&
           options->ramp >= 0 && options->finish >= 0 && options->sparsity >= 0 &&
           options->sparsity <= 1 && (!options->step.quiz || options->quiz_batch > 0) &&
           (!guided(options) || options->step.tau > 0);
}

/* One epoch and what is learnt from it; *best becomes its report if it is the best so far. */
static MetasdStatus
train_epoch(Training *training, MetasdEpoch *best, MetasdEpoch *report)
{
    MetasdTrainer *trainer = training->trainer;
    const MetasdTrainOptions *options = training->options;
    const MetasdTrainEvents *events = training->events;

    METASD_TRY(run_epoch(training, report));
    if (!guided(options)) /* nobody taught a student: it is the source, pruned now */
        METASD_TRY(take_mask(training, report, options->sparsity));
    METASD_TRY(validate(training, report));
    report->best = better(options, report, best);
    if (report->best) {
        *best = *report;
        METASD_TRY(copy_own(training, trainer->best, trainer->step.student, sizeof(float)));
        METASD_TRY(training->team->barrier(training->team));
    }
    if (training->team->rank == 0 && events->epoch)
        METASD_TRY(events->epoch(events->context, report));
    return METASD_OK;
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
    if (!is_valid(options))
        return METASD_INVALID;
    metasd_step_own(&trainer->step, team, training.own);
    METASD_TRY(prepare(&training));
    METASD_TRY(metasd_step_init(&trainer->step, team, options->seed, METASD_INITIAL_SCALE));
    for (int epoch = 1; epoch <= options->epochs; epoch++) {
        MetasdEpoch report = {.epoch = epoch};

        training.epoch = epoch;
        METASD_TRY(train_epoch(&training, best, &report));
        if (options->patience > 0 && best->epoch > 0 && report.student.n > 0 &&
            epoch - best->epoch >= options->patience)
            break;
    }
    return METASD_OK;
}
