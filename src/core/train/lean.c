#include "core/train/lean.h"

#include <math.h>
#include <string.h>

#include "core/codec/row_codec.h"

/* This member's rows of both tables, as numbers of rows: entities, then relations. */
static void
own_rows(const MetasdState *state, const MetasdTeam *team, MetasdSpan rows[2])
{
    metasd_state_own(state, team, rows);
    for (int i = 0; i < 2; i++)
        rows[i] = (MetasdSpan){rows[i].first / state->width, rows[i].end / state->width};
}

/* ---- the mask ---- */

static uint8_t *
bits_of(const MetasdState *state, size_t row)
{
    return state->bits + row * metasd_lean_row_bytes(state->width);
}

void
metasd_lean_get_mask(const MetasdState *state, size_t row, uint8_t *mask)
{
    const uint8_t *bits = bits_of(state, row);

    for (size_t j = 0; j < state->width; j++)
        mask[j] = bits[j / 8] >> j % 8 & 1;
}

void
metasd_lean_put_mask(MetasdState *state, size_t row, const uint8_t *mask)
{
    uint8_t *bits = bits_of(state, row);

    memset(bits, 0, metasd_lean_row_bytes(state->width));
    for (size_t j = 0; j < state->width; j++)
        bits[j / 8] |= (uint8_t)(mask[j] << j % 8);
    if (row >= state->entities)
        memcpy(state->relation_mask + (row - state->entities) * state->width, mask, state->width);
}

MetasdStatus
metasd_lean_keep_all(MetasdState *state, MetasdTeam *team, const MetasdSpan *spans, int nspans)
{
    size_t width = state->width;

    for (int i = 0; i < nspans; i++)
        for (size_t at = spans[i].first; at < spans[i].end; at += width) {
            size_t row = at / width;

            memset(bits_of(state, row), 0xff, metasd_lean_row_bytes(width));
            if (row >= state->entities)
                memset(state->relation_mask + (row - state->entities) * width, 1, width);
            METASD_TRY(metasd_team_work(team, width / 8 + 1));
        }
    return METASD_OK;
}

MetasdStatus
metasd_lean_read_relations(MetasdState *state, MetasdTeam *team)
{
    MetasdSpan rows[2];

    own_rows(state, team, rows);
    for (size_t row = rows[1].first; row < rows[1].end; row++) {
        metasd_lean_get_mask(state, row,
                             state->relation_mask + (row - state->entities) * state->width);
        METASD_TRY(metasd_team_work(team, state->width));
    }
    return METASD_OK;
}

/* ---- the student ---- */

/* mask x weights, not rounded; bits of eight weights at a time. */
static void
masked_row(const MetasdState *state, size_t row, float *to)
{
    const uint8_t *bits = bits_of(state, row);
    const float *weights = state->weights + row * state->width;

    for (size_t j = 0; j < state->width; j++)
        to[j] = bits[j / 8] >> j % 8 & 1 ? weights[j] : 0.0f;
}

void
metasd_lean_student_row(const MetasdState *state, size_t row, float *to)
{
    masked_row(state, row, to);
    if (state->student_as != METASD_FLOAT32)
        metasd_row_values_round(state->student_as, state->tops[row], state->width, to, to);
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
    own_rows(state, team, rows);
    for (int i = 0; i < 2; i++)
        for (size_t r = rows[i].first; r < rows[i].end; r++) {
            masked_row(state, r, row);
            METASD_TRY(metasd_row_fit(storage, state->width, row, &state->tops[r]));
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
            METASD_TRY(metasd_row_round(storage, state->width, state->weights + at));
            METASD_TRY(metasd_team_work(team, FIT_WORK * state->width));
        }
    return METASD_OK;
}

/* ---- the shelf ---- */

void
metasd_shelf_take(MetasdShelf *shelf, MetasdArena *arena, size_t rows, size_t width)
{
    shelf->values = METASD_TAKE(arena, int16_t, rows * width);
    shelf->steps = METASD_TAKE(arena, float, rows);
}

static void
put_row(size_t width, const float *row, int16_t *values, float *step)
{
    float most = 0;

    for (size_t j = 0; j < width; j++)
        most = fmaxf(most, fabsf(row[j]));
    *step = fmaxf(most / INT16_MAX, 0x1p-126f); /* the least that no processor takes for 0 */
    for (size_t j = 0; j < width; j++) {
        float value = fminf(rintf(fabsf(row[j]) / *step), INT16_MAX);

        values[j] = row[j] == 0 ? 0 : (int16_t)copysignf(fmaxf(value, 1), row[j]);
    }
}

MetasdStatus
metasd_shelf_put(MetasdShelf *shelf, const MetasdState *state, MetasdTeam *team)
{
    float *row = state->work.scratch + (size_t)team->rank * 2 * state->width;
    MetasdSpan rows[2];

    own_rows(state, team, rows);
    for (int i = 0; i < 2; i++)
        for (size_t r = rows[i].first; r < rows[i].end; r++) {
            masked_row(state, r, row);
            put_row(state->width, row, shelf->values + r * state->width, &shelf->steps[r]);
            METASD_TRY(metasd_team_work(team, ROW_WORK * state->width));
        }
    return METASD_OK;
}

MetasdStatus
metasd_shelf_get(const MetasdShelf *shelf, MetasdState *state, MetasdTeam *team)
{
    size_t width = state->width;
    MetasdSpan rows[2];

    own_rows(state, team, rows);
    for (int i = 0; i < 2; i++)
        for (size_t r = rows[i].first; r < rows[i].end; r++) {
            for (size_t j = 0; j < width; j++)
                state->weights[r * width + j] = shelf->steps[r] * shelf->values[r * width + j];
            METASD_TRY(metasd_team_work(team, 2 * width));
        }
    return METASD_OK;
}
