#include "core/train/warm_start.h"

#include <string.h>

#include "core/train/train.h"

/*
 * Where sums begin: near what they are at the end of a training for weights that are pruned, which
 * is 3e-6 to 1e-4 on different graphs. Of kept ones it is 20 to 100 times that, but to begin there,
 * or at 1e-3, loses by it; 1e-5 to 1e-4 makes no difference that seeds do not
 * (measured at commit 93a0908).
 */
#define WARM_SUM 1e-5f

static float *
row_of(const MetasdState *step, size_t row)
{
    return step->weights + row * step->width;
}

/* ---- new entities ---- */

/* A query with its answers, of which some say something of an entity that is new. */
typedef struct Teller {
    MetasdState *step;
    MetasdTeam *team;
    const uint8_t *known;
    uint32_t *said; /* N: triples that told of an entity */
    float *query;   /* width */
} Teller;

/* A new tail is what the query looks for. */
static MetasdStatus
tell_tail(const Teller *teller, uint32_t tail)
{
    float *row = row_of(teller->step, tail);
    size_t width = teller->step->width;

    for (size_t i = 0; i < width; i++)
        row[i] += teller->query[i];
    teller->said[tail]++;
    return metasd_team_work(teller->team, METASD_FAR_WORK + width);
}

/* A new head is what makes the relation look for that tail. */
static MetasdStatus
tell_head(const Teller *teller, uint32_t head, const float *relation, uint32_t tail)
{
    const MetasdState *step = teller->step;

    step->family->adjoint_head(step->width, relation, row_of(step, tail), row_of(step, head));
    teller->said[head]++;
    return metasd_team_work(teller->team, METASD_FAR_WORK + 4 * step->width);
}

static MetasdStatus
tell_group(const Teller *teller, const MetasdGroups *groups, size_t g)
{
    const MetasdState *step = teller->step;
    uint32_t head = groups->heads[g];
    size_t relation_row = (size_t)step->entities + groups->relations[g];
    const float *relation = row_of(step, relation_row);

    if (!teller->known[relation_row])
        return METASD_OK;
    if (teller->known[head])
        step->family->compose(step->width, row_of(step, head), relation, teller->query);
    for (size_t i = groups->start[g]; i < groups->start[g + 1]; i++) {
        uint32_t tail = groups->tails[i];

        if (teller->known[head] && !teller->known[tail])
            METASD_TRY(tell_tail(teller, tail));
        else if (!teller->known[head] && teller->known[tail])
            METASD_TRY(tell_head(teller, head, relation, tail));
        METASD_TRY(metasd_team_work(teller->team, METASD_FAR_WORK));
    }
    return metasd_team_work(teller->team, 3 * step->width);
}

/* Every triple is there in both directions: an entity hears of it as head and as tail. */
static MetasdStatus
start_entities(const Teller *teller, const MetasdGraph *graph)
{
    const MetasdState *step = teller->step;
    const MetasdGroups *groups = &graph->part[METASD_TRAIN];

    for (uint32_t e = 0; e < step->entities; e++) {
        teller->said[e] = 0;
        METASD_TRY(metasd_team_work(teller->team, 1));
    }
    for (size_t g = 0; g < groups->count; g++)
        METASD_TRY(tell_group(teller, groups, g));
    for (uint32_t e = 0; e < step->entities; e++) {
        for (size_t i = 0; teller->said[e] > 0 && i < step->width; i++)
            row_of(step, e)[i] /= (float)teller->said[e];
        METASD_TRY(metasd_team_work(teller->team, step->width));
    }
    return METASD_OK;
}

/* ---- all tables ---- */

static MetasdStatus
clear_new(const Teller *teller)
{
    const MetasdState *step = teller->step;
    size_t rows = (size_t)step->entities + step->relation_rows;

    for (size_t row = 0; row < rows; row++) {
        if (!teller->known[row])
            memset(row_of(step, row), 0, step->width * sizeof(float));
        METASD_TRY(metasd_team_work(teller->team, step->width));
    }
    return METASD_OK;
}

MetasdStatus
metasd_warm_start(MetasdState *step, MetasdTeam *team, const MetasdGraph *graph,
                  const uint8_t *known, uint64_t seed)
{
    Teller teller = {.step = step,
                     .team = team,
                     .known = known,
                     .said = (void *)step->gradient, /* not in use yet */
                     .query = step->scratch};
    MetasdSpan all = {0, ((size_t)step->entities + step->relation_rows) * step->width};

    METASD_TRY(clear_new(&teller));
    METASD_TRY(start_entities(&teller, graph));
    return metasd_state_fill(step, team, &all, 1, seed, METASD_INITIAL_SCALE, WARM_SUM);
}
