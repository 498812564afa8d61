#include "core/graph/graph.h"

#include "core/base/random.h"

/* What reading or writing a triple in its order takes. */
#define TRIPLE_WORK 4

typedef enum Field { BY_HEAD, BY_RELATION, BY_TAIL } Field;

static uint32_t
field(const MetasdTriple *triple, Field by)
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

/* One stable pass of a counting sort, from `in` to `out`; keys are below `keys`. */
static MetasdStatus
counting_pass(MetasdTeam *team, const MetasdTriple *in, MetasdTriple *out, size_t n, Field by,
              size_t keys, size_t *counts)
{
    for (size_t k = 0; k <= keys; k++) {
        counts[k] = 0;
        METASD_TRY(metasd_team_work(team, 2));
    }
    for (size_t i = 0; i < n; i++) {
        counts[field(&in[i], by) + 1]++;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    for (size_t k = 1; k <= keys; k++) {
        counts[k] += counts[k - 1];
        METASD_TRY(metasd_team_work(team, 2));
    }
    for (size_t i = 0; i < n; i++) {
        out[counts[field(&in[i], by)]++] = in[i];
        METASD_TRY(metasd_team_work(team, 2 * METASD_FAR_WORK));
    }
    return METASD_OK;
}

static MetasdStatus
copy_triples(MetasdTeam *team, MetasdTriple *to, const MetasdTriple *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i];
        METASD_TRY(metasd_team_work(team, TRIPLE_WORK));
    }
    return METASD_OK;
}

static bool
same_triple(const MetasdTriple *a, const MetasdTriple *b)
{
    return a->head == b->head && a->relation == b->relation && a->tail == b->tail;
}

/* Sorts without dropping; the result is in `triples`. */
static MetasdStatus
sort_all(MetasdTeam *team, MetasdTriple *triples, size_t n, MetasdTriple *scratch, size_t *counts,
         uint32_t entities, uint32_t relations)
{
    if (n == 0)
        return METASD_OK;
    METASD_TRY(counting_pass(team, triples, scratch, n, BY_TAIL, entities, counts));
    METASD_TRY(counting_pass(team, scratch, triples, n, BY_RELATION, relations, counts));
    METASD_TRY(counting_pass(team, triples, scratch, n, BY_HEAD, entities, counts));
    return copy_triples(team, triples, scratch, n);
}

static bool comes_before(const MetasdTriple *a, const MetasdTriple *b);

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
    METASD_TRY(sort_all(team, triples, *n, scratch, counts, entities, relations));
    for (size_t i = 0; i < *n; i++) {
        if (kept == 0 || !same_triple(&triples[kept - 1], &triples[i]))
            triples[kept++] = triples[i];
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

/* Fills groups from the triples whose part is `part` (any part if < 0), both directions. */
static MetasdStatus
fill_groups(MetasdGroups *groups, MetasdTeam *team, const MetasdTriple *triples,
            const uint8_t *parts, size_t n, int part, MetasdTriple *examples, MetasdTriple *scratch,
            size_t *counts, uint32_t entities, uint32_t relations)
{
    size_t m = 0;

    for (size_t i = 0; i < n; i++) {
        METASD_TRY(metasd_team_work(team, 3 * TRIPLE_WORK));
        if (part >= 0 && parts[i] != part)
            continue;
        examples[m++] = triples[i];
        examples[m++] = (MetasdTriple){.head = triples[i].tail,
                                       .relation = triples[i].relation + relations,
                                       .tail = triples[i].head};
    }
    METASD_TRY(sort_all(team, examples, m, scratch, counts, entities, 2 * relations));
    groups->examples = m;
    groups->count = 0;
    for (size_t i = 0; i < m; i++) {
        if (i == 0 || examples[i].head != examples[i - 1].head ||
            examples[i].relation != examples[i - 1].relation) {
            groups->heads[groups->count] = examples[i].head;
            groups->relations[groups->count] = examples[i].relation;
            groups->start[groups->count++] = i;
        }
        groups->tails[i] = examples[i].tail;
        METASD_TRY(metasd_team_work(team, 2 * TRIPLE_WORK));
    }
    groups->start[groups->count] = m;
    return METASD_OK;
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

/* ---- splits ---- */

/* The arrays that building needs; all live as long as the arena. */
typedef struct Workspace {
    MetasdTriple *all;      /* distinct triples of all parts */
    uint8_t *parts;         /* the part of each */
    MetasdTriple *examples; /* both directions */
    MetasdTriple *scratch;
    uint32_t *order;
    size_t *counts;
    uint32_t *entity_degree;
    uint32_t *relation_count;
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
    w.all = METASD_TAKE(arena, MetasdTriple, n);
    w.parts = METASD_TAKE(arena, uint8_t, n);
    w.examples = METASD_TAKE(arena, MetasdTriple, examples);
    w.scratch = METASD_TAKE(arena, MetasdTriple, examples);
    w.order = METASD_TAKE(arena, uint32_t, n);
    w.counts = METASD_TAKE(arena, size_t, keys + 1);
    w.entity_degree = METASD_TAKE(arena, uint32_t, entities);
    w.relation_count = METASD_TAKE(arena, uint32_t, relations);
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

/* Moves a training triple to `part`, unless it is the last of an entity or relation. */
static bool
move(Workspace *w, size_t i, MetasdPart part)
{
    const MetasdTriple *x = &w->all[i];

    if (w->parts[i] != METASD_TRAIN || w->entity_degree[x->head] < 2 ||
        w->entity_degree[x->tail] < 2 || w->relation_count[x->relation] < 2)
        return false;
    w->entity_degree[x->head]--;
    if (x->tail != x->head)
        w->entity_degree[x->tail]--;
    w->relation_count[x->relation]--;
    w->parts[i] = (uint8_t)part;
    return true;
}

/* Moves up to `wanted` training triples to `part`, in the random order; resumes at *next. */
static MetasdStatus
draw(Workspace *w, MetasdTeam *team, size_t n, size_t *next, size_t wanted, MetasdPart part)
{
    for (size_t drawn = 0; *next < n && drawn < wanted; (*next)++) {
        METASD_TRY(metasd_team_work(team, 5 * METASD_FAR_WORK));
        drawn += move(w, w->order[*next], part);
    }
    return METASD_OK;
}

bool
metasd_split_draws(const MetasdSplit *split, const MetasdTriple *triple)
{
    uint64_t key =
        metasd_random(split->entity_keys[triple->head], split->relation_keys[triple->relation],
                      split->entity_keys[triple->tail]);

    return (double)(key >> 11) * 0x1p-53 < split->validation_fraction;
}

static MetasdStatus
draw_by_keys(Workspace *w, MetasdTeam *team, size_t n, const MetasdSplit *split)
{
    for (size_t i = 0; i < n; i++) {
        METASD_TRY(metasd_team_work(team, 5 * METASD_FAR_WORK));
        if (metasd_split_draws(split, &w->all[i]))
            (void)move(w, i, METASD_VALIDATION);
    }
    return METASD_OK;
}

/* Counts the training triples of every entity and relation. */
static MetasdStatus
count_training(Workspace *w, MetasdTeam *team, size_t n, uint32_t entities, uint32_t relations)
{
    for (uint32_t e = 0; e < entities; e++) {
        w->entity_degree[e] = 0;
        METASD_TRY(metasd_team_work(team, 1));
    }
    for (uint32_t r = 0; r < relations; r++) {
        w->relation_count[r] = 0;
        METASD_TRY(metasd_team_work(team, 1));
    }
    for (size_t i = 0; i < n; i++) {
        const MetasdTriple *x = &w->all[i];

        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
        if (w->parts[i] != METASD_TRAIN)
            continue;
        w->entity_degree[x->head]++;
        if (x->tail != x->head)
            w->entity_degree[x->tail]++;
        w->relation_count[x->relation]++;
    }
    return METASD_OK;
}

static MetasdStatus
split_triples(Workspace *w, MetasdTeam *team, size_t n, size_t source_n, bool validation_given,
              const MetasdSplit *split)
{
    size_t validation = (size_t)(split->validation_fraction * (double)source_n + 0.5);
    size_t quiz = (size_t)(split->quiz_fraction * (double)source_n + 0.5), next = 0;

    METASD_TRY(metasd_random_order(team, split->seed, METASD_STREAM_SPLIT, w->order, n));
    if (!validation_given && split->entity_keys)
        METASD_TRY(draw_by_keys(w, team, n, split));
    else if (!validation_given)
        METASD_TRY(draw(w, team, n, &next, validation, METASD_VALIDATION));
    return draw(w, team, n, &next, quiz, METASD_QUIZ);
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

static bool
comes_before(const MetasdTriple *a, const MetasdTriple *b)
{
    if (a->head != b->head)
        return a->head < b->head;
    return a->relation != b->relation ? a->relation < b->relation : a->tail < b->tail;
}

/*
 * w->all = the triples, and the validation triples that are not among them; both are sorted.
 * *all becomes their number.
 */
static MetasdStatus
join_triples(Workspace *w, MetasdTeam *team, const MetasdTriple *triples, size_t n,
             const MetasdTriple *validation, size_t validation_n, size_t *all)
{
    *all = n;
    for (size_t i = 0; i < n; i++) {
        w->all[i] = triples[i];
        w->parts[i] = METASD_TRAIN;
        METASD_TRY(metasd_team_work(team, 2 * TRIPLE_WORK));
    }
    for (size_t v = 0, i = 0; v < validation_n; v++) {
        for (; i < n && comes_before(&w->all[i], &validation[v]); i++)
            METASD_TRY(metasd_team_work(team, TRIPLE_WORK));
        if (i < n && same_triple(&w->all[i], &validation[v]))
            continue;
        w->parts[*all] = METASD_VALIDATION;
        w->all[(*all)++] = validation[v];
        METASD_TRY(metasd_team_work(team, 2 * TRIPLE_WORK));
    }
    return METASD_OK;
}

/* By the training triples alone, so that validation triples are a surprise. */
static MetasdStatus
find_irreflexive(MetasdGraph *graph, Workspace *w, MetasdTeam *team)
{
    size_t *loops = w->counts;

    for (uint32_t r = 0; r < graph->relations; r++) {
        loops[r] = 0;
        METASD_TRY(metasd_team_work(team, 1));
    }
    for (size_t i = 0; i < graph->triples; i++) {
        const MetasdTriple *x = &w->all[i];

        loops[x->relation] += w->parts[i] == METASD_TRAIN && x->head == x->tail;
        METASD_TRY(metasd_team_work(team, TRIPLE_WORK));
    }
    for (uint32_t r = 0; r < graph->relations; r++) {
        graph->irreflexive[r] = (double)loops[r] < METASD_REFLEXIVE * (double)w->relation_count[r];
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
    size_t all;

    if (!metasd_arena_ok(arena))
        return METASD_NO_MEMORY;
    /* Examples, two a triple, and relation rows are numbered by 32 bits. */
    if (relations > UINT32_MAX / 2 || n + validation_n > UINT32_MAX / 2)
        return METASD_INVALID;
    METASD_TRY(check_ids(team, triples, n, entities, relations));
    METASD_TRY(check_ids(team, validation, validation_n, entities, relations));
    METASD_TRY(
        metasd_graph_sort_triples(team, triples, &n, w.scratch, w.counts, entities, relations));
    METASD_TRY(metasd_graph_sort_triples(team, validation, &validation_n, w.scratch, w.counts,
                                         entities, relations));
    METASD_TRY(join_triples(&w, team, triples, n, validation, validation_n, &all));
    METASD_TRY(count_training(&w, team, all, entities, relations));
    METASD_TRY(split_triples(&w, team, all, n, validation_given, split));

    graph->entities = entities;
    graph->relations = relations;
    graph->triples = all;
    for (int part = 0; part < METASD_PARTS; part++) {
        METASD_TRY(fill_groups(&graph->part[part], team, w.all, w.parts, all, part, w.examples,
                               w.scratch, w.counts, entities, relations));
        graph->part_triples[part] = graph->part[part].examples / 2;
    }
    METASD_TRY(find_irreflexive(graph, &w, team));
    return fill_groups(&graph->known, team, w.all, w.parts, all, -1, w.examples, w.scratch,
                       w.counts, entities, relations);
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
