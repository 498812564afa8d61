/*
 * The relation loss (Chen et al. 2021): each example's relation among all P, given its head
 * and tail. Its queries are of examples, not of groups, since a group's tails differ.
 */
#include "core/train/objective.h"

#include <string.h>

/* query[0] (and its tiles where the table is pruned) = the queries of all examples. */
static MetasdStatus
relation_queries(const MetasdObjective *lesson, const float *table, bool pruned)
{
    MetasdState *step = lesson->step;
    const MetasdBatch *batch = lesson->batch;
    MetasdSpan share = metasd_products_share(lesson->team, batch->n);
    float weight = lesson->options->relation_weight / (float)batch->n;
    size_t width = step->width;

    for (size_t i = share.first; i < share.end; i++) {
        float *query = step->query[0] + i * width;
        uint32_t group = batch->group_of[i];

        step->each[i] = i;
        step->example_relation[i] = batch->relations[group];
        step->guides[2 * step->batch + i].weight = weight;
        memset(query, 0, width * sizeof(*query));
        step->family->adjoint_relation(width, table + batch->heads[group] * width,
                                       table + batch->tails[i] * width, query);
        METASD_TRY(metasd_team_work(lesson->team, 3 * width));
    }
    if (lesson->team->rank == 0)
        step->each[batch->n] = batch->n;
    METASD_TRY(metasd_objective_tile_queries(
        step, lesson->team, metasd_objective_relations(step, table, pruned).pattern, batch->n,
        step->query[0], 0));
    return lesson->team->barrier(lesson->team);
}

/* Carries the queries' gradients back to heads and tails. */
static MetasdStatus
relation_back(const MetasdObjective *lesson, const float *table, float *gradient)
{
    const MetasdState *step = lesson->step;
    const MetasdBatch *batch = lesson->batch;
    const MetasdSpan *own = lesson->own;
    size_t width = step->width;
    float *scratch = step->scratch + (size_t)lesson->team->rank * 2 * width;

    for (size_t i = 0; i < batch->n; i++) {
        size_t h = batch->heads[batch->group_of[i]] * width, t = batch->tails[i] * width;
        const float *dx = step->dquery[0] + i * width;

        /* <x(h, t), r> = <compose(h, r), t>: the same form with dx in the relation's place. */
        if (h >= own[0].first && h < own[0].end)
            step->family->adjoint_head(width, dx, table + t, gradient + h);
        if (t >= own[0].first && t < own[0].end) {
            step->family->compose(width, table + h, dx, scratch);
            for (size_t j = 0; j < width; j++)
                gradient[t + j] += scratch[j];
        }
        METASD_TRY(metasd_team_work(lesson->team, 6 * width));
    }
    return METASD_OK;
}

MetasdStatus
metasd_relation_loss(const MetasdObjective *lesson, const float *table, bool pruned,
                     float *gradient, double *loss)
{
    MetasdState *step = lesson->step;
    MetasdTable relations = metasd_objective_relations(step, table, pruned);
    float *relation_gradient = gradient + (size_t)step->entities * step->width;
    size_t most = metasd_pass_rows(&step->scores, &step->relation_slices, step->batch);
    float weight = lesson->options->relation_weight;

    *loss = 0;
    if (weight == 0)
        return METASD_OK;
    METASD_TRY(relation_queries(lesson, table, pruned));
    for (size_t first = 0; first < lesson->batch->n; first += most) {
        size_t left = lesson->batch->n - first, at = first * step->width;
        MetasdPass pass = metasd_pass(lesson->team, &step->scores, &step->relation_slices,
                                      step->width, left < most ? left : most);
        MetasdTargets targets = {.start = step->each + first,
                                 .ids = step->example_relation,
                                 .scale = weight / (float)lesson->batch->n};
        MetasdQueries queries =
            metasd_objective_queries_from(step, &step->patterns[1], step->query[0], 0, first);

        METASD_TRY(metasd_cross_entropy(&pass, 0, &relations, &queries, &targets,
                                        step->guides + 2 * step->batch + first, relation_gradient,
                                        step->dquery[0] + at, loss));
    }
    *loss /= (double)weight;
    return relation_back(lesson, table, gradient);
}
