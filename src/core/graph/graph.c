#include "core/graph/graph.h"

#include "core/base/hash.h"

/* ---- groups ---- */

static void
take_groups(MetasdGroups *groups, MetasdArena *arena, size_t count, size_t examples)
{
    groups->heads = METASD_TAKE(arena, uint32_t, count);
    groups->relations = METASD_TAKE(arena, uint32_t, count);
    groups->start = METASD_TAKE(arena, uint32_t, count + 1);
    groups->tails = METASD_TAKE(arena, uint32_t, examples);
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

/* ---- known facts ---- */

MetasdKnown
metasd_graph_known(const MetasdGraph *graph, uint32_t head, uint32_t relation)
{
    MetasdKnown known = {{NULL}, {0}};

    if (graph->known.count > 0)
        known.n[0] = metasd_graph_find_group(&graph->known, head, relation, &known.tails[0]);
    for (int part = 0; graph->known.count == 0 && part < METASD_PARTS; part++)
        known.n[part] =
            metasd_graph_find_group(&graph->part[part], head, relation, &known.tails[part]);
    return known;
}

bool
metasd_graph_is_known(const MetasdKnown *known, uint32_t tail)
{
    for (int list = 0; list < METASD_PARTS; list++) {
        size_t low = 0, high = known->n[list];

        while (low < high) {
            size_t middle = low + (high - low) / 2;

            if (known->tails[list][middle] < tail)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < known->n[list] && known->tails[list][low] == tail)
            return true;
    }
    return false;
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
