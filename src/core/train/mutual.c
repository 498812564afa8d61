/* In each model's loss the other one is a constant. */
#include "core/train/mutual.h"

#include "core/train/cross_entropy.h"
#include "core/train/relation_loss.h"

/* One block of both tail losses with their divergences, into both gradients. */
static MetasdStatus
mutual_block(const MetasdObjective *objective, const MetasdPass *pass, size_t first)
{
    MetasdState *state = objective->state;
    MetasdScores *scores = &state->work.scores;
    MetasdTable tables[2] = {metasd_objective_entities(objective, state->weights, false),
                             metasd_objective_entities(objective, state->student, true)};
    float *gradients[2] = {state->gradient, state->masked_gradient};
    MetasdTargets targets = metasd_objective_block_targets(objective, first);
    MetasdTiles tile;
    int begin, end;

    METASD_TRY(metasd_objective_pair_sums(objective, pass, first));
    metasd_team_slices(pass->team, pass->slices, &begin, &end);
    for (int s = begin; s < end; s++) {
        for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);)
            metasd_softmax_gradient_mutual(tile.rows, pass->stride, scores->block[0] + tile.first,
                                           scores->block[1] + tile.first, tile.each,
                                           metasd_softmax_temperature(objective->options->tau),
                                           &scores->softmax_tiles[tile.tile]);
        METASD_TRY(tile.status);
        for (int i = 0; i < 2; i++)
            METASD_TRY(metasd_pass_subtract_targets(pass, s, i, &targets));
    }
    /* One after the other: both leave the parts of their query gradients in the same memory. */
    for (int i = 0; i < 2; i++) {
        MetasdQueries queries = metasd_objective_block_queries(objective, first, i);

        for (int s = begin; s < end; s++)
            METASD_TRY(metasd_products_back(pass, s, i, &tables[i], &queries, gradients[i]));
        METASD_TRY(
            metasd_products_reduce(pass, &tables[i], state->work.dquery[i] + first * state->width));
    }
    return METASD_OK;
}

static MetasdStatus
mutual_tails(const MetasdObjective *objective, double *full_tail, double *student_tail)
{
    MetasdState *state = objective->state;
    const MetasdStepOptions *options = objective->options;

    *full_tail = *student_tail = 0;
    /* Here the learner's own divergence has the forward weight: the roles are swapped. */
    METASD_TRY(metasd_objective_weigh_pairs(objective, options->kl_reverse / options->tau,
                                            options->kl_forward / options->tau));
    METASD_TRY(metasd_objective_compose_pair(objective));
    for (size_t first = 0; first < objective->batch->groups;) {
        MetasdPass pass = metasd_objective_block(objective, first);
        MetasdTargets targets = metasd_objective_block_targets(objective, first);

        METASD_TRY(mutual_block(objective, &pass, first));
        *full_tail += metasd_cross_entropy_loss(&pass, 0, &targets, objective->pairs + first);
        *student_tail += metasd_cross_entropy_loss(&pass, 1, &targets, objective->pairs + first);
        first += pass.rows;
    }
    METASD_TRY(metasd_objective_queries_back(objective, state->weights, state->work.dquery[0],
                                             state->gradient));
    return metasd_objective_queries_back(objective, state->student, state->work.dquery[1],
                                         state->masked_gradient);
}

/* Adds relation loss and regulariser of one table to its tail loss, and their gradients. */
static MetasdStatus
add_task(const MetasdObjective *objective, const float *table, bool pruned, float *gradient,
         double *loss)
{
    double relation, reg;

    METASD_TRY(metasd_relation_loss(objective, table, pruned, gradient, &relation));
    METASD_TRY(metasd_objective_reg_loss(objective, table, gradient, &reg));
    *loss += objective->options->relation_weight * relation + reg;
    return METASD_OK;
}

MetasdStatus
metasd_mutual_step(const MetasdObjective *objective, double *full, double *student)
{
    MetasdState *state = objective->state;
    const MetasdStepOptions *options = objective->options;
    double forward, reverse;

    METASD_TRY(metasd_objective_clear(objective, state->gradient));
    METASD_TRY(metasd_objective_clear(objective, state->masked_gradient));
    METASD_TRY(mutual_tails(objective, full, student));
    forward = metasd_objective_divergence(objective, false);
    reverse = metasd_objective_divergence(objective, true);
    METASD_TRY(add_task(objective, state->weights, false, state->gradient, full));
    METASD_TRY(add_task(objective, state->student, true, state->masked_gradient, student));
    *full += options->kl_forward * forward + options->kl_reverse * reverse;
    *student += options->kl_forward * reverse + options->kl_reverse * forward;
    METASD_TRY(metasd_objective_check(*full + *student));
    METASD_TRY(metasd_objective_observe(objective, METASD_MUTUAL_GRADIENT));
    METASD_TRY(metasd_objective_descend(objective, state->sums, state->gradient,
                                        state->masked_gradient, options->lr));
    return metasd_objective_observe(objective, METASD_MUTUAL_DONE);
}
