/*
 * prune.h - pruning by selection.
 *
 * The mask keeps the weights whose size is at least that of the weight at index ceil(s M), counted
 * from 0, among all M weights in ascending order of size (the last one at most; s is the sparsity).
 * Sizes are compared as keys, 32-bit numbers of the same order. The cut is found by counting the
 * upper and then the lower half of the keys' bits: two passes, no sort, the same for every team.
 *
 * A size is a product of powers that no float may hold: a key has room for any. Where weights are,
 * it holds them exactly, as floats do; sizes that are extreme lose digits rather than their order.
 */
#ifndef METASD_CORE_TRAIN_PRUNE_H
#define METASD_CORE_TRAIN_PRUNE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/team.h"

#define METASD_PRUNE_BINS ((size_t)1 << 16)

/* Added to the key of what must be kept, which then comes before all others. */
#define METASD_PRUNE_MUST (UINT32_C(1) << 31)

/*
 * The key, below METASD_PRUNE_MUST, of SIZE x 2^EXPONENT, rounded to the 24 bits of a float. SIZE
 * is not negative; 0 has key 0, and nothing else has.
 */
extern uint32_t metasd_prune_key(double size, int exponent);

/* The size of a key; finite, and 0 where it is less than any double. */
extern double metasd_prune_size(uint32_t key);

/*
 * The cut for `sparsity` (0 .. 1). `keys` are those of all M weights; `runs` this member's part of
 * them, and the runs of all members are all of them; `bins` has team->size x METASD_PRUNE_BINS
 * shared numbers. Every member gets the same *cut.
 */
extern MetasdStatus metasd_prune_cut(MetasdTeam *team, const uint32_t *keys, size_t m,
                                     const MetasdSpan *runs, int nruns, double sparsity,
                                     uint64_t *bins, uint32_t *cut);

#endif
