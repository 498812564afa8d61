#include "core/train/workspace.h"

void
metasd_workspace_take(MetasdWorkspace *work, MetasdArena *arena, const MetasdWorkspaceNeed *need)
{
    size_t batch = need->batch, queries = 0, tiles = 0;

    if (__builtin_mul_overflow(batch, need->width, &queries) ||
        __builtin_mul_overflow(metasd_tile_whole(batch), need->width, &tiles))
        arena->overflowed = true;
    work->width = need->width;
    for (int i = 0; i < 2; i++) {
        work->query[i] = METASD_TAKE(arena, float, queries);
        work->tiles[i] = METASD_TAKE(arena, float, need->has_student ? tiles : 0);
        work->whole[i] = METASD_TAKE(arena, float, batch * need->whole);
        work->dquery[i] = METASD_TAKE(arena, float, queries);
        work->target_weights[i] = METASD_TAKE(arena, float, batch);
    }
    work->query_dot = METASD_TAKE(arena, float, need->has_student ? queries : 0);
    work->pairs = METASD_TAKE(arena, MetasdSoftmaxPair, 3 * batch);
    work->row_loss = METASD_TAKE(arena, double, batch);
    work->each = METASD_TAKE(arena, size_t, batch + 1);
    work->example_relation = METASD_TAKE(arena, uint32_t, batch);
    work->scratch = METASD_TAKE(arena, float, (size_t)need->members * 2 * need->width);
}

MetasdQueries
metasd_workspace_queries(const MetasdWorkspace *work, const MetasdPattern *pattern,
                         const float *rows, int which, size_t first)
{
    return (MetasdQueries){.rows = rows + first * work->width,
                           .tiles = work->tiles[which] + first * work->width,
                           .whole = work->whole[which] + first * pattern->whole};
}

MetasdStatus
metasd_workspace_tile(const MetasdWorkspace *work, MetasdTeam *team, const MetasdPattern *pattern,
                      size_t n, const float *rows, int which)
{
    if (!pattern)
        return METASD_OK;
    return metasd_products_tile(team, pattern, n, rows, work->tiles[which], work->whole[which]);
}
