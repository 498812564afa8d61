#include "rank.h"

#include <string.h>

void
metasd_ranker_take(MetasdRanker *ranker, MetasdArena *arena, int members, size_t batch)
{
    size_t counts;

    if (__builtin_mul_overflow((size_t)members, batch, &counts))
        arena->overflowed = true;
    ranker->higher = METASD_TAKE(arena, uint32_t, counts);
    ranker->same = METASD_TAKE(arena, uint32_t, counts);
}

/* What is not a number counts as higher, so that a model full of them ranks last. */
METASD_VECTORISE static void
compare(size_t n, const float *restrict z, float target, uint32_t *higher, uint32_t *same)
{
    uint32_t more = 0, equal = 0;

#pragma omp simd reduction(+ : more, equal)
    for (size_t i = 0; i < n; i++) {
        more += !(z[i] <= target);
        equal += z[i] == target;
    }
    *higher += more;
    *same += equal;
}

/* Counts one row of a slice against one target; the query's known answers do not count. */
static void
count_row(const float *row, size_t columns, uint32_t low, float target, const uint32_t *known,
          size_t nknown, uint32_t *higher, uint32_t *same)
{
    compare(columns, row, target, higher, same);
    for (size_t k = 0; k < nknown; k++) {
        if (known[k] < low || known[k] - low >= columns)
            continue;
        *higher -= !(row[known[k] - low] <= target);
        *same -= row[known[k] - low] == target;
    }
}

static MetasdStatus
count_block(MetasdRanker *ranker, const MetasdPass *pass, const MetasdBatch *batch, size_t first,
            const MetasdGroups *known)
{
    size_t base = (size_t)pass->team->rank * batch->n;
    const float *target = pass->scores->target_scores[0];
    MetasdPassRow at;

    for (at = metasd_pass_rows(pass); metasd_pass_next(&at);) {
        const float *row = pass->scores->block[0] + at.first;
        const uint32_t *tails;
        size_t g = first + at.row;
        size_t n = metasd_groups_find(known, batch->heads[g], batch->relations[g], &tails);

        for (size_t x = batch->start[g]; x < batch->start[g + 1]; x++) {
            count_row(row, at.columns, at.low, target[x], tails, n, &ranker->higher[base + x],
                      &ranker->same[base + x]);
            METASD_TRY(metasd_team_work(pass->team, at.columns + n));
        }
    }
    return at.status;
}

/* The batch's tail itself is among the known answers: it is neither higher nor the same. */
static void
add_rank(MetasdRanks *ranks, uint32_t higher, uint32_t same)
{
    static const double most[3] = {1, 3, 10};
    double rank = 1.0 + higher + 0.5 * same;

    ranks->n++;
    ranks->reciprocal += 1.0 / rank;
    ranks->rank += rank;
    for (int i = 0; i < 3; i++)
        ranks->hits[i] += rank <= most[i];
}

MetasdStatus
metasd_rank_batch(MetasdRanker *ranker, MetasdStep *step, MetasdTeam *team, const float *table,
                  const MetasdBatch *batch, const MetasdGroups *known, MetasdRanks *ranks)
{
    size_t base = (size_t)team->rank * batch->n, width = step->width, from, to;
    size_t most = metasd_scores_rows(&step->scores, &step->entity_slices, step->batch);

    memset(ranker->higher + base, 0, batch->n * sizeof(*ranker->higher));
    memset(ranker->same + base, 0, batch->n * sizeof(*ranker->same));
    metasd_team_share(team, batch->groups, &from, &to);
    for (size_t g = from; g < to; g++) {
        step->family->compose(width, table + batch->heads[g] * width,
                              table + ((size_t)step->entities + batch->relations[g]) * width,
                              step->query[0] + g * width);
        METASD_TRY(metasd_team_work(team, 3 * width));
    }
    METASD_TRY(team->barrier(team));
    for (size_t first = 0; first < batch->groups; first += most) {
        size_t left = batch->groups - first;
        MetasdPass pass = {.team = team,
                           .scores = &step->scores,
                           .slices = &step->entity_slices,
                           .width = width,
                           .rows = left < most ? left : most};
        MetasdTargets targets = {.start = batch->start + first, .ids = batch->tails};

        METASD_TRY(metasd_pass_scores(&pass, 0, step->query[0] + first * width, table));
        METASD_TRY(metasd_pass_keep_targets(&pass, 0, 0, &targets));
        METASD_TRY(team->barrier(team));
        METASD_TRY(count_block(ranker, &pass, batch, first, known));
        METASD_TRY(team->barrier(team));
    }
    for (size_t x = 0; x < batch->n; x++) {
        uint32_t higher = 0, same = 0;

        for (int member = 0; member < team->size; member++) {
            higher += ranker->higher[(size_t)member * batch->n + x];
            same += ranker->same[(size_t)member * batch->n + x];
        }
        add_rank(ranks, higher, same);
        METASD_TRY(metasd_team_work(team, METASD_MAX_SLICES));
    }
    return team->barrier(team);
}
