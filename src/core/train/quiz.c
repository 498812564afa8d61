/* Stages 1 and 2: the trial step of the student, its quiz, and what the source learns from it. */
#include "core/train/objective.h"

#include <string.h>

/* ---- stage 1 ---- */

/* trial = the student one step of plain gradient descent on. */
static MetasdStatus
trial_step(const MetasdObjective *lesson)
{
    MetasdState *step = lesson->step;
    float lr = lesson->options->student_lr;
    MetasdWalk walk;

    for (walk = metasd_team_walk(lesson->team, lesson->touched, lesson->ntouched, 4);
         metasd_team_walk_next(&walk);)
        for (size_t i = walk.first; i < walk.end; i++)
            step->trial[i] =
                step->mask[i] ? step->student[i] - lr * step->masked_gradient[i] : 0.0f;
    METASD_TRY(walk.status);
    return lesson->team->barrier(lesson->team);
}

MetasdStatus
metasd_quiz_trial(const MetasdObjective *lesson, MetasdLosses *losses)
{
    MetasdState *step = lesson->step;
    const MetasdStepOptions *options = lesson->options;
    double taught, reg;

    METASD_TRY(metasd_objective_clear(lesson, step->masked_gradient));
    METASD_TRY(
        metasd_objective_distil_tails(lesson, options->kl_forward, options->kl_reverse, &taught));
    METASD_TRY(metasd_objective_reg_loss(lesson, step->student, step->masked_gradient, &reg));
    losses->trial = taught + reg;
    METASD_TRY(metasd_objective_check(losses->trial));
    METASD_TRY(metasd_objective_observe(lesson, METASD_TRIAL_GRADIENT));
    return trial_step(lesson);
}

/* ---- stage 2: the quiz loss by the trial student ---- */

MetasdStatus
metasd_quiz_loss(const MetasdObjective *quiz, MetasdLosses *losses)
{
    MetasdState *step = quiz->step;
    MetasdWalk walk;

    METASD_TRY(metasd_objective_clear(quiz, step->masked_gradient));
    METASD_TRY(metasd_objective_tail_loss(quiz, step->trial, true, step->masked_gradient, 2,
                                          &losses->quiz));
    METASD_TRY(metasd_objective_check(losses->quiz));
    for (walk = metasd_team_walk(quiz->team, quiz->touched, quiz->ntouched, 2);
         metasd_team_walk_next(&walk);)
        for (size_t i = walk.first; i < walk.end; i++)
            if (!step->mask[i])
                step->masked_gradient[i] = 0;
    METASD_TRY(walk.status);
    METASD_TRY(quiz->team->barrier(quiz->team));
    return metasd_objective_observe(quiz, METASD_QUIZ_GRADIENT);
}

/* ---- stage 2: its gradient by the source ---- */

/*
 * query_dot = the derivative of the student's queries along v = masked_gradient; their tiles too.
 */
static MetasdStatus
compose_dot(const MetasdObjective *lesson)
{
    const MetasdState *step = lesson->step;
    const MetasdBatch *batch = lesson->batch;
    const float *v = step->masked_gradient;
    const float *relations = metasd_objective_relations_of(step, step->student);
    const float *relations_v = metasd_objective_relations_of(step, v);
    size_t width = step->width;
    MetasdSpan share = metasd_products_share(lesson->team, batch->groups);
    float *scratch = step->scratch + (size_t)lesson->team->rank * 2 * width;

    for (size_t g = share.first; g < share.end; g++) {
        size_t h = batch->heads[g] * width, r = batch->relations[g] * width;

        metasd_family_compose_jvp(step->family, width, step->student + h, relations + r, v + h,
                                  relations_v + r, step->query_dot + g * width, scratch);
        METASD_TRY(metasd_team_work(lesson->team, 6 * width));
    }
    METASD_TRY(metasd_objective_tile_queries(
        step, lesson->team, metasd_objective_entities(lesson, step->student, true).pattern,
        batch->groups, step->query_dot, 0));
    return lesson->team->barrier(lesson->team);
}

/* Slice s of block 2 = the derivative of the student's scores along v; and its part of the dots. */
static MetasdStatus
slice_dots(const MetasdObjective *lesson, const MetasdPass *pass, size_t first, int s)
{
    MetasdState *step = lesson->step;
    MetasdScores *scores = &step->scores;
    MetasdTable student = metasd_objective_entities(lesson, step->student, true);
    MetasdTable v = metasd_objective_entities(lesson, step->masked_gradient, true);
    MetasdQueries own = metasd_objective_block_queries(lesson, first, 1);
    MetasdQueries dot =
        metasd_objective_queries_from(step, &step->patterns[0], step->query_dot, 0, first);
    MetasdTiles tile;

    METASD_TRY(metasd_products_scores(pass, s, 2, &student, &dot, false));
    METASD_TRY(metasd_products_scores(pass, s, 2, &v, &own, true));
    for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);) {
        memset(scores->dots[tile.part], 0, sizeof(scores->dots[tile.part]));
        metasd_softmax_quiz_dots(tile.rows, pass->stride, scores->block[0] + tile.first,
                                 scores->block[1] + tile.first, scores->block[2] + tile.first,
                                 tile.each, metasd_softmax_temperature(lesson->options->tau),
                                 &scores->soft[tile.tile], scores->dots[tile.part]);
    }
    return tile.status;
}

/*
 * One block of the quiz loss's gradient by the source, through the trial step. Only the
 * divergences of that step depend on the source, through its scores.
 */
static MetasdStatus
quiz_source_block(const MetasdObjective *lesson, const MetasdPass *pass, size_t first)
{
    MetasdState *step = lesson->step;
    MetasdScores *scores = &step->scores;
    MetasdTable source = metasd_objective_entities(lesson, step->weights, false);
    MetasdQueries queries = metasd_objective_block_queries(lesson, first, 0);
    bool kept = pass->rows == lesson->batch->groups; /* blocks 0 and 1 are as stage 1 left them */
    int begin, end;
    MetasdTiles tile;

    METASD_TRY(metasd_pass_soften(pass, lesson->guides + first));
    metasd_team_slices(pass->team, pass->slices, &begin, &end);
    for (int s = begin; s < end; s++) {
        if (!kept)
            METASD_TRY(metasd_objective_guided_scores(lesson, pass, first, s));
        METASD_TRY(slice_dots(lesson, pass, first, s));
    }
    METASD_TRY(metasd_pass_means(pass));
    for (int s = begin; s < end; s++) {
        for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);)
            metasd_softmax_gradient_quiz(tile.rows, pass->stride, scores->block[0] + tile.first,
                                         scores->block[1] + tile.first, scores->means[tile.tile],
                                         &scores->soft[tile.tile], scores->block[2] + tile.first);
        METASD_TRY(tile.status);
        METASD_TRY(metasd_products_back(pass, s, 2, &source, &queries, step->gradient));
    }
    return metasd_products_reduce(pass, &source, step->dquery[0] + first * step->width);
}

MetasdStatus
metasd_stage_quiz_source(const MetasdObjective *lesson)
{
    MetasdState *step = lesson->step;
    const MetasdStepOptions *options = lesson->options;
    double factor = options->student_lr / ((double)options->tau * options->tau);

    METASD_TRY(metasd_objective_clear(lesson, step->gradient));
    METASD_TRY(metasd_objective_guided_weights(lesson, factor * options->kl_forward,
                                               factor * options->kl_reverse));
    /* The quiz used the room of the source's queries. */
    METASD_TRY(metasd_objective_compose(lesson, step->weights, false, 0));
    METASD_TRY(compose_dot(lesson));
    for (size_t first = 0; first < lesson->batch->groups;) {
        MetasdPass pass = metasd_objective_block(lesson, first);

        METASD_TRY(quiz_source_block(lesson, &pass, first));
        first += pass.rows;
    }
    METASD_TRY(
        metasd_objective_queries_back(lesson, step->weights, step->dquery[0], step->gradient));
    METASD_TRY(metasd_objective_observe(lesson, METASD_QUIZ_SOURCE_GRADIENT));
    METASD_TRY(
        metasd_objective_descend(lesson, step->quiz_sums, step->gradient, NULL, options->quiz_lr));
    return metasd_objective_observe(lesson, METASD_QUIZ_DONE);
}
