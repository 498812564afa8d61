#include "core/train/best_weights.h"

#include <math.h>

#include "core/train/lean.h"

/* The work of a weight: reading it and its bit, and rounding it. */
#define ROW_WORK 4

void
metasd_best_weights_take(MetasdBestWeights *best, MetasdArena *arena, size_t rows, size_t width)
{
    best->values = METASD_TAKE(arena, int16_t, rows * width);
    best->steps = METASD_TAKE(arena, float, rows);
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
metasd_best_weights_keep(MetasdBestWeights *best, const MetasdState *state, MetasdTeam *team)
{
    float *row = state->work.scratch + (size_t)team->rank * 2 * state->width;
    MetasdSpan rows[2];

    metasd_state_own_rows(state, team, rows);
    for (int i = 0; i < 2; i++)
        for (size_t r = rows[i].first; r < rows[i].end; r++) {
            metasd_lean_masked_row(state, r, row);
            put_row(state->width, row, best->values + r * state->width, &best->steps[r]);
            METASD_TRY(metasd_team_work(team, ROW_WORK * state->width));
        }
    return METASD_OK;
}

MetasdStatus
metasd_best_weights_restore(const MetasdBestWeights *best, MetasdState *state, MetasdTeam *team)
{
    size_t width = state->width;
    MetasdSpan rows[2];

    metasd_state_own_rows(state, team, rows);
    for (int i = 0; i < 2; i++)
        for (size_t r = rows[i].first; r < rows[i].end; r++) {
            for (size_t j = 0; j < width; j++)
                state->weights[r * width + j] = best->steps[r] * best->values[r * width + j];
            METASD_TRY(metasd_team_work(team, 2 * width));
        }
    return METASD_OK;
}
