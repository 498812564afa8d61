#include "core/graph/graph.h"

#include "core/base/hash.h"

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

/* ---- groups ---- */

static void
take_groups(MetasdGroups *groups, MetasdArena *arena, size_t count, size_t examples)
{
    groups->heads = METASD_TAKE(arena, uint32_t, count);
    groups->relations = METASD_TAKE(arena, uint32_t, count);
    groups->start = METASD_TAKE(arena, size_t, count + 1);
    groups->tails = METASD_TAKE(arena, uint32_t, examples);
}

/* Adds an example behind those before it, which it follows in the order of queries and tails. */
static void
add_example(MetasdGroups *groups, uint32_t head, uint32_t relation, uint32_t tail)
{
    size_t last = groups->count - 1;

    if (groups->count == 0 || groups->heads[last] != head || groups->relations[last] != relation) {
        groups->heads[groups->count] = head;
        groups->relations[groups->count] = relation;
        groups->start[groups->count++] = groups->examples;
    }
    groups->tails[groups->examples++] = tail;
}

size_t
metasd_graph_find_group(const MetasdGroups *groups, uint32_t head, uint32_t relation,
                        const uint32_t **tails)
{
    size_t low = 0, high = groups->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t h = groups->heads[middle], r = groups->relations[middle];

        if (h < head || (h == head && r < relation))
            low = middle + 1;
        else
            high = middle;
    }
    *tails = NULL;
    if (low == groups->count || groups->heads[low] != head || groups->relations[low] != relation)
        return 0;
    *tails = groups->tails + groups->start[low];
    return groups->start[low + 1] - groups->start[low];
}

/* ---- building ---- */

/* The arrays that building needs; all live as long as the arena. */
typedef struct Workspace {
    MetasdSplitter splitter; /* the distinct triples of all parts */
    MetasdTriple *examples;  /* triples in both directions, see sort_examples */
    MetasdTriple *scratch;   /* as many */
    size_t *counts;
} Workspace;

static Workspace
take_workspace(MetasdGraph *graph, MetasdArena *arena, size_t triples, size_t validation,
               uint32_t entities, uint32_t relations)
{
    Workspace w;
    size_t n = triples, examples;
    size_t keys = entities > 2 * (size_t)relations ? entities : 2 * (size_t)relations;

    if (__builtin_add_overflow(n, validation, &n) || __builtin_mul_overflow(n, 2, &examples)) {
        arena->overflowed = true;
        examples = n;
    }
    for (int part = 0; part < METASD_PARTS; part++)
        take_groups(&graph->part[part], arena, examples, examples);
    take_groups(&graph->known, arena, examples, examples);
    graph->irreflexive = METASD_TAKE(arena, bool, relations);
    metasd_split_take(&w.splitter, arena, n, entities, relations);
    w.examples = METASD_TAKE(arena, MetasdTriple, examples);
    w.scratch = METASD_TAKE(arena, MetasdTriple, examples);
    w.counts = METASD_TAKE(arena, size_t, keys + 1);
    return w;
}

size_t
metasd_graph_bytes(size_t triples, size_t validation, uint32_t entities, uint32_t relations)
{
    MetasdArena arena = metasd_arena_measure();
    MetasdGraph graph;

    (void)take_workspace(&graph, &arena, triples, validation, entities, relations);
    return metasd_arena_ok(&arena) ? arena.used : SIZE_MAX;
}

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
        all->triple[i] = triples[i];
        all->part[i] = METASD_TRAIN;
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

/*
 * w->examples = the triples in both directions, sorted by query and then by tail. Instead of its
 * tail an example has the number of its triple, which leads to the part of the triple, too. The
 * first pass of the sort finds tails in the order of the triples, and so without jumps.
 */
static MetasdStatus
sort_examples(Workspace *w, MetasdTeam *team)
{
    const MetasdSplitter *all = &w->splitter;
    uint32_t entities = all->entities, relations = all->relations;
    size_t n = 2 * all->n;

    for (size_t k = 0; k <= entities; k++) {
        w->counts[k] = 0;
        METASD_TRY(metasd_team_work(team, 2));
    }
    for (size_t i = 0; i < all->n; i++) {
        w->counts[all->triple[i].tail + 1]++;
        w->counts[all->triple[i].head + 1]++;
        METASD_TRY(metasd_team_work(team, 2 * METASD_FAR_WORK));
    }
    METASD_TRY(sum_counts(team, w->counts, entities));
    for (uint32_t i = 0; i < all->n; i++) {
        const MetasdTriple *x = &all->triple[i];

        w->examples[w->counts[x->tail]++] = (MetasdTriple){x->head, x->relation, i};
        w->examples[w->counts[x->head]++] = (MetasdTriple){x->tail, x->relation + relations, i};
        METASD_TRY(metasd_team_work(team, 4 * METASD_FAR_WORK));
    }
    METASD_TRY(counting_pass(team, w->examples, w->scratch, n, BY_RELATION, 2 * (size_t)relations,
                             w->counts));
    return counting_pass(team, w->scratch, w->examples, n, BY_HEAD, entities, w->counts);
}

/* The groups of each part, and of all together, from the sorted examples. */
static MetasdStatus
fill_groups(MetasdGraph *graph, const Workspace *w, MetasdTeam *team)
{
    const MetasdSplitter *all = &w->splitter;
    MetasdGroups *groups[METASD_PARTS + 1] = {&graph->part[0], &graph->part[1], &graph->part[2],
                                              &graph->known};

    for (int i = 0; i <= METASD_PARTS; i++)
        groups[i]->count = groups[i]->examples = 0;
    for (size_t i = 0; i < 2 * all->n; i++) {
        const MetasdTriple *example = &w->examples[i], *triple = &all->triple[example->tail];
        uint32_t tail = example->relation < all->relations ? triple->tail : triple->head;

        add_example(groups[all->part[example->tail]], example->head, example->relation, tail);
        add_example(&graph->known, example->head, example->relation, tail);
        METASD_TRY(metasd_team_work(team, 2 * METASD_FAR_WORK + 4 * TRIPLE_WORK));
    }
    for (int i = 0; i <= METASD_PARTS; i++)
        groups[i]->start[groups[i]->count] = groups[i]->examples;
    for (int part = 0; part < METASD_PARTS; part++)
        graph->part_triples[part] = graph->part[part].examples / 2;
    return METASD_OK;
}

/* Only from the training triples, so that validation triples stay unforeseen. */
static MetasdStatus
find_irreflexive(MetasdGraph *graph, Workspace *w, MetasdTeam *team)
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
metasd_graph_build(MetasdGraph *graph, MetasdTeam *team, MetasdArena *arena, MetasdTriple *triples,
                   size_t n, MetasdTriple *validation, size_t validation_n, uint32_t entities,
                   uint32_t relations, const MetasdSplit *split)
{
    Workspace w = take_workspace(graph, arena, n, validation_n, entities, relations);
    bool validation_given = validation_n > 0;

    if (!metasd_arena_ok(arena))
        return METASD_NO_MEMORY;
    /* Examples, two per triple, and relation rows are numbered with 32 bits. */
    if (relations > UINT32_MAX / 2 || n + validation_n > UINT32_MAX / 2)
        return METASD_INVALID;
    METASD_TRY(check_ids(team, triples, n, entities, relations));
    METASD_TRY(check_ids(team, validation, validation_n, entities, relations));
    METASD_TRY(
        metasd_graph_sort_triples(team, triples, &n, w.scratch, w.counts, entities, relations));
    METASD_TRY(metasd_graph_sort_triples(team, validation, &validation_n, w.scratch, w.counts,
                                         entities, relations));
    METASD_TRY(join_triples(&w.splitter, team, triples, n, validation, validation_n));
    METASD_TRY(metasd_split_triples(&w.splitter, team, split, n, validation_given));

    graph->entities = entities;
    graph->relations = relations;
    graph->triples = w.splitter.n;
    METASD_TRY(sort_examples(&w, team));
    METASD_TRY(fill_groups(graph, &w, team));
    return find_irreflexive(graph, &w, team);
}

/* ---- copies ---- */

void
metasd_graph_take(MetasdGraph *graph, MetasdArena *arena)
{
    for (int part = 0; part < METASD_PARTS; part++)
        take_groups(&graph->part[part], arena, graph->part[part].count, graph->part[part].examples);
    take_groups(&graph->known, arena, graph->known.count, graph->known.examples);
    graph->irreflexive = METASD_TAKE(arena, bool, graph->relations);
}

static MetasdStatus
copy_numbers(MetasdTeam *team, uint32_t *to, const uint32_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i];
        METASD_TRY(metasd_team_work(team, 1));
    }
    return METASD_OK;
}

static MetasdStatus
copy_groups(MetasdGroups *to, MetasdTeam *team, const MetasdGroups *from)
{
    METASD_TRY(copy_numbers(team, to->heads, from->heads, from->count));
    METASD_TRY(copy_numbers(team, to->relations, from->relations, from->count));
    METASD_TRY(copy_numbers(team, to->tails, from->tails, from->examples));
    for (size_t g = 0; g <= from->count; g++) {
        to->start[g] = from->start[g];
        METASD_TRY(metasd_team_work(team, 2));
    }
    return METASD_OK;
}

MetasdStatus
metasd_graph_copy(MetasdGraph *to, MetasdTeam *team, const MetasdGraph *from)
{
    for (int part = 0; part < METASD_PARTS; part++)
        METASD_TRY(copy_groups(&to->part[part], team, &from->part[part]));
    for (uint32_t r = 0; r < from->relations; r++) {
        to->irreflexive[r] = from->irreflexive[r];
        METASD_TRY(metasd_team_work(team, 1));
    }
    return copy_groups(&to->known, team, &from->known);
}

/* ---- the hash ---- */

static MetasdStatus
hash_groups(MetasdTeam *team, const MetasdGroups *groups, uint64_t *hash)
{
    const size_t numbers[2] = {groups->count, groups->examples};

    *hash = metasd_hash(*hash, numbers, sizeof(numbers));
    METASD_TRY(
        metasd_hash_array(team, groups->heads, groups->count * sizeof(*groups->heads), hash));
    METASD_TRY(metasd_hash_array(team, groups->relations,
                                 groups->count * sizeof(*groups->relations), hash));
    METASD_TRY(
        metasd_hash_array(team, groups->start, groups->count * sizeof(*groups->start), hash));
    return metasd_hash_array(team, groups->tails, groups->examples * sizeof(*groups->tails), hash);
}

MetasdStatus
metasd_graph_hash(MetasdTeam *team, const MetasdGraph *graph, uint64_t *hash)
{
    const uint32_t numbers[2] = {graph->entities, graph->relations};

    *hash = metasd_hash(*hash, numbers, sizeof(numbers));
    for (int part = 0; part < METASD_PARTS; part++)
        METASD_TRY(hash_groups(team, &graph->part[part], hash));
    return hash_groups(team, &graph->known, hash);
}
