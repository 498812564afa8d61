/* Queries of the relation loss are of examples, not of groups, as the tails of a group differ. */
#include "core/train/relation_loss.h"

#include <string.h>

#include "core/train/cross_entropy.h"

/* query[0] (and its tiles where the table is pruned) = the queries of all examples. */
static MetasdStatus
relation_queries(const MetasdObjective *objective, const float *table, bool pruned)
{
    MetasdState *state = objective->state;
    const MetasdBatch *batch = objective->batch;
    MetasdSpan share = metasd_products_share(objective->team, batch->n);
    float weight = objective->options->relation_weight / (float)batch->n;
    size_t width = state->width;

    for (size_t i = share.first; i < share.end; i++) {
        float *query = state->work.query[0] + i * width;
        uint32_t group = batch->group_of[i];

        state->work.each[i] = i;
        state->work.example_relation[i] = batch->relations[group];
        state->work.pairs[2 * state->size.batch + i].weight = weight;
        memset(query, 0, width * sizeof(*query));
        state->family->adjoint_relation(width, table + batch->heads[group] * width,
                                        table + batch->tails[i] * width, query);
        METASD_TRY(metasd_team_work(objective->team, 3 * width));
    }
    if (objective->team->rank == 0)
        state->work.each[batch->n] = batch->n;
    METASD_TRY(metasd_workspace_tile(&state->work, objective->team,
                                     metasd_objective_relations(state, table, pruned).pattern,
                                     batch->n, state->work.query[0], 0));
    return objective->team->barrier(objective->team);
}

/* Carries the queries' gradients back to heads and tails. */
static MetasdStatus
relation_back(const MetasdObjective *objective, const float *table, float *gradient)
{
    const MetasdState *state = objective->state;
    const MetasdBatch *batch = objective->batch;
    const MetasdSpan *own = objective->own;
    size_t width = state->width;
    float *scratch = state->work.scratch + (size_t)objective->team->rank * 2 * width;

    for (size_t i = 0; i < batch->n; i++) {
        size_t h = batch->heads[batch->group_of[i]] * width, t = batch->tails[i] * width;
        const float *dx = state->work.dquery[0] + i * width;

        /* <x(h, t), r> = <compose(h, r), t>: the same form with dx in the relation's place. */
        if (h >= own[0].first && h < own[0].end)
            state->family->adjoint_head(width, dx, table + t, gradient + h);
        if (t >= own[0].first && t < own[0].end) {
            state->family->compose(width, table + h, dx, scratch);
            for (size_t j = 0; j < width; j++)
                gradient[t + j] += scratch[j];
        }
        METASD_TRY(metasd_team_work(objective->team, 6 * width));
    }
    return METASD_OK;
}

MetasdStatus
metasd_relation_loss(const MetasdObjective *objective, const float *table, bool pruned,
                     float *gradient, double *loss)
{
    MetasdState *state = objective->state;
    MetasdTable relations = metasd_objective_relations(state, table, pruned);
    float *relation_gradient = gradient + (size_t)state->entities * state->width;
    size_t most = metasd_pass_rows(&state->work.scores, &state->relation_slices, state->size.batch);
    float weight = objective->options->relation_weight;

    *loss = 0;
    if (weight == 0)
        return METASD_OK;
    METASD_TRY(relation_queries(objective, table, pruned));
    for (size_t first = 0; first < objective->batch->n; first += most) {
        size_t left = objective->batch->n - first, at = first * state->width;
        MetasdPass pass = metasd_pass(objective->team, &state->work.scores, &state->relation_slices,
                                      state->width, left < most ? left : most);
        MetasdTargets targets = {.start = state->work.each + first,
                                 .ids = state->work.example_relation,
                                 .scale = weight / (float)objective->batch->n};
        MetasdQueries queries = metasd_workspace_queries(&state->work, &state->patterns[1],
                                                         state->work.query[0], 0, first);

        METASD_TRY(metasd_cross_entropy(&pass, 0, &relations, &queries, &targets,
                                        state->work.pairs + 2 * state->size.batch + first,
                                        relation_gradient, state->work.dquery[0] + at, loss));
    }
    *loss /= (double)weight;
    return relation_back(objective, table, gradient);
}
