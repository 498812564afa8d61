#include "core/train/quiz.h"

#include <string.h>

/* ---- stage 1 ---- */

/* trial = the student after one step of plain gradient descent. */
static MetasdStatus
trial_step(const MetasdObjective *objective)
{
    MetasdState *state = objective->state;
    float lr = objective->options->student_lr;
    MetasdChunks chunk;

    for (chunk = metasd_team_chunks(objective->team, objective->touched, objective->ntouched, 4);
         metasd_team_next_chunk(&chunk);)
        for (size_t i = chunk.first; i < chunk.end; i++)
            state->trial[i] =
                state->mask[i] ? state->student[i] - lr * state->masked_gradient[i] : 0.0f;
    METASD_TRY(chunk.status);
    return objective->team->barrier(objective->team);
}

MetasdStatus
metasd_quiz_trial(const MetasdObjective *objective, double *loss)
{
    MetasdState *state = objective->state;
    const MetasdStepOptions *options = objective->options;
    double tail, reg;

    METASD_TRY(metasd_objective_clear(objective, state->masked_gradient));
    METASD_TRY(
        metasd_objective_distil_tails(objective, options->kl_forward, options->kl_reverse, &tail));
    METASD_TRY(metasd_objective_reg_loss(objective, state->student, state->masked_gradient, &reg));
    *loss = tail + reg;
    METASD_TRY(metasd_objective_check(*loss));
    METASD_TRY(metasd_objective_observe(objective, METASD_TRIAL_GRADIENT));
    return trial_step(objective);
}

/* ---- stage 2: the quiz loss of the trial student ---- */

MetasdStatus
metasd_quiz_loss(const MetasdObjective *quiz, double *loss)
{
    MetasdState *state = quiz->state;
    MetasdChunks chunk;

    METASD_TRY(metasd_objective_clear(quiz, state->masked_gradient));
    METASD_TRY(
        metasd_objective_tail_loss(quiz, state->trial, true, state->masked_gradient, 2, loss));
    METASD_TRY(metasd_objective_check(*loss));
    for (chunk = metasd_team_chunks(quiz->team, quiz->touched, quiz->ntouched, 2);
         metasd_team_next_chunk(&chunk);)
        for (size_t i = chunk.first; i < chunk.end; i++)
            if (!state->mask[i])
                state->masked_gradient[i] = 0;
    METASD_TRY(chunk.status);
    METASD_TRY(quiz->team->barrier(quiz->team));
    return metasd_objective_observe(quiz, METASD_QUIZ_GRADIENT);
}

/* ---- stage 2: its gradient by the full model ---- */

/*
 * query_dot = the derivative of the student's queries along v = masked_gradient; their tiles too.
 */
static MetasdStatus
compose_dot(const MetasdObjective *objective)
{
    const MetasdState *state = objective->state;
    const MetasdBatch *batch = objective->batch;
    const float *v = state->masked_gradient;
    const float *relations = metasd_state_relations(state, state->student);
    const float *relations_v = metasd_state_relations(state, v);
    size_t width = state->width;
    MetasdSpan share = metasd_products_share(objective->team, batch->groups);
    float *scratch = state->work.scratch + (size_t)objective->team->rank * 2 * width;

    for (size_t g = share.first; g < share.end; g++) {
        size_t h = batch->heads[g] * width, r = batch->relations[g] * width;

        metasd_family_compose_jvp(state->family, width, state->student + h, relations + r, v + h,
                                  relations_v + r, state->work.query_dot + g * width, scratch);
        METASD_TRY(metasd_team_work(objective->team, 6 * width));
    }
    METASD_TRY(
        metasd_workspace_tile(&state->work, objective->team,
                              metasd_objective_entities(objective, state->student, true).pattern,
                              batch->groups, state->work.query_dot, 0));
    return objective->team->barrier(objective->team);
}

/* Slice s of block 2 = the derivative of the student's scores along v; and its part of the dots. */
static MetasdStatus
slice_dots(const MetasdObjective *objective, const MetasdPass *pass, size_t first, int s)
{
    MetasdState *state = objective->state;
    MetasdScores *scores = &state->work.scores;
    MetasdTable student = metasd_objective_entities(objective, state->student, true);
    MetasdTable v = metasd_objective_entities(objective, state->masked_gradient, true);
    MetasdQueries own = metasd_objective_block_queries(objective, first, 1);
    MetasdQueries dot = metasd_workspace_queries(&state->work, &state->patterns[0],
                                                 state->work.query_dot, 0, first);
    MetasdTiles tile;

    METASD_TRY(metasd_products_scores(pass, s, 2, &student, &dot, false));
    METASD_TRY(metasd_products_scores(pass, s, 2, &v, &own, true));
    for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);) {
        memset(scores->dots[tile.part], 0, sizeof(scores->dots[tile.part]));
        metasd_softmax_quiz_dots(tile.rows, pass->stride, scores->block[0] + tile.first,
                                 scores->block[1] + tile.first, scores->block[2] + tile.first,
                                 tile.each, metasd_softmax_temperature(objective->options->tau),
                                 &scores->softmax_tiles[tile.tile], scores->dots[tile.part]);
    }
    return tile.status;
}

/*
 * One block of the quiz loss's gradient by the full model, through the trial step. Only the
 * divergences of that step depend on the full model, through its scores.
 */
static MetasdStatus
correct_block(const MetasdObjective *objective, const MetasdPass *pass, size_t first)
{
    MetasdState *state = objective->state;
    MetasdScores *scores = &state->work.scores;
    MetasdTable full = metasd_objective_entities(objective, state->weights, false);
    MetasdQueries queries = metasd_objective_block_queries(objective, first, 0);
    bool kept =
        pass->rows == objective->batch->groups; /* blocks 0 and 1 are as stage 1 left them */
    int begin, end;
    MetasdTiles tile;

    METASD_TRY(metasd_pass_prepare(pass, objective->pairs + first));
    metasd_team_slices(pass->team, pass->slices, &begin, &end);
    for (int s = begin; s < end; s++) {
        if (!kept)
            METASD_TRY(metasd_objective_pair_scores(objective, pass, first, s));
        METASD_TRY(slice_dots(objective, pass, first, s));
    }
    METASD_TRY(metasd_pass_means(pass));
    for (int s = begin; s < end; s++) {
        for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);)
            metasd_softmax_gradient_quiz(tile.rows, pass->stride, scores->block[0] + tile.first,
                                         scores->block[1] + tile.first, scores->means[tile.tile],
                                         &scores->softmax_tiles[tile.tile],
                                         scores->block[2] + tile.first);
        METASD_TRY(tile.status);
        METASD_TRY(metasd_products_back(pass, s, 2, &full, &queries, state->gradient));
    }
    return metasd_products_reduce(pass, &full, state->work.dquery[0] + first * state->width);
}

MetasdStatus
metasd_quiz_correct(const MetasdObjective *objective)
{
    MetasdState *state = objective->state;
    const MetasdStepOptions *options = objective->options;
    double factor = options->student_lr / ((double)options->tau * options->tau);

    METASD_TRY(metasd_objective_clear(objective, state->gradient));
    METASD_TRY(metasd_objective_weigh_pairs(objective, factor * options->kl_forward,
                                            factor * options->kl_reverse));
    /* The quiz has overwritten the full model's queries. */
    METASD_TRY(metasd_objective_compose(objective, state->weights, false, 0));
    METASD_TRY(compose_dot(objective));
    for (size_t first = 0; first < objective->batch->groups;) {
        MetasdPass pass = metasd_objective_block(objective, first);

        METASD_TRY(correct_block(objective, &pass, first));
        first += pass.rows;
    }
    METASD_TRY(metasd_objective_queries_back(objective, state->weights, state->work.dquery[0],
                                             state->gradient));
    METASD_TRY(metasd_objective_observe(objective, METASD_QUIZ_FULL_GRADIENT));
    METASD_TRY(metasd_objective_descend(objective, state->quiz_sums, state->gradient, NULL,
                                        options->quiz_lr));
    return metasd_objective_observe(objective, METASD_QUIZ_DONE);
}
