/*
 * presets.c - the defaults of training parameters, by preset and the graph's own size, and what
 * the core is told of parameters.
 *
 * A preset says how long a training may take: `balanced` about a quarter of an hour at most for
 * graphs of up to some hundred thousand triples, on two cores; `fast` about a tenth of that, `best`
 * ten times as much. Chosen on validation triples of Nations, Kinship, UMLS, WN18RR and FB15k-237;
 * test/bench/RESULTS.md has what was measured.
 */
#include "pg/params/params.h"

#include <math.h>

#include "core/codec/row_codec.h"

/*
 * Where neither matters: the published settings, but for the quiz, off as it costs time and won
 * nothing measurable anywhere. What is left out here is 0.
 */
static const double at_any_size[METASD_PARAMS] = {
    [METASD_P_CHECKPOINT_EVERY] = 10,
    [METASD_P_KEEP_VERSIONS] = 3,
    [METASD_P_LR] = 0.1,
    [METASD_P_PRESET] = METASD_BALANCED,
    [METASD_P_PROMOTE_TOLERANCE] = 0.005,
    [METASD_P_QUIZ_FRACTION] = 0.02,
    [METASD_P_QUIZ_LR] = 1e-4,
    [METASD_P_SEED] = 1,
    [METASD_P_SPARSITY] = 0.9,
    [METASD_P_STORAGE] = METASD_INT8,
    [METASD_P_WARM_START] = 1,
};

typedef struct Graph {
    double entities, relations, triples;
} Graph;

/* Epochs: of the source alone, of source and student, of the student alone. */
typedef struct Course {
    double warmup, mutual, finetune;
    double work;      /* flop that all of it may take; the rank is what it allows, within limits */
    double most_rank; /* by default; metasd_plan may lower it to what memory allows */
} Course;

/*
 * Small graphs can afford mutual learning, which takes three times the products of a student alone:
 * on UMLS it was worth .01 to .02, on Kinship nothing. Where it is off, the pruned model has the
 * time.
 */
static const Course small_courses[] = {
    [METASD_FAST] = {4, 10, 6, 1e14, 1000},
    [METASD_BALANCED] = {10, 30, 20, 1e15, 1000},
    [METASD_BEST] = {30, 90, 60, 1e16, 1000},
};

/*
 * A source need not live long to tell which weights to keep. FB15k-237 at rank 1000, validation MRR
 * after eight epochs alone: .345 by a source of 2 epochs, .349 by one of 6, .340 by one of 24 with
 * N3 and a falling rate.
 */
static const Course large_courses[] = {
    [METASD_FAST] = {3, 0, 6, 4e13, 1000},
    [METASD_BALANCED] = {8, 0, 16, 4e14, 1000},
    [METASD_BEST] = {8, 0, 36, 4e15, 4000},
};

/* Triples times entities up to which a graph is small. */
#define SMALL 1e8

/*
 * From so many entities on the source is scored against a sample, of a tenth of them within limits:
 * to score all takes time by the square of the graph. On FB15k-237, 2,000 of 14,541 lose .004 of
 * validation MRR at the same number of steps, and take a quarter of the time.
 */
#define MANY_ENTITIES 8000
#define LEAST_NEGATIVES 2000
#define MOST_NEGATIVES 10000

/* Triples an entity from which N3 is better than DURA: UMLS and Kinship have 40 and more. */
#define DENSE 30

/*
 * Triples an entity up to which frequent tails weigh more, as published: worth .004 on WN18RR. No
 * more than rank 1000 was tried there: MRR .486, where .491 is published.
 */
#define THIN 5
#define MOST_THIN_RANK 1000

/*
 * Parts of a course that a training needs which starts from another version, and no ramp: about
 * half of the time. It ends better than one that starts anew.
 */
#define WARM_WARMUP 0.2
#define WARM_MUTUAL 0.43
#define WARM_FINETUNE 0.75

/* More triples than this are seen less often: the number of steps counts, not that of epochs. */
#define MANY_TRIPLES 1e6

/*
 * Fine-tuning begins at a higher rate than the source has: Adagrad's sums are those of the source's
 * whole life, and the pruned model has much to make up for.
 */
#define FINETUNE_RATES 3
#define MOST_RATE 10 /* of any parameter */

/*
 * Relations from which predicting them teaches something: FB15k-237 has 237; UMLS has 46, and it
 * costs .015 there. A full model learns more from a large weight, but only in time: on FB15k-237
 * weight 0.5 is ahead of 0 from the first epochs on, weight 4 after about ten.
 */
#define MANY_RELATIONS 100
static const double relation_weights[] = {
    [METASD_FAST] = 0, [METASD_BALANCED] = 0.5, [METASD_BEST] = 4};

/* Two digits, so that people can read them. */
static double
rounded(double x)
{
    double unit = pow(10, floor(log10(x)) - 1);

    return floor(x / unit + 0.5) * unit;
}

static double
batch_of(const Graph *graph)
{
    return floor(Max(Max(64, Min(graph->triples / 20, 1000)), Min(graph->triples / 270, 4500)));
}

static double
negatives_of(const Graph *graph)
{
    if (graph->entities < MANY_ENTITIES)
        return 0;
    return floor(Max(LEAST_NEGATIVES, Min(graph->entities / 10, MOST_NEGATIVES)));
}

/* Flop of an epoch of the source for one of rank: three products of all triples, both ways. */
static double
epoch_work(const Graph *graph, double negatives, double batch)
{
    double scored = negatives > 0 ? Min(graph->entities, negatives + batch) : graph->entities;

    return 3 * 2 * 2 * 2 * graph->triples * (scored + 2);
}

/* The more triples an entity has, the less there is to hold back. */
static double
reg_of(const Graph *graph, bool dense)
{
    return dense ? 0.02
                 : rounded(Max(0.03, Min(0.2 * sqrt(graph->entities / graph->triples), 0.1)));
}

static void
default_by_size(double *value, const Graph *graph, MetasdPreset preset, bool warm)
{
    bool small = graph->triples * graph->entities <= SMALL;
    bool dense = graph->triples >= DENSE * graph->entities;
    bool thin = !small && graph->triples < THIN * graph->entities;
    const Course *course = small ? &small_courses[preset] : &large_courses[preset];
    double batch = batch_of(graph), negatives = negatives_of(graph);
    double part = Min(1, sqrt(MANY_TRIPLES / graph->triples));
    double warmup = ceil(course->warmup * part), finetune = ceil(course->finetune * part);
    double mutual = course->mutual, epochs = warmup + mutual + finetune;
    double rank = course->work / ((epochs + 3 * mutual) * epoch_work(graph, negatives, batch));
    double most = thin ? Min(course->most_rank, MOST_THIN_RANK) : course->most_rank;

    value[METASD_P_RANK] = rounded(Max(METASD_LEAST_RANK, Min(rank, most)));
    if (warm) {
        warmup = ceil(warmup * WARM_WARMUP);
        mutual = ceil(mutual * WARM_MUTUAL);
        finetune = ceil(finetune * WARM_FINETUNE);
    }
    value[METASD_P_BATCH] = batch;
    value[METASD_P_EPOCHS] = warmup + mutual + finetune;
    value[METASD_P_WARMUP] = warmup;
    value[METASD_P_RAMP] = warm ? 0 : floor(mutual / 3);
    value[METASD_P_FINETUNE] = finetune;
    value[METASD_P_MUTUAL] = mutual > 0;
    value[METASD_P_RELATION_WEIGHT] =
        graph->relations >= MANY_RELATIONS ? relation_weights[preset] : 0;
    value[METASD_P_REG] = reg_of(graph, dense);
    value[METASD_P_REGULARIZER] = dense ? METASD_N3 : METASD_DURA;
    value[METASD_P_CLASS_WEIGHTS] = thin;
    value[METASD_P_VALIDATION_FRACTION] = small ? 0.1 : 0.02;
    value[METASD_P_PRUNING] = small ? METASD_SALIENCE : METASD_ALIGNED;
    value[METASD_P_NEGATIVES] = negatives;
}

/*
 * Somebody who sets `epochs` and nothing else means a shorter or longer course of the same parts.
 */
static void
stretch(double *value, double epochs)
{
    double times = epochs / value[METASD_P_EPOCHS];

    value[METASD_P_WARMUP] = floor(value[METASD_P_WARMUP] * times);
    value[METASD_P_RAMP] = floor(value[METASD_P_RAMP] * times);
    value[METASD_P_FINETUNE] = floor(value[METASD_P_FINETUNE] * times);
}

void
metasd_presets_apply(MetasdParams *params, uint32 entities, uint32 relations, uint64 triples)
{
    Graph graph = {Max(entities, 1), Max(relations, 1), Max((double)triples, 1)};
    MetasdPreset preset = METASD_BALANCED;
    double value[METASD_PARAMS];

    if (params->given[METASD_P_PRESET])
        preset = (MetasdPreset)params->value[METASD_P_PRESET];
    memcpy(value, at_any_size, sizeof(value));
    default_by_size(value, &graph, preset, params->warm);
    if (params->given[METASD_P_EPOCHS])
        stretch(value, params->value[METASD_P_EPOCHS]);
    for (int i = 0; i < METASD_PARAMS; i++)
        if (!params->given[i])
            params->value[i] = value[i];
    if (!params->given[METASD_P_FINETUNE_LR])
        params->value[METASD_P_FINETUNE_LR] =
            Min(FINETUNE_RATES * params->value[METASD_P_LR], MOST_RATE);
    metasd_params_settle(params);
}

/* ---- what the core is told ---- */

/*
 * Constants of the method: the rate of the student's trial step; the temperature of both
 * divergences and their weights in a learner's loss, as published; a quiz has a fifth of the
 * examples of a batch.
 */
#define STUDENT_RATE 0.1f
#define TEMPERATURE 3
#define KL_FORWARD 3
#define KL_REVERSE 1
#define QUIZZES_PER_BATCH 5

/*
 * The most that the relation loss weighs in fine-tuning: fewer weights want less of it. At rank
 * 1000 weight 2 is behind 0.5; at 4000 it is ahead of 1, by .003 of validation MRR and .004 of
 * Hits@1.
 */
static const float finetune_relation_weights[] = {
    [METASD_FAST] = 0.5f, [METASD_BALANCED] = 0.5f, [METASD_BEST] = 2};

/*
 * What counts besides the magnitude of a weight, as powers (see MetasdPruneOptions): how much the loss has
 * cared for the weight, and how large its column is. And whether the reals of a component stay
 * together.
 *
 * Two rows have a score only through columns that both keep, and in a large graph any two rows may
 * need one. Small graphs lose with alignment: UMLS .01 at a power of 4. With whole components a row
 * takes a sixth fewer bytes: WN18RR loses nothing, UMLS .007; Kinship wins .003.
 */
static const struct {
    double salience, alignment;
    bool by_component;
} prunings[] = {
    [METASD_MAGNITUDE] = {0, 0, false},
    [METASD_SALIENCE] = {0.5, 0, false},
    [METASD_ALIGNED] = {0.5, 16, true},
};

/* Validation examples that are ranked after an epoch, at most. */
#define MOST_VALIDATION 20000

void
metasd_params_options(const MetasdParams *params, MetasdTrainOptions *options, MetasdSplit *split)
{
    const double *x = params->value;
    int pruning = (int)x[METASD_P_PRUNING];

    *split = (MetasdSplit){.seed = (uint64_t)x[METASD_P_SEED],
                           .validation_fraction = x[METASD_P_VALIDATION_FRACTION],
                           .quiz_fraction = x[METASD_P_QUIZ] ? x[METASD_P_QUIZ_FRACTION] : 0};
    *options = (MetasdTrainOptions){
        .seed = (uint64_t)x[METASD_P_SEED],
        .family = metasd_params_family(params),
        .rank = (size_t)x[METASD_P_RANK],
        .sparsity = x[METASD_P_SPARSITY],
        .epochs = (int)x[METASD_P_EPOCHS],
        .warmup = (int)x[METASD_P_WARMUP],
        .ramp = (int)x[METASD_P_RAMP],
        .finetune = (int)x[METASD_P_FINETUNE],
        .finetune_lr = (float)x[METASD_P_FINETUNE_LR],
        .finetune_relation_weight = finetune_relation_weights[(int)x[METASD_P_PRESET]],
        .pruning = {.salience = prunings[pruning].salience,
                    .alignment = prunings[pruning].alignment,
                    .by_component = prunings[pruning].by_component},
        .patience = (int)x[METASD_P_PATIENCE],
        .batch = (size_t)x[METASD_P_BATCH],
        .quiz_batch = Max(1, (size_t)x[METASD_P_BATCH] / QUIZZES_PER_BATCH),
        .negatives = (size_t)x[METASD_P_NEGATIVES],
        .validation_most = MOST_VALIDATION,
        .class_weights = x[METASD_P_CLASS_WEIGHTS] != 0,
        .step = {.lr = (float)x[METASD_P_LR],
                 .student_lr = STUDENT_RATE,
                 .quiz_lr = (float)x[METASD_P_QUIZ_LR],
                 .reg = (float)x[METASD_P_REG],
                 .relation_weight = (float)x[METASD_P_RELATION_WEIGHT],
                 .tau = TEMPERATURE,
                 .kl_forward = KL_FORWARD,
                 .kl_reverse = KL_REVERSE,
                 .regularizer = (MetasdRegularizer)x[METASD_P_REGULARIZER],
                 .quiz = x[METASD_P_QUIZ] != 0,
                 .mutual = x[METASD_P_MUTUAL] != 0}};
}
