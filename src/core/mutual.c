/* Stage 3: source and student teach each other, each taking the other as given. */
#include "stages.h"

/* One block of the guided tail losses, into both gradients. */
static MetasdStatus
mutual_block(const MetasdLesson *lesson, const MetasdPass *pass, size_t first)
{
    MetasdStep *step = lesson->step;
    float *const *block = step->scores.block;
    const MetasdStepOptions *options = lesson->options;
    MetasdTargets targets = metasd_block_targets(lesson, first);
    size_t query = first * step->width;
    MetasdPassRow at;

    METASD_TRY(metasd_guided_scores(lesson, pass, first));
    METASD_TRY(metasd_guided_sums(lesson, pass, first));
    /* Here the learner's own divergence has the forward weight: the roles of section 4. */
    METASD_TRY(metasd_guided_weights(lesson, first, pass->rows, options->kl_reverse / options->tau,
                                     options->kl_forward / options->tau));
    for (at = metasd_pass_rows(pass); metasd_pass_next(&at);)
        metasd_gradient_mutual(at.columns, block[0] + at.first, block[1] + at.first,
                               &step->guides[first + at.row]);
    METASD_TRY(at.status);
    METASD_TRY(metasd_pass_subtract_targets(pass, 0, &targets));
    METASD_TRY(metasd_pass_subtract_targets(pass, 1, &targets));
    METASD_TRY(metasd_pass_back(pass, 0, step->query[0] + query, step->weights, step->gradient,
                                step->dquery[0] + query));
    return metasd_pass_back(pass, 1, step->query[1] + query, step->student, step->masked_gradient,
                            step->dquery[1] + query);
}

static MetasdStatus
mutual_tails(const MetasdLesson *lesson, double *source_tail, double *student_tail)
{
    MetasdStep *step = lesson->step;

    *source_tail = *student_tail = 0;
    METASD_TRY(metasd_compose(lesson, step->weights, 0));
    METASD_TRY(metasd_compose(lesson, step->student, 1));
    for (size_t first = 0; first < lesson->batch->groups;) {
        MetasdPass pass = metasd_block(lesson, first);

        METASD_TRY(mutual_block(lesson, &pass, first));
        *source_tail += metasd_block_loss(lesson, &pass, first, step->guides, false);
        *student_tail += metasd_block_loss(lesson, &pass, first, step->guides, true);
        first += pass.rows;
    }
    METASD_TRY(metasd_queries_back(lesson, step->weights, step->dquery[0], step->gradient));
    return metasd_queries_back(lesson, step->student, step->dquery[1], step->masked_gradient);
}

/* Adds relation loss and regulariser of one table to its tail loss, and their gradients. */
static MetasdStatus
add_task(const MetasdLesson *lesson, const float *table, float *gradient, double *loss)
{
    double relation, reg;

    METASD_TRY(metasd_relation_loss(lesson, table, gradient, &relation));
    METASD_TRY(metasd_reg_loss(lesson, table, gradient, &reg));
    *loss += lesson->options->relation_weight * relation + reg;
    return METASD_OK;
}

MetasdStatus
metasd_stage_mutual(const MetasdLesson *lesson, MetasdLosses *losses)
{
    MetasdStep *step = lesson->step;
    const MetasdStepOptions *options = lesson->options;
    double *source = &losses->mutual_source, *student = &losses->mutual_student;
    double forward, reverse;

    METASD_TRY(metasd_clear(lesson, step->gradient));
    METASD_TRY(metasd_clear(lesson, step->masked_gradient));
    METASD_TRY(mutual_tails(lesson, source, student));
    forward = metasd_guided_divergence(lesson, false);
    reverse = metasd_guided_divergence(lesson, true);
    METASD_TRY(add_task(lesson, step->weights, step->gradient, source));
    METASD_TRY(add_task(lesson, step->student, step->masked_gradient, student));
    *source += options->kl_forward * forward + options->kl_reverse * reverse;
    *student += options->kl_forward * reverse + options->kl_reverse * forward;
    METASD_TRY(metasd_check_loss(*source + *student));
    METASD_TRY(metasd_observe(lesson, METASD_MUTUAL_GRADIENT));
    METASD_TRY(
        metasd_descend(lesson, step->sums, step->gradient, step->masked_gradient, options->lr));
    return metasd_observe(lesson, METASD_MUTUAL_DONE);
}
