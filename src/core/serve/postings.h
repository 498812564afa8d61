/*
 * postings.h - scores of all entities from lists of the entities that keep a weight in a dimension.
 *
 * A list has one bit per entity, 64 to a word, and the weights of the set bits, in order. So the
 * weights of eight entities are neighbours in memory: one load and one permutation. An entity
 * number takes one bit instead of 32, and a register sums a score over several lists. Products are
 * rounded before they are added, list after list, so that every instruction set gives the same
 * bits; this file is compiled without contraction (-ffp-contract=off).
 */
#ifndef METASD_CORE_SERVE_POSTINGS_H
#define METASD_CORE_SERVE_POSTINGS_H

#include <stddef.h>
#include <stdint.h>

#define METASD_WORD ((size_t)64) /* entities per word of bits */

static inline size_t
metasd_words(uint32_t entities)
{
    return ((size_t)entities + METASD_WORD - 1) / METASD_WORD;
}

/* A list that is being read. METASD_WORD floats can be read at `end`; more set bits do no harm. */
typedef struct MetasdPosting {
    const uint64_t *bits; /* of the next word */
    const float *at;      /* its first weight */
    const float *end;     /* behind the last weight of all */
    float weight;         /* of the query; finite */
} MetasdPosting;

typedef struct MetasdPostingKernels {
    const char *name; /* of the instruction set */

    /*
     * For the next `words` words: scores[e] += weight x (the list's weight of e, or 0), one list
     * after the other; scores has METASD_WORD floats per word. The lists move on.
     */
    void (*add)(size_t words, MetasdPosting *lists, size_t count, float *scores);
} MetasdPostingKernels;

/* The kernels for this processor. */
extern const MetasdPostingKernels *metasd_postings_kernels(void);

/* All kernels that this processor can run, the best first; NULL after the last. For tests. */
extern const MetasdPostingKernels *metasd_postings_kernels_at(int i);

#endif
