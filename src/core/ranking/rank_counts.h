/*
 * rank_counts.h - ranks of answers among many scores.
 *
 * A rank consists of two counts: the candidates with a higher score than the answer, and those with
 * the same score. All answers to a question are counted against its scores at once. What is no
 * candidate has the score METASD_LEFT_OUT.
 */
#ifndef METASD_CORE_RANKING_RANK_COUNTS_H
#define METASD_CORE_RANKING_RANK_COUNTS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* Lower than all scores of a model, which are finite. */
#define METASD_LEFT_OUT (-INFINITY)

/* The score of an answer that the model rules out: finite, and lower than all computed scores. */
#define METASD_IMPOSSIBLE (-1e38f)

typedef struct MetasdRankCounts {
    float score;     /* of the answer; finite */
    uint32_t id;     /* for the caller */
    uint32_t higher; /* candidates above it */
    uint32_t same;   /* candidates of the same score */
} MetasdRankCounts;

/*
 * Counts for each of M answers how many of N scores are higher or the same. The answers are sorted
 * by score, the lowest first. No score is NaN. An answer among the scores counts as the same.
 */
extern void metasd_rank_counts(size_t n, const float *scores, size_t m, MetasdRankCounts *answers);

#endif
