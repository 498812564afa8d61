/*
 * best_weights.h - the weights of the best epoch of a lean training (lean.h), while it goes on.
 *
 * They are whole multiples of a step of their row, 16 bits each, which is finer than what a version
 * stores.
 */
#ifndef METASD_CORE_TRAIN_BEST_WEIGHTS_H
#define METASD_CORE_TRAIN_BEST_WEIGHTS_H

#include "core/train/state.h"

typedef struct MetasdBestWeights {
    int16_t *values; /* (N + P) x width */
    float *steps;    /* N + P */
} MetasdBestWeights;

extern void metasd_best_weights_take(MetasdBestWeights *best, MetasdArena *arena, size_t rows,
                                     size_t width);

/* Puts this member's rows of the student there, not rounded. No weight that is not 0 becomes 0. */
extern MetasdStatus metasd_best_weights_keep(MetasdBestWeights *best, const MetasdState *state,
                                             MetasdTeam *team);

/* Overwrites this member's rows of weights with those that were put there. */
extern MetasdStatus metasd_best_weights_restore(const MetasdBestWeights *best, MetasdState *state,
                                                MetasdTeam *team);

#endif
