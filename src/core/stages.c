#include "stages.h"

#include <math.h>
#include <string.h>

#include "adagrad.h"
#include "regularizer.h"

/* ---- a lesson ---- */

MetasdStatus
metasd_lesson(MetasdLesson *lesson, MetasdStep *step, MetasdTeam *team,
              const MetasdStepOptions *options, const MetasdBatch *batch)
{
    *lesson = (MetasdLesson){.step = step, .team = team, .options = options, .batch = batch};
    metasd_step_own(step, team, lesson->own);
    lesson->scale = 1.0 / metasd_target_weight(lesson, 0, batch->n);
    return metasd_team_work(team, batch->n);
}

MetasdStatus
metasd_observe(const MetasdLesson *lesson, MetasdStage stage)
{
    MetasdStep *step = lesson->step;

    if (!step->observe)
        return METASD_OK;
    METASD_TRY(lesson->team->barrier(lesson->team));
    if (lesson->team->rank == 0)
        step->observe(step->observer, stage);
    return lesson->team->barrier(lesson->team);
}

MetasdStatus
metasd_check_loss(double loss)
{
    return isfinite(loss) ? METASD_OK : METASD_NON_FINITE;
}

/* ---- tables ---- */

const float *
metasd_relations_of(const MetasdStep *step, const float *table)
{
    return table + (size_t)step->entities * step->width;
}

MetasdStatus
metasd_clear(const MetasdLesson *lesson, float *table)
{
    MetasdWalk walk;

    for (walk = metasd_walk(lesson->team, lesson->own, 2, 1); metasd_walk_next(&walk);)
        memset(table + walk.first, 0, (walk.end - walk.first) * sizeof(*table));
    return walk.status;
}

MetasdStatus
metasd_descend(const MetasdLesson *lesson, float *sums, const float *gradient,
               const float *masked_gradient, float lr)
{
    MetasdStep *step = lesson->step;
    MetasdWalk walk;

    METASD_TRY(lesson->team->barrier(lesson->team)); /* others may still read these weights */
    for (walk = metasd_walk(lesson->team, lesson->own, 2, 6); metasd_walk_next(&walk);) {
        size_t at = walk.first;

        metasd_adagrad(walk.end - at, step->weights + at, sums + at, gradient + at,
                       masked_gradient ? masked_gradient + at : NULL, step->mask + at, lr,
                       step->student + at);
    }
    METASD_TRY(walk.status);
    return lesson->team->barrier(lesson->team);
}

/* ---- queries ---- */

MetasdStatus
metasd_compose(const MetasdLesson *lesson, const float *table, int which)
{
    const MetasdStep *step = lesson->step;
    const MetasdBatch *batch = lesson->batch;
    const float *relations = metasd_relations_of(step, table);
    size_t first, end, width = step->width;

    metasd_team_share(lesson->team, batch->groups, &first, &end);
    for (size_t g = first; g < end; g++) {
        step->family->compose(width, table + batch->heads[g] * width,
                              relations + batch->relations[g] * width,
                              step->query[which] + g * width);
        METASD_TRY(metasd_team_work(lesson->team, 3 * width));
    }
    return lesson->team->barrier(lesson->team);
}

/* Members add to their own rows only, each in the order of the groups. */
MetasdStatus
metasd_queries_back(const MetasdLesson *lesson, const float *table, const float *dquery,
                    float *gradient)
{
    const MetasdStep *step = lesson->step;
    const MetasdBatch *batch = lesson->batch;
    const MetasdRun *own = lesson->own;
    const float *relations = metasd_relations_of(step, table);
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
metasd_block(const MetasdLesson *lesson, size_t first)
{
    MetasdStep *step = lesson->step;
    size_t most = metasd_scores_rows(&step->scores, &step->entity_slices, step->batch);
    size_t left = lesson->batch->groups - first;

    return (MetasdPass){.team = lesson->team,
                        .scores = &step->scores,
                        .slices = &step->entity_slices,
                        .width = step->width,
                        .rows = left < most ? left : most};
}

MetasdTargets
metasd_block_targets(const MetasdLesson *lesson, size_t first)
{
    return (MetasdTargets){.start = lesson->batch->start + first,
                           .ids = lesson->batch->tails,
                           .class_weights = lesson->step->class_weights,
                           .scale = (float)lesson->scale};
}

double
metasd_target_weight(const MetasdLesson *lesson, size_t first, size_t end)
{
    const float *weights = lesson->step->class_weights;
    double sum = 0;

    if (!weights)
        return (double)(end - first);
    for (size_t i = first; i < end; i++)
        sum += weights[lesson->batch->tails[i]];
    return sum;
}

double
metasd_block_loss(const MetasdLesson *lesson, const MetasdPass *pass, size_t first,
                  const MetasdGuide *guides, bool of_student)
{
    const MetasdBatch *batch = lesson->batch;
    const float *target = pass->scores->target_scores[of_student];
    const float *weights = lesson->step->class_weights;
    double loss = 0;

    for (size_t g = first; g < first + pass->rows; g++) {
        const MetasdRow *row = of_student ? &guides[g].student : &guides[g].source;
        double log_sum = log(row->sum);

        for (size_t i = batch->start[g]; i < batch->start[g + 1]; i++) {
            double weight = weights ? weights[batch->tails[i]] : 1.0;

            loss += lesson->scale * weight * (row->max - (double)target[i] + log_sum);
        }
    }
    return loss;
}

MetasdStatus
metasd_tail_loss(const MetasdLesson *lesson, const float *table, float *gradient, int b,
                 MetasdGuide *guides, double *loss)
{
    MetasdStep *step = lesson->step;

    *loss = 0;
    METASD_TRY(metasd_compose(lesson, table, 0));
    for (size_t first = 0; first < lesson->batch->groups;) {
        MetasdPass pass = metasd_block(lesson, first);
        MetasdTargets targets = metasd_block_targets(lesson, first);
        const float *queries = step->query[0] + first * step->width;
        MetasdPassRow at;

        METASD_TRY(metasd_pass_scores(&pass, b, queries, table));
        METASD_TRY(metasd_pass_keep_targets(&pass, b, 0, &targets));
        METASD_TRY(metasd_pass_sums(&pass, b, -1, 1.0f, guides + first));
        for (at = metasd_pass_rows(&pass); metasd_pass_next(&at);) {
            double weight = targets.scale * metasd_target_weight(lesson, targets.start[at.row],
                                                                 targets.start[at.row + 1]);

            metasd_gradient_tail(at.columns, step->scores.block[b] + at.first,
                                 &guides[first + at.row].source, (float)weight);
        }
        METASD_TRY(at.status);
        METASD_TRY(metasd_pass_subtract_targets(&pass, b, &targets));
        METASD_TRY(metasd_pass_back(&pass, b, queries, table, gradient,
                                    step->dquery[0] + first * step->width));
        *loss += metasd_block_loss(lesson, &pass, first, guides, false);
        first += pass.rows;
    }
    return metasd_queries_back(lesson, table, step->dquery[0], gradient);
}

/* ---- the regulariser ---- */

/* Every member computes its share of the groups; all sum them in order. */
MetasdStatus
metasd_reg_loss(const MetasdLesson *lesson, const float *table, float *gradient, double *loss)
{
    const MetasdStep *step = lesson->step;
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
metasd_guided_scores(const MetasdLesson *lesson, const MetasdPass *pass, size_t first)
{
    MetasdStep *step = lesson->step;
    size_t at = first * step->width;

    METASD_TRY(metasd_pass_scores(pass, 0, step->query[0] + at, step->weights));
    return metasd_pass_scores(pass, 1, step->query[1] + at, step->student);
}

MetasdStatus
metasd_guided_sums(const MetasdLesson *lesson, const MetasdPass *pass, size_t first)
{
    MetasdTargets targets = metasd_block_targets(lesson, first);

    METASD_TRY(metasd_pass_keep_targets(pass, 0, 0, &targets));
    METASD_TRY(metasd_pass_keep_targets(pass, 1, 1, &targets));
    return metasd_pass_sums(pass, 0, 1, lesson->options->tau, lesson->step->guides + first);
}

MetasdStatus
metasd_guided_weights(const MetasdLesson *lesson, size_t first, size_t n, double forward,
                      double reverse)
{
    const MetasdBatch *batch = lesson->batch;
    size_t from, to;

    metasd_team_share(lesson->team, n, &from, &to);
    for (size_t g = first + from; g < first + to; g++) {
        MetasdGuide *guide = &lesson->step->guides[g];
        double share = (double)(batch->start[g + 1] - batch->start[g]) / (double)batch->n;

        guide->weight = (float)(lesson->scale *
                                metasd_target_weight(lesson, batch->start[g], batch->start[g + 1]));
        guide->forward = (float)(share * forward);
        guide->reverse = (float)(share * reverse);
        METASD_TRY(metasd_team_work(lesson->team, batch->start[g + 1] - batch->start[g]));
    }
    return lesson->team->barrier(lesson->team);
}

double
metasd_guided_divergence(const MetasdLesson *lesson, bool of_student)
{
    const MetasdBatch *batch = lesson->batch;
    const MetasdGuide *guides = lesson->step->guides;
    double sum = 0;

    for (size_t g = 0; g < batch->groups; g++)
        sum += (double)(batch->start[g + 1] - batch->start[g]) *
               (of_student ? guides[g].student.divergence : guides[g].source.divergence);
    return sum / (double)batch->n;
}
