#include "core/train/prune.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- keys ---- */

/*
 * The position of a size is that of its exponent and its 24 bits, as in a float whose exponent has
 * no end; 0 is that of 2^(LEAST - 1). PLAIN exponents from there on are keys as they are: those of
 * all floats up to 2^74. What is below or above shares COARSE exponents' keys, with 11 of its 23
 * bits, which is room for 2^16 exponents.
 */
#define BITS 23
#define LEAST (-149)
#define PLAIN 224
#define COARSE 16
#define DROPPED 12

#define FIRST_PLAIN ((int64_t)COARSE << BITS)
#define END_PLAIN ((int64_t)(COARSE + PLAIN) << BITS)

uint32_t
metasd_prune_key(double size, int exponent)
{
    const int64_t unit = (int64_t)1 << BITS;
    int64_t position, key;
    int own;

    if (!(size > 0))
        return 0;
    if (size > DBL_MAX)
        return METASD_PRUNE_MUST - 1;
    position = llrint(frexp(size, &own) * (double)(2 * unit)) - unit;
    position += ((int64_t)own + exponent - LEAST) * unit;
    if (position < 0)
        key = FIRST_PLAIN - 1 - (-1 - position) / ((int64_t)1 << DROPPED);
    else if (position < END_PLAIN - FIRST_PLAIN)
        key = FIRST_PLAIN + position;
    else
        key = END_PLAIN + ((position - (END_PLAIN - FIRST_PLAIN)) >> DROPPED);
    return key < 1 ? 1 : key > METASD_PRUNE_MUST - 1 ? METASD_PRUNE_MUST - 1 : (uint32_t)key;
}

double
metasd_prune_size(uint32_t key)
{
    const int64_t unit = (int64_t)1 << BITS, step = (int64_t)1 << DROPPED;
    int64_t place = (int64_t)(key & (METASD_PRUNE_MUST - 1)), position, own;

    if (place == 0)
        return 0;
    if (place < FIRST_PLAIN)
        position = (place - FIRST_PLAIN) * step;
    else if (place < END_PLAIN)
        position = place - FIRST_PLAIN;
    else
        position = END_PLAIN - FIRST_PLAIN + (place - END_PLAIN) * step;
    own = position >= 0 ? position / unit : -1 - (-1 - position) / unit;
    return fmin(ldexp((double)(unit + position - own * unit), (int)own + LEAST - BITS - 1),
                DBL_MAX);
}

/* ---- the cut ---- */

/* Counts this member's weights: by upper half, or by lower half where the upper is `upper`. */
static MetasdStatus
count_bits(MetasdTeam *team, const uint32_t *keys, const MetasdSpan *runs, int nruns, int64_t upper,
           uint64_t *bins)
{
    MetasdWalk walk;

    memset(bins, 0, METASD_PRUNE_BINS * sizeof(*bins));
    for (walk = metasd_team_walk(team, runs, nruns, 1); metasd_team_walk_next(&walk);)
        for (size_t i = walk.first; i < walk.end; i++) {
            uint32_t bits = keys[i];

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
metasd_prune_cut(MetasdTeam *team, const uint32_t *keys, size_t m, const MetasdSpan *runs,
                 int nruns, double sparsity, uint64_t *bins, uint32_t *cut)
{
    uint64_t *mine = bins + (size_t)team->rank * METASD_PRUNE_BINS;
    uint32_t upper;
    uint64_t index;
    double at;

    if (m == 0 || !(sparsity >= 0 && sparsity <= 1))
        return METASD_INVALID;
    at = ceil(sparsity * (double)m);
    index = at >= (double)m ? (uint64_t)m - 1 : (uint64_t)at;
    METASD_TRY(count_bits(team, keys, runs, nruns, -1, mine));
    METASD_TRY(team->barrier(team));
    upper = find_bin(bins, team->size, &index);
    METASD_TRY(team->barrier(team)); /* all have read the bins before they are counted anew */
    METASD_TRY(count_bits(team, keys, runs, nruns, upper, mine));
    METASD_TRY(team->barrier(team));
    *cut = upper << 16 | find_bin(bins, team->size, &index);
    return team->barrier(team);
}
