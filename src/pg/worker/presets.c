#include "pg/worker/presets.h"

#include <math.h>

#include "core/codec/row_codec.h"
#include "core/train/train.h"

/*
 * Where neither preset nor size matters. A parameter that is left out here is 0. The quiz is off,
 * as it costs time and won nothing measurable on any graph.
 */
static const double at_any_size[METASD_PARAMS] = {
    [METASD_P_CHECKPOINT_EVERY] = 10,
    [METASD_P_KEEP_VERSIONS] = 3,
    [METASD_P_LR] = 0.3,
    [METASD_P_PRESET] = METASD_BALANCED,
    [METASD_P_PROMOTE_TOLERANCE] = 0.005,
    [METASD_P_SEED] = 1,
    [METASD_P_STORAGE] = METASD_INT8,
    [METASD_P_WARM_START] = 1,
};

typedef struct Graph {
    double entities, relations, triples;
    double questions;      /* pairs (head, relation) and (relation, tail) */
    double reals_per_rank; /* of the family */
    bool small, dense, thin;
    bool pruned; /* on demand */
} Graph;

/* What follows from the time that a preset allows. */
typedef struct Schedule {
    double warmup, mutual, finetune; /* epochs of full model, of both, of the pruned model */
    double ramp;                     /* epochs after the warm-up in which the sparsity rises */
    double sparsity;
    double rank;      /* the highest one */
    double negatives; /* 0: all entities */
} Schedule;

/*
 * A few epochs of the full model suffice to choose the weights to keep. Mutual learning takes three
 * times the products of the pruned model alone: at rank 250 it is worth .012 on Kinship, .011 on a
 * tenth of FB15k-237 and .002 on UMLS (validation MRR, three seeds), and .016 on the demo's world.
 * With half of the epochs, as here, they are as good as with all of 10, 30 and 20.
 */
static const Schedule small_schedules[] = {
    [METASD_FAST] = {3, 6, 6, 2, 0.5, 150},
    [METASD_BALANCED] = {5, 15, 10, 5, 0.5, 250},
    [METASD_BEST] = {10, 30, 20, 10, 0.5, 500},
};

/*
 * The same where entities have many triples: nothing is pruned, one model learns alone at a falling
 * rate. With seeds 1 to 3 a dense model of the same bytes is level with a pruned one on Kinship
 * (test MRR .900 in 50 kB), UMLS and Nations, and is there in a third of the time.
 */
static const Schedule small_dense_schedules[] = {
    [METASD_FAST] = {0, 0, 15, 0, 0, 100},
    [METASD_BALANCED] = {0, 0, 30, 0, 0, 150},
    [METASD_BEST] = {0, 0, 60, 0, 0, 300},
};

/*
 * Of a source with USUAL_TRIPLES. In the same time and bytes on FB15k-237 rank 320 has a test MRR
 * of .380, half of the weights of rank 600 .376 (with 6 epochs of warm-up and 30 more, 3 of them
 * with a rising sparsity). With FAST it is .363 and .357.
 */
static const Schedule large_schedules[] = {
    [METASD_FAST] = {0, 0, 16, 0, 0, 87},
    [METASD_BALANCED] = {0, 0, 60, 0, 0, 133},
    [METASD_BEST] = {0, 0, 100, 0, 0, 266},
};

/* The same if the user asks for what they lack. */
static const Schedule large_pruned_schedules[] = {
    [METASD_FAST] = {2, 0, 8, 3, 0.5, 250},
    [METASD_BALANCED] = {6, 0, 30, 3, 0.5, 250},
    [METASD_BEST] = {8, 0, 52, 3, 0.5, 415},
};

/*
 * The same where entities have few triples: a tenth of a high rank reached .486 on WN18RR (44
 * epochs, 11 MB). Triples tell few weights of a row, but not of all rows the same ones.
 */
static const Schedule thin_schedules[] = {
    [METASD_FAST] = {2, 0, 5, 0, 0.9, 500},
    [METASD_BALANCED] = {4, 0, 9, 0, 0.9, 660},
    [METASD_BEST] = {4, 0, 20, 0, 0.9, 740},
};

/* Flop of all epochs that a preset allows. */
static const double works[] = {
    [METASD_FAST] = 3.6e13, [METASD_BALANCED] = 2.5e14, [METASD_BEST] = 2e15};

/* Triples times entities up to which a graph is small. */
#define SMALL 1e8

/*
 * A graph with other triples than this has other epochs: the number of steps counts, and with it
 * the inverse root of the number of triples, within limits.
 */
#define USUAL_TRIPLES 272000
#define MOST_TIMES 3

/*
 * The highest default rank of a preset grows with the root of the number of triples: more than the
 * facts can fill costs time and bytes for nothing.
 */
#define ROOT_OF_TRIPLES 217

/*
 * A sample of the entities is a tenth of them within limits. With the rows of a batch it takes so
 * many times longer than as many of all entities. It is taken where the time does not suffice for
 * the highest rank with all of them and half of it does with a sample: on FB15k-237 at rank 500 an
 * epoch of 2,000 takes 15.8 s, of all 14,541 43.4 s, and loses .004 of validation MRR.
 */
#define LEAST_NEGATIVES 2000
#define MOST_NEGATIVES 10000
#define SAMPLE_WORK 1.75

/* The exponential and the sums of a score take as long as so many flop. */
#define SCORE_WORK 60

/*
 * A graph is dense from so many triples per entity on: UMLS and Kinship have 39 and more. On a part
 * of FB15k-237 with 22 a dense model is level with a pruned one of the same bytes, with 16 it is
 * .008 behind.
 */
#define DENSE 30

/*
 * A graph is thin up to this number of triples per entity, if it is not small. Frequent tails weigh
 * more there, as published: worth .004 on WN18RR.
 */
#define THIN 5

/*
 * A training that starts from another version needs these parts of the phases, and no ramp: about
 * half of the time. Its result is level with that of a training that starts anew, or better.
 */
#define WARM_WARMUP 0.2
#define WARM_MUTUAL 0.43
#define WARM_FINETUNE 0.75
#define WARM_ALONE 0.5 /* of all epochs, if one model learns alone */

/*
 * The relation loss helps where there are so many relations, as in FB15k-237, or many triples for
 * each entity: weight 1 is worth .017 on Kinship, and nothing on UMLS; it costs .010 on the demo's
 * world and .014 on a tenth of FB15k-237 with 42 relations. A full model learns more from a large
 * weight, but only in time: on FB15k-237 weight 0.5 is ahead of 0 from the first epochs on, weight
 * 4 after about ten, and then weight 1 is ahead of 4 for a dense model of rank 400.
 */
#define MANY_RELATIONS 100
static const double relation_weights[] = {
    [METASD_FAST] = 0.5, [METASD_BALANCED] = 1, [METASD_BEST] = 1};

/* So that people can read it. */
static double
round_to_two_digits(double x)
{
    double unit = pow(10, floor(log10(x)) - 1);

    return floor(x / unit + 0.5) * unit;
}

/*
 * Batches of graphs that are not very large. Batches of 250 are worth .003 on WN18RR, whose
 * entities have few triples, and next to nothing on FB15k-237.
 */
#define MOST_BATCH 1000
#define MOST_THIN_BATCH 250

static double
default_batch(const Graph *graph)
{
    double most = graph->thin ? MOST_THIN_BATCH : MOST_BATCH;

    return floor(Max(Max(64, Min(graph->triples / 20, most)), Min(graph->triples / 270, 4500)));
}

static double
default_negatives(const Graph *graph)
{
    return floor(Max(LEAST_NEGATIVES, Min(graph->entities / 10, MOST_NEGATIVES)));
}

/* A question is scored against so many entities, in the time that as many of all take. */
static double
count_scored(const Graph *graph, double negatives)
{
    if (negatives == 0)
        return graph->entities;
    return Min(SAMPLE_WORK * (negatives + default_batch(graph)), graph->entities);
}

/* Sparse products take about twice the time per weight. */
#define SPARSE_WORK 2

/*
 * The rank at which a schedule needs that work: each score takes three products of an embedding,
 * two flop a real. In fine-tuning all are scored where that is cheap, because few weights are kept.
 */
static double
affordable_rank(const Graph *graph, const Schedule *schedule, double work)
{
    double all = graph->entities, scored = count_scored(graph, schedule->negatives);
    double kept = Min(1, SPARSE_WORK * (1 - schedule->sparsity));
    double tuned = kept < 1 ? all : scored;
    /* an epoch of both models has the work of three more */
    double full = schedule->warmup + 4 * schedule->mutual;
    double scores = full * (scored + 2) + schedule->finetune * (tuned + 2);
    double products = full * (scored + 2) + schedule->finetune * kept * (tuned + 2);

    return (work / graph->questions - SCORE_WORK * scores) /
           (3 * 2 * graph->reals_per_rank * products);
}

/* The more triples an entity has, the less there is to hold back. */
static double
default_reg(const Graph *graph)
{
    return graph->dense ? 0.02
                        : round_to_two_digits(
                              Max(0.03, Min(0.2 * sqrt(graph->entities / graph->triples), 0.1)));
}

/* Does the user ask for what a model that learns alone and keeps all weights does not have? */
static bool
asks_to_prune(const MetasdParams *params)
{
    static const MetasdParam asked[] = {METASD_P_SPARSITY, METASD_P_MUTUAL, METASD_P_QUIZ,
                                        METASD_P_WARMUP};

    for (int i = 0; i < (int)lengthof(asked); i++)
        if (params->given[asked[i]] && params->value[asked[i]] > 0)
            return true;
    return params->given[METASD_P_PRUNING];
}

static const Schedule *
schedules_for(const Graph *graph)
{
    if (graph->thin)
        return thin_schedules;
    if (!graph->small)
        return graph->pruned ? large_pruned_schedules : large_schedules;
    return graph->dense && !graph->pruned ? small_dense_schedules : small_schedules;
}

static Schedule
choose_schedule(const Graph *graph, MetasdPreset preset)
{
    Schedule schedule = schedules_for(graph)[preset];
    double part = Min(sqrt(USUAL_TRIPLES / graph->triples), MOST_TIMES), rank;
    double negatives = default_negatives(graph);

    if (!graph->small) {
        schedule.warmup = ceil(schedule.warmup * part);
        schedule.finetune = ceil(schedule.finetune * part);
    }
    schedule.rank *= Max(1, sqrt(graph->triples) / ROOT_OF_TRIPLES);
    if ((graph->thin || affordable_rank(graph, &schedule, works[preset]) < schedule.rank) &&
        2 * count_scored(graph, negatives) <= graph->entities)
        schedule.negatives = negatives;
    rank = affordable_rank(graph, &schedule, works[preset]);
    schedule.rank = round_to_two_digits(Max(METASD_LEAST_RANK, Min(rank, schedule.rank)));
    return schedule;
}

static void
set_schedule(double *value, const Schedule *schedule, bool warm)
{
    double warmup = schedule->warmup, mutual = schedule->mutual, finetune = schedule->finetune;

    if (warm) {
        warmup = ceil(warmup * WARM_WARMUP);
        mutual = ceil(mutual * WARM_MUTUAL);
        finetune = ceil(finetune * (warmup + mutual > 0 ? WARM_FINETUNE : WARM_ALONE));
    }
    value[METASD_P_RANK] = schedule->rank;
    value[METASD_P_SPARSITY] = schedule->sparsity;
    value[METASD_P_NEGATIVES] = schedule->negatives;
    value[METASD_P_EPOCHS] = warmup + mutual + finetune;
    value[METASD_P_WARMUP] = warmup;
    value[METASD_P_RAMP] = warm ? 0 : schedule->ramp;
    value[METASD_P_FINETUNE] = finetune;
    value[METASD_P_MUTUAL] = mutual > 0;
}

static void
set_defaults(double *value, const Graph *graph, MetasdPreset preset, bool warm)
{
    Schedule schedule = choose_schedule(graph, preset);

    set_schedule(value, &schedule, warm);
    value[METASD_P_BATCH] = default_batch(graph);
    value[METASD_P_RELATION_WEIGHT] =
        graph->relations >= MANY_RELATIONS || graph->dense ? relation_weights[preset] : 0;
    value[METASD_P_REG] = default_reg(graph);
    value[METASD_P_REGULARIZER] = METASD_DURA;
    value[METASD_P_CLASS_WEIGHTS] = graph->thin;
    value[METASD_P_VALIDATION_FRACTION] = graph->small ? 0.1 : 0.02;
    value[METASD_P_PRUNING] = graph->small ? METASD_SALIENCE : METASD_ALIGNED;
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
metasd_presets_apply(MetasdParams *params, const MetasdInput *input, bool warm, bool pruned)
{
    Graph graph = {.entities = Max(metasd_labelset_count(input->entities), 1),
                   .relations = Max(metasd_labelset_count(input->relations), 1),
                   .triples = Max((double)input->count, 1),
                   .questions = Max(input->questions, 1),
                   .reals_per_rank = (double)metasd_params_family(params)->reals_per_rank};
    MetasdPreset preset = METASD_BALANCED;
    double value[METASD_PARAMS];

    graph.small = graph.triples * graph.entities <= SMALL;
    graph.dense = graph.triples >= DENSE * graph.entities;
    graph.thin = !graph.small && graph.triples < THIN * graph.entities;
    graph.pruned = pruned || asks_to_prune(params);
    if (params->given[METASD_P_PRESET])
        preset = (MetasdPreset)params->value[METASD_P_PRESET];
    memcpy(value, at_any_size, sizeof(value));
    set_defaults(value, &graph, preset, warm);
    if (params->given[METASD_P_EPOCHS])
        stretch_phases(value, params->value[METASD_P_EPOCHS]);
    for (int i = 0; i < METASD_PARAMS; i++)
        if (!params->given[i])
            params->value[i] = value[i];
    metasd_params_settle(params);
}
