#include "core/train/validate.h"

#include <string.h>

#include "core/base/simd.h"
#include "core/graph/negatives.h"
#include "core/math/blas.h"
#include "core/ranking/rank_counts.h"
#include "core/train/lean.h"

void
metasd_validate_take(MetasdValidator *validator, MetasdArena *arena, int members, size_t batch)
{
    size_t counts;

    validator->batch = metasd_tile_whole(batch);
    if (__builtin_mul_overflow((size_t)members, validator->batch, &counts))
        arena->overflowed = true;
    validator->higher = METASD_TAKE(arena, uint32_t, counts);
    validator->same = METASD_TAKE(arena, uint32_t, counts);
}

/* NaN counts as higher, so that a model full of it ranks last. */
METASD_VECTORISE static void
count_scores(size_t rows, size_t stride, const float *restrict z, const float *restrict target,
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
    MetasdValidator *validator;
    MetasdState *state;
    MetasdTeam *team;
    MetasdTable entities;
    const MetasdBatch *batch;
    const MetasdGraph *graph;
    uint32_t *higher, *same; /* this member's */
} Ranking;

/* A row of the ranked table; where there is none, in that half of this member's scratch. */
static const float *
ranked_row(const Ranking *ranking, size_t row, int half)
{
    MetasdState *state = ranking->state;
    float *room =
        state->work.scratch + (2 * (size_t)ranking->team->rank + (size_t)half) * state->width;

    if (ranking->entities.rows)
        return ranking->entities.rows + row * state->width;
    metasd_lean_student_row(state, row, room);
    return room;
}

/* query[0] = the queries of all examples; their tiles, where the table has a pattern. */
static MetasdStatus
compose_queries(const Ranking *ranking)
{
    MetasdState *state = ranking->state;
    const MetasdBatch *batch = ranking->batch;
    MetasdSpan share = metasd_products_share(ranking->team, batch->n);
    size_t width = state->width;

    for (size_t x = share.first; x < share.end; x++) {
        uint32_t group = batch->group_of[x];

        state->work.each[x] = x;
        state->family->compose(
            width, ranked_row(ranking, batch->heads[group], 0),
            ranked_row(ranking, (size_t)state->entities + batch->relations[group], 1),
            state->work.query[0] + x * width);
        METASD_TRY(metasd_team_work(ranking->team, 3 * width));
    }
    if (ranking->team->rank == 0)
        state->work.each[batch->n] = batch->n;
    METASD_TRY(metasd_workspace_tile(&state->work, ranking->team, ranking->entities.pattern,
                                     batch->n, state->work.query[0], 0));
    return ranking->team->barrier(ranking->team);
}

/* Rows first .. end - 1, of which a pass has scores. */
typedef struct Rows {
    uint32_t first, end;
} Rows;

/* The place of a row's score for a query of the pass. */
static float *
score_of(const MetasdPass *pass, uint32_t row, size_t query)
{
    return pass->scores->block[0] + pass->room + (row - pass->base) * pass->stride + query;
}

/* Sets the scores of impossible answers, within some rows. */
static MetasdStatus
rule_out(const Ranking *ranking, const MetasdPass *pass, size_t first, Rows rows)
{
    const MetasdBatch *batch = ranking->batch;

    for (size_t i = 0; i < pass->rows; i++) {
        size_t g = batch->group_of[first + i];
        uint32_t head = batch->heads[g];

        if (head >= rows.first && head < rows.end &&
            metasd_graph_rules_out(ranking->graph, head, batch->relations[g], head))
            *score_of(pass, head, i) = METASD_IMPOSSIBLE;
        METASD_TRY(metasd_team_work(pass->team, METASD_FAR_WORK));
    }
    return METASD_OK;
}

/* Takes known answers off the counts of a block's examples, within some rows. */
static MetasdStatus
leave_out_known(const Ranking *ranking, const MetasdPass *pass, size_t first, Rows rows)
{
    const MetasdBatch *batch = ranking->batch;

    for (size_t i = 0; i < pass->rows; i++) {
        size_t x = first + i, g = batch->group_of[x];
        float target = pass->scores->target_scores[0][x];
        MetasdKnown known =
            metasd_graph_known(ranking->graph, batch->heads[g], batch->relations[g]);

        for (int list = 0; list < METASD_PARTS; list++) {
            const uint32_t *tails = known.tails[list];

            for (size_t k =
                     metasd_negatives_place(tails, (uint32_t)known.n[list], (uint32_t)rows.first);
                 k < known.n[list] && tails[k] < rows.end; k++) {
                float z = *score_of(pass, tails[k], i);

                ranking->higher[x] -= !(z <= target);
                ranking->same[x] -= z == target;
                METASD_TRY(metasd_team_work(pass->team, 1));
            }
        }
        METASD_TRY(metasd_team_work(pass->team, METASD_PARTS * METASD_FAR_WORK));
    }
    return METASD_OK;
}

/* Counts a slice's scores against the targets of a block, from example `first`. */
static MetasdStatus
count_slice(const Ranking *ranking, const MetasdPass *pass, int s, size_t first)
{
    MetasdTiles tile;

    for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);) {
        size_t x = tile.tile * METASD_TILE, left = pass->rows - x;
        float target[METASD_TILE] = {0};

        memcpy(target, pass->scores->target_scores[0] + first + x,
               (left < METASD_TILE ? left : METASD_TILE) * sizeof(float));
        count_scores(tile.rows, pass->stride, pass->scores->block[0] + tile.first, target,
                     ranking->higher + first + x, ranking->same + first + x);
    }
    return tile.status;
}

/*
 * Counts the scores in this member's slices against the targets of a block, from example `first`.
 */
static MetasdStatus
count_block(const Ranking *ranking, const MetasdPass *pass, size_t first)
{
    MetasdState *state = ranking->state;
    MetasdQueries queries =
        metasd_workspace_queries(&state->work, &state->patterns[0], state->work.query[0], 0, first);
    MetasdTargets targets = {.start = state->work.each + first, .ids = ranking->batch->tails};
    Rows own;
    int begin, end;

    metasd_team_slices(pass->team, pass->slices, &begin, &end);
    for (int s = begin; s < end; s++)
        METASD_TRY(metasd_products_scores(pass, s, 0, &ranking->entities, &queries, false));
    metasd_team_rows(pass->team, pass->slices, &own.first, &own.end);
    METASD_TRY(rule_out(ranking, pass, first, own));
    for (int s = begin; s < end; s++)
        METASD_TRY(metasd_pass_keep_targets(pass, s, 0, 0, &targets));
    METASD_TRY(pass->team->barrier(pass->team));
    for (int s = begin; s < end; s++)
        METASD_TRY(count_slice(ranking, pass, s, first));
    METASD_TRY(leave_out_known(ranking, pass, first, own));
    return pass->team->barrier(pass->team);
}

/* ---- a lean state: its entities are scored a slice at a time ---- */

/*
 * The scores of a block's targets alone, by this member's share of its tiles: a tile of queries
 * with the rows of their targets, of which the diagonal counts.
 */
static MetasdStatus
score_targets(const Ranking *ranking, const MetasdPass *pass, size_t first)
{
    MetasdState *state = ranking->state;
    const MetasdBatch *batch = ranking->batch;
    MetasdSpan share = metasd_products_share(pass->team, pass->rows);
    size_t width = state->width;
    float *rows = pass->scores->gathers + 2 * (size_t)pass->team->rank * pass->scores->gathered;
    float z[METASD_TILE * METASD_TILE];

    for (size_t at = share.first; at < share.end; at += METASD_TILE) {
        size_t n = share.end - at < METASD_TILE ? share.end - at : METASD_TILE;

        for (size_t i = 0; i < n; i++)
            memcpy(rows + i * width, ranked_row(ranking, batch->tails[first + at + i], 0),
                   width * sizeof(*rows));
        METASD_TRY(metasd_blas_abt(pass->team, n, n, width, rows, width,
                                   state->work.query[0] + (first + at) * width, width, false, z,
                                   METASD_TILE));
        for (size_t i = 0; i < n; i++) {
            size_t x = first + at + i, g = batch->group_of[x];

            pass->scores->target_scores[0][x] =
                metasd_graph_rules_out(ranking->graph, batch->heads[g], batch->relations[g],
                                       batch->tails[x])
                    ? METASD_IMPOSSIBLE
                    : z[i * METASD_TILE + i];
        }
    }
    return pass->team->barrier(pass->team);
}

/* The same as count_block, with room for one slice of each member. */
static MetasdStatus
count_by_slices(const Ranking *ranking, MetasdPass *pass, size_t first)
{
    MetasdQueries queries = {.rows = ranking->state->work.query[0] + first * pass->width};
    int s, end;

    METASD_TRY(score_targets(ranking, pass, first));
    pass->room = (size_t)pass->team->rank * METASD_SLICE_ROWS * pass->stride;
    metasd_team_slices(pass->team, pass->slices, &s, &end);
    for (; s < end; s++) {
        Rows rows = {metasd_team_slice_start(pass->slices, s),
                     metasd_team_slice_start(pass->slices, s + 1)};

        pass->base = rows.first;
        METASD_TRY(metasd_products_scores(pass, s, 0, &ranking->entities, &queries, false));
        METASD_TRY(rule_out(ranking, pass, first, rows));
        METASD_TRY(count_slice(ranking, pass, s, first));
        METASD_TRY(leave_out_known(ranking, pass, first, rows));
    }
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
metasd_validate_batch(MetasdValidator *validator, MetasdState *state, MetasdTeam *team,
                      const float *table, bool pruned, const MetasdBatch *batch,
                      const MetasdGraph *graph, MetasdRanks *ranks)
{
    bool lean = state->size.lean;
    size_t most =
        lean ? metasd_tile_whole(state->size.queries)
             : metasd_pass_rows(&state->work.scores, &state->entity_slices, state->size.queries);
    size_t base = (size_t)team->rank * validator->batch;
    Ranking ranking = {
        .validator = validator,
        .state = state,
        .team = team,
        .entities = {.rows = table,
                     .copy = table ? NULL : metasd_lean_copy_student,
                     .source = state,
                     .pattern = pruned && state->sparse[0] ? &state->patterns[0] : NULL},
        .batch = batch,
        .graph = graph,
        .higher = validator->higher + base,
        .same = validator->same + base};

    memset(ranking.higher, 0, validator->batch * sizeof(*ranking.higher));
    memset(ranking.same, 0, validator->batch * sizeof(*ranking.same));
    METASD_TRY(compose_queries(&ranking));
    for (size_t first = 0; first < batch->n; first += most) {
        size_t left = batch->n - first;
        MetasdPass pass = metasd_pass(team, &state->work.scores, &state->entity_slices,
                                      state->width, left < most ? left : most);

        METASD_TRY(lean ? count_by_slices(&ranking, &pass, first)
                        : count_block(&ranking, &pass, first));
    }
    for (size_t x = 0; x < batch->n; x++) {
        uint32_t higher = 0, same = 0;

        for (int member = 0; member < team->size; member++) {
            higher += validator->higher[(size_t)member * validator->batch + x];
            same += validator->same[(size_t)member * validator->batch + x];
        }
        /* The tail itself is among the known answers: it is neither higher nor the same. */
        metasd_validate_add(ranks, 1.0 + higher + 0.5 * same);
        METASD_TRY(metasd_team_work(team, (size_t)team->size));
    }
    return team->barrier(team);
}
