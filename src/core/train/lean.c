#include "core/train/lean.h"

#include <string.h>

#include "core/codec/row_codec.h"

/* ---- the mask ---- */

void
metasd_lean_get_mask(const MetasdState *state, size_t row, uint8_t *mask)
{
    metasd_packed_mask_get(metasd_state_bits(state, row), state->width, mask);
}

void
metasd_lean_put_mask(MetasdState *state, size_t row, const uint8_t *mask)
{
    metasd_packed_mask_put(metasd_state_bits(state, row), state->width, mask);
    if (row >= state->entities)
        memcpy(state->relation_mask + (row - state->entities) * state->width, mask, state->width);
}

MetasdStatus
metasd_lean_read_relations(MetasdState *state, MetasdTeam *team)
{
    MetasdSpan rows[2];

    metasd_state_own_rows(state, team, rows);
    for (size_t row = rows[1].first; row < rows[1].end; row++) {
        metasd_lean_get_mask(state, row,
                             state->relation_mask + (row - state->entities) * state->width);
        METASD_TRY(metasd_team_work(team, state->width));
    }
    return METASD_OK;
}

/* ---- the student ---- */

void
metasd_lean_masked_row(const MetasdState *state, size_t row, float *to)
{
    const uint8_t *bits = metasd_state_bits(state, row);
    const float *weights = state->weights + row * state->width;

    for (size_t j = 0; j < state->width; j++)
        to[j] = bits[j / 8] >> j % 8 & 1 ? weights[j] : 0.0f;
}

void
metasd_lean_student_row(const MetasdState *state, size_t row, float *to)
{
    metasd_lean_masked_row(state, row, to);
    if (state->student_as != METASD_FLOAT32)
        metasd_row_levels_round(metasd_state_storage_of(state, row, state->student_as),
                                state->scales[row], state->width, to, to);
}

/* The work of a weight: reading it and its bit, and rounding it. */
#define ROW_WORK 4

MetasdStatus
metasd_lean_copy_student(const void *source, MetasdTeam *team, size_t first, size_t n, float *to)
{
    const MetasdState *state = source;

    for (size_t e = 0; e < n; e++) {
        metasd_lean_student_row(state, first + e, to + e * state->width);
        METASD_TRY(metasd_team_work(team, ROW_WORK * state->width));
    }
    return METASD_OK;
}

/* The work of fitting a weight, at most. */
#define FIT_WORK 40

MetasdStatus
metasd_lean_show_student(MetasdState *state, MetasdTeam *team, MetasdStorage storage)
{
    float *row = state->work.scratch + (size_t)team->rank * 2 * state->width;
    MetasdSpan rows[2];

    state->student_as = storage;
    if (storage == METASD_FLOAT32)
        return METASD_OK;
    metasd_state_own_rows(state, team, rows);
    for (int i = 0; i < 2; i++)
        for (size_t r = rows[i].first; r < rows[i].end; r++) {
            metasd_lean_masked_row(state, r, row);
            METASD_TRY(metasd_row_fit(metasd_state_storage_of(state, r, storage), state->width, row,
                                      &state->scales[r]));
            METASD_TRY(metasd_team_work(team, FIT_WORK * state->width));
        }
    return METASD_OK;
}

MetasdStatus
metasd_lean_round(MetasdState *state, MetasdTeam *team, MetasdStorage storage)
{
    MetasdSpan own[2];

    metasd_state_own(state, team, own);
    for (int i = 0; i < 2; i++)
        for (size_t at = own[i].first; at < own[i].end; at += state->width) {
            METASD_TRY(metasd_row_round(metasd_state_storage_of(state, at / state->width, storage),
                                        state->width, state->weights + at));
            METASD_TRY(metasd_team_work(team, FIT_WORK * state->width));
        }
    return METASD_OK;
}
