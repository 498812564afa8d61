#include "core/train/state.h"

#include <math.h>
#include <string.h>

#include "core/base/random.h"
#include "core/graph/negatives.h"

/* ---- memory ---- */

static size_t
table_floats(const MetasdState *state, MetasdArena *arena)
{
    size_t floats = 0;

    if (__builtin_mul_overflow((size_t)state->entities + state->relation_rows, state->width,
                               &floats))
        arena->overflowed = true;
    return floats;
}

/* What the student's products need besides the dense tables: floats per slice, whole columns. */
static void
take_patterns(MetasdState *state, MetasdArena *arena, size_t *packed, size_t *whole)
{
    const MetasdSlices *slices[2] = {&state->entity_slices, &state->relation_slices};
    const MetasdStateSize *size = &state->size;

    *packed = *whole = 0;
    for (int i = 0; i < 2; i++) {
        MetasdPattern *pattern = &state->patterns[i];
        double kept = i == 0 ? 1 - size->pruned : 1;
        bool used = size->has_student && !(size->lean && i == 0);
        double density = used ? fmin(size->most_density, kept) : 0;
        size_t most;

        state->sparse[i] = false;
        metasd_pattern_take(pattern, arena, slices[i], state->width, density, size->whole_from);
        most = metasd_pattern_most(pattern);
        *packed = most > *packed ? most : *packed;
        *whole = pattern->most_whole > *whole ? pattern->most_whole : *whole;
    }
}

/*
 * The tables. Packed values, sums and gradients of fine-tuning fit into one table, whichever
 * weights are kept, where those are a third of the entities'; else they need a second one.
 */
void
metasd_state_take_tables(MetasdState *state, MetasdArena *arena)
{
    const MetasdStateSize *size = &state->size;
    size_t table = table_floats(state, arena), all = size->lean ? 0 : table;
    size_t rows = (size_t)state->entities + state->relation_rows;
    size_t student = size->has_student ? all : 0;
    bool packs = size->lean || metasd_pattern_most_packed(&state->patterns[0]) <=
                                   state->entities * state->width / 3;

    state->weights = METASD_TAKE(arena, float, table);
    state->sums = METASD_TAKE(arena, float, table);
    state->quiz_sums = METASD_TAKE(arena, float, size->has_quiz ? table : 0);
    state->student = METASD_TAKE(arena, float, all);
    state->mask = METASD_TAKE(arena, uint8_t, all);
    state->bits =
        METASD_TAKE(arena, uint8_t, size->lean ? rows * metasd_packed_mask_bytes(state->width) : 0);
    state->relation_mask =
        METASD_TAKE(arena, uint8_t, size->lean ? state->relation_rows * state->width : 0);
    state->masked_gradient = METASD_TAKE(arena, float, student);
    state->gradient = METASD_TAKE(arena, float, all);
    state->trial = METASD_TAKE(arena, float, size->has_quiz || !packs ? student : 0);
    if (size->lean)
        state->keys = NULL; /* an arena gives arrays of no elements an address, too */
    state->scales = METASD_TAKE(arena, float, size->rounds ? rows : 0);
    state->seen_packed = METASD_TAKE(
        arena, float, size->rounds ? metasd_pattern_most_packed(&state->patterns[0]) : 0);
}

/* The slices that a batch is scored against, and the floats of one that is gathered. */
static MetasdSlices
sampled_slices(const MetasdState *state, MetasdArena *arena, size_t *gathered)
{
    const MetasdStateSize *size = &state->size;
    size_t most = metasd_negatives_most(state->entities, size->negatives, size->batch);

    *gathered = 0;
    if (size->negatives == 0)
        return state->entity_slices;
    if (__builtin_mul_overflow((size_t)METASD_SLICE_ROWS, state->width, gathered))
        arena->overflowed = true;
    return metasd_negatives_slices(&state->entity_slices, most);
}

void
metasd_state_take(MetasdState *state, MetasdArena *arena, int members, size_t score_floats)
{
    const MetasdStateSize *size = &state->size;
    size_t packed, whole, gathered;
    MetasdSlices scored;

    state->entity_slices = metasd_team_cut(state->entities);
    state->relation_slices = metasd_team_cut(state->relation_rows);
    scored = sampled_slices(state, arena, &gathered);
    take_patterns(state, arena, &packed, &whole);
    metasd_state_take_tables(state, arena);
    state->student_as = METASD_FLOAT32;
    metasd_workspace_take(&state->work, arena,
                          &(MetasdWorkspaceNeed){.batch = size->batch,
                                                 .width = state->width,
                                                 .whole = whole,
                                                 .members = members,
                                                 .has_student = size->has_student});
    metasd_pass_take(&state->work.scores, arena,
                     &(MetasdScoresNeed){.batch = size->batch,
                                         .queries = size->queries,
                                         .width = state->width,
                                         .floats = score_floats,
                                         .ranked = &state->entity_slices,
                                         .rank_slices = size->lean,
                                         .entities = &scored,
                                         .relations = &state->relation_slices,
                                         .members = members,
                                         .paired = size->has_student && !size->single,
                                         .packed = packed,
                                         .whole = whole,
                                         .gathered = gathered});
}

void
metasd_state_own_rows(const MetasdState *state, const MetasdTeam *team, MetasdSpan rows[2])
{
    uint32_t first, end;
    size_t entities = state->entities;

    metasd_team_rows(team, &state->entity_slices, &first, &end);
    rows[0] = (MetasdSpan){first, end};
    metasd_team_rows(team, &state->relation_slices, &first, &end);
    rows[1] = (MetasdSpan){entities + first, entities + end};
}

void
metasd_state_own(const MetasdState *state, const MetasdTeam *team, MetasdSpan own[2])
{
    metasd_state_own_rows(state, team, own);
    for (int i = 0; i < 2; i++)
        own[i] = (MetasdSpan){own[i].first * state->width, own[i].end * state->width};
}

/* ---- starting values ---- */

/* The work of a normal number: a logarithm, a root and a cosine. */
#define NORMAL_WORK 32

MetasdStatus
metasd_state_fill_weights(MetasdState *state, MetasdTeam *team, const MetasdSpan *spans, int nspans,
                          uint64_t seed, float scale, float sum)
{
    MetasdChunks chunk;

    for (chunk = metasd_team_chunks(team, spans, nspans, NORMAL_WORK);
         metasd_team_next_chunk(&chunk);)
        for (size_t i = chunk.first; i < chunk.end; i++) {
            if (state->weights[i] == 0)
                state->weights[i] =
                    scale * (float)metasd_random_normal(seed, METASD_STREAM_WEIGHTS, i);
            state->sums[i] = sum;
            if (state->size.has_quiz)
                state->quiz_sums[i] = 0;
        }
    return chunk.status;
}

/* The bits of a lean state keep all weights of the rows in spans of the tables. */
static MetasdStatus
keep_all(MetasdState *state, MetasdTeam *team, const MetasdSpan *spans, int nspans)
{
    size_t width = state->width;

    for (int i = 0; i < nspans; i++)
        for (size_t at = spans[i].first; at < spans[i].end; at += width) {
            size_t row = at / width;

            memset(metasd_state_bits(state, row), 0xff, metasd_packed_mask_bytes(width));
            if (row >= state->entities)
                memset(state->relation_mask + (row - state->entities) * width, 1, width);
            METASD_TRY(metasd_team_work(team, width / 8 + 1));
        }
    return METASD_OK;
}

MetasdStatus
metasd_state_fill(MetasdState *state, MetasdTeam *team, const MetasdSpan *spans, int nspans,
                  uint64_t seed, float scale, float sum)
{
    MetasdChunks chunk;

    METASD_TRY(metasd_state_fill_weights(state, team, spans, nspans, seed, scale, sum));
    if (state->size.lean)
        return keep_all(state, team, spans, nspans);
    for (chunk = metasd_team_chunks(team, spans, nspans, 2); metasd_team_next_chunk(&chunk);) {
        size_t n = chunk.end - chunk.first;

        memcpy(state->student + chunk.first, state->weights + chunk.first, n * sizeof(float));
        memset(state->mask + chunk.first, 1, n);
    }
    return chunk.status;
}

MetasdStatus
metasd_state_init(MetasdState *state, MetasdTeam *team, uint64_t seed, float scale)
{
    MetasdSpan own[2];
    MetasdChunks chunk;

    state->sparse[0] = state->sparse[1] = false;
    metasd_state_own(state, team, own);
    for (chunk = metasd_team_chunks(team, own, 2, 1); metasd_team_next_chunk(&chunk);)
        memset(state->weights + chunk.first, 0, (chunk.end - chunk.first) * sizeof(float));
    METASD_TRY(chunk.status);
    METASD_TRY(metasd_state_fill(state, team, own, 2, seed, scale, 0));
    return team->barrier(team);
}
