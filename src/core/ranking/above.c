#include "core/ranking/above.h"

#include <math.h>

#include "core/base/simd.h"

/* Scores that are compared together: few branches if nearly all are too low. */
#define BLOCK 64

METASD_VECTORISE float
metasd_above_most(uint32_t n, const float *scores)
{
    float most = -INFINITY;

#pragma omp simd reduction(max : most)
    for (uint32_t i = 0; i < n; i++)
        most = scores[i] > most ? scores[i] : most;
    return most;
}

/* Is a score of the block high enough? */
METASD_VECTORISE static int
block_matters(const float *scores, float least)
{
    int any = 0;

#pragma omp simd reduction(| : any)
    for (int i = 0; i < BLOCK; i++)
        any |= scores[i] >= least;
    return any;
}

uint32_t
metasd_above_ids(uint32_t n, const float *scores, float least, uint32_t *ids)
{
    uint32_t count = 0;

    for (uint32_t i = 0, end; i < n; i = end) {
        end = n - i < BLOCK ? n : i + BLOCK;
        if (end - i == BLOCK && !block_matters(scores + i, least))
            continue;
        for (uint32_t id = i; id < end; id++)
            if (scores[id] >= least)
                ids[count++] = id;
    }
    return count;
}
