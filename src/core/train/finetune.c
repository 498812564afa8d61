#include "core/train/finetune.h"

#include <string.h>

#include "core/math/adagrad.h"
#include "core/train/relation_loss.h"
#include "core/train/rounding.h"

/* ---- before and after an epoch ---- */

/* Lays out values, sums and gradient in two tables at most; false where they do not fit. */
static bool
place_packed(MetasdState *state)
{
    const MetasdPattern *pattern = &state->patterns[0];
    size_t floats = metasd_pattern_place(pattern, pattern->slices.count);
    size_t table = state->entities * state->width;
    float *values = state->packed_room + floats;

    if (floats > table / 2)
        return false;
    if (floats > table / 3)
        values = state->more_packed_room;
    state->packed =
        (MetasdPackedWeights){.values = values,
                              .seen = state->rounds == METASD_FLOAT32 ? values : state->seen_packed,
                              .sums = state->packed_room,
                              .gradient = values + floats};
    return true;
}

MetasdStatus
metasd_finetune_begin(MetasdState *state, MetasdTeam *team)
{
    const MetasdPattern *pattern = &state->patterns[0];
    size_t width = state->width;
    uint32_t first, end;

    state->packed = (MetasdPackedWeights){NULL};
    if (!state->sparse[0] || !place_packed(state))
        return METASD_OK;
    metasd_team_rows(team, &state->entity_slices, &first, &end);
    for (uint32_t e = first; e < end; e++) {
        size_t at = e * width;

        metasd_pattern_gather(pattern, e, state->weights + at, false, state->packed.values);
        metasd_pattern_gather(pattern, e, state->sums + at, false, state->packed.sums);
        memset(state->masked_gradient + at, 0, width * sizeof(float));
        METASD_TRY(metasd_team_work(team, 3 * width));
    }
    return state->rounds == METASD_FLOAT32 ? METASD_OK : metasd_rounding_packed(state, team, false);
}

/* The last barrier: members write their rows into memory that others have packed weights in. */
MetasdStatus
metasd_finetune_end(MetasdState *state, MetasdTeam *team)
{
    const MetasdPattern *pattern = &state->patterns[0];
    const MetasdPackedWeights packed = state->packed;
    uint32_t first, end;

    if (!packed.values)
        return METASD_OK;
    state->packed = (MetasdPackedWeights){NULL};
    metasd_team_rows(team, &state->entity_slices, &first, &end);
    for (uint32_t e = first; e < end; e++) {
        size_t at = e * state->width;

        metasd_pattern_scatter(pattern, e, packed.values, state->weights + at);
        metasd_pattern_scatter(pattern, e, packed.values, state->student + at);
        metasd_pattern_scatter(pattern, e, packed.sums, state->sums + at);
        METASD_TRY(metasd_team_work(team, 3 * state->width));
    }
    return team->barrier(team);
}

/* ---- one batch ---- */

/* Lays an entity's row out, if it is this member's. */
static MetasdStatus
lay_out_row(const MetasdObjective *objective, uint32_t entity)
{
    MetasdState *state = objective->state;
    size_t at = entity * state->width;

    if (at < objective->own[0].first || at >= objective->own[0].end)
        return METASD_OK;
    metasd_pattern_scatter(&state->patterns[0], entity, state->packed.seen, state->student + at);
    return metasd_team_work(objective->team, state->width);
}

/* Adds the gradient of an entity's row to that of its packed weights, and clears it. */
static MetasdStatus
gather_gradient(const MetasdObjective *objective, uint32_t entity)
{
    MetasdState *state = objective->state;
    size_t at = entity * state->width;
    float *gradient = state->masked_gradient + at;

    if (at < objective->own[0].first || at >= objective->own[0].end)
        return METASD_OK;
    metasd_pattern_gather(&state->patterns[0], entity, gradient, true, state->packed.gradient);
    memset(gradient, 0, state->width * sizeof(*gradient));
    return metasd_team_work(objective->team, 2 * state->width);
}

/* For each head and tail of the batch. */
static MetasdStatus
for_each_row(const MetasdObjective *objective,
             MetasdStatus (*act)(const MetasdObjective *, uint32_t))
{
    const MetasdBatch *batch = objective->batch;

    for (size_t g = 0; g < batch->groups; g++)
        METASD_TRY(act(objective, batch->heads[g]));
    for (size_t i = 0; i < batch->n; i++)
        METASD_TRY(act(objective, batch->tails[i]));
    return metasd_team_work(objective->team, METASD_FAR_WORK * (batch->groups + batch->n));
}

/* This member's part of the packed weights. */
static MetasdSpan
own_packed(const MetasdObjective *objective)
{
    const MetasdPattern *pattern = &objective->state->patterns[0];
    int first, end;

    metasd_team_slices(objective->team, &pattern->slices, &first, &end);
    return (MetasdSpan){metasd_pattern_place(pattern, first), metasd_pattern_place(pattern, end)};
}

/*
 * Rows are laid out while nobody reads any, as the batch before has ended with a barrier. After the
 * barrier here everybody may read those of this batch.
 */
static MetasdStatus
begin_packed(MetasdObjective *objective)
{
    MetasdSpan span = own_packed(objective);
    MetasdObjective packed = *objective;

    packed.touched = &span;
    packed.ntouched = 1;
    METASD_TRY(metasd_objective_clear(&packed, packed.state->packed.gradient));
    objective->touched = &objective->own[1];
    objective->ntouched = 1;
    METASD_TRY(for_each_row(objective, lay_out_row));
    return objective->team->barrier(objective->team);
}

static MetasdStatus
descend_packed(const MetasdObjective *objective)
{
    const MetasdPattern *pattern = &objective->state->patterns[0];
    const MetasdPackedWeights *packed = &objective->state->packed;
    MetasdSpan span = own_packed(objective);
    MetasdChunks chunk;
    int s, end;

    METASD_TRY(for_each_row(objective, gather_gradient));
    metasd_team_slices(objective->team, &pattern->slices, &s, &end);
    for (; s < end; s++)
        METASD_TRY(metasd_pattern_mask(pattern, objective->team, s,
                                       packed->gradient + metasd_pattern_place(pattern, s)));
    for (chunk = metasd_team_chunks(objective->team, &span, 1, 4); metasd_team_next_chunk(&chunk);)
        metasd_adagrad(chunk.end - chunk.first, packed->values + chunk.first,
                       packed->sums + chunk.first, packed->gradient + chunk.first, NULL, NULL,
                       objective->options->lr, NULL);
    METASD_TRY(chunk.status);
    return objective->state->rounds == METASD_FLOAT32
               ? METASD_OK
               : metasd_rounding_packed(objective->state, objective->team,
                                        metasd_rounding_is_due(objective->context->round));
}

MetasdStatus
metasd_finetune_step(MetasdObjective *objective, double *loss)
{
    MetasdState *state = objective->state;
    const MetasdStepOptions *options = objective->options;
    bool packed = state->packed.values;
    double tail, relation, reg;

    if (packed)
        METASD_TRY(begin_packed(objective));
    METASD_TRY(metasd_objective_clear(objective, state->masked_gradient));
    METASD_TRY(metasd_objective_tail_loss(objective, state->student, true, state->masked_gradient,
                                          0, &tail));
    METASD_TRY(
        metasd_relation_loss(objective, state->student, true, state->masked_gradient, &relation));
    METASD_TRY(metasd_objective_reg_loss(objective, state->student, state->masked_gradient, &reg));
    *loss = tail + (double)options->relation_weight * relation + reg;
    METASD_TRY(metasd_objective_check(*loss));
    if (packed)
        METASD_TRY(descend_packed(objective));
    return metasd_objective_descend(objective, state->sums, NULL, state->masked_gradient,
                                    options->lr);
}
