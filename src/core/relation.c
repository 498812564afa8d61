/*
 * The relation loss (Chen et al. 2021): each example's relation among all P, given its head
 * and tail. Its queries are of examples, not of groups, since a group's tails differ.
 */
#include "stages.h"

#include <math.h>
#include <string.h>

/* query[0] = the queries of all examples, each its own row with one target. */
static MetasdStatus
relation_queries(const MetasdLesson *lesson, const float *table)
{
    MetasdStep *step = lesson->step;
    const MetasdBatch *batch = lesson->batch;
    size_t width = step->width, first, end;

    metasd_team_share(lesson->team, batch->n, &first, &end);
    for (size_t i = first; i < end; i++) {
        float *query = step->query[0] + i * width;
        uint32_t group = batch->group_of[i];

        step->each[i] = i;
        step->example_relation[i] = batch->relations[group];
        memset(query, 0, width * sizeof(*query));
        step->family->adjoint_relation(width, table + batch->heads[group] * width,
                                       table + batch->tails[i] * width, query);
        METASD_TRY(metasd_team_work(lesson->team, 3 * width));
    }
    if (lesson->team->rank == 0)
        step->each[batch->n] = batch->n;
    return lesson->team->barrier(lesson->team);
}

/* Carries the queries' gradients back to heads and tails. */
static MetasdStatus
relation_back(const MetasdLesson *lesson, const float *table, float *gradient)
{
    const MetasdStep *step = lesson->step;
    const MetasdBatch *batch = lesson->batch;
    const MetasdRun *own = lesson->own;
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

/* One block of examples first .. first + pass->rows - 1. */
static MetasdStatus
relation_block(const MetasdLesson *lesson, const MetasdPass *pass, size_t first,
               const float *relations, float *relation_gradient, double *loss)
{
    MetasdStep *step = lesson->step;
    MetasdGuide *guides = step->guides + step->batch + first;
    float weight = lesson->options->relation_weight / (float)lesson->batch->n;
    const float *queries = step->query[0] + first * step->width;
    MetasdTargets targets = {
        .start = step->each + first, .ids = step->example_relation, .scale = weight};
    MetasdPassRow at;

    METASD_TRY(metasd_pass_scores(pass, 0, queries, relations));
    METASD_TRY(metasd_pass_keep_targets(pass, 0, 0, &targets));
    METASD_TRY(metasd_pass_sums(pass, 0, -1, 1.0f, guides));
    for (at = metasd_pass_rows(pass); metasd_pass_next(&at);)
        metasd_gradient_tail(at.columns, step->scores.block[0] + at.first, &guides[at.row].source,
                             weight);
    METASD_TRY(at.status);
    METASD_TRY(metasd_pass_subtract_targets(pass, 0, &targets));
    METASD_TRY(metasd_pass_back(pass, 0, queries, relations, relation_gradient,
                                step->dquery[0] + first * step->width));
    for (size_t i = 0; i < pass->rows; i++) {
        const MetasdRow *row = &guides[i].source;
        double target = step->scores.target_scores[0][first + i];

        *loss += (row->max - target + log(row->sum)) / (double)lesson->batch->n;
    }
    return METASD_OK;
}

MetasdStatus
metasd_relation_loss(const MetasdLesson *lesson, const float *table, float *gradient, double *loss)
{
    MetasdStep *step = lesson->step;
    size_t relations = (size_t)step->entities * step->width;
    size_t most = metasd_scores_rows(&step->scores, &step->relation_slices, step->batch);

    *loss = 0;
    if (lesson->options->relation_weight == 0)
        return METASD_OK;
    METASD_TRY(relation_queries(lesson, table));
    for (size_t first = 0; first < lesson->batch->n; first += most) {
        size_t left = lesson->batch->n - first;
        MetasdPass pass = {.team = lesson->team,
                           .scores = &step->scores,
                           .slices = &step->relation_slices,
                           .width = step->width,
                           .rows = left < most ? left : most};

        METASD_TRY(
            relation_block(lesson, &pass, first, table + relations, gradient + relations, loss));
    }
    return relation_back(lesson, table, gradient);
}
