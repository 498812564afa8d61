#include "prune.h"

#include <math.h>
#include <string.h>

static uint32_t
magnitude_bits(float w)
{
    uint32_t bits;

    memcpy(&bits, &w, sizeof(bits));
    return bits & UINT32_C(0x7fffffff);
}

/* Counts this member's weights: by upper half, or by lower half where the upper is `upper`. */
static MetasdStatus
count_bits(MetasdTeam *team, const float *weights, const MetasdRun *runs, int nruns, int64_t upper,
           uint64_t *bins)
{
    MetasdWalk walk;

    memset(bins, 0, METASD_PRUNE_BINS * sizeof(*bins));
    for (walk = metasd_walk(team, runs, nruns, 1); metasd_walk_next(&walk);)
        for (size_t i = walk.first; i < walk.end; i++) {
            uint32_t bits = magnitude_bits(weights[i]);

            if (upper < 0)
                bins[bits >> 16]++;
            else if (bits >> 16 == (uint32_t)upper)
                bins[bits & 0xffff]++;
        }
    return walk.status;
}

/* The bin of the weight at *index among those counted; *index becomes its index in the bin. */
static uint32_t
find_bin(const uint64_t *bins, int members, uint64_t *index)
{
    for (uint32_t bin = 0;; bin++) {
        uint64_t count = 0;

        for (int member = 0; member < members; member++)
            count += bins[(size_t)member * METASD_PRUNE_BINS + bin];
        if (*index < count || bin == METASD_PRUNE_BINS - 1)
            return bin;
        *index -= count;
    }
}

MetasdStatus
metasd_prune_cut(MetasdTeam *team, const float *weights, size_t m, const MetasdRun *runs, int nruns,
                 double sparsity, uint64_t *bins, float *cut)
{
    uint64_t *mine = bins + (size_t)team->rank * METASD_PRUNE_BINS;
    uint32_t upper, bits;
    uint64_t index;
    double at;

    if (m == 0 || !(sparsity >= 0 && sparsity <= 1))
        return METASD_INVALID;
    at = ceil(sparsity * (double)m);
    index = at >= (double)m ? (uint64_t)m - 1 : (uint64_t)at;
    METASD_TRY(count_bits(team, weights, runs, nruns, -1, mine));
    METASD_TRY(team->barrier(team));
    upper = find_bin(bins, team->size, &index);
    METASD_TRY(team->barrier(team)); /* all have read the bins before they are counted anew */
    METASD_TRY(count_bits(team, weights, runs, nruns, upper, mine));
    METASD_TRY(team->barrier(team));
    bits = upper << 16 | find_bin(bins, team->size, &index);
    METASD_TRY(team->barrier(team));
    memcpy(cut, &bits, sizeof(bits));
    return METASD_OK;
}
