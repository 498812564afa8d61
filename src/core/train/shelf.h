/*
 * shelf.h - the best weights of a lean training (lean.h) while it goes on.
 *
 * They are whole multiples of a step of their row, 16 bits each, which is finer than what a version
 * stores.
 */
#ifndef METASD_CORE_TRAIN_SHELF_H
#define METASD_CORE_TRAIN_SHELF_H

#include "core/train/state.h"

typedef struct MetasdShelf {
    int16_t *values; /* (N + P) x width */
    float *steps;    /* N + P */
} MetasdShelf;

extern void metasd_shelf_take(MetasdShelf *shelf, MetasdArena *arena, size_t rows, size_t width);

/* Puts this member's rows of the student there, not rounded. No weight that is not 0 becomes 0. */
extern MetasdStatus metasd_shelf_put(MetasdShelf *shelf, const MetasdState *state,
                                     MetasdTeam *team);

/* Overwrites this member's rows of weights with those that were put there. */
extern MetasdStatus metasd_shelf_get(const MetasdShelf *shelf, MetasdState *state,
                                     MetasdTeam *team);

#endif
