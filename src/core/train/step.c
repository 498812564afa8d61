#include "core/train/objective.h"

#include <math.h>
#include <string.h>

#include "core/base/random.h"

/* ---- memory and starting values ---- */

static size_t
table_floats(const MetasdState *step, MetasdArena *arena)
{
    size_t floats = 0;

    if (__builtin_mul_overflow((size_t)step->entities + step->relation_rows, step->width, &floats))
        arena->overflowed = true;
    return floats;
}

/* What the student's products need besides the dense tables. */
static void
take_patterns(MetasdState *step, MetasdArena *arena, size_t *packed, size_t *whole)
{
    const MetasdSlices *slices[2] = {&step->entity_slices, &step->relation_slices};

    *packed = *whole = 0;
    for (int i = 0; i < 2; i++) {
        MetasdPattern *pattern = &step->patterns[i];
        double kept = i == 0 ? 1 - step->pruned : 1;
        double density = step->guided ? fmin(step->most_density, kept) : 0;
        size_t most;

        step->sparse[i] = false;
        metasd_pattern_take(pattern, arena, slices[i], step->width, density, step->whole_from);
        most = metasd_pattern_most(pattern);
        *packed = most > *packed ? most : *packed;
        *whole = pattern->most_whole > *whole ? pattern->most_whole : *whole;
    }
}

static void
take_queries(MetasdState *step, MetasdArena *arena, size_t whole)
{
    size_t queries = 0, tiles = 0;

    if (__builtin_mul_overflow(step->batch, step->width, &queries) ||
        __builtin_mul_overflow(metasd_tile_whole(step->batch), step->width, &tiles))
        arena->overflowed = true;
    for (int i = 0; i < 2; i++) {
        step->query[i] = METASD_TAKE(arena, float, queries);
        step->tiles[i] = METASD_TAKE(arena, float, step->guided ? tiles : 0);
        step->whole[i] = METASD_TAKE(arena, float, step->batch *whole);
        step->dquery[i] = METASD_TAKE(arena, float, queries);
        step->target_weights[i] = METASD_TAKE(arena, float, step->batch);
    }
    step->query_dot = METASD_TAKE(arena, float, step->guided ? queries : 0);
    step->guides = METASD_TAKE(arena, MetasdGuide, 3 * step->batch);
    step->row_loss = METASD_TAKE(arena, double, step->batch);
    step->each = METASD_TAKE(arena, size_t, step->batch + 1);
    step->example_relation = METASD_TAKE(arena, uint32_t, step->batch);
}

void
metasd_state_take(MetasdState *step, MetasdArena *arena, int members, size_t score_floats)
{
    size_t table = table_floats(step, arena), packed, whole;
    size_t guided = step->guided ? table : 0, trial, gathered = 0;
    MetasdSlices scored;

    step->entity_slices = metasd_team_cut(step->entities);
    step->relation_slices = metasd_team_cut(step->relation_rows);
    scored = step->entity_slices;
    if (step->negatives > 0) {
        size_t most = metasd_negatives_most(step->entities, step->negatives, step->batch);

        scored = metasd_negatives_slices(&step->entity_slices, most);
        if (__builtin_mul_overflow((size_t)METASD_SLICE_ROWS, step->width, &gathered))
            arena->overflowed = true;
    }
    step->weights = METASD_TAKE(arena, float, table);
    step->sums = METASD_TAKE(arena, float, table);
    step->gradient = METASD_TAKE(arena, float, table);
    step->student = METASD_TAKE(arena, float, table);
    step->mask = METASD_TAKE(arena, uint8_t, table);
    step->quiz_sums = METASD_TAKE(arena, float, step->quizzed ? table : 0);
    step->masked_gradient = METASD_TAKE(arena, float, guided);
    take_patterns(step, arena, &packed, &whole);
    trial = step->quizzed || !metasd_finetune_fits(step) ? guided : 0;
    step->trial = METASD_TAKE(arena, float, trial);
    take_queries(step, arena, whole);
    metasd_pass_take(&step->scores, arena,
                     &(MetasdScoresNeed){.batch = step->batch,
                                         .queries = step->queries,
                                         .width = step->width,
                                         .floats = score_floats,
                                         .ranked = &step->entity_slices,
                                         .entities = &scored,
                                         .relations = &step->relation_slices,
                                         .members = members,
                                         .guided = step->guided,
                                         .packed = packed,
                                         .whole = whole,
                                         .gathered = gathered});
    step->scratch = METASD_TAKE(arena, float, (size_t)members * 2 * step->width);
    step->column_sums = METASD_TAKE(arena, double, (size_t)step->entity_slices.parts * step->width);
    step->factors = METASD_TAKE(arena, MetasdFactor, step->width);
}

void
metasd_state_own(const MetasdState *step, const MetasdTeam *team, MetasdSpan runs[2])
{
    uint32_t first, end;
    size_t entities = step->entities;

    metasd_team_rows(team, &step->entity_slices, &first, &end);
    runs[0] = (MetasdSpan){first * step->width, end * step->width};
    metasd_team_rows(team, &step->relation_slices, &first, &end);
    runs[1] = (MetasdSpan){(entities + first) * step->width, (entities + end) * step->width};
}

/* What a normal number takes: a logarithm, a root and a cosine. */
#define NORMAL_WORK 32

MetasdStatus
metasd_state_fill(MetasdState *step, MetasdTeam *team, const MetasdSpan *runs, int nruns,
                  uint64_t seed, float scale, float sum)
{
    MetasdWalk walk;

    for (walk = metasd_team_walk(team, runs, nruns, NORMAL_WORK); metasd_team_walk_next(&walk);)
        for (size_t i = walk.first; i < walk.end; i++) {
            if (step->weights[i] == 0)
                step->weights[i] =
                    scale * (float)metasd_random_normal(seed, METASD_STREAM_WEIGHTS, i);
            step->student[i] = step->weights[i];
            step->sums[i] = sum;
            if (step->quizzed)
                step->quiz_sums[i] = 0;
            step->mask[i] = 1;
        }
    return walk.status;
}

MetasdStatus
metasd_state_init(MetasdState *step, MetasdTeam *team, uint64_t seed, float scale)
{
    MetasdSpan own[2];
    MetasdWalk walk;

    step->sparse[0] = step->sparse[1] = false;
    metasd_state_own(step, team, own);
    for (walk = metasd_team_walk(team, own, 2, 1); metasd_team_walk_next(&walk);)
        memset(step->weights + walk.first, 0, (walk.end - walk.first) * sizeof(float));
    METASD_TRY(walk.status);
    METASD_TRY(metasd_state_fill(step, team, own, 2, seed, scale, 0));
    return team->barrier(team);
}

/* ---- the step ---- */

MetasdStatus
metasd_step_full(const MetasdObjective *lesson, MetasdLosses *losses)
{
    MetasdState *step = lesson->step;
    const MetasdStepOptions *options = lesson->options;

    METASD_TRY(metasd_objective_clear(lesson, step->gradient));
    METASD_TRY(
        metasd_objective_tail_loss(lesson, step->weights, false, step->gradient, 0, &losses->tail));
    METASD_TRY(
        metasd_relation_loss(lesson, step->weights, false, step->gradient, &losses->relation));
    METASD_TRY(metasd_objective_reg_loss(lesson, step->weights, step->gradient, &losses->reg));
    losses->source = losses->tail + options->relation_weight * losses->relation + losses->reg;
    METASD_TRY(metasd_objective_check(losses->source));
    METASD_TRY(metasd_objective_observe(lesson, METASD_SOURCE_GRADIENT));
    METASD_TRY(metasd_objective_descend(lesson, step->sums, step->gradient, NULL, options->lr));
    return metasd_objective_observe(lesson, METASD_SOURCE_DONE);
}

/* Where entities are sampled, both lessons touch what either does, so that they agree about it. */
static MetasdStatus
touch(MetasdObjective *lesson, MetasdObjective *questions, const MetasdBatch *quiz)
{
    MetasdNegatives *sampler = lesson->step->sampler;

    if (!sampler)
        return METASD_OK;
    METASD_TRY(metasd_negatives_touch(sampler, lesson->team, lesson->step->width, lesson->own,
                                      lesson->batch, quiz));
    lesson->touched = questions->touched = sampler->touched;
    lesson->ntouched = questions->ntouched = sampler->ntouched;
    return METASD_OK;
}

MetasdStatus
metasd_step(MetasdState *step, MetasdTeam *team, const MetasdStepOptions *options,
            const MetasdBatch *batch, const MetasdBatch *quiz, MetasdLosses *losses)
{
    MetasdObjective lesson, questions;

    *losses = (MetasdLosses){0};
    if (batch->n == 0)
        return METASD_OK;
    METASD_TRY(metasd_objective_prepare(&lesson, step, team, options, batch, false));
    if (!options->quiz || options->alone || !quiz || quiz->n == 0)
        quiz = NULL;
    if (quiz)
        METASD_TRY(metasd_objective_prepare(&questions, step, team, options, quiz, true));
    METASD_TRY(touch(&lesson, &questions, quiz));
    if (options->alone)
        return metasd_finetune_step(&lesson, losses);
    METASD_TRY(metasd_step_full(&lesson, losses));
    if (quiz) {
        METASD_TRY(metasd_quiz_trial(&lesson, losses));
        METASD_TRY(metasd_quiz_loss(&questions, losses));
        METASD_TRY(metasd_stage_quiz_source(&lesson));
    }
    if (options->mutual)
        METASD_TRY(metasd_mutual_step(&lesson, losses));
    return METASD_OK;
}
