/* Stage 3: source and student teach each other, each taking the other as given. */
#include "core/train/objective.h"

/* One block of the guided tail losses, into both gradients. */
static MetasdStatus
mutual_block(const MetasdObjective *lesson, const MetasdPass *pass, size_t first)
{
    MetasdState *step = lesson->step;
    MetasdScores *scores = &step->scores;
    MetasdTable tables[2] = {metasd_objective_entities(lesson, step->weights, false),
                             metasd_objective_entities(lesson, step->student, true)};
    float *gradients[2] = {step->gradient, step->masked_gradient};
    MetasdTargets targets = metasd_objective_block_targets(lesson, first);
    MetasdTiles tile;
    int begin, end;

    METASD_TRY(metasd_objective_guided_sums(lesson, pass, first));
    metasd_team_slices(pass->team, pass->slices, &begin, &end);
    for (int s = begin; s < end; s++) {
        for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);)
            metasd_softmax_gradient_mutual(tile.rows, pass->stride, scores->block[0] + tile.first,
                                           scores->block[1] + tile.first, tile.each,
                                           metasd_softmax_temperature(lesson->options->tau),
                                           &scores->soft[tile.tile]);
        METASD_TRY(tile.status);
        for (int i = 0; i < 2; i++)
            METASD_TRY(metasd_pass_subtract_targets(pass, s, i, &targets));
    }
    /* One after the other: both leave the parts of their query gradients in the same room. */
    for (int i = 0; i < 2; i++) {
        MetasdQueries queries = metasd_objective_block_queries(lesson, first, i);

        for (int s = begin; s < end; s++)
            METASD_TRY(metasd_products_back(pass, s, i, &tables[i], &queries, gradients[i]));
        METASD_TRY(metasd_products_reduce(pass, &tables[i], step->dquery[i] + first * step->width));
    }
    return METASD_OK;
}

static MetasdStatus
mutual_tails(const MetasdObjective *lesson, double *source_tail, double *student_tail)
{
    MetasdState *step = lesson->step;
    const MetasdStepOptions *options = lesson->options;

    *source_tail = *student_tail = 0;
    /* Here the learner's own divergence has the forward weight: the roles of section 4. */
    METASD_TRY(metasd_objective_guided_weights(lesson, options->kl_reverse / options->tau,
                                               options->kl_forward / options->tau));
    METASD_TRY(metasd_objective_guided_compose(lesson));
    for (size_t first = 0; first < lesson->batch->groups;) {
        MetasdPass pass = metasd_objective_block(lesson, first);
        MetasdTargets targets = metasd_objective_block_targets(lesson, first);

        METASD_TRY(mutual_block(lesson, &pass, first));
        *source_tail += metasd_cross_entropy_loss(&pass, 0, &targets, lesson->guides + first);
        *student_tail += metasd_cross_entropy_loss(&pass, 1, &targets, lesson->guides + first);
        first += pass.rows;
    }
    METASD_TRY(
        metasd_objective_queries_back(lesson, step->weights, step->dquery[0], step->gradient));
    return metasd_objective_queries_back(lesson, step->student, step->dquery[1],
                                         step->masked_gradient);
}

/* Adds relation loss and regulariser of one table to its tail loss, and their gradients. */
static MetasdStatus
add_task(const MetasdObjective *lesson, const float *table, bool pruned, float *gradient,
         double *loss)
{
    double relation, reg;

    METASD_TRY(metasd_relation_loss(lesson, table, pruned, gradient, &relation));
    METASD_TRY(metasd_objective_reg_loss(lesson, table, gradient, &reg));
    *loss += lesson->options->relation_weight * relation + reg;
    return METASD_OK;
}

MetasdStatus
metasd_mutual_step(const MetasdObjective *lesson, MetasdLosses *losses)
{
    MetasdState *step = lesson->step;
    const MetasdStepOptions *options = lesson->options;
    double *source = &losses->mutual_source, *student = &losses->mutual_student;
    double forward, reverse;

    METASD_TRY(metasd_objective_clear(lesson, step->gradient));
    METASD_TRY(metasd_objective_clear(lesson, step->masked_gradient));
    METASD_TRY(mutual_tails(lesson, source, student));
    forward = metasd_objective_guided_divergence(lesson, false);
    reverse = metasd_objective_guided_divergence(lesson, true);
    METASD_TRY(add_task(lesson, step->weights, false, step->gradient, source));
    METASD_TRY(add_task(lesson, step->student, true, step->masked_gradient, student));
    *source += options->kl_forward * forward + options->kl_reverse * reverse;
    *student += options->kl_forward * reverse + options->kl_reverse * forward;
    METASD_TRY(metasd_objective_check(*source + *student));
    METASD_TRY(metasd_objective_observe(lesson, METASD_MUTUAL_GRADIENT));
    METASD_TRY(metasd_objective_descend(lesson, step->sums, step->gradient, step->masked_gradient,
                                        options->lr));
    return metasd_objective_observe(lesson, METASD_MUTUAL_DONE);
}
