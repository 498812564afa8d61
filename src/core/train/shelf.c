#include "core/train/shelf.h"

#include <math.h>

#include "core/train/lean.h"

/* This member's rows of both tables, as numbers of rows: entities, then relations. */
static void
own_rows(const MetasdState *state, const MetasdTeam *team, MetasdSpan rows[2])
{
    metasd_state_own(state, team, rows);
    for (int i = 0; i < 2; i++)
        rows[i] = (MetasdSpan){rows[i].first / state->width, rows[i].end / state->width};
}

/* The work of a weight: reading it and its bit, and rounding it. */
#define ROW_WORK 4

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
            metasd_lean_masked_row(state, r, row);
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
