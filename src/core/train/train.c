#include "core/train/train.h"

#include <math.h>

#include "core/train/phases.h"
#include "core/base/random.h"
#include "core/train/epoch.h"
#include "core/train/lean.h"

/* ---- memory ---- */

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
 * Groups that a block of scores has room for: the mean number in a batch and some more. Rare
 * batches with more need a second block; room for all examples of a batch would always cost memory.
 */
static size_t
most_queries(const MetasdGraph *graph, const MetasdTrainOptions *options, size_t batch)
{
    size_t most = METASD_TILE;

    for (int part = 0; part < METASD_VALIDATION; part++) {
        const MetasdGroups *groups = &graph->part[part];
        double size = (double)(part == METASD_TRAIN ? options->batch : options->quiz_batch);
        double mean = size * (double)groups->count / (double)(groups->examples + 1);

        if (1.1 * mean >= (double)batch)
            return batch;
        most = 1.1 * mean > (double)most ? (size_t)(1.1 * mean) : most;
    }
    return most > batch ? batch : most;
}

/* Weights with the salience of the threshold are kept, too: this factor more, or dense products. */
#define TIES 1.02

/*
 * One weight is enough that a row is not empty. In trainings of a few epochs, of a graph of 3,000
 * members of two nations, first answers without a score went from 1.00 and .42 of all to .00, and
 * the MRR from .004 to .37; of a graph of world geography the MRR went from .088 to .084. A larger
 * floor gains nothing there, and takes weights from better places: at a sparsity of .97, 1 costs
 * .01 of MRR, 2 .02 and 4 .15. UMLS at rank 50 has 5 to 8 empty rows of 227 without a floor; its
 * test MRR is .888 without and .883 with it (means of five seeds). Where no row would be empty, a
 * floor of one changes nothing.
 */
#define FLOOR 1

/*
 * The part of the entities' weights that every mask prunes: nothing where the sparsity rises. Both
 * tables have one threshold, so a mask may prune all relations and keep more weights of entities.
 */
static double
pruned_always(const MetasdGraph *graph, const MetasdTrainOptions *options)
{
    double relations = 2.0 * graph->relations;
    double kept = (1 - options->sparsity) * (1 + relations / fmax(graph->entities, 1));
    const MetasdFamily *family = options->family;
    double must = FLOOR * (double)(options->pruning.by_component ? family->reals_per_rank : 1);

    kept = fmax(kept, must / ((double)options->rank * (double)family->reals_per_rank));
    return options->ramp > 0 ? 0 : fmax(0, 1 - TIES * kept);
}

/*
 * Is a training lean: is every step scored against a sample? In fine-tuning, where the kept weights
 * of all entities are no more than those of a sample, all are scored (epoch.c).
 */
static bool
is_lean(const MetasdGraph *graph, const MetasdTrainOptions *options, size_t negatives, size_t batch)
{
    double kept = (1 - options->sparsity) * (double)graph->entities;

    return negatives > 0 && options->lean_from > 0 && graph->entities >= options->lean_from &&
           (options->finetune == 0 || kept > (double)(negatives + batch));
}

void
metasd_trainer_take(MetasdTrainer *trainer, MetasdArena *shared, MetasdArena *own,
                    const MetasdGraph *graph, const MetasdTrainOptions *options, int members)
{
    MetasdState *state = &trainer->state;
    bool larger_quiz = options->step.quiz && options->quiz_batch > options->batch;
    size_t sizes[METASD_PARTS] = {[METASD_TRAIN] = options->batch,
                                  [METASD_QUIZ] = options->step.quiz ? options->quiz_batch : 1,
                                  [METASD_VALIDATION] =
                                      larger_quiz ? options->quiz_batch : options->batch};
    size_t batch = most_examples(graph, sizes), table = 0;

    *state = (MetasdState){
        .entities = graph->entities,
        .relation_rows = 2 * graph->relations,
        .family = options->family,
        .size = {.batch = batch,
                 .queries = most_queries(graph, options, batch),
                 .negatives = options->negatives < graph->entities ? options->negatives : 0,
                 .has_student = metasd_phases_has_student(options),
                 .has_quiz = options->step.quiz,
                 .single = !options->step.quiz && !options->step.mutual,
                 .rounds = options->storage != METASD_FLOAT32,
                 .most_density = metasd_sparse_kernels()->most_density,
                 .pruned = pruned_always(graph, options),
                 .whole_from = metasd_sparse_kernels()->most_density}};
    state->size.lean = is_lean(graph, options, state->size.negatives, batch);
    trainer->context = (MetasdStepContext){NULL};
    trainer->pruner.options = options->pruning;
    trainer->pruner.options.floor = FLOOR;
    if (__builtin_mul_overflow(options->rank, options->family->reals_per_rank, &state->width) ||
        __builtin_mul_overflow((size_t)state->entities + state->relation_rows, state->width,
                               &table))
        shared->overflowed = true;
    trainer->progress = (MetasdProgress){0};
    if (shared->overflowed)
        return;
    metasd_state_take(state, shared, members, METASD_SCORE_FLOATS);
    metasd_batcher_take(&trainer->batches, own, &graph->part[METASD_TRAIN], sizes[METASD_TRAIN]);
    metasd_batcher_take(&trainer->quizzes, own, &graph->part[METASD_QUIZ], sizes[METASD_QUIZ]);
    metasd_batcher_take(&trainer->validation, own, &graph->part[METASD_VALIDATION],
                        sizes[METASD_VALIDATION]);
    trainer->class_weights = METASD_TAKE(own, float, graph->entities);
    if (state->size.negatives > 0)
        metasd_excerpt_take(&trainer->excerpt, shared, own, state);
    metasd_validate_take(&trainer->validator, shared, members, state->size.batch);
    if (state->size.lean) {
        metasd_best_weights_take(&trainer->lean_best, shared, table / state->width, state->width);
        table = 0;
    }
    for (int i = 0; i < 3; i++)
        trainer->saved[i] = METASD_TAKE(shared, float, i < 2 || state->size.has_quiz ? table : 0);
    trainer->best = METASD_TAKE(shared, float, table);
    metasd_prune_take(&trainer->pruner, shared, state, members);
    trainer->broken = METASD_TAKE(shared, uint64_t, (size_t)members);
}

/* ---- before the first epoch ---- */

static MetasdStatus
count_class_weights(const MetasdTrainLoop *training)
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
prepare_batches(MetasdTrainLoop *training)
{
    MetasdTrainer *trainer = training->trainer;
    MetasdTeam *team = training->team;

    METASD_TRY(metasd_batcher_prepare(&trainer->batches, team));
    METASD_TRY(metasd_batcher_prepare(&trainer->quizzes, team));
    METASD_TRY(metasd_batcher_prepare(&trainer->validation, team));
    /* The same validation questions every epoch, in an order that a limit can cut. */
    METASD_TRY(metasd_batcher_shuffle(&trainer->validation, team, training->options->seed,
                                      METASD_STREAM_SPLIT));
    trainer->context.seed = training->options->seed;
    trainer->context.class_weights =
        training->options->class_weights ? trainer->class_weights : NULL;
    return trainer->context.class_weights ? count_class_weights(training) : METASD_OK;
}

/* ---- validation ---- */

/* A table for metasd_validate_batch. */
static const float *
ranked_table(const MetasdState *state, bool student)
{
    if (!student)
        return state->weights;
    return state->size.lean ? NULL : state->student;
}

/* Ranks the validation triples by the student, or else by the full model. */
static MetasdStatus
rank_validation(MetasdTrainLoop *training, bool student, MetasdRanks *ranks)
{
    MetasdTrainer *trainer = training->trainer;
    MetasdState *state = &trainer->state;
    const MetasdBatch *batch = &trainer->validation.batch;

    trainer->validation.next = 0;
    while (ranks->n < training->options->validation_most) {
        METASD_TRY(metasd_batcher_next(&trainer->validation, training->team));
        if (batch->n == 0)
            break;
        METASD_TRY(metasd_validate_batch(&trainer->validator, state, training->team,
                                         ranked_table(state, student), student, batch,
                                         training->graph, ranks));
    }
    return METASD_OK;
}

/*
 * Ranks the models that an epoch has changed: the full model is the same throughout fine-tuning,
 * and before the first mask the student is the full model.
 */
static MetasdStatus
validate_models(MetasdTrainLoop *training, MetasdEpoch *report)
{
    MetasdProgress *progress = &training->trainer->progress;

    if (!report->finetunes) {
        progress->full = (MetasdRanks){0};
        METASD_TRY(rank_validation(training, false, &progress->full));
    }
    if (metasd_phases_has_full(training->options, report->epoch))
        report->full = progress->full;
    if (report->pruned)
        return rank_validation(training, true, &report->student);
    report->student = report->full;
    return METASD_OK;
}

/* ---- the training ---- */

static double
mrr_of(const MetasdRanks *ranks)
{
    return ranks->n ? ranks->reciprocal / (double)ranks->n : 0;
}

/* Does this epoch compete? Only students do that are pruned to the full sparsity. */
static bool
competes(const MetasdTrainOptions *options, const MetasdEpoch *report)
{
    bool ramped = report->epoch >= options->warmup + options->ramp;

    return !metasd_phases_has_student(options) || report->epoch == options->epochs ||
           (report->pruned && ramped);
}

/*
 * With one ranked answer MRRs that differ by so much are level, and by less with the root of their
 * number.
 */
#define LEVEL 0.5

/*
 * Decides whether to keep this epoch instead of the one kept before. Of level epochs the last is
 * kept. The rate falls to the end, and validation flatters early epochs, because true answers that
 * nobody wrote down count as wrong: on UMLS the last epochs have a test MRR of .979, those of the
 * highest validation MRR .973 (means of five seeds).
 */
static bool
is_kept(const MetasdEpoch *report, MetasdProgress *progress)
{
    double mrr = mrr_of(&report->student);

    if (report->student.n == 0 || progress->top_epoch == 0 || mrr > progress->top) {
        progress->top = mrr;
        progress->top_epoch = report->epoch;
        return true;
    }
    return mrr >= progress->top - LEVEL / sqrt((double)report->student.n);
}

static bool
is_valid(const MetasdTrainOptions *options)
{
    return options->rank > 0 && options->batch > 0 && options->epochs > 0 && options->warmup >= 0 &&
           options->ramp >= 0 && options->finetune >= 0 && options->sparsity >= 0 &&
           options->sparsity <= 1 && (!options->step.quiz || options->quiz_batch > 0) &&
           (!metasd_phases_has_student(options) || options->step.tau > 0);
}

/* Is the student of an epoch ranked, and kept if it is the best, as it will be stored? */
static bool
ranks_rounded(const MetasdTrainLoop *training, const MetasdEpoch *report)
{
    return training->options->storage != METASD_FLOAT32 && report->pruned;
}

/* Computes the tables that a checkpoint leaves out, as they follow from the others. */
static MetasdStatus
restore_derived(MetasdTrainLoop *training)
{
    MetasdTrainer *trainer = training->trainer;
    MetasdState *state = &trainer->state;

    METASD_TRY(
        metasd_epoch_make_student(training, ranks_rounded(training, &trainer->progress.best)));
    if (trainer->progress.best.epoch == trainer->progress.epoch)
        METASD_TRY(metasd_epoch_keep(training));
    if (state->size.lean) {
        METASD_TRY(metasd_lean_read_relations(state, training->team));
        METASD_TRY(training->team->barrier(training->team));
    }
    state->sparse[0] = state->sparse[1] = false;
    if (trainer->progress.masked)
        METASD_TRY(metasd_prune_patterns(state, training->team));
    METASD_TRY(metasd_epoch_place_quizzes(training));
    return training->team->barrier(training->team);
}

/* Fills the tables, unless they are. */
static MetasdStatus
prepare_tables(MetasdTrainLoop *training)
{
    MetasdTrainer *trainer = training->trainer;

    if (trainer->progress.epoch > 0)
        return restore_derived(training);
    if (!trainer->progress.warm)
        return metasd_state_init(&trainer->state, training->team, training->options->seed,
                                 METASD_INITIAL_SCALE);
    trainer->state.sparse[0] = trainer->state.sparse[1] = false;
    return training->team->barrier(training->team);
}

/* One epoch and its validation; progress->best becomes its report if it is kept. */
static MetasdStatus
train_epoch(MetasdTrainLoop *training, MetasdEpoch *report)
{
    MetasdTrainer *trainer = training->trainer;
    MetasdProgress *progress = &trainer->progress;
    const MetasdTrainOptions *options = training->options;
    const MetasdTrainEvents *events = training->events;

    METASD_TRY(metasd_epoch_run(training, report));
    if (!metasd_phases_has_student(options)) /* it is the full model, pruned now */
        METASD_TRY(metasd_epoch_mask(training, report, options->sparsity));
    if (ranks_rounded(training, report)) {
        METASD_TRY(metasd_epoch_make_student(training, true));
        METASD_TRY(training->team->barrier(training->team));
    }
    METASD_TRY(validate_models(training, report));
    report->best = competes(options, report) && is_kept(report, progress);
    if (report->best) {
        progress->best = *report;
        METASD_TRY(metasd_epoch_keep(training));
        METASD_TRY(training->team->barrier(training->team));
    }
    progress->epoch = report->epoch;
    progress->quiz_next = trainer->quizzes.next;
    if (training->team->rank == 0 && events->epoch)
        METASD_TRY(events->epoch(events->context, report));
    /* While the leader writes a checkpoint, the tables stay as they are. */
    return training->team->barrier(training->team);
}

static bool
is_over(const MetasdTrainOptions *options, const MetasdProgress *progress)
{
    return progress->epoch >= options->epochs ||
           (options->patience > 0 && progress->top_epoch > 0 && progress->best.student.n > 0 &&
            progress->epoch - progress->top_epoch >= options->patience);
}

/*
 * The training is over: nobody needs the weights of the full model, so the best ones take their
 * place. As they will be stored, if that is how they were ranked.
 */
static MetasdStatus
restore_best(MetasdTrainLoop *training)
{
    MetasdTrainer *trainer = training->trainer;
    MetasdState *state = &trainer->state;

    if (trainer->progress.best.epoch > 0)
        METASD_TRY(metasd_best_weights_restore(&trainer->lean_best, state, training->team));
    if (trainer->progress.best.epoch > 0 && ranks_rounded(training, &trainer->progress.best))
        METASD_TRY(metasd_lean_round(state, training->team, training->options->storage));
    trainer->best = state->weights;
    return training->team->barrier(training->team);
}

MetasdStatus
metasd_train(MetasdTrainer *trainer, MetasdTeam *team, const MetasdGraph *graph,
             const MetasdTrainOptions *options, const MetasdTrainEvents *events, MetasdEpoch *best)
{
    MetasdProgress *progress = &trainer->progress;
    MetasdTrainLoop training = {.trainer = trainer,
                                .team = team,
                                .graph = graph,
                                .options = options,
                                .events = events,
                                .step = options->step};

    *best = progress->best;
    if (!is_valid(options))
        return METASD_INVALID;
    metasd_state_own(&trainer->state, team, training.own);
    METASD_TRY(prepare_batches(&training));
    METASD_TRY(prepare_tables(&training));
    while (!is_over(options, progress)) {
        MetasdEpoch report = {.epoch = progress->epoch + 1};

        training.epoch = report.epoch;
        METASD_TRY(train_epoch(&training, &report));
        *best = progress->best;
    }
    return trainer->state.size.lean ? restore_best(&training) : METASD_OK;
}

/* ---- a model from elsewhere ---- */

/* This member's sums and mask as they are before any training. */
static MetasdStatus
clear_traces(const MetasdTrainLoop *training)
{
    MetasdState *state = &training->trainer->state;
    MetasdChunks chunk;

    for (chunk = metasd_team_chunks(training->team, training->own, 2, 1);
         metasd_team_next_chunk(&chunk);)
        for (size_t i = chunk.first; i < chunk.end; i++) {
            state->sums[i] = 0;
            state->mask[i] = 1;
        }
    return chunk.status;
}

MetasdStatus
metasd_train_adopt(MetasdTrainer *trainer, MetasdTeam *team, const MetasdGraph *graph,
                   const MetasdTrainOptions *options, MetasdEpoch *best)
{
    MetasdTrainEvents none = {0};
    MetasdTrainLoop training = {.trainer = trainer,
                                .team = team,
                                .graph = graph,
                                .options = options,
                                .events = &none,
                                .step = options->step};
    MetasdEpoch report = {.best = true};

    *best = report;
    if (!is_valid(options))
        return METASD_INVALID;
    metasd_state_own(&trainer->state, team, training.own);
    METASD_TRY(prepare_batches(&training));
    METASD_TRY(clear_traces(&training));
    METASD_TRY(team->barrier(team));
    METASD_TRY(metasd_epoch_mask(&training, &report, options->sparsity));
    if (ranks_rounded(&training, &report))
        METASD_TRY(metasd_epoch_make_student(&training, true));
    METASD_TRY(team->barrier(team));
    report.pruned = options->sparsity > 0 || ranks_rounded(&training, &report); /* else the same */
    METASD_TRY(validate_models(&training, &report));
    report.pruned = true;
    METASD_TRY(metasd_epoch_keep(&training));
    *best = trainer->progress.best = report;
    return team->barrier(team);
}
