#include "core/graph/graph_build.h"

/* The work of reading or writing a triple in its order. */
#define TRIPLE_WORK 4

/* ---- sorting ---- */

typedef enum Key { BY_HEAD, BY_RELATION, BY_TAIL } Key;

static uint32_t
key_of(const MetasdTriple *triple, Key by)
{
    switch (by) {
        case BY_HEAD:
            return triple->head;
        case BY_RELATION:
            return triple->relation;
        default:
            return triple->tail;
    }
}

/* counts[k] = the number of records with keys below k, from that of records with key k - 1. */
static MetasdStatus
sum_counts(MetasdTeam *team, size_t *counts, size_t keys)
{
    for (size_t k = 1; k <= keys; k++) {
        counts[k] += counts[k - 1];
        METASD_TRY(metasd_team_work(team, 2));
    }
    return METASD_OK;
}

/* One stable pass of a counting sort, from `in` to `out`; keys are below `keys`. */
static MetasdStatus
counting_pass(MetasdTeam *team, const MetasdTriple *in, MetasdTriple *out, size_t n, Key by,
              size_t keys, size_t *counts)
{
    for (size_t k = 0; k <= keys; k++) {
        counts[k] = 0;
        METASD_TRY(metasd_team_work(team, 2));
    }
    for (size_t i = 0; i < n; i++) {
        counts[key_of(&in[i], by) + 1]++;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    METASD_TRY(sum_counts(team, counts, keys));
    for (size_t i = 0; i < n; i++) {
        out[counts[key_of(&in[i], by)]++] = in[i];
        METASD_TRY(metasd_team_work(team, 2 * METASD_FAR_WORK));
    }
    return METASD_OK;
}

static bool
same_triple(const MetasdTriple *a, const MetasdTriple *b)
{
    return a->head == b->head && a->relation == b->relation && a->tail == b->tail;
}

static bool
comes_before(const MetasdTriple *a, const MetasdTriple *b)
{
    if (a->head != b->head)
        return a->head < b->head;
    return a->relation != b->relation ? a->relation < b->relation : a->tail < b->tail;
}

/* *sorted: are they in order, each once? Ends at the first that is not. */
static MetasdStatus
check_order(MetasdTeam *team, const MetasdTriple *triples, size_t n, bool *sorted)
{
    *sorted = true;
    for (size_t i = 1; i < n && *sorted; i++) {
        *sorted = comes_before(&triples[i - 1], &triples[i]);
        METASD_TRY(metasd_team_work(team, TRIPLE_WORK));
    }
    return METASD_OK;
}

MetasdStatus
metasd_graph_sort_triples(MetasdTeam *team, MetasdTriple *triples, size_t *n, MetasdTriple *scratch,
                          size_t *counts, uint32_t entities, uint32_t relations)
{
    size_t kept = 0;
    bool sorted;

    METASD_TRY(check_order(team, triples, *n, &sorted));
    if (sorted)
        return METASD_OK;
    METASD_TRY(counting_pass(team, triples, scratch, *n, BY_TAIL, entities, counts));
    METASD_TRY(counting_pass(team, scratch, triples, *n, BY_RELATION, relations, counts));
    METASD_TRY(counting_pass(team, triples, scratch, *n, BY_HEAD, entities, counts));
    for (size_t i = 0; i < *n; i++) {
        if (kept == 0 || !same_triple(&triples[kept - 1], &scratch[i]))
            triples[kept++] = scratch[i];
        METASD_TRY(metasd_team_work(team, TRIPLE_WORK));
    }
    *n = kept;
    return METASD_OK;
}

/* ---- memory ---- */

/* A graph without validation triples of its own leaves its triples where they are. */
static MetasdGraphBuilding
take_building(MetasdArena *arena, size_t triples, size_t validation, uint32_t entities,
              uint32_t relations)
{
    MetasdGraphBuilding w;
    size_t n = triples, examples;
    size_t keys = entities > 2 * (size_t)relations ? entities : 2 * (size_t)relations;

    if (__builtin_add_overflow(n, validation, &n) || __builtin_mul_overflow(n, 4, &examples)) {
        arena->overflowed = true;
        examples = n;
    }
    metasd_split_take(&w.splitter, arena, n, entities, relations);
    w.splitter.triple = METASD_TAKE(arena, MetasdTriple, validation > 0 ? n : 0);
    w.examples = METASD_TAKE(arena, uint32_t, examples); /* with those to spare */
    w.spare = w.examples ? w.examples + examples / 2 : NULL;
    w.counts = METASD_TAKE(arena, size_t, keys + 1);
    return w;
}

size_t
metasd_graph_building_bytes(size_t triples, size_t validation, uint32_t entities,
                            uint32_t relations)
{
    MetasdArena arena = metasd_arena_measure();

    (void)take_building(&arena, triples, validation, entities, relations);
    return metasd_arena_ok(&arena) ? arena.used : SIZE_MAX;
}

/* ---- the triples of all parts ---- */

static MetasdStatus
check_ids(MetasdTeam *team, const MetasdTriple *triples, size_t n, uint32_t entities,
          uint32_t relations)
{
    for (size_t i = 0; i < n; i++) {
        if (triples[i].head >= entities || triples[i].tail >= entities ||
            triples[i].relation >= relations)
            return METASD_INVALID;
        METASD_TRY(metasd_team_work(team, TRIPLE_WORK));
    }
    return METASD_OK;
}

/* The splitter's triples: those given, and the validation triples that are not among them. */
static MetasdStatus
join_triples(MetasdSplitter *all, MetasdTeam *team, const MetasdTriple *triples, size_t n,
             const MetasdTriple *validation, size_t validation_n)
{
    all->n = n;
    for (size_t i = 0; i < n; i++) {
        all->part[i] = METASD_TRAIN;
        if (all->triple != triples)
            all->triple[i] = triples[i];
        METASD_TRY(metasd_team_work(team, 2 * TRIPLE_WORK));
    }
    for (size_t v = 0, i = 0; v < validation_n; v++) {
        for (; i < n && comes_before(&triples[i], &validation[v]); i++)
            METASD_TRY(metasd_team_work(team, TRIPLE_WORK));
        if (i < n && same_triple(&triples[i], &validation[v]))
            continue;
        all->part[all->n] = METASD_VALIDATION;
        all->triple[all->n++] = validation[v];
        METASD_TRY(metasd_team_work(team, 2 * TRIPLE_WORK));
    }
    return METASD_OK;
}

/* ---- examples ---- */

/* Example 2 i is triple i, example 2 i + 1 its reciprocal. */
static MetasdTriple
example_of(const MetasdSplitter *all, uint32_t number)
{
    const MetasdTriple *x = &all->triple[number / 2];

    return number % 2 ? (MetasdTriple){x->tail, x->relation + all->relations, x->head} : *x;
}

/* One stable pass of a counting sort of examples; NULL for `in` is their order by number. */
static MetasdStatus
examples_pass(const MetasdGraphBuilding *w, MetasdTeam *team, const uint32_t *in, uint32_t *out,
              Key by, size_t keys)
{
    size_t n = 2 * w->splitter.n, *counts = w->counts;

    for (size_t k = 0; k <= keys; k++) {
        counts[k] = 0;
        METASD_TRY(metasd_team_work(team, 2));
    }
    for (size_t i = 0; i < n; i++) {
        MetasdTriple x = example_of(&w->splitter, (uint32_t)i);

        counts[key_of(&x, by) + 1]++;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    METASD_TRY(sum_counts(team, counts, keys));
    for (size_t i = 0; i < n; i++) {
        uint32_t number = in ? in[i] : (uint32_t)i;
        MetasdTriple x = example_of(&w->splitter, number);

        out[counts[key_of(&x, by)]++] = number;
        METASD_TRY(metasd_team_work(team, 3 * METASD_FAR_WORK));
    }
    return METASD_OK;
}

/* w->examples = the numbers of all examples, sorted by query and then by tail. */
static MetasdStatus
sort_examples(const MetasdGraphBuilding *w, MetasdTeam *team)
{
    uint32_t entities = w->splitter.entities, relations = w->splitter.relations;

    METASD_TRY(examples_pass(w, team, NULL, w->examples, BY_TAIL, entities));
    METASD_TRY(examples_pass(w, team, w->examples, w->spare, BY_RELATION, 2 * (size_t)relations));
    return examples_pass(w, team, w->spare, w->examples, BY_HEAD, entities);
}

/* ---- groups ---- */

/* Adds an example behind those before it, which it follows in the order of queries and tails. */
static void
add_example(MetasdGroups *groups, const MetasdTriple *x)
{
    size_t last = groups->count - 1;

    if (groups->count == 0 || groups->heads[last] != x->head ||
        groups->relations[last] != x->relation) {
        groups->heads[groups->count] = x->head;
        groups->relations[groups->count] = x->relation;
        groups->start[groups->count++] = (uint32_t)groups->examples;
    }
    groups->tails[groups->examples++] = x->tail;
}

/* The numbers of each part's groups and examples. */
static MetasdStatus
count_groups(MetasdGraph *graph, const MetasdGraphBuilding *w, MetasdTeam *team)
{
    const MetasdSplitter *all = &w->splitter;
    MetasdTriple last[METASD_PARTS];

    graph->known.count = graph->known.examples = 0;
    for (int part = 0; part < METASD_PARTS; part++)
        graph->part[part].count = graph->part[part].examples = 0;
    for (size_t i = 0; i < 2 * all->n; i++) {
        MetasdTriple x = example_of(all, w->examples[i]);
        int part = all->part[w->examples[i] / 2];
        MetasdGroups *groups = &graph->part[part];

        groups->count +=
            groups->examples == 0 || last[part].head != x.head || last[part].relation != x.relation;
        groups->examples++;
        last[part] = x;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK + 2 * TRIPLE_WORK));
    }
    for (int part = 0; part < METASD_PARTS; part++)
        graph->part_triples[part] = graph->part[part].examples / 2;
    return METASD_OK;
}

/* Only from the training triples, so that validation triples stay unforeseen. */
static MetasdStatus
find_irreflexive(MetasdGraph *graph, const MetasdGraphBuilding *w, MetasdTeam *team)
{
    const MetasdSplitter *all = &w->splitter;
    size_t *loops = w->counts;

    for (uint32_t r = 0; r < graph->relations; r++) {
        loops[r] = 0;
        METASD_TRY(metasd_team_work(team, 1));
    }
    for (size_t i = 0; i < all->n; i++) {
        const MetasdTriple *x = &all->triple[i];

        loops[x->relation] += all->part[i] == METASD_TRAIN && x->head == x->tail;
        METASD_TRY(metasd_team_work(team, TRIPLE_WORK));
    }
    for (uint32_t r = 0; r < graph->relations; r++) {
        graph->irreflexive[r] =
            (double)loops[r] < METASD_REFLEXIVE * (double)all->relation_count[r];
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return METASD_OK;
}

MetasdStatus
metasd_graph_fill(const MetasdGraphBuilding *w, MetasdGraph *graph, MetasdTeam *team)
{
    const MetasdSplitter *all = &w->splitter;
    MetasdGroups *groups[METASD_PARTS + 1] = {&graph->part[0], &graph->part[1], &graph->part[2],
                                              &graph->known};
    bool known = graph->known.examples > 0;

    for (int i = 0; i <= METASD_PARTS; i++)
        groups[i]->count = groups[i]->examples = 0;
    for (size_t i = 0; i < 2 * all->n; i++) {
        MetasdTriple x = example_of(all, w->examples[i]);

        add_example(groups[all->part[w->examples[i] / 2]], &x);
        if (known)
            add_example(&graph->known, &x);
        METASD_TRY(metasd_team_work(team, 2 * METASD_FAR_WORK + 4 * TRIPLE_WORK));
    }
    for (int i = 0; i <= METASD_PARTS; i++)
        groups[i]->start[groups[i]->count] = (uint32_t)groups[i]->examples;
    return find_irreflexive(graph, w, team);
}

/* ---- all of it ---- */

MetasdStatus
metasd_graph_begin(MetasdGraphBuilding *w, MetasdGraph *graph, MetasdTeam *team, MetasdArena *arena,
                   MetasdTriple *triples, size_t n, MetasdTriple *validation, size_t validation_n,
                   uint32_t entities, uint32_t relations, const MetasdSplit *split)
{
    bool validation_given = validation_n > 0;
    MetasdTriple *scratch;

    *w = take_building(arena, n, validation_n, entities, relations);
    if (!metasd_arena_ok(arena))
        return METASD_NO_MEMORY;
    /* Examples, two per triple, and relation rows are numbered with 32 bits. */
    if (relations > UINT32_MAX / 2 || n + validation_n > UINT32_MAX / 2)
        return METASD_INVALID;
    METASD_TRY(check_ids(team, triples, n, entities, relations));
    METASD_TRY(check_ids(team, validation, validation_n, entities, relations));
    scratch = (MetasdTriple *)(void *)w->examples; /* four numbers a triple are three and more */
    METASD_TRY(
        metasd_graph_sort_triples(team, triples, &n, scratch, w->counts, entities, relations));
    METASD_TRY(metasd_graph_sort_triples(team, validation, &validation_n, scratch, w->counts,
                                         entities, relations));
    if (!validation_given)
        w->splitter.triple = triples;
    METASD_TRY(join_triples(&w->splitter, team, triples, n, validation, validation_n));
    METASD_TRY(metasd_split_triples(&w->splitter, team, split, n, validation_given));

    graph->entities = entities;
    graph->relations = relations;
    graph->triples = w->splitter.n;
    METASD_TRY(sort_examples(w, team));
    return count_groups(graph, w, team);
}

/* The most that groups of so many triples need: each example may be a group. */
static void
bound_graph(MetasdGraph *graph, size_t triples, uint32_t relations)
{
    *graph = (MetasdGraph){.relations = relations};
    for (int part = 0; part < METASD_PARTS; part++)
        graph->part[part].count = graph->part[part].examples = part == 0 ? 2 * triples : 0;
    graph->known.count = graph->known.examples = 2 * triples;
}

/* Parts have arrays of their own, each rounded up. */
#define SPARE ((size_t)16 * METASD_ALIGN)

size_t
metasd_graph_bytes(size_t triples, size_t validation, uint32_t entities, uint32_t relations)
{
    MetasdArena arena = metasd_arena_measure();
    MetasdGraph graph;

    (void)take_building(&arena, triples, validation, entities, relations);
    bound_graph(&graph, triples + validation, relations);
    metasd_graph_take(&graph, &arena);
    return metasd_arena_ok(&arena) ? arena.used + SPARE : SIZE_MAX;
}

MetasdStatus
metasd_graph_build(MetasdGraph *graph, MetasdTeam *team, MetasdArena *arena, MetasdTriple *triples,
                   size_t n, MetasdTriple *validation, size_t validation_n, uint32_t entities,
                   uint32_t relations, const MetasdSplit *split)
{
    MetasdGraphBuilding building;

    METASD_TRY(metasd_graph_begin(&building, graph, team, arena, triples, n, validation,
                                  validation_n, entities, relations, split));
    graph->known.count = graph->known.examples = 2 * graph->triples;
    metasd_graph_take(graph, arena);
    return metasd_arena_ok(arena) ? metasd_graph_fill(&building, graph, team) : METASD_NO_MEMORY;
}
