#include "core/serve/kmeans.h"

#include <math.h>
#include <string.h>

#include "core/base/simd.h"

#define ROUNDS 6 /* later ones change little */

MetasdCenters
metasd_kmeans_take(MetasdArena *arena, uint32_t count, uint32_t width)
{
    size_t stride = metasd_kmeans_stride(count);

    return (MetasdCenters){.count = count,
                           .stride = stride,
                           .weights = METASD_TAKE(arena, float, stride *width),
                           .halves = METASD_TAKE(arena, float, stride)};
}

/* closeness[c] of a block of centers: product with the row - half of the center's squared norm. */
METASD_VECTORISE static void
compare_block(const MetasdKmeansRow *row, const float *weights, size_t stride, const float *halves,
              float *closeness)
{
    float sums[METASD_KMEANS_BLOCK];

    memcpy(sums, halves, sizeof(sums));
    for (size_t i = 0; i < row->kept; i++) {
        const float *center = weights + row->positions[i] * stride;
        float weight = row->weights[i];

#pragma omp simd
        for (size_t c = 0; c < METASD_KMEANS_BLOCK; c++)
            sums[c] += weight * center[c];
    }
    memcpy(closeness, sums, sizeof(sums));
}

uint32_t
metasd_kmeans_nearest(const MetasdKmeansRow *row, const MetasdCenters *centers)
{
    float closeness[METASD_KMEANS_BLOCK], best = -INFINITY;
    uint32_t nearest = 0;

    for (size_t first = 0; first < centers->count; first += METASD_KMEANS_BLOCK) {
        compare_block(row, centers->weights + first, centers->stride, centers->halves + first,
                      closeness);
        for (size_t c = 0; c < METASD_KMEANS_BLOCK; c++)
            if (closeness[c] > best) {
                best = closeness[c];
                nearest = (uint32_t)(first + c);
            }
    }
    return nearest;
}

/* Adds a row x FACTOR to center C. */
static void
add_row(MetasdCenters *centers, uint32_t c, const MetasdKmeansRow *row, float factor)
{
    for (size_t i = 0; i < row->kept; i++)
        centers->weights[row->positions[i] * centers->stride + c] += factor * row->weights[i];
}

static void
clear_center(MetasdCenters *centers, uint32_t c, uint32_t width)
{
    for (size_t j = 0; j < width; j++)
        centers->weights[j * centers->stride + c] = 0;
}

static void
measure_centers(MetasdCenters *centers, uint32_t width)
{
    for (size_t c = 0; c < centers->stride; c++)
        centers->halves[c] = c < centers->count ? 0 : -INFINITY;
    for (size_t j = 0; j < width; j++)
        for (size_t c = 0; c < centers->count; c++) {
            float weight = centers->weights[j * centers->stride + c];

            centers->halves[c] -= weight * weight / 2;
        }
}

/* Starts with rows at even distances. */
static void
start_centers(MetasdCenters *centers, const MetasdKmeansRow *rows, uint32_t n, uint32_t width)
{
    memset(centers->weights, 0, centers->stride * width * sizeof(float));
    for (uint32_t c = 0; c < centers->count && n > 0; c++)
        add_row(centers, c, &rows[(uint64_t)c * n / centers->count], 1);
    measure_centers(centers, width);
}

/* Moves each center to the mean of its rows; one without rows stays. COUNTS is scratch. */
static void
move_centers(MetasdCenters *centers, const MetasdKmeansRow *rows, const uint32_t *of, uint32_t n,
             uint32_t width, uint64_t *counts)
{
    memset(counts, 0, centers->count * sizeof(*counts));
    for (uint32_t i = 0; i < n; i++)
        if (counts[of[i]]++ == 0)
            clear_center(centers, of[i], width);
    for (uint32_t i = 0; i < n; i++)
        add_row(centers, of[i], &rows[i], 1 / (float)counts[of[i]]);
    measure_centers(centers, width);
}

size_t
metasd_kmeans_work(const MetasdKmeansRow *row, const MetasdCenters *centers)
{
    return 1 + row->kept * centers->stride / 16;
}

static MetasdStatus
assign_rows(MetasdTeam *team, const MetasdCenters *centers, const MetasdKmeansRow *rows, uint32_t n,
            uint32_t *of)
{
    for (uint32_t i = 0; i < n; i++) {
        of[i] = metasd_kmeans_nearest(&rows[i], centers);
        METASD_TRY(metasd_team_work(team, metasd_kmeans_work(&rows[i], centers)));
    }
    return METASD_OK;
}

MetasdStatus
metasd_kmeans_find(MetasdCenters *centers, uint32_t width, const MetasdKmeansRow *rows, uint32_t n,
                   uint32_t *of, uint64_t *counts, MetasdTeam *team)
{
    start_centers(centers, rows, n, width);
    for (int round = 0; round < ROUNDS; round++) {
        METASD_TRY(assign_rows(team, centers, rows, n, of));
        move_centers(centers, rows, of, n, width, counts);
    }
    return assign_rows(team, centers, rows, n, of);
}
