#include "core/train/validate.h"

#include <string.h>

#include "core/train/objective.h"
#include "core/ranking/rank_counts.h"

void
metasd_validate_take(MetasdValidator *ranker, MetasdArena *arena, int members, size_t batch)
{
    size_t counts;

    ranker->batch = metasd_tile_whole(batch);
    if (__builtin_mul_overflow((size_t)members, ranker->batch, &counts))
        arena->overflowed = true;
    ranker->higher = METASD_TAKE(arena, uint32_t, counts);
    ranker->same = METASD_TAKE(arena, uint32_t, counts);
}

/* What is not a number counts as higher, so that a model full of them ranks last. */
METASD_VECTORISE static void
compare(size_t rows, size_t stride, const float *restrict z, const float *restrict target,
        uint32_t *restrict higher, uint32_t *restrict same)
{
    for (size_t e = 0; e < rows; e++)
#pragma omp simd
        for (size_t b = 0; b < METASD_TILE; b++) {
            higher[b] += !(z[e * stride + b] <= target[b]);
            same[b] += z[e * stride + b] == target[b];
        }
}

/* One ranking: every example is a query of its own, with a lane of its own. */
typedef struct Ranking {
    MetasdValidator *ranker;
    MetasdState *step;
    MetasdTeam *team;
    MetasdTable entities;
    const MetasdBatch *batch;
    const MetasdGraph *graph;
    uint32_t *higher, *same; /* this member's */
} Ranking;

/* query[0] = the queries of all examples; their tiles, where the table has a pattern. */
static MetasdStatus
compose(const Ranking *ranking)
{
    MetasdState *step = ranking->step;
    const MetasdBatch *batch = ranking->batch;
    const float *table = ranking->entities.rows,
                *relations = metasd_objective_relations_of(step, table);
    MetasdSpan share = metasd_products_share(ranking->team, batch->n);
    size_t width = step->width;

    for (size_t x = share.first; x < share.end; x++) {
        uint32_t group = batch->group_of[x];

        step->each[x] = x;
        step->family->compose(width, table + batch->heads[group] * width,
                              relations + batch->relations[group] * width,
                              step->query[0] + x * width);
        METASD_TRY(metasd_team_work(ranking->team, 3 * width));
    }
    if (ranking->team->rank == 0)
        step->each[batch->n] = batch->n;
    METASD_TRY(metasd_objective_tile_queries(step, ranking->team, ranking->entities.pattern,
                                             batch->n, step->query[0], 0));
    return ranking->team->barrier(ranking->team);
}

/* The scores of what is ruled out, within this member's rows. */
static MetasdStatus
rule_out(const Ranking *ranking, const MetasdPass *pass, size_t first)
{
    const MetasdBatch *batch = ranking->batch;
    uint32_t low, high;

    metasd_team_rows(pass->team, pass->slices, &low, &high);
    for (size_t i = 0; i < pass->rows; i++) {
        size_t g = batch->group_of[first + i];
        uint32_t head = batch->heads[g];

        if (head >= low && head < high &&
            metasd_graph_rules_out(ranking->graph, head, batch->relations[g], head))
            pass->scores->block[0][head * pass->stride + i] = METASD_IMPOSSIBLE;
        METASD_TRY(metasd_team_work(pass->team, METASD_FAR_WORK));
    }
    return METASD_OK;
}

/* Takes what is known off the counts of a block's examples, within this member's rows. */
static MetasdStatus
leave_out_known(const Ranking *ranking, const MetasdPass *pass, size_t first)
{
    const MetasdBatch *batch = ranking->batch;
    const float *block = pass->scores->block[0];
    uint32_t low, high;

    metasd_team_rows(pass->team, pass->slices, &low, &high);
    for (size_t i = 0; i < pass->rows; i++) {
        size_t x = first + i, g = batch->group_of[x], n;
        float target = pass->scores->target_scores[0][x];
        const uint32_t *tails;

        n = metasd_graph_find_group(&ranking->graph->known, batch->heads[g], batch->relations[g],
                                    &tails);
        for (size_t k = 0; k < n; k++)
            if (tails[k] >= low && tails[k] < high) {
                float z = block[tails[k] * pass->stride + i];

                ranking->higher[x] -= !(z <= target);
                ranking->same[x] -= z == target;
            }
        METASD_TRY(metasd_team_work(pass->team, METASD_FAR_WORK + n));
    }
    return METASD_OK;
}

/* Counts the entities of this member's slices that a block of examples, from `first`, ranks by. */
static MetasdStatus
count_block(const Ranking *ranking, const MetasdPass *pass, size_t first)
{
    MetasdState *step = ranking->step;
    MetasdQueries queries =
        metasd_objective_queries_from(step, &step->patterns[0], step->query[0], 0, first);
    MetasdTargets targets = {.start = step->each + first, .ids = ranking->batch->tails};
    MetasdTiles tile;
    int begin, end;

    metasd_team_slices(pass->team, pass->slices, &begin, &end);
    for (int s = begin; s < end; s++)
        METASD_TRY(metasd_products_scores(pass, s, 0, &ranking->entities, &queries, false));
    METASD_TRY(rule_out(ranking, pass, first));
    for (int s = begin; s < end; s++)
        METASD_TRY(metasd_pass_keep_targets(pass, s, 0, 0, &targets));
    METASD_TRY(pass->team->barrier(pass->team));
    for (int s = begin; s < end; s++) {
        for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);) {
            size_t x = tile.tile * METASD_TILE, left = pass->rows - x;
            float target[METASD_TILE] = {0};

            memcpy(target, pass->scores->target_scores[0] + first + x,
                   (left < METASD_TILE ? left : METASD_TILE) * sizeof(float));
            compare(tile.rows, pass->stride, pass->scores->block[0] + tile.first, target,
                    ranking->higher + first + x, ranking->same + first + x);
        }
        METASD_TRY(tile.status);
    }
    METASD_TRY(leave_out_known(ranking, pass, first));
    return pass->team->barrier(pass->team);
}

void
metasd_validate_add(MetasdRanks *ranks, double rank)
{
    static const double most[3] = {1, 3, 10};

    ranks->n++;
    ranks->reciprocal += 1.0 / rank;
    ranks->rank += rank;
    for (int i = 0; i < 3; i++)
        ranks->hits[i] += rank <= most[i];
}

MetasdStatus
metasd_validate_batch(MetasdValidator *ranker, MetasdState *step, MetasdTeam *team,
                      const float *table, bool pruned, const MetasdBatch *batch,
                      const MetasdGraph *graph, MetasdRanks *ranks)
{
    size_t most = metasd_pass_rows(&step->scores, &step->entity_slices, step->queries);
    size_t base = (size_t)team->rank * ranker->batch;
    Ranking ranking = {
        .ranker = ranker,
        .step = step,
        .team = team,
        .entities = {.rows = table,
                     .pattern = pruned && step->sparse[0] ? &step->patterns[0] : NULL},
        .batch = batch,
        .graph = graph,
        .higher = ranker->higher + base,
        .same = ranker->same + base};

    memset(ranking.higher, 0, ranker->batch * sizeof(*ranking.higher));
    memset(ranking.same, 0, ranker->batch * sizeof(*ranking.same));
    METASD_TRY(compose(&ranking));
    for (size_t first = 0; first < batch->n; first += most) {
        size_t left = batch->n - first;
        MetasdPass pass = metasd_pass(team, &step->scores, &step->entity_slices, step->width,
                                      left < most ? left : most);

        METASD_TRY(count_block(&ranking, &pass, first));
    }
    for (size_t x = 0; x < batch->n; x++) {
        uint32_t higher = 0, same = 0;

        for (int member = 0; member < team->size; member++) {
            higher += ranker->higher[(size_t)member * ranker->batch + x];
            same += ranker->same[(size_t)member * ranker->batch + x];
        }
        /* The tail itself is among the known answers: it is neither higher nor the same. */
        metasd_validate_add(ranks, 1.0 + higher + 0.5 * same);
        METASD_TRY(metasd_team_work(team, (size_t)team->size));
    }
    return team->barrier(team);
}
