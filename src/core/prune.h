/*
 * prune.h - magnitude pruning by selection.
 *
 * The mask keeps the weights whose magnitude is at least that of the weight at
 * index ceil(s M), counted from 0, among all M weights in ascending order of
 * magnitude (the last one at most; s is the sparsity). Magnitudes may be weighted by
 * column: a score is a sum over the columns that both its factors keep, so that rows
 * which keep the same columns lose less. Found by counting the
 * upper and then the lower half of the bits of |w|, whose order as integers is
 * the order of the magnitudes: two passes, no sort, the same for every team.
 */
#ifndef METASD_PRUNE_H
#define METASD_PRUNE_H

#include <stddef.h>
#include <stdint.h>

#include "team.h"

#define METASD_PRUNE_BINS ((size_t)1 << 16)

/*
 * The cut for `sparsity` (0 .. 1). `weights` are all M weights, finite, in rows as long as
 * `factors`, which multiply the magnitudes column by column (NULL: none do); `runs`
 * this member's part of them, and the runs of all members are all of them; `bins`
 * has team->size x METASD_PRUNE_BINS shared numbers. Every member gets the same *cut.
 */
extern MetasdStatus metasd_prune_cut(MetasdTeam *team, const float *weights, size_t m,
                                     const float *factors, size_t width, const MetasdRun *runs,
                                     int nruns, double sparsity, uint64_t *bins, float *cut);

/* The magnitude of weight i that counts: of a row of `width`, by factors or without. */
static inline float
metasd_prune_magnitude(const float *weights, const float *factors, size_t width, size_t i)
{
    float w = weights[i] * (factors ? factors[i % width] : 1.0f);

    return w < 0 ? -w : w;
}

#endif
