#include "core/train/pass.h"

/* ---- memory ---- */

size_t
metasd_pass_rows(const MetasdScores *scores, const MetasdSlices *slices, size_t most)
{
    size_t rows = scores->floats / (slices->rows ? slices->rows : 1) / METASD_TILE * METASD_TILE;

    rows = rows < METASD_TILE ? METASD_TILE : rows;
    return rows > most ? metasd_tile_whole(most) : rows;
}

/* Makes *most at least a x b. */
static void
raise_to_product(MetasdArena *arena, size_t *most, size_t a, size_t b)
{
    size_t product = 0;

    if (__builtin_mul_overflow(a, b, &product))
        arena->overflowed = true;
    *most = product > *most ? product : *most;
}

void
metasd_pass_take(MetasdScores *scores, MetasdArena *arena, const MetasdScoresNeed *need)
{
    const MetasdSlices *tables[3] = {need->entities, need->relations, need->ranked};
    size_t most[3] = {need->queries, need->batch, need->queries};
    size_t block = 0, first_block = 0, tiles = 0, sums = 0, parts = 0, whole_parts = 0;
    size_t paired_tiles, paired_sums, team = (size_t)need->members;

    *scores =
        (MetasdScores){.floats = need->floats, .packed = need->packed, .gathered = need->gathered};
    if (need->rank_slices)
        raise_to_product(arena, &first_block, metasd_tile_whole(need->queries),
                         team * METASD_SLICE_ROWS);
    for (int i = 0; i < (need->rank_slices ? 2 : 3); i++) {
        size_t stride = metasd_tile_whole(metasd_pass_rows(scores, tables[i], most[i]));

        raise_to_product(arena, &first_block, stride, tables[i]->rows);
        if (i < 2)
            raise_to_product(arena, &block, stride, tables[i]->rows);
        raise_to_product(arena, &sums, stride / METASD_TILE, (size_t)tables[i]->count);
        raise_to_product(arena, &parts, stride * (size_t)tables[i]->parts, need->width);
        raise_to_product(arena, &whole_parts, stride * (size_t)tables[i]->parts, need->whole);
        raise_to_product(arena, &tiles, stride / METASD_TILE, 1);
    }
    paired_tiles = need->paired ? tiles : 0;
    paired_sums = need->paired ? sums : 0;
    scores->block[0] = METASD_TAKE(arena, float, first_block);
    for (int b = 1; b < 3; b++)
        scores->block[b] = METASD_TAKE(arena, float, need->paired ? block : 0);
    scores->partials[0] = METASD_TAKE(arena, MetasdSoftmaxPartial, sums);
    scores->partials[1] = METASD_TAKE(arena, MetasdSoftmaxPartial, paired_sums);
    scores->dots = metasd_arena_take(arena, paired_sums, sizeof(*scores->dots));
    scores->means = metasd_arena_take(arena, paired_tiles, sizeof(*scores->means));
    scores->softmax_tiles = METASD_TAKE(arena, MetasdSoftmaxTile, paired_tiles);
    scores->parts = METASD_TAKE(arena, float, parts);
    scores->whole_parts = METASD_TAKE(arena, float, whole_parts);
    for (int i = 0; i < 2; i++)
        scores->target_scores[i] = METASD_TAKE(arena, float, need->batch);
    scores->packs = METASD_TAKE(arena, float, team * 3 * need->packed);
    scores->gathers = METASD_TAKE(arena, float, team * 2 * need->gathered);
}

MetasdPass
metasd_pass(MetasdTeam *team, MetasdScores *scores, const MetasdSlices *slices, size_t width,
            size_t rows)
{
    return (MetasdPass){.team = team,
                        .scores = scores,
                        .slices = slices,
                        .width = width,
                        .rows = rows,
                        .stride = metasd_tile_whole(rows)};
}

/* ---- one slice ---- */

/* The place of a target's score within a slice's panel; NULL if it is in another slice. */
static float *
find_target(const MetasdPass *pass, int s, int b, uint32_t id, size_t query)
{
    uint32_t first = metasd_team_slice_start(pass->slices, s);

    return id >= first && id < metasd_team_slice_start(pass->slices, s + 1)
               ? metasd_slice_block(pass, s, b) + (id - first) * pass->stride + query
               : NULL;
}

MetasdStatus
metasd_pass_keep_targets(const MetasdPass *pass, int s, int b, int t, const MetasdTargets *targets)
{
    for (size_t i = 0; i < pass->rows; i++)
        for (size_t x = targets->start[i]; x < targets->start[i + 1]; x++) {
            const float *score = find_target(pass, s, b, targets->ids[x], i);

            if (score)
                pass->scores->target_scores[t][x] = *score;
            METASD_TRY(metasd_team_work(pass->team, 2));
        }
    return METASD_OK;
}

MetasdStatus
metasd_pass_subtract_targets(const MetasdPass *pass, int s, int b, const MetasdTargets *targets)
{
    for (size_t i = 0; i < pass->rows; i++)
        for (size_t x = targets->start[i]; x < targets->start[i + 1]; x++) {
            float *score = find_target(pass, s, b, targets->ids[x], i);

            if (score)
                *score -= targets->scale * (targets->weights ? targets->weights[x] : 1.0f);
            METASD_TRY(metasd_team_work(pass->team, 2));
        }
    return METASD_OK;
}

/* ---- tiles ---- */

/* The work of a score at most: four exponentials and six sums. */
#define SCORE_WORK 6

MetasdTiles
metasd_pass_tiles(const MetasdPass *pass, int s)
{
    size_t first = metasd_team_slice_start(pass->slices, s), tiles = pass->stride / METASD_TILE;

    /* Before the first tile: the next one is that. */
    return (MetasdTiles){.tile = SIZE_MAX,
                         .first = metasd_slice_place(pass, s) - METASD_TILE,
                         .part = (size_t)s * tiles - 1,
                         .each = pass->each ? pass->each + first : NULL,
                         .pass = pass,
                         .tiles = tiles};
}

bool
metasd_pass_next_tile(MetasdTiles *tile)
{
    const MetasdPass *pass = tile->pass;

    tile->status = metasd_team_work(pass->team, SCORE_WORK * tile->rows * METASD_TILE);
    if (tile->status != METASD_OK || ++tile->tile >= tile->tiles)
        return false;
    tile->first += METASD_TILE;
    tile->part++;
    tile->rows = metasd_slice_rows(pass, (int)(tile->part / tile->tiles));
    return true;
}

/* ---- all slices ---- */

/* The work of joining the parts of a query: some exponentials of doubles per slice. */
#define JOIN_WORK 32

MetasdStatus
metasd_pass_join(const MetasdPass *pass, bool paired, float tau, MetasdSoftmaxPair *pairs)
{
    MetasdSoftmaxPartial *const *partials = pass->scores->partials;
    size_t tiles = pass->stride / METASD_TILE, first, end;
    int slices = pass->slices->count;

    METASD_TRY(pass->team->barrier(pass->team));
    metasd_team_share(pass->team, tiles, &first, &end);
    for (size_t tile = first; tile < end; tile++) {
        size_t at = tile * METASD_TILE, left = pass->rows - at;
        size_t n = left < METASD_TILE ? left : METASD_TILE;

        for (size_t lane = 0; lane < n; lane++) {
            MetasdSoftmaxPair *pair = &pairs[at + lane];

            if (paired)
                metasd_softmax_join_pair(partials[0] + tile, partials[1] + tile, tiles, slices,
                                         lane, tau, &pair->full, &pair->student);
            else
                metasd_softmax_join(partials[0] + tile, tiles, slices, lane, &pair->full);
            METASD_TRY(metasd_team_work(pass->team, JOIN_WORK * (size_t)slices));
        }
        if (paired)
            metasd_softmax_prepare(pairs + at, n, &pass->scores->softmax_tiles[tile]);
    }
    return pass->team->barrier(pass->team);
}

MetasdStatus
metasd_pass_prepare(const MetasdPass *pass, const MetasdSoftmaxPair *pairs)
{
    size_t first, end;

    metasd_team_share(pass->team, pass->stride / METASD_TILE, &first, &end);
    for (size_t tile = first; tile < end; tile++) {
        size_t at = tile * METASD_TILE, left = pass->rows - at;

        metasd_softmax_prepare(pairs + at, left < METASD_TILE ? left : METASD_TILE,
                               &pass->scores->softmax_tiles[tile]);
        METASD_TRY(metasd_team_work(pass->team, JOIN_WORK * METASD_TILE));
    }
    return pass->team->barrier(pass->team);
}

MetasdStatus
metasd_pass_means(const MetasdPass *pass)
{
    MetasdScores *scores = pass->scores;
    size_t tiles = pass->stride / METASD_TILE, first, end;

    METASD_TRY(pass->team->barrier(pass->team));
    metasd_team_share(pass->team, tiles, &first, &end);
    for (size_t tile = first; tile < end; tile++)
        for (size_t i = 0; i < 2 * METASD_TILE; i++) {
            double sum = 0;

            for (int s = 0; s < pass->slices->count; s++)
                sum += (&scores->dots[(size_t)s * tiles + tile][0][0])[i];
            (&scores->means[tile][0][0])[i] = (float)sum;
            METASD_TRY(metasd_team_work(pass->team, (size_t)pass->slices->count));
        }
    return pass->team->barrier(pass->team);
}
