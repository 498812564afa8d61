/*
 * kmeans.h - centers of rows that keep some of their weights (Lloyd 1957).
 *
 * Centers start with some of the rows. Then each row goes to its nearest center, and each center to
 * the mean of its rows, a few times. Every sum has a fixed order and rounds each product, so that
 * the same rows give the same bits on all processors.
 */
#ifndef METASD_CORE_SERVE_KMEANS_H
#define METASD_CORE_SERVE_KMEANS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/team.h"

/* Centers are compared with a row in blocks of so many; a last block is filled up. */
#define METASD_KMEANS_BLOCK ((size_t)32)

/* A row: its weights that are not 0, at most. */
typedef struct MetasdKmeansRow {
    uint32_t *positions;
    float *weights;
    size_t kept;
} MetasdKmeansRow;

/* Centers by dimensions: weight j of center c is at j x stride + c. */
typedef struct MetasdCenters {
    uint32_t count;
    size_t stride; /* a multiple of METASD_KMEANS_BLOCK */
    float *weights;
    float *halves; /* stride: minus half of each squared norm; -infinity behind the last */
} MetasdCenters;

static inline size_t
metasd_kmeans_stride(uint32_t count)
{
    return (count + METASD_KMEANS_BLOCK - 1) / METASD_KMEANS_BLOCK * METASD_KMEANS_BLOCK;
}

/* Takes memory for so many centers. */
extern MetasdCenters metasd_kmeans_take(MetasdArena *arena, uint32_t count, uint32_t width);

/* The center nearest to a row; the first of those as near. */
extern uint32_t metasd_kmeans_nearest(const MetasdKmeansRow *row, const MetasdCenters *centers);

/* The work of that, in floats. */
extern size_t metasd_kmeans_work(const MetasdKmeansRow *row, const MetasdCenters *centers);

/*
 * Finds centers of N rows, and sets of[i] to that of row i; at least as many rows as centers, or no
 * row at all. COUNTS is scratch, with a number for each center. Polls the team; works alone.
 */
extern MetasdStatus metasd_kmeans_find(MetasdCenters *centers, uint32_t width,
                                       const MetasdKmeansRow *rows, uint32_t n, uint32_t *of,
                                       uint64_t *counts, MetasdTeam *team);

#endif
