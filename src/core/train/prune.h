/*
 * prune.h - the mask: which weights the student keeps (doc/method.md, "Pruning").
 *
 * The mask keeps the most salient weights of the full model. It keeps those whose salience is at
 * least that of the weight at index ceil(s M), counted from 0, among all M weights in ascending
 * order of salience (the last one at most; s is the sparsity). Saliences are compared as keys,
 * 32-bit numbers of the same order. The threshold is found by counting the upper and then the lower
 * half of the keys' bits: two passes, no sort, the same for every team.
 *
 * A salience is a product of powers that no float may hold: a key has room for any. Keys hold the
 * sizes of weights exactly, like floats; extreme sizes lose digits rather than their order.
 *
 * A row of which nothing is kept has a score of 0 with everything, so that all answers to a
 * question about it tie. Therefore some weights of a row, its floor, are kept whatever the
 * threshold: the most salient ones. They count among the kept weights, whose number stays the same.
 */
#ifndef METASD_CORE_TRAIN_PRUNE_H
#define METASD_CORE_TRAIN_PRUNE_H

#include "core/train/state.h"

/* The salience of a weight is |w| x s^(salience / 2) x c^alignment. As published all are 0. */
typedef struct MetasdPruneOptions {
    /*
     * s is the weight's sum in Adagrad, which knows how much the loss depends on a weight: with
     * power 1 this is optimal brain damage (LeCun et al. 1990) with the empirical Fisher
     * information.
     */
    double salience;
    /*
     * c is the norm of the weight's column over all entities. A score is a sum over the columns
     * that both its factors keep: the higher this power, the more rows keep the same ones.
     */
    double alignment;
    /*
     * The reals of a component (both of a complex number) are kept or pruned together, with the
     * root of the sum of the squares of their saliences. A component of which head, relation and
     * tail each keep one real adds one product to a score; one of which they keep both adds four.
     */
    bool by_component;
    /*
     * Weights, or components, that every mask keeps of a row, and of its part as a head and as a
     * tail: the most salient ones.
     */
    int floor;
} MetasdPruneOptions;

/* size x 2^exponent, as powers of the columns' norms may be less than any float. */
typedef struct MetasdFactor {
    float size;
    int exponent;
} MetasdFactor;

typedef struct MetasdPruner {
    MetasdPruneOptions options;

    /* shared by the team */
    uint64_t *bins;        /* members x METASD_PRUNE_BINS */
    double *column_sums;   /* parts of the entities x width: of squares */
    MetasdFactor *factors; /* width: of salience, by column */
    uint32_t *rows;        /* members x width: of a lean state, the keys of a row */
} MetasdPruner;

/* A new mask. */
typedef struct MetasdPruned {
    double threshold;          /* the least salience that is kept */
    uint64_t kept;             /* weights of both tables */
    uint64_t regrown, dropped; /* kept now and not before, and the other way round */
} MetasdPruned;

/* Takes the memory for a state whose memory is taken. */
extern void metasd_prune_take(MetasdPruner *pruner, MetasdArena *arena, const MetasdState *state,
                              int members);

/*
 * Takes a new mask that prunes `sparsity` of all weights, or less where more of them must be kept.
 * Weights that are 0 are never kept. Uses state->keys, and so overwrites the gradient; a lean state
 * has no room for keys, which are computed anew in each pass. Every member gets the same *pruned.
 */
extern MetasdStatus metasd_prune_mask(MetasdPruner *pruner, MetasdState *state, MetasdTeam *team,
                                      double sparsity, MetasdPruned *pruned);

/* Builds the patterns of the mask, where there is room for them. A barrier must follow. */
extern MetasdStatus metasd_prune_patterns(MetasdState *state, MetasdTeam *team);

/* ---- keys, and their threshold: public for tests ---- */

#define METASD_PRUNE_BINS ((size_t)1 << 16)

/* Added to the key of a weight that must be kept, which then comes before all others. */
#define METASD_PRUNE_MUST (UINT32_C(1) << 31)

/*
 * The key, below METASD_PRUNE_MUST, of SIZE x 2^EXPONENT, rounded to the 24 bits of a float. SIZE
 * is not negative; only 0 has key 0. For tests.
 */
extern uint32_t metasd_prune_key(double size, int exponent);

/* The size of a key; finite, and 0 where it is less than any double. For tests. */
extern double metasd_prune_size(uint32_t key);

/*
 * The threshold of `sparsity` (0 .. 1). `keys` are those of all M weights; `spans` this member's
 * part of them, and the spans of all members are all of them; `bins` has team->size x
 * METASD_PRUNE_BINS shared numbers. Every member gets the same *threshold. For tests.
 */
extern MetasdStatus metasd_prune_threshold(MetasdTeam *team, const uint32_t *keys, size_t m,
                                           const MetasdSpan *spans, int nspans, double sparsity,
                                           uint64_t *bins, uint32_t *threshold);

#endif
