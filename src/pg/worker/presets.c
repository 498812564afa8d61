#include "pg/worker/presets.h"

#include <math.h>

#include "core/codec/row_codec.h"
#include "core/train/train.h"

/*
 * Where neither matters: the published settings. Only the quiz is off, as it costs time and won
 * nothing measurable on any graph. A parameter that is left out here is 0.
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

/* Epochs of the full model alone, of both models, and of the pruned model alone. */
typedef struct Phases {
    double warmup, mutual, finetune;
    double work;      /* flop of all epochs; the default rank is one that needs no more */
    double most_rank; /* the highest default rank; metasd_plan may lower it for lack of memory */
} Phases;

/*
 * Small graphs can afford mutual learning, which takes three times the products of the pruned model
 * alone: on UMLS it was worth .01 to .02, on Kinship nothing. Where it is off, the pruned model has
 * the time.
 */
static const Phases small_phases[] = {
    [METASD_FAST] = {4, 10, 6, 1e14, 1000},
    [METASD_BALANCED] = {10, 30, 20, 1e15, 1000},
    [METASD_BEST] = {30, 90, 60, 1e16, 1000},
};

/*
 * A few epochs of the full model suffice to choose the weights to keep. On FB15k-237 at rank 1000
 * the pruned model's validation MRR after eight epochs alone is .345 with 2 epochs of the full
 * model, .349 with 6, and .340 with 24, N3 and a falling rate.
 */
static const Phases large_phases[] = {
    [METASD_FAST] = {3, 0, 6, 4e13, 1000},
    [METASD_BALANCED] = {8, 0, 16, 4e14, 1000},
    [METASD_BEST] = {8, 0, 36, 4e15, 4000},
};

/* Triples times entities up to which a graph is small. */
#define SMALL 1e8

/*
 * From this number of entities on the full model is scored against a sample, of a tenth of them
 * within limits: the time to score all grows with the square of the graph. On FB15k-237, 2,000 of
 * 14,541 lose .004 of validation MRR at the same number of steps, and take a quarter of the time.
 */
#define MANY_ENTITIES 8000
#define LEAST_NEGATIVES 2000
#define MOST_NEGATIVES 10000

/* Triples per entity from which on N3 is better than DURA: UMLS and Kinship have 40 and more. */
#define DENSE 30

/*
 * Triples per entity up to which frequent tails weigh more, as published: worth .004 on WN18RR. The
 * highest rank that was tried there is 1000: MRR .486, where .491 is published.
 */
#define THIN 5
#define MOST_THIN_RANK 1000

/*
 * A training that starts from another version needs these parts of the phases, and no ramp: about
 * half of the time. Its result is better than that of a training that starts anew.
 */
#define WARM_WARMUP 0.2
#define WARM_MUTUAL 0.43
#define WARM_FINETUNE 0.75

/* More triples than this get fewer epochs: the number of steps counts, not that of epochs. */
#define MANY_TRIPLES 1e6

/*
 * Fine-tuning begins at a higher rate than the full model has: Adagrad's sums are those of all
 * epochs before, and the pruned model has much to make up for.
 */
#define FINETUNE_RATES 3
#define MOST_RATE 10 /* of any parameter */

/*
 * The number of relations from which on the relation loss helps: FB15k-237 has 237; UMLS has 46,
 * and it costs .015 there. A full model learns more from a large weight, but only in time: on
 * FB15k-237 weight 0.5 is ahead of 0 from the first epochs on, weight 4 after about ten.
 */
#define MANY_RELATIONS 100
static const double relation_weights[] = {
    [METASD_FAST] = 0, [METASD_BALANCED] = 0.5, [METASD_BEST] = 4};

/* So that people can read it. */
static double
round_to_two_digits(double x)
{
    double unit = pow(10, floor(log10(x)) - 1);

    return floor(x / unit + 0.5) * unit;
}

static double
default_batch(const Graph *graph)
{
    return floor(Max(Max(64, Min(graph->triples / 20, 1000)), Min(graph->triples / 270, 4500)));
}

static double
default_negatives(const Graph *graph)
{
    if (graph->entities < MANY_ENTITIES)
        return 0;
    return floor(Max(LEAST_NEGATIVES, Min(graph->entities / 10, MOST_NEGATIVES)));
}

/* Flop per epoch and rank of the full model: three products of all triples, in both directions. */
static double
count_epoch_work(const Graph *graph, double negatives, double batch)
{
    double scored = negatives > 0 ? Min(graph->entities, negatives + batch) : graph->entities;

    return 3 * 2 * 2 * 2 * graph->triples * (scored + 2);
}

/* The more triples an entity has, the less there is to hold back. */
static double
default_reg(const Graph *graph, bool dense)
{
    return dense ? 0.02
                 : round_to_two_digits(
                       Max(0.03, Min(0.2 * sqrt(graph->entities / graph->triples), 0.1)));
}

static void
set_defaults(double *value, const Graph *graph, MetasdPreset preset, bool warm)
{
    bool small = graph->triples * graph->entities <= SMALL;
    bool dense = graph->triples >= DENSE * graph->entities;
    bool thin = !small && graph->triples < THIN * graph->entities;
    const Phases *phases = small ? &small_phases[preset] : &large_phases[preset];
    double batch = default_batch(graph), negatives = default_negatives(graph);
    double part = Min(1, sqrt(MANY_TRIPLES / graph->triples));
    double warmup = ceil(phases->warmup * part), finetune = ceil(phases->finetune * part);
    double mutual = phases->mutual, epochs = warmup + mutual + finetune;
    double rank =
        phases->work / ((epochs + 3 * mutual) * count_epoch_work(graph, negatives, batch));
    double most = thin ? Min(phases->most_rank, MOST_THIN_RANK) : phases->most_rank;

    value[METASD_P_RANK] = round_to_two_digits(Max(METASD_LEAST_RANK, Min(rank, most)));
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
    value[METASD_P_REG] = default_reg(graph, dense);
    value[METASD_P_REGULARIZER] = dense ? METASD_N3 : METASD_DURA;
    value[METASD_P_CLASS_WEIGHTS] = thin;
    value[METASD_P_VALIDATION_FRACTION] = small ? 0.1 : 0.02;
    value[METASD_P_PRUNING] = small ? METASD_SALIENCE : METASD_ALIGNED;
    value[METASD_P_NEGATIVES] = negatives;
}

/* A user who sets `epochs` and nothing else means shorter or longer phases of the same parts. */
static void
stretch_phases(double *value, double epochs)
{
    double times = epochs / value[METASD_P_EPOCHS];

    value[METASD_P_WARMUP] = floor(value[METASD_P_WARMUP] * times);
    value[METASD_P_RAMP] = floor(value[METASD_P_RAMP] * times);
    value[METASD_P_FINETUNE] = floor(value[METASD_P_FINETUNE] * times);
}

void
metasd_presets_apply(MetasdParams *params, uint32 entities, uint32 relations, uint64 triples,
                     bool warm)
{
    Graph graph = {Max(entities, 1), Max(relations, 1), Max((double)triples, 1)};
    MetasdPreset preset = METASD_BALANCED;
    double value[METASD_PARAMS];

    if (params->given[METASD_P_PRESET])
        preset = (MetasdPreset)params->value[METASD_P_PRESET];
    memcpy(value, at_any_size, sizeof(value));
    set_defaults(value, &graph, preset, warm);
    if (params->given[METASD_P_EPOCHS])
        stretch_phases(value, params->value[METASD_P_EPOCHS]);
    for (int i = 0; i < METASD_PARAMS; i++)
        if (!params->given[i])
            params->value[i] = value[i];
    if (!params->given[METASD_P_FINETUNE_LR])
        params->value[METASD_P_FINETUNE_LR] =
            Min(FINETUNE_RATES * params->value[METASD_P_LR], MOST_RATE);
    metasd_params_settle(params);
}
