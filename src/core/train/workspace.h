/*
 * workspace.h - the memory in which a batch is computed: queries, scores, and their gradients.
 */
#ifndef METASD_CORE_TRAIN_WORKSPACE_H
#define METASD_CORE_TRAIN_WORKSPACE_H

#include "core/train/products.h"

typedef struct MetasdWorkspace {
    size_t width;
    MetasdScores scores;        /* blocks of scores, and partial sums */
    float *query[2];            /* batch x width: of the full model, of the student */
    float *query_dot;           /* batch x width: derivative along masked_gradient */
    float *tiles[2];            /* in whole tiles: of other queries, of query[1] */
    float *whole[2];            /* batch x whole columns: of the same */
    float *dquery[2];           /* batch x width: gradients by the queries */
    MetasdSoftmaxPair *pairs;   /* 3 x batch: of the batch, of the quiz, of the relation loss */
    float *target_weights[2];   /* batch: class weights of the examples of a batch, of a quiz */
    double *row_loss;           /* batch: parts of a loss, summed in order */
    size_t *each;               /* batch + 1: 0, 1, 2, ...: every example is a query of its own */
    uint32_t *example_relation; /* batch: its target */
    float *scratch;             /* members x 2 x width */
} MetasdWorkspace;

/* The sizes that a workspace depends on, besides those of its scores. */
typedef struct MetasdWorkspaceNeed {
    size_t batch, width;
    size_t whole; /* whole columns at most */
    int members;
    bool has_student;
} MetasdWorkspaceNeed;

/* Takes all memory but that of the scores (metasd_pass_take). */
extern void metasd_workspace_take(MetasdWorkspace *work, MetasdArena *arena,
                                  const MetasdWorkspaceNeed *need);

/*
 * Queries from number `first` on: those in `rows`, and their tiles and whole columns, which
 * metasd_workspace_tile has made.
 */
extern MetasdQueries metasd_workspace_queries(const MetasdWorkspace *work,
                                              const MetasdPattern *pattern, const float *rows,
                                              int which, size_t first);

/*
 * tiles[which] and whole[which] = this member's share of n queries, for products with a pattern;
 * nothing where that is NULL.
 */
extern MetasdStatus metasd_workspace_tile(const MetasdWorkspace *work, MetasdTeam *team,
                                          const MetasdPattern *pattern, size_t n, const float *rows,
                                          int which);

#endif
