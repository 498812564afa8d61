#include "pg/worker/job.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/train/holdout.h"

/* ---- reading ---- */

typedef struct Reader {
    MetasdBudget *budget;
    MetasdInput *input;
    MemoryContext context;
} Reader;

/* In TopMemoryContext, for a worker, or the context of the function: labels go on using it. */
typedef struct Budget {
    MetasdBudget budget;
    const MetasdInput *input;
    const char *setting; /* that has the limit */
} Budget;

static void
refuse_memory(MetasdBudget *budget, size_t bytes)
{
    const Budget *own = (const Budget *)budget;

    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("the triples alone need more memory than %s allows", own->setting),
                    errdetail("After %zu triples they need %zu MB; %zu MB are allowed.",
                              own->input->count, bytes >> 20, budget->most >> 20),
                    errhint("Raise %s, or train from a view with fewer triples.", own->setting)));
}

static void
grow(Reader *reader, MetasdTriple **triples, size_t *room)
{
    size_t before = *room, after = before ? 2 * before : 1024;

    *triples = metasd_budget_grow(reader->budget, reader->context, *triples,
                                  before * sizeof(**triples), after * sizeof(**triples));
    *room = after;
}

static void
add_triple(void *context, const MetasdTripleLabels *row)
{
    Reader *reader = context;
    MetasdInput *input = reader->input;
    uint32 number[3];

    for (int i = 0; i < 3; i++)
        number[i] = metasd_labelset_add(i == 1 ? input->relations : input->entities, row->data[i],
                                        row->len[i]);
    if (input->count == input->room)
        grow(reader, &input->triples, &input->room);
    input->triples[input->count++] = (MetasdTriple){number[0], number[1], number[2]};
}

/* What the training triples do not know cannot be ranked: such rows are skipped. */
static void
add_validation(void *context, const MetasdTripleLabels *row)
{
    Reader *reader = context;
    MetasdInput *input = reader->input;
    uint32 number[3];

    for (int i = 0; i < 3; i++)
        if (!metasd_labelset_find(i == 1 ? input->relations : input->entities, row->data[i],
                                  row->len[i], &number[i])) {
            input->unknown++;
            return;
        }
    if (input->validation_count == input->validation_room)
        grow(reader, &input->validation, &input->validation_room);
    input->validation[input->validation_count++] = (MetasdTriple){number[0], number[1], number[2]};
}

static void
rename_triples(MetasdTriple *triples, size_t n, const uint32 *entity, const uint32 *relation)
{
    for (size_t i = 0; i < n; i++) {
        triples[i] = (MetasdTriple){entity[triples[i].head], relation[triples[i].relation],
                                    entity[triples[i].tail]};
        CHECK_FOR_INTERRUPTS();
    }
}

static MetasdStatus
poll_interrupts(MetasdTeam *team)
{
    (void)team;
    CHECK_FOR_INTERRUPTS(); /* may jump: what is sorted belongs to a context, the core holds none */
    return METASD_OK;
}

/* Facts said twice count once, in the sizes that defaults follow from, too. */
static void
drop_repeated(MetasdInput *input, MetasdBudget *budget)
{
    MetasdTeam team = metasd_team_of_one();
    uint32 entities = metasd_labelset_count(input->entities);
    uint32 relations = metasd_labelset_count(input->relations);
    Size most = (Size)input->count * sizeof(MetasdTriple);
    Size all = ((Size)Max(entities, relations) + 1) * sizeof(size_t);
    MetasdTriple *scratch;
    size_t *counts;

    metasd_budget_take(budget, most + all);
    scratch = palloc_extended(most, MCXT_ALLOC_HUGE);
    counts = palloc_extended(all, MCXT_ALLOC_HUGE);

    team.poll = poll_interrupts;
    (void)metasd_graph_sort_triples(&team, input->triples, &input->count, scratch, counts, entities,
                                    relations);
    pfree(scratch);
    pfree(counts);
    metasd_budget_give(budget, most + all);
}

void
metasd_input_read(MetasdInput *input, const MetasdSource *source, const MetasdSource *validation,
                  Oid user, int train_mem, const char *setting)
{
    Budget *own = palloc0(sizeof(*own));
    Reader reader = {.budget = &own->budget, .input = input, .context = CurrentMemoryContext};
    uint32 *entity, *relation;

    memset(input, 0, sizeof(*input));
    own->budget = (MetasdBudget){.most = (size_t)train_mem * 1024, .refuse = refuse_memory};
    own->input = input;
    own->setting = setting;
    input->entities = metasd_labelset_create(&own->budget);
    input->relations = metasd_labelset_create(&own->budget);
    input->skipped = metasd_source_read(source, user, add_triple, &reader);
    if (input->count == 0)
        ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
                        errmsg("source \"%s\" has no triples", source->name),
                        errhint("Rows with a null or empty identifier do not count.")));
    if (validation)
        input->skipped += metasd_source_read(validation, user, add_validation, &reader);
    entity = metasd_labelset_sort(input->entities);
    relation = metasd_labelset_sort(input->relations);
    rename_triples(input->triples, input->count, entity, relation);
    rename_triples(input->validation, input->validation_count, entity, relation);
    pfree(entity);
    pfree(relation);
    drop_repeated(input, &own->budget);
    input->bytes = own->budget.taken;
}

/* ---- sizing ---- */

/*
 * The graph as it will be at most: enough for the trainer to be measured. How many triples validate
 * is a matter of chance, six deviations more of none that is ever seen.
 */
static MetasdGraph
largest_graph(const MetasdInput *input, const MetasdSplit *split)
{
    MetasdGraph graph = {.entities = metasd_labelset_count(input->entities),
                         .relations = metasd_labelset_count(input->relations)};
    double drawn = (double)input->count, validation = drawn * split->validation_fraction;

    graph.known.examples = 2 * (input->count + input->validation_count);
    graph.part[METASD_TRAIN].examples = 2 * input->count;
    graph.part[METASD_QUIZ].examples = 2 * ((size_t)(drawn * split->quiz_fraction) + 1);
    graph.part[METASD_VALIDATION].examples =
        2 * (input->validation_count > 0 ? input->validation_count
                                         : (size_t)(validation + 6 * sqrt(validation)) + 1);
    graph.known.count = graph.known.examples;
    for (int part = 0; part < METASD_PARTS; part++)
        graph.part[part].count = graph.part[part].examples;
    return graph;
}

size_t
metasd_plan_bytes(const MetasdInput *input, const MetasdTrainOptions *options,
                  const MetasdSplit *split, int members)
{
    MetasdGraph graph = largest_graph(input, split);
    MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure(), once = own;
    MetasdTrainer trainer;
    MetasdHoldout holdout;
    size_t after, bytes = metasd_graph_bytes(input->count, input->validation_count, graph.entities,
                                             graph.relations);
    /* Labels and triples as they were read, and a hash of each label. */
    size_t read = input->bytes + ((size_t)graph.entities + graph.relations) * sizeof(uint64);

    metasd_trainer_take(&trainer, &shared, &own, &graph, options, members);
    if (members > 1) /* a team has a copy of the graph: what it was built in goes after that */
        metasd_graph_take(&graph, &shared);
    metasd_holdout_take(&holdout, &once, &graph);
    after = metasd_compare_bytes(input, options, graph.part[METASD_VALIDATION].examples);
    if (!metasd_arena_ok(&shared) || !metasd_arena_ok(&own) || !metasd_arena_ok(&once) ||
        __builtin_add_overflow(once.used, after, &after) ||
        __builtin_add_overflow(own.used, after, &after) ||
        __builtin_mul_overflow(own.used, members, &own.used) ||
        __builtin_add_overflow(bytes, shared.used, &bytes) ||
        __builtin_add_overflow(bytes, read, &bytes) ||
        __builtin_add_overflow(bytes, Max(own.used, after), &bytes))
        return SIZE_MAX;
    return bytes;
}

/* ---- the plan ---- */

/*
 * Scores of a batch times the width of an embedding, below which a step is over in two or three
 * milliseconds. A team of two still saves a third of that on a machine with nothing else to do, but
 * such a training is short anyway; on a busy machine members wait for each other for longer.
 */
#define TINY_STEP 4e6

static int
members_for(const MetasdInput *input, const MetasdParams *params, const MetasdTrainOptions *options,
            int max_workers)
{
    uint32 entities = metasd_labelset_count(input->entities);
    int parts = metasd_team_cut(entities).parts, wished = (int)params->value[METASD_P_WORKERS],
        each;
    double examples = (double)Min(options->batch, 2 * input->count);
    double width = (double)(options->rank * options->family->reals_per_rank);

    if (wished == 0)
        wished = examples * (double)entities * width < TINY_STEP ? 1 : max_workers;
    wished = Max(1, Min(Min(wished, max_workers), parts));
    /* A step takes as long as the member with the most parts: as many members as are of use. */
    each = (parts + wished - 1) / wished;
    return (parts + each - 1) / each;
}

static MetasdPlan
plan_by(const MetasdInput *input, int max_workers, const MetasdParams *params)
{
    MetasdPlan plan;

    metasd_params_options(params, &plan.options, &plan.split);
    plan.rank_wish = 0;
    plan.members = members_for(input, params, &plan.options, max_workers);
    plan.bytes = metasd_plan_bytes(input, &plan.options, &plan.split, plan.members);
    return plan;
}

/* Ranks are tried in tens, so that people can read them. */
#define RANKS 10

/*
 * Where memory decides, a part is left to the rows of this version, from which the next may start.
 */
#define SPARE 16

MetasdPlan
metasd_plan(const MetasdInput *input, int max_workers, size_t most, MetasdParams *params)
{
    int least = METASD_LEAST_RANK / RANKS, above;
    MetasdPlan plan;
    int wish;

    metasd_presets_apply(params, metasd_labelset_count(input->entities),
                         metasd_labelset_count(input->relations), input->count);
    plan = plan_by(input, max_workers, params);
    if (params->given[METASD_P_RANK] || most == 0 || plan.bytes <= most - most / SPARE)
        return plan;
    wish = (int)plan.options.rank;
    for (above = wish / RANKS; above - least > 1;) {
        int middle = (least + above) / 2;

        params->value[METASD_P_RANK] = RANKS * middle;
        if (plan_by(input, max_workers, params).bytes <= most - most / SPARE)
            least = middle;
        else
            above = middle;
    }
    params->value[METASD_P_RANK] = RANKS * least;
    plan = plan_by(input, max_workers, params);
    plan.rank_wish = wish > (int)plan.options.rank ? wish : 0;
    return plan;
}
