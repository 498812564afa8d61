#include "core/train/objective.h"

#include <math.h>
#include <string.h>

#include "core/math/adagrad.h"
#include "core/train/cross_entropy.h"
#include "core/train/rounding.h"

/* Shares are read after the barrier of the queries' composition. */
MetasdStatus
metasd_objective_prepare(MetasdObjective *objective, MetasdState *state, MetasdTeam *team,
                         const MetasdStepOptions *options, const MetasdStepContext *context,
                         const MetasdBatch *batch, bool quiz)
{
    double sum = (double)batch->n;
    size_t first, end;

    *objective = (MetasdObjective){
        .state = state,
        .team = team,
        .options = options,
        .context = context,
        .batch = batch,
        .pairs = state->work.pairs + (quiz ? state->size.batch : 0),
        .weights = context->class_weights ? state->work.target_weights[quiz] : NULL};
    metasd_state_own(state, team, objective->own);
    objective->touched = objective->own;
    objective->ntouched = 2;
    if (context->samples)
        objective->sample = &context->samples[quiz];
    if (context->class_weights) {
        sum = 0;
        for (size_t i = 0; i < batch->n; i++)
            sum += (double)context->class_weights[batch->tails[i]];
    }
    objective->scale = 1.0 / sum;
    metasd_team_share(team, batch->groups, &first, &end);
    for (size_t g = first; g < end; g++) {
        double weight = 0;

        for (size_t i = batch->start[g]; i < batch->start[g + 1]; i++) {
            float mine = objective->weights ? context->class_weights[batch->tails[i]] : 1.0f;

            if (objective->weights)
                objective->weights[i] = mine;
            weight += (double)mine;
        }
        objective->pairs[g].weight = (float)(objective->scale * weight);
    }
    return metasd_team_work(team, batch->n * 2);
}

MetasdStatus
metasd_objective_observe(const MetasdObjective *objective, MetasdStage stage)
{
    const MetasdStepContext *context = objective->context;

    if (!context->observe)
        return METASD_OK;
    METASD_TRY(objective->team->barrier(objective->team));
    if (objective->team->rank == 0)
        context->observe(context->observer, stage);
    return objective->team->barrier(objective->team);
}

MetasdStatus
metasd_objective_check(double loss)
{
    return isfinite(loss) ? METASD_OK : METASD_NON_FINITE;
}

/* ---- tables ---- */

MetasdStatus
metasd_objective_clear(const MetasdObjective *objective, float *table)
{
    MetasdChunks chunk;

    for (chunk = metasd_team_chunks(objective->team, objective->touched, objective->ntouched, 1);
         metasd_team_next_chunk(&chunk);)
        memset(table + chunk.first, 0, (chunk.end - chunk.first) * sizeof(*table));
    return chunk.status;
}

MetasdStatus
metasd_objective_descend(const MetasdObjective *objective, float *sums, const float *gradient,
                         const float *masked_gradient, float lr)
{
    MetasdState *state = objective->state;
    MetasdChunks chunk;

    METASD_TRY(objective->team->barrier(objective->team)); /* others may still read these weights */
    for (chunk = metasd_team_chunks(objective->team, objective->touched, objective->ntouched, 6);
         metasd_team_next_chunk(&chunk);) {
        size_t at = chunk.first;

        metasd_adagrad(chunk.end - at, state->weights + at, sums + at,
                       gradient ? gradient + at : NULL,
                       masked_gradient ? masked_gradient + at : NULL, state->mask + at, lr,
                       state->student + at);
    }
    METASD_TRY(chunk.status);
    if (state->rounds != METASD_FLOAT32)
        METASD_TRY(metasd_rounding_rows(state, objective->team, objective->touched,
                                        objective->ntouched,
                                        metasd_rounding_is_due(objective->context->round)));
    return objective->team->barrier(objective->team);
}

/* A sample is scored whole: its pattern would have to be made anew for each batch. */
MetasdTable
metasd_objective_entities(const MetasdObjective *objective, const float *table, bool pruned)
{
    bool sparse = pruned && objective->state->sparse[0] && !objective->sample;

    return (MetasdTable){.rows = table,
                         .pattern = sparse ? &objective->state->patterns[0] : NULL,
                         .packed = sparse ? objective->state->packed.seen : NULL};
}

MetasdTable
metasd_objective_relations(const MetasdState *state, const float *table, bool pruned)
{
    return (MetasdTable){.rows = metasd_state_relations(state, table),
                         .pattern = pruned && state->sparse[1] ? &state->patterns[1] : NULL};
}

/* ---- queries ---- */

/* Each member makes whole tiles. */
MetasdStatus
metasd_objective_compose(const MetasdObjective *objective, const float *table, bool pruned,
                         int which)
{
    MetasdState *state = objective->state;
    const MetasdBatch *batch = objective->batch;
    const float *relations = metasd_state_relations(state, table);
    size_t width = state->width;
    MetasdSpan share = metasd_products_share(objective->team, batch->groups);

    for (size_t g = share.first; g < share.end; g++) {
        state->family->compose(width, table + batch->heads[g] * width,
                               relations + batch->relations[g] * width,
                               state->work.query[which] + g * width);
        METASD_TRY(metasd_team_work(objective->team, 3 * width));
    }
    METASD_TRY(metasd_workspace_tile(&state->work, objective->team,
                                     metasd_objective_entities(objective, table, pruned).pattern,
                                     batch->groups, state->work.query[which], which));
    return objective->team->barrier(objective->team);
}

/* Members add to their own rows only, each in the order of the groups. */
MetasdStatus
metasd_objective_queries_back(const MetasdObjective *objective, const float *table,
                              const float *dquery, float *gradient)
{
    const MetasdState *state = objective->state;
    const MetasdBatch *batch = objective->batch;
    const MetasdSpan *own = objective->own;
    const float *relations = metasd_state_relations(state, table);
    size_t width = state->width, shift = (size_t)state->entities;

    for (size_t g = 0; g < batch->groups; g++) {
        size_t h = batch->heads[g] * width, r = batch->relations[g] * width;

        if (h >= own[0].first && h < own[0].end)
            state->family->adjoint_head(width, relations + r, dquery + g * width, gradient + h);
        r += shift * width;
        if (r >= own[1].first && r < own[1].end)
            state->family->adjoint_relation(width, table + h, dquery + g * width, gradient + r);
        METASD_TRY(metasd_team_work(objective->team, 6 * width));
    }
    return METASD_OK;
}

/* ---- blocks of scores ---- */

MetasdPass
metasd_objective_block(const MetasdObjective *objective, size_t first)
{
    MetasdState *state = objective->state;
    const MetasdSample *sample = objective->sample;
    const MetasdSlices *slices = sample ? &sample->slices : &state->entity_slices;
    size_t most = metasd_pass_rows(&state->work.scores, slices, state->size.queries);
    size_t left = objective->batch->groups - first;
    MetasdPass pass = metasd_pass(objective->team, &state->work.scores, slices, state->width,
                                  left < most ? left : most);

    pass.ids = sample ? sample->ids : NULL;
    pass.each = sample ? sample->each : NULL;
    return pass;
}

MetasdTargets
metasd_objective_block_targets(const MetasdObjective *objective, size_t first)
{
    return (MetasdTargets){.start = objective->batch->start + first,
                           .ids = objective->sample ? objective->sample->targets
                                                    : objective->batch->tails,
                           .weights = objective->weights,
                           .scale = (float)objective->scale};
}

MetasdQueries
metasd_objective_block_queries(const MetasdObjective *objective, size_t first, int which)
{
    const MetasdState *state = objective->state;

    return metasd_workspace_queries(&state->work, &state->patterns[0], state->work.query[which],
                                    which, first);
}

MetasdStatus
metasd_objective_tail_loss(const MetasdObjective *objective, const float *table, bool pruned,
                           float *gradient, int b, double *loss)
{
    MetasdState *state = objective->state;
    MetasdTable entities = metasd_objective_entities(objective, table, pruned);
    float *by_entities = entities.packed ? state->packed.gradient : gradient;

    *loss = 0;
    METASD_TRY(metasd_objective_compose(objective, table, pruned, 0));
    for (size_t first = 0; first < objective->batch->groups;) {
        MetasdPass pass = metasd_objective_block(objective, first);
        MetasdTargets targets = metasd_objective_block_targets(objective, first);
        MetasdQueries queries = metasd_objective_block_queries(objective, first, 0);

        METASD_TRY(metasd_cross_entropy(&pass, b, &entities, &queries, &targets,
                                        objective->pairs + first, by_entities,
                                        state->work.dquery[0] + first * state->width, loss));
        first += pass.rows;
    }
    return metasd_objective_queries_back(objective, table, state->work.dquery[0], gradient);
}

/* ---- the regulariser ---- */

/* Every member computes its share of the groups; all sum them in order. */
MetasdStatus
metasd_objective_reg_loss(const MetasdObjective *objective, const float *table, float *gradient,
                          double *loss)
{
    const MetasdState *state = objective->state;
    const MetasdBatch *batch = objective->batch;
    MetasdRegularizer kind = objective->options->regularizer;
    MetasdWeightRows rows = {state->family, state->entities, state->width, table};
    float scale = objective->options->reg / (float)batch->n;
    size_t first, end;

    metasd_team_share(objective->team, batch->groups, &first, &end);
    METASD_TRY(metasd_regularizer_rows(objective->team, kind, &rows, batch, first, end,
                                       state->work.row_loss));
    METASD_TRY(metasd_regularizer_gradient(objective->team, kind, &rows, batch, scale,
                                           objective->own, gradient));
    METASD_TRY(objective->team->barrier(objective->team));
    *loss = 0;
    for (size_t g = 0; g < batch->groups; g++)
        *loss += state->work.row_loss[g];
    *loss *= (double)objective->options->reg / (double)batch->n;
    return objective->team->barrier(objective->team);
}

/* ---- full model and student side by side ---- */

MetasdStatus
metasd_objective_compose_pair(const MetasdObjective *objective)
{
    METASD_TRY(metasd_objective_compose(objective, objective->state->weights, false, 0));
    return metasd_objective_compose(objective, objective->state->student, true, 1);
}

MetasdStatus
metasd_objective_pair_scores(const MetasdObjective *objective, const MetasdPass *pass, size_t first,
                             int s)
{
    const MetasdState *state = objective->state;
    MetasdTable full = metasd_objective_entities(objective, state->weights, false);
    MetasdTable student = metasd_objective_entities(objective, state->student, true);
    MetasdQueries queries[2] = {metasd_objective_block_queries(objective, first, 0),
                                metasd_objective_block_queries(objective, first, 1)};

    METASD_TRY(metasd_products_scores(pass, s, 0, &full, &queries[0], false));
    return metasd_products_scores(pass, s, 1, &student, &queries[1], false);
}

MetasdStatus
metasd_objective_pair_sums(const MetasdObjective *objective, const MetasdPass *pass, size_t first)
{
    MetasdScores *scores = &objective->state->work.scores;
    MetasdTargets targets = metasd_objective_block_targets(objective, first);
    float tau = objective->options->tau;
    int s, end;
    MetasdTiles tile;

    metasd_team_slices(pass->team, pass->slices, &s, &end);
    for (; s < end; s++) {
        METASD_TRY(metasd_objective_pair_scores(objective, pass, first, s));
        for (int i = 0; i < 2; i++)
            METASD_TRY(metasd_pass_keep_targets(pass, s, i, i, &targets));
        for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);)
            metasd_softmax_sums_pair(
                tile.rows, pass->stride, scores->block[0] + tile.first,
                scores->block[1] + tile.first, tile.each, metasd_softmax_temperature(tau),
                &scores->partials[0][tile.part], &scores->partials[1][tile.part]);
        METASD_TRY(tile.status);
    }
    return metasd_pass_join(pass, true, tau, objective->pairs + first);
}

MetasdStatus
metasd_objective_weigh_pairs(const MetasdObjective *objective, double forward, double reverse)
{
    const MetasdBatch *batch = objective->batch;
    size_t first, end;

    metasd_team_share(objective->team, batch->groups, &first, &end);
    for (size_t g = first; g < end; g++) {
        double share = (double)(batch->start[g + 1] - batch->start[g]) / (double)batch->n;

        objective->pairs[g].forward = (float)(share * forward);
        objective->pairs[g].reverse = (float)(share * reverse);
    }
    return metasd_team_work(objective->team, 4 * (end - first));
}

double
metasd_objective_divergence(const MetasdObjective *objective, bool of_student)
{
    const MetasdBatch *batch = objective->batch;
    double sum = 0;

    for (size_t g = 0; g < batch->groups; g++)
        sum += (double)(batch->start[g + 1] - batch->start[g]) *
               (of_student ? objective->pairs[g].student.divergence
                           : objective->pairs[g].full.divergence);
    return sum / (double)batch->n;
}

/* One block of the student's gradient. Blocks 0 and 1 keep the scores. */
static MetasdStatus
distil_block(const MetasdObjective *objective, const MetasdPass *pass, size_t first)
{
    MetasdState *state = objective->state;
    MetasdScores *scores = &state->work.scores;
    MetasdTable student = metasd_objective_entities(objective, state->student, true);
    MetasdTargets targets = metasd_objective_block_targets(objective, first);
    MetasdQueries queries = metasd_objective_block_queries(objective, first, 1);
    int s, end;
    MetasdTiles tile;

    METASD_TRY(metasd_objective_pair_sums(objective, pass, first));
    metasd_team_slices(pass->team, pass->slices, &s, &end);
    for (; s < end; s++) {
        for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);)
            metasd_softmax_gradient_student(tile.rows, pass->stride, scores->block[0] + tile.first,
                                            scores->block[1] + tile.first, tile.each,
                                            metasd_softmax_temperature(objective->options->tau),
                                            &scores->softmax_tiles[tile.tile],
                                            scores->block[2] + tile.first);
        METASD_TRY(tile.status);
        METASD_TRY(metasd_pass_subtract_targets(pass, s, 2, &targets));
        METASD_TRY(metasd_products_back(pass, s, 2, &student, &queries, state->masked_gradient));
    }
    return metasd_products_reduce(pass, &student, state->work.dquery[1] + first * state->width);
}

MetasdStatus
metasd_objective_distil_tails(const MetasdObjective *objective, float forward, float reverse,
                              double *loss)
{
    MetasdState *state = objective->state;
    float tau = objective->options->tau;

    *loss = 0;
    METASD_TRY(metasd_objective_weigh_pairs(objective, forward / tau, reverse / tau));
    METASD_TRY(metasd_objective_compose_pair(objective));
    for (size_t first = 0; first < objective->batch->groups;) {
        MetasdPass pass = metasd_objective_block(objective, first);
        MetasdTargets targets = metasd_objective_block_targets(objective, first);

        METASD_TRY(distil_block(objective, &pass, first));
        *loss += metasd_cross_entropy_loss(&pass, 1, &targets, objective->pairs + first);
        first += pass.rows;
    }
    *loss += (double)forward * metasd_objective_divergence(objective, false) +
             (double)reverse * metasd_objective_divergence(objective, true);
    return metasd_objective_queries_back(objective, state->student, state->work.dquery[1],
                                         state->masked_gradient);
}
