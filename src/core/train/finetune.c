/*
 * finetune.c - the student learns by itself: its kept weights change, the others wait.
 *
 * Of a table of which nine in ten weights are pruned nearly every cache line has a kept one, so
 * that clearing it, packing it and Adagrad's pass would move whole tables through memory in every
 * batch, for as long as the products take. So entities' kept weights, sums and gradients are held
 * packed from the first batch of an epoch to its last. Only heads and tails of a batch are wanted
 * as rows: they are laid out in `student` for it, and what they learn as such is gathered from
 * masked_gradient, whose entity rows are 0 between two batches.
 */
#include "core/train/objective.h"

#include <string.h>

#include "core/math/adagrad.h"

/* ---- an epoch ---- */

bool
metasd_finetune_fits(const MetasdState *step)
{
    return metasd_pattern_most_packed(&step->patterns[0]) <= step->entities * step->width / 3;
}

/* Where values, sums and gradient are held: in two tables at most; false where they do not fit. */
static bool
place_held(MetasdState *step)
{
    const MetasdPattern *pattern = &step->patterns[0];
    size_t floats = metasd_pattern_place(pattern, pattern->slices.count);
    size_t table = step->entities * step->width;
    float *room = step->gradient;

    if (floats > table / 2)
        return false;
    step->held.sums = room;
    room = floats > table / 3 ? step->trial : room + floats;
    step->held.values = room;
    step->held.gradient = room + floats;
    return true;
}

MetasdStatus
metasd_finetune_begin(MetasdState *step, MetasdTeam *team)
{
    const MetasdPattern *pattern = &step->patterns[0];
    size_t width = step->width;
    uint32_t first, end;

    step->held = (MetasdPackedWeights){NULL};
    if (!step->sparse[0] || step->sampler || !place_held(step))
        return METASD_OK;
    metasd_team_rows(team, &step->entity_slices, &first, &end);
    for (uint32_t e = first; e < end; e++) {
        size_t at = e * width;

        metasd_pattern_gather(pattern, e, step->weights + at, false, step->held.values);
        metasd_pattern_gather(pattern, e, step->sums + at, false, step->held.sums);
        memset(step->masked_gradient + at, 0, width * sizeof(float));
        METASD_TRY(metasd_team_work(team, 3 * width));
    }
    return METASD_OK;
}

/* The last barrier: members write their rows into what others have held their weights in. */
MetasdStatus
metasd_finetune_end(MetasdState *step, MetasdTeam *team)
{
    const MetasdPattern *pattern = &step->patterns[0];
    const MetasdPackedWeights held = step->held;
    uint32_t first, end;

    if (!held.values)
        return METASD_OK;
    step->held = (MetasdPackedWeights){NULL};
    metasd_team_rows(team, &step->entity_slices, &first, &end);
    for (uint32_t e = first; e < end; e++) {
        size_t at = e * step->width;

        metasd_pattern_scatter(pattern, e, held.values, step->weights + at);
        metasd_pattern_scatter(pattern, e, held.values, step->student + at);
        metasd_pattern_scatter(pattern, e, held.sums, step->sums + at);
        METASD_TRY(metasd_team_work(team, 3 * step->width));
    }
    return team->barrier(team);
}

/* ---- a batch ---- */

/* Lays an entity's row out, if it is this member's. */
static MetasdStatus
lay_out(const MetasdObjective *lesson, uint32_t entity)
{
    MetasdState *step = lesson->step;
    size_t at = entity * step->width;

    if (at < lesson->own[0].first || at >= lesson->own[0].end)
        return METASD_OK;
    metasd_pattern_scatter(&step->patterns[0], entity, step->held.values, step->student + at);
    return metasd_team_work(lesson->team, step->width);
}

/* Takes what an entity's row has learnt to its kept weights: nothing, where it is met again. */
static MetasdStatus
gather(const MetasdObjective *lesson, uint32_t entity)
{
    MetasdState *step = lesson->step;
    size_t at = entity * step->width;
    float *gradient = step->masked_gradient + at;

    if (at < lesson->own[0].first || at >= lesson->own[0].end)
        return METASD_OK;
    metasd_pattern_gather(&step->patterns[0], entity, gradient, true, step->held.gradient);
    memset(gradient, 0, step->width * sizeof(*gradient));
    return metasd_team_work(lesson->team, 2 * step->width);
}

/* For each head and tail of the batch. */
static MetasdStatus
for_each_row(const MetasdObjective *lesson, MetasdStatus (*act)(const MetasdObjective *, uint32_t))
{
    const MetasdBatch *batch = lesson->batch;

    for (size_t g = 0; g < batch->groups; g++)
        METASD_TRY(act(lesson, batch->heads[g]));
    for (size_t i = 0; i < batch->n; i++)
        METASD_TRY(act(lesson, batch->tails[i]));
    return metasd_team_work(lesson->team, METASD_FAR_WORK * (batch->groups + batch->n));
}

/* This member's part of what is held. */
static MetasdSpan
own_held(const MetasdObjective *lesson)
{
    const MetasdPattern *pattern = &lesson->step->patterns[0];
    int first, end;

    metasd_team_slices(lesson->team, &pattern->slices, &first, &end);
    return (MetasdSpan){metasd_pattern_place(pattern, first), metasd_pattern_place(pattern, end)};
}

/*
 * Rows are laid out while nobody reads any: the batch before has ended behind a barrier. The one
 * here lets everybody read those of this batch.
 */
static MetasdStatus
begin_held(MetasdObjective *lesson)
{
    MetasdSpan run = own_held(lesson);
    MetasdObjective held = *lesson;

    held.touched = &run;
    held.ntouched = 1;
    METASD_TRY(metasd_objective_clear(&held, held.step->held.gradient));
    lesson->touched = &lesson->own[1];
    lesson->ntouched = 1;
    METASD_TRY(for_each_row(lesson, lay_out));
    return lesson->team->barrier(lesson->team);
}

static MetasdStatus
descend_held(const MetasdObjective *lesson)
{
    const MetasdPattern *pattern = &lesson->step->patterns[0];
    const MetasdPackedWeights *held = &lesson->step->held;
    MetasdSpan run = own_held(lesson);
    MetasdWalk walk;
    int s, end;

    METASD_TRY(for_each_row(lesson, gather));
    metasd_team_slices(lesson->team, &pattern->slices, &s, &end);
    for (; s < end; s++)
        METASD_TRY(metasd_pattern_mask(pattern, lesson->team, s,
                                       held->gradient + metasd_pattern_place(pattern, s)));
    for (walk = metasd_team_walk(lesson->team, &run, 1, 4); metasd_team_walk_next(&walk);)
        metasd_adagrad(walk.end - walk.first, held->values + walk.first, held->sums + walk.first,
                       held->gradient + walk.first, NULL, NULL, lesson->options->lr, NULL);
    return walk.status;
}

MetasdStatus
metasd_finetune_step(MetasdObjective *lesson, MetasdLosses *losses)
{
    MetasdState *step = lesson->step;
    const MetasdStepOptions *options = lesson->options;
    bool held = step->held.values;
    double tail, relation, reg;

    if (held)
        METASD_TRY(begin_held(lesson));
    METASD_TRY(metasd_objective_clear(lesson, step->masked_gradient));
    METASD_TRY(
        metasd_objective_tail_loss(lesson, step->student, true, step->masked_gradient, 0, &tail));
    METASD_TRY(metasd_relation_loss(lesson, step->student, true, step->masked_gradient, &relation));
    METASD_TRY(metasd_objective_reg_loss(lesson, step->student, step->masked_gradient, &reg));
    losses->mutual_student = tail + (double)options->relation_weight * relation + reg;
    METASD_TRY(metasd_objective_check(losses->mutual_student));
    if (held)
        METASD_TRY(descend_held(lesson));
    return metasd_objective_descend(lesson, step->sums, NULL, step->masked_gradient, options->lr);
}
