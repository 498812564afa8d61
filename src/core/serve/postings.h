/*
 * postings.h - scores of all entities by the lists of those that keep a weight in a dimension.
 *
 * A list is a bit for every entity, 64 to a word, and behind those bits that are set the weights,
 * in order. So eight entities are one load, and a permutation, of what lies side by side in memory;
 * an entity number costs a bit, not 32; and a score is added up in a register over several lists.
 * Products are rounded before they are added, list after list, so that every instruction set gives
 * the same bits; this file is compiled without contraction (-ffp-contract=off).
 */
#ifndef METASD_CORE_SERVE_POSTINGS_H
#define METASD_CORE_SERVE_POSTINGS_H

#include <stddef.h>
#include <stdint.h>

#define METASD_WORD ((size_t)64) /* entities a word of bits */

static inline size_t
metasd_words(uint32_t entities)
{
    return ((size_t)entities + METASD_WORD - 1) / METASD_WORD;
}

/* A list on its way; METASD_WORD floats can be read at `end`, and more set bits are no danger. */
typedef struct MetasdPosting {
    const uint64_t *bits; /* of the next word */
    const float *at;      /* its first weight */
    const float *end;     /* behind the last weight of all */
    float weight;         /* by which the list counts, finite */
} MetasdPosting;

typedef struct MetasdPostingKernels {
    const char *name; /* of the instruction set */

    /*
     * Over the next `words` words: scores[e] += weight x (the list's at e, or 0), for one list
     * after the other; scores has METASD_WORD floats a word. The lists move on.
     */
    void (*add)(size_t words, MetasdPosting *lists, size_t count, float *scores);
} MetasdPostingKernels;

/* Those for this processor. */
extern const MetasdPostingKernels *metasd_postings_kernels(void);

/* All that this processor can run, the best one first; NULL after the last. For tests. */
extern const MetasdPostingKernels *metasd_postings_kernels_at(int i);

#endif
