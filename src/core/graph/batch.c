#include "core/graph/batch.h"

#include "core/base/random.h"

/* A piece is at most this part of a batch, so that batches can be filled well. */
#define PIECES_PER_BATCH 8

size_t
metasd_batch_most(const MetasdGroups *groups, size_t size)
{
    return size < groups->examples ? size : groups->examples;
}

void
metasd_batch_take(MetasdBatch *batch, MetasdArena *arena, size_t size)
{
    batch->heads = METASD_TAKE(arena, uint32_t, size);
    batch->relations = METASD_TAKE(arena, uint32_t, size);
    batch->start = METASD_TAKE(arena, size_t, size + 1);
    batch->tails = METASD_TAKE(arena, uint32_t, size);
    batch->group_of = METASD_TAKE(arena, uint32_t, size);
    batch->groups = batch->n = 0;
}

void
metasd_batcher_take(MetasdBatcher *batcher, MetasdArena *arena, const MetasdGroups *groups,
                    size_t size)
{
    batcher->groups = groups;
    batcher->size = size;
    batcher->most = size < PIECES_PER_BATCH ? 1 : size / PIECES_PER_BATCH;
    batcher->piece = METASD_TAKE(arena, MetasdPiece, groups->examples);
    batcher->order = METASD_TAKE(arena, uint32_t, groups->examples);
    batcher->drawn = METASD_TAKE(arena, uint32_t, metasd_batch_most(groups, size));
    metasd_batch_take(&batcher->batch, arena, metasd_batch_most(groups, size));
}

MetasdStatus
metasd_batcher_prepare(MetasdBatcher *batcher, MetasdTeam *team)
{
    const MetasdGroups *groups = batcher->groups;
    size_t most = batcher->most, p = 0;

    for (size_t g = 0; g < groups->count; g++)
        for (size_t first = groups->start[g]; first < groups->start[g + 1]; first += most) {
            size_t left = groups->start[g + 1] - first;

            batcher->piece[p++] = (MetasdPiece){.group = (uint32_t)g,
                                                .examples = (uint32_t)(left < most ? left : most),
                                                .first = first};
            METASD_TRY(metasd_team_work(team, sizeof(MetasdPiece) / sizeof(float)));
        }
    batcher->pieces = batcher->next = p;
    return METASD_OK;
}

MetasdStatus
metasd_batcher_shuffle(MetasdBatcher *batcher, MetasdTeam *team, uint64_t seed, uint64_t stream)
{
    batcher->next = 0;
    return metasd_random_order(team, seed, stream, batcher->order, batcher->pieces);
}

MetasdStatus
metasd_batcher_count(const MetasdBatcher *batcher, MetasdTeam *team, size_t *batches)
{
    size_t room = 0;

    *batches = 0;
    for (size_t i = 0; i < batcher->pieces; i++) {
        size_t examples = batcher->piece[batcher->order[i]].examples;

        if (examples > room) {
            ++*batches;
            room = batcher->size;
        }
        room -= examples;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return METASD_OK;
}

/* ---- one batch ---- */

/* Copies the pieces that the next batch has room for to `drawn`; *n = their number. */
static MetasdStatus
draw_pieces(MetasdBatcher *batcher, MetasdTeam *team, size_t *n)
{
    size_t examples = 0;

    for (*n = 0; batcher->next < batcher->pieces; batcher->next++) {
        uint32_t piece = batcher->order[batcher->next];

        examples += batcher->piece[piece].examples;
        if (examples > batcher->size)
            break;
        batcher->drawn[(*n)++] = piece;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return METASD_OK;
}

/* Moves v[at] down to its place in a heap of n numbers, the largest on top. */
static void
sift_down(uint32_t *v, size_t at, size_t n)
{
    uint32_t value = v[at];

    for (size_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && v[child + 1] > v[child])
            child++;
        if (v[child] <= value)
            break;
        v[at] = v[child];
        at = child;
    }
    v[at] = value;
}

/* The work of moving a number down the heap of a batch. */
#define SIFT_WORK 32

/* Heapsort: in place, and never slower than n log n. */
static MetasdStatus
sort_numbers(MetasdTeam *team, uint32_t *v, size_t n)
{
    for (size_t i = n / 2; i > 0; i--) {
        sift_down(v, i - 1, n);
        METASD_TRY(metasd_team_work(team, SIFT_WORK));
    }
    for (size_t i = n; i > 1; i--) {
        uint32_t largest = v[0];

        v[0] = v[i - 1];
        v[i - 1] = largest;
        sift_down(v, 0, i - 1);
        METASD_TRY(metasd_team_work(team, SIFT_WORK));
    }
    return METASD_OK;
}

/* Adds a piece to the batch: to the last query, or as a new one where `joins` is false. */
static void
add_piece(MetasdBatch *batch, const MetasdGroups *groups, const MetasdPiece *piece, bool joins)
{
    if (!joins) {
        batch->heads[batch->groups] = groups->heads[piece->group];
        batch->relations[batch->groups] = groups->relations[piece->group];
        batch->start[batch->groups++] = batch->n;
    }
    for (uint32_t i = 0; i < piece->examples; i++) {
        batch->group_of[batch->n] = (uint32_t)(batch->groups - 1);
        batch->tails[batch->n++] = groups->tails[piece->first + i];
    }
}

MetasdStatus
metasd_batcher_next(MetasdBatcher *batcher, MetasdTeam *team)
{
    MetasdBatch *batch = &batcher->batch;
    const MetasdPiece *last = NULL;
    size_t pieces;

    batch->groups = batch->n = 0;
    METASD_TRY(draw_pieces(batcher, team, &pieces));
    METASD_TRY(
        sort_numbers(team, batcher->drawn, pieces)); /* pieces of one group become neighbours */
    for (size_t i = 0; i < pieces; i++) {
        const MetasdPiece *piece = &batcher->piece[batcher->drawn[i]];

        add_piece(batch, batcher->groups, piece, last && last->group == piece->group);
        last = piece;
        METASD_TRY(metasd_team_work(team, 4 * METASD_FAR_WORK + piece->examples));
    }
    batch->start[batch->groups] = batch->n;
    return METASD_OK;
}
