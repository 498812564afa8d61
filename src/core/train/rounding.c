#include "core/train/rounding.h"

#include "core/codec/row_codec.h"

/* The work of fitting a weight, at most, and of rounding one. */
#define FIT_WORK 40
#define ROUND_WORK 2

MetasdStatus
metasd_rounding_fit(MetasdState *state, MetasdTeam *team, MetasdStorage storage)
{
    size_t width = state->width;
    MetasdSpan own[2];

    metasd_state_own(state, team, own);
    for (int i = 0; i < 2; i++)
        for (size_t at = own[i].first; at < own[i].end; at += width) {
            float *row = state->student + at, *scale = &state->scales[at / width];

            MetasdStorage as = metasd_state_storage_of(state, at / width, storage);

            METASD_TRY(metasd_row_fit(as, width, row, scale));
            metasd_row_levels_round(as, *scale, width, row, row);
            METASD_TRY(metasd_team_work(team, FIT_WORK * width));
        }
    return METASD_OK;
}

/*
 * A row with a weight that is not finite keeps its level: the end of the epoch sees it, in all
 * members at once.
 */
static void
refit(const MetasdState *state, MetasdStorage as, const float *row, float *scale)
{
    float fitted;

    if (metasd_row_fit(as, state->width, row, &fitted) == METASD_OK)
        *scale = fitted;
}

MetasdStatus
metasd_rounding_rows(MetasdState *state, MetasdTeam *team, const MetasdSpan *spans, int nspans,
                     bool fit)
{
    size_t width = state->width;

    for (int i = 0; i < nspans; i++)
        for (size_t at = spans[i].first; at < spans[i].end; at += width) {
            float *row = state->student + at, *scale = &state->scales[at / width];
            MetasdStorage as = metasd_state_storage_of(state, at / width, state->rounds);

            if (fit)
                refit(state, as, row, scale);
            metasd_row_levels_round(as, *scale, width, row, row);
            METASD_TRY(metasd_team_work(team, (fit ? FIT_WORK : ROUND_WORK) * width));
        }
    return METASD_OK;
}

MetasdStatus
metasd_rounding_packed(MetasdState *state, MetasdTeam *team, bool fit)
{
    const MetasdPackedWeights *packed = &state->packed;
    uint32_t first, end;

    metasd_team_rows(team, &state->entity_slices, &first, &end);
    for (uint32_t e = first; e < end; e++) {
        float *row = state->student + e * state->width;
        MetasdSpan spans[2];

        if (fit) {
            metasd_pattern_scatter(&state->patterns[0], e, packed->values, row);
            refit(state, state->rounds, row, &state->scales[e]);
            METASD_TRY(metasd_team_work(team, FIT_WORK * state->width));
        }
        metasd_pattern_row(&state->patterns[0], e, spans);
        for (int i = 0; i < 2; i++) {
            size_t at = spans[i].first, n = spans[i].end - at;

            metasd_row_levels_round(state->rounds, state->scales[e], n, packed->values + at,
                                    packed->seen + at);
            METASD_TRY(metasd_team_work(team, ROUND_WORK * n));
        }
    }
    return METASD_OK;
}
