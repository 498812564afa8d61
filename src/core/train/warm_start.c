#include "core/train/warm_start.h"

#include <string.h>

static float *
row_of(const MetasdState *state, size_t row)
{
    return state->weights + row * state->width;
}

/* ---- new entities ---- */

/* New entities are described by triples whose other entity and relation are known. */
typedef struct Description {
    MetasdState *state;
    MetasdTeam *team;
    const uint8_t *known;
    uint32_t *triples; /* N: how many describe an entity */
    float *query;      /* width */
} Description;

/* A new tail is the query itself. */
static MetasdStatus
describe_tail(const Description *description, uint32_t tail)
{
    float *row = row_of(description->state, tail);
    size_t width = description->state->width;

    for (size_t i = 0; i < width; i++)
        row[i] += description->query[i];
    description->triples[tail]++;
    return metasd_team_work(description->team, METASD_FAR_WORK + width);
}

/* A new head is the vector with which the relation asks for that tail. */
static MetasdStatus
describe_head(const Description *description, uint32_t head, const float *relation, uint32_t tail)
{
    const MetasdState *state = description->state;

    state->family->adjoint_head(state->width, relation, row_of(state, tail), row_of(state, head));
    description->triples[head]++;
    return metasd_team_work(description->team, METASD_FAR_WORK + 4 * state->width);
}

static MetasdStatus
describe_by_group(const Description *description, const MetasdGroups *groups, size_t g)
{
    const MetasdState *state = description->state;
    uint32_t head = groups->heads[g];
    size_t relation_row = (size_t)state->entities + groups->relations[g];
    const float *relation = row_of(state, relation_row);

    if (!description->known[relation_row])
        return METASD_OK;
    if (description->known[head])
        state->family->compose(state->width, row_of(state, head), relation, description->query);
    for (size_t i = groups->start[g]; i < groups->start[g + 1]; i++) {
        uint32_t tail = groups->tails[i];

        if (description->known[head] && !description->known[tail])
            METASD_TRY(describe_tail(description, tail));
        else if (!description->known[head] && description->known[tail])
            METASD_TRY(describe_head(description, head, relation, tail));
        METASD_TRY(metasd_team_work(description->team, METASD_FAR_WORK));
    }
    return metasd_team_work(description->team, 3 * state->width);
}

/* Every triple is there in both directions: it describes an entity as head and as tail. */
static MetasdStatus
fill_new_entities(const Description *description, const MetasdGraph *graph)
{
    const MetasdState *state = description->state;
    const MetasdGroups *groups = &graph->part[METASD_TRAIN];

    for (uint32_t e = 0; e < state->entities; e++) {
        description->triples[e] = 0;
        METASD_TRY(metasd_team_work(description->team, 1));
    }
    for (size_t g = 0; g < groups->count; g++)
        METASD_TRY(describe_by_group(description, groups, g));
    for (uint32_t e = 0; e < state->entities; e++) {
        for (size_t i = 0; description->triples[e] > 0 && i < state->width; i++)
            row_of(state, e)[i] /= (float)description->triples[e];
        METASD_TRY(metasd_team_work(description->team, state->width));
    }
    return METASD_OK;
}

/* ---- all tables ---- */

static MetasdStatus
clear_new_rows(const Description *description)
{
    const MetasdState *state = description->state;
    size_t rows = (size_t)state->entities + state->relation_rows;

    for (size_t row = 0; row < rows; row++) {
        if (!description->known[row])
            memset(row_of(state, row), 0, state->width * sizeof(float));
        METASD_TRY(metasd_team_work(description->team, state->width));
    }
    return METASD_OK;
}

MetasdStatus
metasd_warm_start(MetasdState *state, MetasdTeam *team, const MetasdGraph *graph,
                  const uint8_t *known, uint64_t seed)
{
    Description description = {.state = state,
                               .team = team,
                               .known = known,
                               .triples = state->size.lean ? (uint32_t *)(void *)state->sums
                                                           : state->descriptions,
                               .query = state->work.scratch};
    /* A lean state has no other room: sums are set at the end. */
    MetasdSpan all = {0, ((size_t)state->entities + state->relation_rows) * state->width};

    METASD_TRY(clear_new_rows(&description));
    METASD_TRY(fill_new_entities(&description, graph));
    return metasd_state_fill(state, team, &all, 1, seed, METASD_INITIAL_SCALE, METASD_WARM_SUM);
}
