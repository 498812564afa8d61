#include "core/graph/split.h"

#include "core/base/random.h"

void
metasd_split_take(MetasdSplitter *splitter, MetasdArena *arena, size_t most, uint32_t entities,
                  uint32_t relations)
{
    *splitter = (MetasdSplitter){.entities = entities,
                                 .relations = relations,
                                 .part = METASD_TAKE(arena, uint8_t, most),
                                 .order = METASD_TAKE(arena, uint32_t, most),
                                 .entity_degree = METASD_TAKE(arena, uint32_t, entities),
                                 .relation_count = METASD_TAKE(arena, uint32_t, relations)};
}

static MetasdStatus
count_training_triples(MetasdSplitter *splitter, MetasdTeam *team)
{
    for (uint32_t e = 0; e < splitter->entities; e++) {
        splitter->entity_degree[e] = 0;
        METASD_TRY(metasd_team_work(team, 1));
    }
    for (uint32_t r = 0; r < splitter->relations; r++) {
        splitter->relation_count[r] = 0;
        METASD_TRY(metasd_team_work(team, 1));
    }
    for (size_t i = 0; i < splitter->n; i++) {
        const MetasdTriple *x = &splitter->triple[i];

        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
        if (splitter->part[i] != METASD_TRAIN)
            continue;
        splitter->entity_degree[x->head]++;
        if (x->tail != x->head)
            splitter->entity_degree[x->tail]++;
        splitter->relation_count[x->relation]++;
    }
    return METASD_OK;
}

/* Moves a training triple to `part`, unless it is the last of an entity or relation. */
static bool
move_triple(MetasdSplitter *splitter, size_t i, MetasdPart part)
{
    const MetasdTriple *x = &splitter->triple[i];

    if (splitter->part[i] != METASD_TRAIN || splitter->entity_degree[x->head] < 2 ||
        splitter->entity_degree[x->tail] < 2 || splitter->relation_count[x->relation] < 2)
        return false;
    splitter->entity_degree[x->head]--;
    if (x->tail != x->head)
        splitter->entity_degree[x->tail]--;
    splitter->relation_count[x->relation]--;
    splitter->part[i] = (uint8_t)part;
    return true;
}

/* Moves up to `wanted` training triples to `part`, in the random order, from *next on. */
static MetasdStatus
draw_by_order(MetasdSplitter *splitter, MetasdTeam *team, size_t *next, size_t wanted,
              MetasdPart part)
{
    for (size_t drawn = 0; *next < splitter->n && drawn < wanted; (*next)++) {
        METASD_TRY(metasd_team_work(team, 5 * METASD_FAR_WORK));
        drawn += move_triple(splitter, splitter->order[*next], part);
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
draw_by_keys(MetasdSplitter *splitter, MetasdTeam *team, const MetasdSplit *split)
{
    for (size_t i = 0; i < splitter->n; i++) {
        METASD_TRY(metasd_team_work(team, 5 * METASD_FAR_WORK));
        if (metasd_split_draws(split, &splitter->triple[i]))
            (void)move_triple(splitter, i, METASD_VALIDATION);
    }
    return METASD_OK;
}

MetasdStatus
metasd_split_triples(MetasdSplitter *splitter, MetasdTeam *team, const MetasdSplit *split,
                     size_t source_n, bool validation_given)
{
    size_t validation = (size_t)(split->validation_fraction * (double)source_n + 0.5);
    size_t quiz = (size_t)(split->quiz_fraction * (double)source_n + 0.5), next = 0;

    METASD_TRY(count_training_triples(splitter, team));
    METASD_TRY(
        metasd_random_order(team, split->seed, METASD_STREAM_SPLIT, splitter->order, splitter->n));
    if (!validation_given && split->entity_keys)
        METASD_TRY(draw_by_keys(splitter, team, split));
    else if (!validation_given)
        METASD_TRY(draw_by_order(splitter, team, &next, validation, METASD_VALIDATION));
    return draw_by_order(splitter, team, &next, quiz, METASD_QUIZ);
}
