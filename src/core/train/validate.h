/*
 * validate.h - filtered ranking of true tails (doc/method.md, "Ranks").
 *
 * The rank of a true tail among all entities, the other known answers of its
 * query left out, is 1 + the number scored higher + half the number scored the
 * same (the realistic rank: pruned rows can tie exactly).
 */
#ifndef METASD_CORE_TRAIN_VALIDATE_H
#define METASD_CORE_TRAIN_VALIDATE_H

#include "core/graph/batch.h"
#include "core/train/state.h"

typedef struct MetasdRanks {
    size_t n;          /* true tails ranked */
    double reciprocal; /* sum of 1 / rank; MRR = reciprocal / n */
    double rank;       /* sum of ranks */
    size_t hits[3];    /* ranks at most 1, 3, 10 */
} MetasdRanks;

/* Adds one rank. */
extern void metasd_validate_add(MetasdRanks *ranks, double rank);

/* Scratch of the ranking of one batch: each member's counts within its own slices. */
typedef struct MetasdValidator {
    size_t batch;     /* in whole tiles */
    uint32_t *higher; /* members x batch */
    uint32_t *same;   /* members x batch */
} MetasdValidator;

extern void metasd_validate_take(MetasdValidator *validator, MetasdArena *arena, int members,
                                 size_t batch);

/*
 * Adds the ranks of a batch's tails by the weights of `table` (of the state's shape; `pruned`:
 * they are 0 where the mask is; NULL: the student of a lean state, as it is shown); uses the
 * workspace's memory of queries and scores. Known answers
 * of the graph are left out, and those that it rules out rank last. All members call it, and all
 * get the same sums.
 */
extern MetasdStatus metasd_validate_batch(MetasdValidator *validator, MetasdState *state,
                                          MetasdTeam *team, const float *table, bool pruned,
                                          const MetasdBatch *batch, const MetasdGraph *graph,
                                          MetasdRanks *ranks);

#endif
