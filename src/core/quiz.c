/* Stages 1 and 2: the trial step of the student, its quiz, and what the source learns from it. */
#include "stages.h"

/* ---- stage 1 ---- */

/* One block of the trial's gradient. */
static MetasdStatus
trial_block(const MetasdLesson *lesson, const MetasdPass *pass, size_t first)
{
    MetasdStep *step = lesson->step;
    float *const *block = step->scores.block;
    const MetasdStepOptions *options = lesson->options;
    MetasdTargets targets = metasd_block_targets(lesson, first);
    size_t query = first * step->width;
    MetasdPassRow at;

    METASD_TRY(metasd_guided_scores(lesson, pass, first));
    METASD_TRY(metasd_guided_sums(lesson, pass, first));
    METASD_TRY(metasd_guided_weights(lesson, first, pass->rows, options->kl_forward / options->tau,
                                     options->kl_reverse / options->tau));
    for (at = metasd_pass_rows(pass); metasd_pass_next(&at);)
        metasd_gradient_student(at.columns, block[0] + at.first, block[1] + at.first,
                                &step->guides[first + at.row], block[2] + at.first);
    METASD_TRY(at.status);
    METASD_TRY(metasd_pass_subtract_targets(pass, 2, &targets));
    return metasd_pass_back(pass, 2, step->query[1] + query, step->student, step->masked_gradient,
                            step->dquery[1] + query);
}

/* trial = the student one step of plain gradient descent on. */
static MetasdStatus
trial_step(const MetasdLesson *lesson)
{
    MetasdStep *step = lesson->step;
    float lr = lesson->options->student_lr;
    MetasdWalk walk;

    for (walk = metasd_walk(lesson->team, lesson->own, 2, 4); metasd_walk_next(&walk);)
        for (size_t i = walk.first; i < walk.end; i++)
            step->trial[i] =
                step->mask[i] ? step->student[i] - lr * step->masked_gradient[i] : 0.0f;
    METASD_TRY(walk.status);
    return lesson->team->barrier(lesson->team);
}

MetasdStatus
metasd_stage_trial(const MetasdLesson *lesson, MetasdLosses *losses)
{
    MetasdStep *step = lesson->step;
    double tail = 0, reg;

    METASD_TRY(metasd_clear(lesson, step->masked_gradient));
    METASD_TRY(metasd_compose(lesson, step->weights, 0));
    METASD_TRY(metasd_compose(lesson, step->student, 1));
    for (size_t first = 0; first < lesson->batch->groups;) {
        MetasdPass pass = metasd_block(lesson, first);

        METASD_TRY(trial_block(lesson, &pass, first));
        tail += metasd_block_loss(lesson, &pass, first, step->guides, true);
        first += pass.rows;
    }
    METASD_TRY(metasd_queries_back(lesson, step->student, step->dquery[1], step->masked_gradient));
    METASD_TRY(metasd_reg_loss(lesson, step->student, step->masked_gradient, &reg));
    losses->trial = tail + reg +
                    lesson->options->kl_forward * metasd_guided_divergence(lesson, false) +
                    lesson->options->kl_reverse * metasd_guided_divergence(lesson, true);
    METASD_TRY(metasd_check_loss(losses->trial));
    METASD_TRY(metasd_observe(lesson, METASD_TRIAL_GRADIENT));
    return trial_step(lesson);
}

/* ---- stage 2: the quiz loss by the trial student ---- */

MetasdStatus
metasd_stage_quiz(const MetasdLesson *quiz, MetasdLosses *losses)
{
    MetasdStep *step = quiz->step;
    MetasdWalk walk;

    METASD_TRY(metasd_clear(quiz, step->masked_gradient));
    METASD_TRY(metasd_tail_loss(quiz, step->trial, step->masked_gradient, 2,
                                step->guides + step->batch, &losses->quiz));
    METASD_TRY(metasd_check_loss(losses->quiz));
    for (walk = metasd_walk(quiz->team, quiz->own, 2, 2); metasd_walk_next(&walk);)
        for (size_t i = walk.first; i < walk.end; i++)
            if (!step->mask[i])
                step->masked_gradient[i] = 0;
    METASD_TRY(walk.status);
    METASD_TRY(quiz->team->barrier(quiz->team));
    return metasd_observe(quiz, METASD_QUIZ_GRADIENT);
}

/* ---- stage 2: its gradient by the source ---- */

/* query_dot = the derivative of the student's queries along v = masked_gradient. */
static MetasdStatus
compose_dot(const MetasdLesson *lesson)
{
    const MetasdStep *step = lesson->step;
    const MetasdBatch *batch = lesson->batch;
    const float *v = step->masked_gradient;
    const float *relations = metasd_relations_of(step, step->student);
    const float *relations_v = metasd_relations_of(step, v);
    size_t width = step->width, first, end;
    float *scratch = step->scratch + (size_t)lesson->team->rank * 2 * width;

    metasd_team_share(lesson->team, batch->groups, &first, &end);
    for (size_t g = first; g < end; g++) {
        size_t h = batch->heads[g] * width, r = batch->relations[g] * width;

        metasd_compose_jvp(step->family, width, step->student + h, relations + r, v + h,
                           relations_v + r, step->query_dot + g * width, scratch);
        METASD_TRY(metasd_team_work(lesson->team, 6 * width));
    }
    return lesson->team->barrier(lesson->team);
}

/*
 * One block of the quiz loss's gradient by the source, through the trial step. Only the
 * divergences of that step depend on the source, through its scores.
 */
static MetasdStatus
meta_block(const MetasdLesson *lesson, const MetasdPass *pass, size_t first)
{
    MetasdStep *step = lesson->step;
    float *const *block = step->scores.block;
    size_t query = first * step->width;
    const double *dots;
    MetasdPassRow at;

    if (pass->rows < lesson->batch->groups) /* else both blocks still hold the scores of stage 1 */
        METASD_TRY(metasd_guided_scores(lesson, pass, first));
    METASD_TRY(metasd_pass_scores(pass, 2, step->query_dot + query, step->student));
    METASD_TRY(metasd_pass_add_scores(pass, 2, step->query[1] + query, step->masked_gradient));
    METASD_TRY(metasd_pass_dots(pass, step->guides + first, &dots));
    for (at = metasd_pass_rows(pass); metasd_pass_next(&at);)
        metasd_gradient_meta(at.columns, block[0] + at.first, block[1] + at.first,
                             block[2] + at.first, &step->guides[first + at.row], dots[2 * at.row],
                             dots[2 * at.row + 1]);
    METASD_TRY(at.status);
    return metasd_pass_back(pass, 2, step->query[0] + query, step->weights, step->gradient,
                            step->dquery[0] + query);
}

MetasdStatus
metasd_stage_meta(const MetasdLesson *lesson)
{
    MetasdStep *step = lesson->step;
    const MetasdStepOptions *options = lesson->options;
    double factor = options->student_lr / ((double)options->tau * options->tau);

    METASD_TRY(metasd_clear(lesson, step->gradient));
    METASD_TRY(metasd_compose(lesson, step->weights, 0)); /* the quiz used these rooms */
    METASD_TRY(compose_dot(lesson));
    METASD_TRY(metasd_guided_weights(lesson, 0, lesson->batch->groups, factor * options->kl_forward,
                                     factor * options->kl_reverse));
    for (size_t first = 0; first < lesson->batch->groups;) {
        MetasdPass pass = metasd_block(lesson, first);

        METASD_TRY(meta_block(lesson, &pass, first));
        first += pass.rows;
    }
    METASD_TRY(metasd_queries_back(lesson, step->weights, step->dquery[0], step->gradient));
    METASD_TRY(metasd_observe(lesson, METASD_META_GRADIENT));
    METASD_TRY(metasd_descend(lesson, step->meta_sums, step->gradient, NULL, options->meta_lr));
    return metasd_observe(lesson, METASD_META_DONE);
}
