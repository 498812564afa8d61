/*
 * tile.h - queries side by side, for which products and softmax are computed together.
 */
#ifndef METASD_CORE_MATH_TILE_H
#define METASD_CORE_MATH_TILE_H

#include <stddef.h>

#define METASD_TILE ((size_t)64) /* queries per tile */

/* Queries in whole tiles. */
static inline size_t
metasd_tile_whole(size_t queries)
{
    return (queries + METASD_TILE - 1) / METASD_TILE * METASD_TILE;
}

#endif
