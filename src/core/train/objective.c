#include "core/train/objective.h"

#include <math.h>
#include <string.h>

#include "core/math/adagrad.h"
#include "core/base/random.h"
#include "core/train/regularizer.h"

/* ---- a lesson ---- */

/* The shares are read behind the barrier of the queries' composition. */
MetasdStatus
metasd_objective_prepare(MetasdObjective *lesson, MetasdState *step, MetasdTeam *team,
                         const MetasdStepOptions *options, const MetasdBatch *batch, bool quiz)
{
    double sum = (double)batch->n;
    size_t first, end;

    *lesson = (MetasdObjective){.step = step,
                                .team = team,
                                .options = options,
                                .batch = batch,
                                .guides = step->guides + (quiz ? step->batch : 0),
                                .weights = step->class_weights ? step->target_weights[quiz] : NULL};
    metasd_state_own(step, team, lesson->own);
    lesson->touched = lesson->own;
    lesson->ntouched = 2;
    if (step->sampler) {
        uint64_t stream = METASD_STREAM_NEGATIVES + ((2 * step->round + quiz) << 8);

        METASD_TRY(metasd_negatives_draw(step->sampler, team, quiz, step->seed, stream, batch));
        lesson->sample = &step->sampler->sample[quiz];
    }
    if (step->class_weights) {
        sum = 0;
        for (size_t i = 0; i < batch->n; i++)
            sum += (double)step->class_weights[batch->tails[i]];
    }
    lesson->scale = 1.0 / sum;
    metasd_team_share(team, batch->groups, &first, &end);
    for (size_t g = first; g < end; g++) {
        double weight = 0;

        for (size_t i = batch->start[g]; i < batch->start[g + 1]; i++) {
            float mine = lesson->weights ? step->class_weights[batch->tails[i]] : 1.0f;

            if (lesson->weights)
                lesson->weights[i] = mine;
            weight += (double)mine;
        }
        lesson->guides[g].weight = (float)(lesson->scale * weight);
    }
    return metasd_team_work(team, batch->n * 2);
}

MetasdStatus
metasd_objective_observe(const MetasdObjective *lesson, MetasdStage stage)
{
    MetasdState *step = lesson->step;

    if (!step->observe)
        return METASD_OK;
    METASD_TRY(lesson->team->barrier(lesson->team));
    if (lesson->team->rank == 0)
        step->observe(step->observer, stage);
    return lesson->team->barrier(lesson->team);
}

MetasdStatus
metasd_objective_check(double loss)
{
    return isfinite(loss) ? METASD_OK : METASD_NON_FINITE;
}

/* ---- tables ---- */

const float *
metasd_objective_relations_of(const MetasdState *step, const float *table)
{
    return table + (size_t)step->entities * step->width;
}

MetasdStatus
metasd_objective_clear(const MetasdObjective *lesson, float *table)
{
    MetasdWalk walk;

    for (walk = metasd_team_walk(lesson->team, lesson->touched, lesson->ntouched, 1);
         metasd_team_walk_next(&walk);)
        memset(table + walk.first, 0, (walk.end - walk.first) * sizeof(*table));
    return walk.status;
}

MetasdStatus
metasd_objective_descend(const MetasdObjective *lesson, float *sums, const float *gradient,
                         const float *masked_gradient, float lr)
{
    MetasdState *step = lesson->step;
    MetasdWalk walk;

    METASD_TRY(lesson->team->barrier(lesson->team)); /* others may still read these weights */
    for (walk = metasd_team_walk(lesson->team, lesson->touched, lesson->ntouched, 6);
         metasd_team_walk_next(&walk);) {
        size_t at = walk.first;

        metasd_adagrad(
            walk.end - at, step->weights + at, sums + at, gradient ? gradient + at : NULL,
            masked_gradient ? masked_gradient + at : NULL, step->mask + at, lr, step->student + at);
    }
    METASD_TRY(walk.status);
    return lesson->team->barrier(lesson->team);
}

/* A sample is scored whole: its pattern would have to be made anew for each batch. */
MetasdTable
metasd_objective_entities(const MetasdObjective *lesson, const float *table, bool pruned)
{
    bool sparse = pruned && lesson->step->sparse[0] && !lesson->sample;

    return (MetasdTable){.rows = table,
                         .pattern = sparse ? &lesson->step->patterns[0] : NULL,
                         .held = sparse ? lesson->step->held.values : NULL};
}

MetasdTable
metasd_objective_relations(const MetasdState *step, const float *table, bool pruned)
{
    return (MetasdTable){.rows = metasd_objective_relations_of(step, table),
                         .pattern = pruned && step->sparse[1] ? &step->patterns[1] : NULL};
}

/* ---- queries ---- */

MetasdStatus
metasd_objective_tile_queries(const MetasdState *step, MetasdTeam *team,
                              const MetasdPattern *pattern, size_t n, const float *rows, int which)
{
    return pattern ? metasd_products_tile(team, pattern, n, rows, step->tiles[which],
                                          step->whole[which])
                   : METASD_OK;
}

MetasdQueries
metasd_objective_queries_from(const MetasdState *step, const MetasdPattern *pattern,
                              const float *rows, int which, size_t first)
{
    return (MetasdQueries){.rows = rows + first * step->width,
                           .tiles = step->tiles[which] + first * step->width,
                           .whole = step->whole[which] + first * pattern->whole};
}

/* Each member makes whole tiles. */
MetasdStatus
metasd_objective_compose(const MetasdObjective *lesson, const float *table, bool pruned, int which)
{
    MetasdState *step = lesson->step;
    const MetasdBatch *batch = lesson->batch;
    const float *relations = metasd_objective_relations_of(step, table);
    size_t width = step->width;
    MetasdSpan share = metasd_products_share(lesson->team, batch->groups);

    for (size_t g = share.first; g < share.end; g++) {
        step->family->compose(width, table + batch->heads[g] * width,
                              relations + batch->relations[g] * width,
                              step->query[which] + g * width);
        METASD_TRY(metasd_team_work(lesson->team, 3 * width));
    }
    METASD_TRY(metasd_objective_tile_queries(
        step, lesson->team, metasd_objective_entities(lesson, table, pruned).pattern, batch->groups,
        step->query[which], which));
    return lesson->team->barrier(lesson->team);
}

/* Members add to their own rows only, each in the order of the groups. */
MetasdStatus
metasd_objective_queries_back(const MetasdObjective *lesson, const float *table,
                              const float *dquery, float *gradient)
{
    const MetasdState *step = lesson->step;
    const MetasdBatch *batch = lesson->batch;
    const MetasdSpan *own = lesson->own;
    const float *relations = metasd_objective_relations_of(step, table);
    size_t width = step->width, shift = (size_t)step->entities;

    for (size_t g = 0; g < batch->groups; g++) {
        size_t h = batch->heads[g] * width, r = batch->relations[g] * width;

        if (h >= own[0].first && h < own[0].end)
            step->family->adjoint_head(width, relations + r, dquery + g * width, gradient + h);
        r += shift * width;
        if (r >= own[1].first && r < own[1].end)
            step->family->adjoint_relation(width, table + h, dquery + g * width, gradient + r);
        METASD_TRY(metasd_team_work(lesson->team, 6 * width));
    }
    return METASD_OK;
}

/* ---- blocks of scores ---- */

MetasdPass
metasd_objective_block(const MetasdObjective *lesson, size_t first)
{
    MetasdState *step = lesson->step;
    const MetasdSample *sample = lesson->sample;
    const MetasdSlices *slices = sample ? &sample->slices : &step->entity_slices;
    size_t most = metasd_pass_rows(&step->scores, slices, step->queries);
    size_t left = lesson->batch->groups - first;
    MetasdPass pass =
        metasd_pass(lesson->team, &step->scores, slices, step->width, left < most ? left : most);

    pass.ids = sample ? sample->ids : NULL;
    pass.each = sample ? sample->each : NULL;
    return pass;
}

MetasdTargets
metasd_objective_block_targets(const MetasdObjective *lesson, size_t first)
{
    return (MetasdTargets){.start = lesson->batch->start + first,
                           .ids = lesson->sample ? lesson->sample->targets : lesson->batch->tails,
                           .weights = lesson->weights,
                           .scale = (float)lesson->scale};
}

MetasdQueries
metasd_objective_block_queries(const MetasdObjective *lesson, size_t first, int which)
{
    const MetasdState *step = lesson->step;

    return metasd_objective_queries_from(step, &step->patterns[0], step->query[which], which,
                                         first);
}

MetasdStatus
metasd_objective_tail_loss(const MetasdObjective *lesson, const float *table, bool pruned,
                           float *gradient, int b, double *loss)
{
    MetasdState *step = lesson->step;
    MetasdTable entities = metasd_objective_entities(lesson, table, pruned);
    float *by_entities = entities.held ? step->held.gradient : gradient;

    *loss = 0;
    METASD_TRY(metasd_objective_compose(lesson, table, pruned, 0));
    for (size_t first = 0; first < lesson->batch->groups;) {
        MetasdPass pass = metasd_objective_block(lesson, first);
        MetasdTargets targets = metasd_objective_block_targets(lesson, first);
        MetasdQueries queries = metasd_objective_block_queries(lesson, first, 0);

        METASD_TRY(metasd_cross_entropy(&pass, b, &entities, &queries, &targets,
                                        lesson->guides + first, by_entities,
                                        step->dquery[0] + first * step->width, loss));
        first += pass.rows;
    }
    return metasd_objective_queries_back(lesson, table, step->dquery[0], gradient);
}

/* ---- the regulariser ---- */

/* Every member computes its share of the groups; all sum them in order. */
MetasdStatus
metasd_objective_reg_loss(const MetasdObjective *lesson, const float *table, float *gradient,
                          double *loss)
{
    const MetasdState *step = lesson->step;
    const MetasdBatch *batch = lesson->batch;
    MetasdRegularizer kind = lesson->options->regularizer;
    float scale = lesson->options->reg / (float)batch->n;
    size_t first, end;

    metasd_team_share(lesson->team, batch->groups, &first, &end);
    METASD_TRY(metasd_regularizer_rows(lesson->team, kind, step, batch, table, first, end,
                                       step->row_loss));
    METASD_TRY(metasd_regularizer_gradient(lesson->team, kind, step, batch, table, scale,
                                           lesson->own, gradient));
    METASD_TRY(lesson->team->barrier(lesson->team));
    *loss = 0;
    for (size_t g = 0; g < batch->groups; g++)
        *loss += step->row_loss[g];
    *loss *= (double)lesson->options->reg / (double)batch->n;
    return lesson->team->barrier(lesson->team);
}

/* ---- source and student side by side ---- */

MetasdStatus
metasd_objective_guided_compose(const MetasdObjective *lesson)
{
    METASD_TRY(metasd_objective_compose(lesson, lesson->step->weights, false, 0));
    return metasd_objective_compose(lesson, lesson->step->student, true, 1);
}

MetasdStatus
metasd_objective_guided_scores(const MetasdObjective *lesson, const MetasdPass *pass, size_t first,
                               int s)
{
    const MetasdState *step = lesson->step;
    MetasdTable source = metasd_objective_entities(lesson, step->weights, false);
    MetasdTable student = metasd_objective_entities(lesson, step->student, true);
    MetasdQueries queries[2] = {metasd_objective_block_queries(lesson, first, 0),
                                metasd_objective_block_queries(lesson, first, 1)};

    METASD_TRY(metasd_products_scores(pass, s, 0, &source, &queries[0], false));
    return metasd_products_scores(pass, s, 1, &student, &queries[1], false);
}

MetasdStatus
metasd_objective_guided_sums(const MetasdObjective *lesson, const MetasdPass *pass, size_t first)
{
    MetasdScores *scores = &lesson->step->scores;
    MetasdTargets targets = metasd_objective_block_targets(lesson, first);
    float tau = lesson->options->tau;
    int s, end;
    MetasdTiles tile;

    metasd_team_slices(pass->team, pass->slices, &s, &end);
    for (; s < end; s++) {
        METASD_TRY(metasd_objective_guided_scores(lesson, pass, first, s));
        for (int i = 0; i < 2; i++)
            METASD_TRY(metasd_pass_keep_targets(pass, s, i, i, &targets));
        for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);)
            metasd_softmax_sums_pair(
                tile.rows, pass->stride, scores->block[0] + tile.first,
                scores->block[1] + tile.first, tile.each, metasd_softmax_temperature(tau),
                &scores->partials[0][tile.part], &scores->partials[1][tile.part]);
        METASD_TRY(tile.status);
    }
    return metasd_pass_join(pass, true, tau, lesson->guides + first);
}

MetasdStatus
metasd_objective_guided_weights(const MetasdObjective *lesson, double forward, double reverse)
{
    const MetasdBatch *batch = lesson->batch;
    size_t first, end;

    metasd_team_share(lesson->team, batch->groups, &first, &end);
    for (size_t g = first; g < end; g++) {
        double share = (double)(batch->start[g + 1] - batch->start[g]) / (double)batch->n;

        lesson->guides[g].forward = (float)(share * forward);
        lesson->guides[g].reverse = (float)(share * reverse);
    }
    return metasd_team_work(lesson->team, 4 * (end - first));
}

double
metasd_objective_guided_divergence(const MetasdObjective *lesson, bool of_student)
{
    const MetasdBatch *batch = lesson->batch;
    double sum = 0;

    for (size_t g = 0; g < batch->groups; g++)
        sum += (double)(batch->start[g + 1] - batch->start[g]) *
               (of_student ? lesson->guides[g].student.divergence
                           : lesson->guides[g].source.divergence);
    return sum / (double)batch->n;
}

/* One block of the student's gradient. Blocks 0 and 1 keep the scores. */
static MetasdStatus
taught_block(const MetasdObjective *lesson, const MetasdPass *pass, size_t first)
{
    MetasdState *step = lesson->step;
    MetasdScores *scores = &step->scores;
    MetasdTable student = metasd_objective_entities(lesson, step->student, true);
    MetasdTargets targets = metasd_objective_block_targets(lesson, first);
    MetasdQueries queries = metasd_objective_block_queries(lesson, first, 1);
    int s, end;
    MetasdTiles tile;

    METASD_TRY(metasd_objective_guided_sums(lesson, pass, first));
    metasd_team_slices(pass->team, pass->slices, &s, &end);
    for (; s < end; s++) {
        for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);)
            metasd_softmax_gradient_student(tile.rows, pass->stride, scores->block[0] + tile.first,
                                            scores->block[1] + tile.first, tile.each,
                                            metasd_softmax_temperature(lesson->options->tau),
                                            &scores->soft[tile.tile],
                                            scores->block[2] + tile.first);
        METASD_TRY(tile.status);
        METASD_TRY(metasd_pass_subtract_targets(pass, s, 2, &targets));
        METASD_TRY(metasd_products_back(pass, s, 2, &student, &queries, step->masked_gradient));
    }
    return metasd_products_reduce(pass, &student, step->dquery[1] + first * step->width);
}

MetasdStatus
metasd_objective_distil_tails(const MetasdObjective *lesson, float forward, float reverse,
                              double *loss)
{
    MetasdState *step = lesson->step;
    float tau = lesson->options->tau;

    *loss = 0;
    METASD_TRY(metasd_objective_guided_weights(lesson, forward / tau, reverse / tau));
    METASD_TRY(metasd_objective_guided_compose(lesson));
    for (size_t first = 0; first < lesson->batch->groups;) {
        MetasdPass pass = metasd_objective_block(lesson, first);
        MetasdTargets targets = metasd_objective_block_targets(lesson, first);

        METASD_TRY(taught_block(lesson, &pass, first));
        *loss += metasd_cross_entropy_loss(&pass, 1, &targets, lesson->guides + first);
        first += pass.rows;
    }
    *loss += (double)forward * metasd_objective_guided_divergence(lesson, false) +
             (double)reverse * metasd_objective_guided_divergence(lesson, true);
    return metasd_objective_queries_back(lesson, step->student, step->dquery[1],
                                         step->masked_gradient);
}
