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
    size_t large;

    batcher->groups = groups;
    batcher->size = size;
    batcher->most = size < PIECES_PER_BATCH ? 1 : size / PIECES_PER_BATCH;
    large = groups->examples / PIECES_PER_BATCH; /* any size above all examples takes as much */
    large = groups->examples / ((batcher->most < large ? batcher->most : large) + 1);
    batcher->large = METASD_TAKE(arena, MetasdLargeGroup, large);
    batcher->order = METASD_TAKE(arena, uint32_t, groups->examples);
    batcher->drawn = METASD_TAKE(arena, uint32_t, metasd_batch_most(groups, size));
    metasd_batch_take(&batcher->batch, arena, metasd_batch_most(groups, size));
}

static size_t
count_pieces(const MetasdBatcher *batcher, size_t group)
{
    const uint32_t *start = batcher->groups->start;

    return (start[group + 1] - start[group] + batcher->most - 1) / batcher->most;
}

MetasdStatus
metasd_batcher_prepare(MetasdBatcher *batcher, MetasdTeam *team)
{
    const MetasdGroups *groups = batcher->groups;
    size_t p = 0;

    batcher->large_groups = 0;
    for (size_t g = 0; g < groups->count; g++) {
        size_t pieces = count_pieces(batcher, g);

        if (pieces > 1 && batcher->most > 1)
            batcher->large[batcher->large_groups++] =
                (MetasdLargeGroup){.group = (uint32_t)g, .piece = (uint32_t)p};
        p += pieces;
        METASD_TRY(metasd_team_work(team, 2));
    }
    batcher->pieces = batcher->next = p;
    return METASD_OK;
}

/* The group of an example. */
static uint32_t
group_of_example(const MetasdGroups *groups, uint32_t example)
{
    size_t low = 0, high = groups->count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (groups->start[middle] <= example)
            low = middle;
        else
            high = middle;
    }
    return (uint32_t)low;
}

/* *nth = the number of a piece within its group, which is returned. */
static uint32_t
group_of_piece(const MetasdBatcher *batcher, uint32_t number, uint32_t *nth)
{
    size_t low = 0, high = batcher->large_groups;
    const MetasdLargeGroup *large;
    uint32_t pieces;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (batcher->large[middle].piece <= number)
            low = middle + 1;
        else
            high = middle;
    }
    *nth = 0;
    if (low == 0)
        return number;
    large = &batcher->large[low - 1];
    pieces = (uint32_t)count_pieces(batcher, large->group);
    if (number - large->piece >= pieces)
        return large->group + 1 + number - large->piece - pieces;
    *nth = number - large->piece;
    return large->group;
}

MetasdPiece
metasd_batcher_piece(const MetasdBatcher *batcher, uint32_t number)
{
    const MetasdGroups *groups = batcher->groups;
    size_t left, most = batcher->most;
    MetasdPiece piece;
    uint32_t nth;

    if (most == 1)
        return (MetasdPiece){
            .group = group_of_example(groups, number), .examples = 1, .first = number};
    piece.group = group_of_piece(batcher, number, &nth);
    piece.first = groups->start[piece.group] + nth * most;
    left = groups->start[piece.group + 1] - piece.first;
    piece.examples = (uint32_t)(left < most ? left : most);
    return piece;
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
        size_t examples = metasd_batcher_piece(batcher, batcher->order[i]).examples;

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

        examples += metasd_batcher_piece(batcher, piece).examples;
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
    MetasdPiece last = {.examples = 0};
    size_t pieces;

    batch->groups = batch->n = 0;
    METASD_TRY(draw_pieces(batcher, team, &pieces));
    METASD_TRY(
        sort_numbers(team, batcher->drawn, pieces)); /* pieces of one group become neighbours */
    for (size_t i = 0; i < pieces; i++) {
        MetasdPiece piece = metasd_batcher_piece(batcher, batcher->drawn[i]);

        add_piece(batch, batcher->groups, &piece, last.examples > 0 && last.group == piece.group);
        last = piece;
        METASD_TRY(metasd_team_work(team, 4 * METASD_FAR_WORK + piece.examples));
    }
    batch->start[batch->groups] = batch->n;
    return METASD_OK;
}
