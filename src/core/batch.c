#include "batch.h"

#include "random.h"

/* A piece is at most this part of a batch, so that batches can be filled well. */
#define PIECES_PER_BATCH 8

static size_t
piece_size(size_t batch_size)
{
    return batch_size < PIECES_PER_BATCH ? 1 : batch_size / PIECES_PER_BATCH;
}

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
    batcher->piece = METASD_TAKE(arena, MetasdPiece, groups->examples);
    batcher->order = METASD_TAKE(arena, uint32_t, groups->examples);
    metasd_batch_take(&batcher->batch, arena, metasd_batch_most(groups, size));
}

MetasdStatus
metasd_batcher_prepare(MetasdBatcher *batcher, MetasdTeam *team)
{
    const MetasdGroups *groups = batcher->groups;
    size_t most = piece_size(batcher->size), p = 0;

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

MetasdStatus
metasd_batcher_next(MetasdBatcher *batcher, MetasdTeam *team)
{
    MetasdBatch *batch = &batcher->batch;
    const MetasdGroups *groups = batcher->groups;

    batch->groups = batch->n = 0;
    while (batcher->next < batcher->pieces) {
        const MetasdPiece *piece = &batcher->piece[batcher->order[batcher->next]];

        if (batch->n + piece->examples > batcher->size)
            break;
        batch->heads[batch->groups] = groups->heads[piece->group];
        batch->relations[batch->groups] = groups->relations[piece->group];
        batch->start[batch->groups] = batch->n;
        for (uint32_t i = 0; i < piece->examples; i++) {
            batch->group_of[batch->n] = (uint32_t)batch->groups;
            batch->tails[batch->n++] = groups->tails[piece->first + i];
        }
        batch->groups++;
        batcher->next++;
        METASD_TRY(metasd_team_work(team, 4 * METASD_FAR_WORK + piece->examples));
    }
    batch->start[batch->groups] = batch->n;
    return METASD_OK;
}
