#include "pg/worker/plan.h"

#include <math.h>

#include "core/graph/graph_build.h"
#include "core/train/holdout.h"
#include "pg/worker/compare.h"
#include "pg/worker/new_image.h"
#include "pg/worker/options.h"
#include "pg/worker/presets.h"
#include "pg/worker/probing.h"
#include "pg/worker/size.h"

/* ---- memory ---- */

/*
 * The numbers of the largest graph that may come of it, which measure the trainer. Chance decides
 * how many triples validate; six standard deviations more than the mean are never seen.
 */
static MetasdGraph
largest_graph(const MetasdInput *input, const MetasdSplit *split)
{
    MetasdGraph graph = {.entities = metasd_labelset_count(input->entities),
                         .relations = metasd_labelset_count(input->relations)};
    double drawn = (double)input->count, validation = drawn * split->validation_fraction;

    graph.part[METASD_TRAIN].examples = 2 * input->count;
    graph.part[METASD_QUIZ].examples = 2 * ((size_t)(drawn * split->quiz_fraction) + 1);
    graph.part[METASD_VALIDATION].examples =
        2 * (input->validation_count > 0 ? input->validation_count
                                         : (size_t)(validation + 6 * sqrt(validation)) + 1);
    for (int part = 0; part < METASD_PARTS; part++)
        graph.part[part].count = graph.part[part].examples;
    return graph;
}

/* Adds up; SIZE_MAX if that overflows, or one of them is it. */
static size_t
add_bytes(size_t a, size_t b)
{
    return __builtin_add_overflow(a, b, &a) ? SIZE_MAX : a;
}

static size_t
used_bytes(const MetasdArena *arena)
{
    return metasd_arena_ok(arena) ? arena->used : SIZE_MAX;
}

/* Of each process: its code's data, and caches of catalogs and statements. */
#define PROCESS_BYTES ((size_t)4 << 20)

/*
 * The steps of a training follow one another, and each has memory of its own: the image of the
 * version that serves is shared, the graph is built, then probes run, then the team trains, then
 * the leader stores, then the new image is shared. Labels are there in all of them, the triples as
 * they were read until the graph is, and the graph until the version is stored.
 */
static size_t
count_bytes(const MetasdInput *input, const MetasdParams *params, const MetasdTrainOptions *options,
            const MetasdSplit *split, int members)
{
    MetasdStorage storage = (MetasdStorage)params->value[METASD_P_STORAGE];
    MetasdGraph graph = largest_graph(input, split);
    MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure(), once = own;
    MetasdArena graph_arena = own;
    MetasdTrainer trainer;
    MetasdHoldout holdout;
    size_t triples = input->capacity * sizeof(MetasdTriple), labels, kept, each, after, train,
           serving;
    size_t building = metasd_graph_building_bytes(input->count, input->validation_count,
                                                  graph.entities, graph.relations);

    metasd_trainer_take(&trainer, &shared, &own, &graph, options, members);
    metasd_graph_take(&graph, &graph_arena);
    metasd_holdout_take(&holdout, &once, &graph);
    /* Labels, and a hash of each. */
    labels = add_bytes(input->bytes - Min(triples, input->bytes),
                       ((size_t)graph.entities + graph.relations) * sizeof(uint64));
    kept = used_bytes(&graph_arena);
    each = used_bytes(&own);
    if (__builtin_mul_overflow(each, members, &train))
        train = SIZE_MAX;
    after = metasd_compare_bytes(input, options, storage, graph.part[METASD_VALIDATION].examples,
                                 trainer.state.size.lean);
    after = add_bytes(add_bytes(after, used_bytes(&once)), each);
    train = add_bytes(used_bytes(&shared), Max(train, after));
    if (members > 1) /* a team shares a copy of the graph; that of the leader is there no more */
        train = Max(train, kept);
    if (metasd_probing_is_wanted(params))
        train = Max(train, metasd_probing_bytes(&graph, options));
    train = add_bytes(kept, Max(add_bytes(triples, building), train));
    serving = metasd_new_image_served_bytes(input, options, storage).building;
    return add_bytes(add_bytes(labels, (size_t)members * PROCESS_BYTES),
                     Max(train, add_bytes(triples, serving)));
}

/* ---- members ---- */

/*
 * Scores of a batch times the width of an embedding, below which a step is over in two or three
 * milliseconds. A team of two still saves a third of that on a machine with nothing else to do, but
 * such a training is short anyway; on a busy machine members wait for each other for longer.
 */
#define TINY_STEP 4e6

static int
count_members(const MetasdInput *input, const MetasdParams *params,
              const MetasdTrainOptions *options, int max_workers)
{
    uint32 entities = metasd_labelset_count(input->entities);
    int parts = metasd_team_cut(entities).parts, wished = (int)params->value[METASD_P_WORKERS],
        each;
    double examples = (double)Min(options->batch, 2 * input->count);
    double width = (double)(options->rank * options->family->reals_per_rank);

    if (wished == 0)
        wished = examples * (double)entities * width < TINY_STEP ? 1 : max_workers;
    wished = Max(1, Min(Min(wished, max_workers), parts));
    /* The member with the most parts decides the time of a step: fewer members may do. */
    each = (parts + wished - 1) / wished;
    return (parts + each - 1) / each;
}

/* The plan of parameters that all have values. */
static MetasdPlan
plan_params(const MetasdInput *input, int max_workers, const MetasdParams *params)
{
    MetasdPlan plan = {.rank_wish = 0};

    metasd_options_set(params, &plan.options, &plan.split);
    plan.members = count_members(input, params, &plan.options, max_workers);
    plan.bytes = count_bytes(input, params, &plan.options, &plan.split, plan.members);
    return plan;
}

/* ---- stored bytes ---- */

/*
 * So many times their estimate rows may take: a weight of int8 has up to 8 bits instead of the 7.7
 * of a normal row, and which weights are kept takes up to 3 % more than their entropy.
 */
#define SIZE_MARGIN 1.05

/* The sparsity that a bound of the bytes may lead to. */
#define MOST_SPARSITY 0.95

/* Ranks are tried in tens, so that people can read them. */
#define RANKS 10

static bool
is_small_enough(const MetasdInput *input, const MetasdParams *params)
{
    MetasdTrainOptions options;
    MetasdSplit split;

    metasd_options_set(params, &options, &split);
    return SIZE_MARGIN * metasd_size_stored(metasd_labelset_count(input->entities),
                                            metasd_labelset_count(input->relations), &options,
                                            (MetasdStorage)params->value[METASD_P_STORAGE]) <=
           params->value[METASD_P_MAX_BYTES];
}

/* The highest rank down to `least` that is small enough; false, and `least`, if there is none. */
static bool
lower_rank(const MetasdInput *input, MetasdParams *params, double least)
{
    double *rank = &params->value[METASD_P_RANK];

    for (*rank = floor(*rank / RANKS) * RANKS; *rank > least; *rank -= RANKS)
        if (is_small_enough(input, params))
            return true;
    *rank = least;
    return is_small_enough(input, params);
}

/* The lowest sparsity in hundredths that is small enough; false if there is none. */
static bool
raise_sparsity(const MetasdInput *input, MetasdParams *params)
{
    double *sparsity = &params->value[METASD_P_SPARSITY];

    for (int percent = (int)ceil(100 * *sparsity); percent <= 100 * MOST_SPARSITY; percent++) {
        *sparsity = percent / 100.0;
        if (is_small_enough(input, params))
            return true;
    }
    return false;
}

static void
refuse_size(const MetasdParams *params)
{
    const bool *given = params->given;
    bool chosen = given[METASD_P_RANK] || given[METASD_P_SPARSITY] || given[METASD_P_STORAGE];

    ereport(
        ERROR,
        (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
         errmsg("a version of this graph needs more bytes than max_bytes allows"),
         errdetail("Rank %.0f, sparsity %g and storage \"%s\" need more than %.0f bytes.",
                   params->value[METASD_P_RANK], params->value[METASD_P_SPARSITY],
                   metasd_params_word(params, METASD_P_STORAGE), params->value[METASD_P_MAX_BYTES]),
         chosen ? errhint("Raise max_bytes, or leave out rank, sparsity or storage.")
                : errhint("Raise max_bytes, or train from a view with fewer entities.")));
}

/*
 * Makes the version small enough for max_bytes by what was not given; false if that does not
 * suffice. 4 bits lose least; then a lower rank loses less than fewer weights of a high one, but
 * not below METASD_LEAST_RANK, unless the sparsity was given or nothing is pruned.
 */
static bool
fit_size(const MetasdInput *input, MetasdParams *params)
{
    const bool *given = params->given;
    bool fixed = given[METASD_P_SPARSITY] || params->value[METASD_P_SPARSITY] == 0;

    if (params->value[METASD_P_MAX_BYTES] == 0 || is_small_enough(input, params))
        return true;
    if (!given[METASD_P_STORAGE]) {
        params->value[METASD_P_STORAGE] = METASD_INT4;
        if (is_small_enough(input, params))
            return true;
    }
    if (!given[METASD_P_RANK] && lower_rank(input, params, fixed ? RANKS : METASD_LEAST_RANK))
        return true;
    return !fixed && raise_sparsity(input, params);
}

/*
 * Sets what was not given. Where nothing is pruned by default, and the rank was given, pruning may
 * be what makes the version small enough.
 */
static void
set_params(const MetasdInput *input, MetasdParams *params, bool warm)
{
    metasd_presets_apply(params, input, warm, false);
    if (fit_size(input, params))
        return;
    metasd_presets_apply(params, input, warm, true);
    if (!fit_size(input, params))
        refuse_size(params);
}

/* ---- the plan ---- */

/*
 * Where memory decides, a part is left to the rows of this version, from which the next may start.
 */
#define SPARE 16

MetasdPlan
metasd_plan(const MetasdInput *input, int max_workers, size_t most, MetasdParams *params)
{
    MetasdPlan plan;
    int wish, least, above;

    set_params(input, params, false);
    plan = plan_params(input, max_workers, params);
    if (params->given[METASD_P_RANK] || most == 0 || plan.bytes <= most - most / SPARE)
        return plan;
    wish = (int)plan.options.rank;
    least = Min(METASD_LEAST_RANK, wish) / RANKS;
    for (above = wish / RANKS; above - least > 1;) {
        int middle = (least + above) / 2;

        params->value[METASD_P_RANK] = RANKS * middle;
        if (plan_params(input, max_workers, params).bytes <= most - most / SPARE)
            least = middle;
        else
            above = middle;
    }
    params->value[METASD_P_RANK] = RANKS * least;
    plan = plan_params(input, max_workers, params);
    plan.rank_wish = wish > (int)plan.options.rank ? wish : 0;
    return plan;
}

void
metasd_plan_follow(MetasdPlan *plan, const MetasdInput *input, int max_workers, bool warm,
                   MetasdParams *params)
{
    set_params(input, params, warm);
    *plan = plan_params(input, max_workers, params);
}
