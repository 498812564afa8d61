#include "core/train/excerpt.h"

#include <string.h>

#include "core/base/random.h"
#include "core/train/lean.h"

/* ---- memory ---- */

void
metasd_excerpt_take(MetasdExcerpt *excerpt, MetasdArena *shared, MetasdArena *own,
                    const MetasdState *of)
{
    const MetasdStateSize *size = &of->size;
    size_t rows =
        metasd_negatives_most_touched(of->entities, size->negatives, size->batch, size->has_quiz);
    MetasdState *state = &excerpt->state;

    *state = (MetasdState){
        .entities = (uint32_t)rows,
        .relation_rows = of->relation_rows,
        .width = of->width,
        .family = of->family,
        .size = *size,
        .entity_slices = {.parts = of->entity_slices.parts, .count = of->entity_slices.parts},
        .relation_slices = of->relation_slices};
    state->size.lean = false;
    metasd_state_take_tables(state, shared);
    metasd_negatives_take(&excerpt->sampler, own, &of->entity_slices, size->negatives, size->batch,
                          size->has_quiz);
    for (int i = 0; i < (size->has_quiz ? 2 : 1); i++) {
        excerpt->batch[i].heads = METASD_TAKE(own, uint32_t, size->batch);
        excerpt->batch[i].tails = METASD_TAKE(own, uint32_t, size->batch);
    }
    excerpt->class_weights = METASD_TAKE(own, float, rows);
}

/* ---- its rows ---- */

/* Draws the samples of a step, and lists the rows that it touches. */
static MetasdStatus
choose_rows(MetasdExcerpt *excerpt, MetasdTeam *team, const MetasdStepContext *context,
            const MetasdBatch *batch, const MetasdBatch *quiz)
{
    const MetasdBatch *batches[2] = {batch, quiz};
    MetasdNegatives *sampler = &excerpt->sampler;
    MetasdState *state = &excerpt->state;
    const MetasdSlices *slices = &sampler->slices;
    int each = slices->count / slices->parts;

    for (int i = 0; i < 2 && batches[i]; i++)
        METASD_TRY(metasd_negatives_draw(
            sampler, team, i, context->seed,
            METASD_STREAM_NEGATIVES + ((2 * context->round + (uint64_t)i) << 8), batches[i]));
    METASD_TRY(metasd_negatives_touch(sampler, team, batch, quiz));
    for (int p = 0; p <= slices->parts; p++)
        excerpt->cuts[p] = metasd_negatives_place(sampler->touched, sampler->ntouched,
                                                  metasd_team_slice_start(slices, p * each));
    state->entity_slices.rows = sampler->ntouched;
    state->entity_slices.cuts = excerpt->cuts;
    return METASD_OK;
}

static uint32_t
place_of(const MetasdExcerpt *excerpt, uint32_t entity)
{
    return metasd_negatives_place(excerpt->sampler.touched, excerpt->sampler.ntouched, entity);
}

/* A batch, and the sample that it is scored against, with rows of the excerpt for entities. */
static MetasdStatus
map_batch(MetasdExcerpt *excerpt, MetasdTeam *team, int which, const MetasdBatch *batch)
{
    MetasdBatch *mapped = &excerpt->batch[which];
    MetasdSample *sample = &excerpt->sampler.sample[which];
    uint32_t place = 0;

    for (uint32_t i = 0; i < sample->slices.rows; i++, place++) {
        while (excerpt->sampler.touched[place] != sample->ids[i])
            place++;
        sample->ids[i] = place;
    }
    for (size_t g = 0; g < batch->groups; g++) {
        mapped->heads[g] = place_of(excerpt, batch->heads[g]);
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    for (size_t i = 0; i < batch->n; i++)
        mapped->tails[i] = sample->ids[sample->targets[i]];
    mapped->groups = batch->groups;
    mapped->n = batch->n;
    mapped->relations = batch->relations;
    mapped->start = batch->start;
    mapped->group_of = batch->group_of;
    return metasd_team_work(team, 2 * (batch->n + excerpt->sampler.ntouched));
}

/* ---- copies ---- */

/* One row of a table, there or back. */
static void
copy_row(const MetasdExcerpt *excerpt, size_t mine, float *table, size_t row, float *of, bool back)
{
    size_t width = excerpt->state.width;

    if (back)
        memcpy(of + row * width, table + mine * width, width * sizeof(*of));
    else
        memcpy(table + mine * width, of + row * width, width * sizeof(*of));
}

/* Copies what there is of a row of all tables to a row of the excerpt, or back. */
static void
copy_rows(MetasdExcerpt *excerpt, size_t mine, MetasdState *of, size_t row, bool back)
{
    MetasdState *state = &excerpt->state;
    size_t width = state->width, at = mine * width;

    copy_row(excerpt, mine, state->weights, row, of->weights, back);
    copy_row(excerpt, mine, state->sums, row, of->sums, back);
    if (state->size.has_quiz)
        copy_row(excerpt, mine, state->quiz_sums, row, of->quiz_sums, back);
    if (state->rounds != METASD_FLOAT32 && back)
        of->scales[row] = state->scales[mine];
    else if (state->rounds != METASD_FLOAT32)
        state->scales[mine] = of->scales[row];
    if (!of->size.lean) {
        copy_row(excerpt, mine, state->student, row, of->student, back);
        if (!back)
            memcpy(state->mask + at, of->mask + row * width, width);
    } else if (!back) {
        metasd_lean_get_mask(of, row, state->mask + at);
        metasd_lean_student_row(of, row, state->student + at);
    }
}

/* All of this member's rows. */
static MetasdStatus
copy_own(MetasdExcerpt *excerpt, MetasdState *of, MetasdTeam *team, bool back)
{
    MetasdState *state = &excerpt->state;
    size_t work = 6 * state->width + 4 * METASD_FAR_WORK;
    uint32_t first, end;

    metasd_team_rows(team, &state->entity_slices, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        copy_rows(excerpt, i, of, excerpt->sampler.touched[i], back);
        METASD_TRY(metasd_team_work(team, work));
    }
    metasd_team_rows(team, &state->relation_slices, &first, &end);
    for (size_t r = first; r < end; r++) {
        copy_rows(excerpt, state->entities + r, of, of->entities + r, back);
        METASD_TRY(metasd_team_work(team, work));
    }
    return METASD_OK;
}

/* Class weights of its rows, which targets ask for; returns NULL where there are none. */
static const float *
copy_class_weights(const MetasdExcerpt *excerpt, const float *class_weights)
{
    for (uint32_t i = 0; class_weights && i < excerpt->sampler.ntouched; i++)
        excerpt->class_weights[i] = class_weights[excerpt->sampler.touched[i]];
    return class_weights ? excerpt->class_weights : NULL;
}

/* ---- the step ---- */

/* What the excerpt has in common with the whole state, and what may have changed. */
static void
follow_state(MetasdState *state, const MetasdState *of)
{
    state->rounds = of->rounds;
    state->patterns[1] = of->patterns[1];
    state->sparse[0] = false;
    state->sparse[1] = of->sparse[1];
    state->work = of->work;
}

/* Rows are copied back before others are copied to their places: a barrier at both ends. */
MetasdStatus
metasd_excerpt_step(MetasdExcerpt *excerpt, MetasdState *of, MetasdTeam *team,
                    const MetasdStepOptions *options, const MetasdStepContext *context,
                    const MetasdBatch *batch, const MetasdBatch *quiz, MetasdLosses *losses)
{
    MetasdStepContext own = *context;

    *losses = (MetasdLosses){0};
    if (batch->n == 0)
        return METASD_OK;
    if (!metasd_step_has_quiz(options, quiz))
        quiz = NULL;
    METASD_TRY(choose_rows(excerpt, team, context, batch, quiz));
    METASD_TRY(map_batch(excerpt, team, 0, batch));
    if (quiz)
        METASD_TRY(map_batch(excerpt, team, 1, quiz));
    own.samples = excerpt->sampler.sample;
    own.class_weights = copy_class_weights(excerpt, context->class_weights);
    METASD_TRY(metasd_team_work(team, METASD_FAR_WORK * (size_t)excerpt->sampler.ntouched));
    follow_state(&excerpt->state, of);
    METASD_TRY(copy_own(excerpt, of, team, false));
    METASD_TRY(team->barrier(team));
    METASD_TRY(metasd_step(&excerpt->state, team, options, &own, &excerpt->batch[0],
                           quiz ? &excerpt->batch[1] : NULL, losses));
    METASD_TRY(copy_own(excerpt, of, team, true));
    return team->barrier(team);
}
