/*
 * prune.h - magnitude pruning by selection.
 *
 * The mask keeps the weights whose magnitude is at least that of the weight at
 * index ceil(s M), counted from 0, among all M weights in ascending order of
 * magnitude (the last one at most; s is the sparsity). Found by counting the
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
 * The cut for `sparsity` (0 .. 1). `weights` are all M weights, finite; `runs`
 * this member's part of them, and the runs of all members are all of them; `bins`
 * has team->size x METASD_PRUNE_BINS shared numbers. Every member gets the same *cut.
 */
extern MetasdStatus metasd_prune_cut(MetasdTeam *team, const float *weights, size_t m,
                                     const MetasdRun *runs, int nruns, double sparsity,
                                     uint64_t *bins, float *cut);

#endif
