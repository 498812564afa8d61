/*
 * rank_counts.h - where some of many scores stand among the others.
 *
 * A rank is made of two counts: the candidates that score higher than an answer, and
 * those that score the same. All answers of a query are counted against its
 * scores at once. Who is no candidate has the score METASD_LEFT_OUT.
 */
#ifndef METASD_CORE_RANKING_RANK_COUNTS_H
#define METASD_CORE_RANKING_RANK_COUNTS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* Neither higher than nor the same as any score of a model, which are finite. */
#define METASD_LEFT_OUT (-INFINITY)

/* The score of what a model rules out: finite, and lower than any that a model computes. */
#define METASD_IMPOSSIBLE (-1e38f)

typedef struct MetasdRankCounts {
    float score;     /* of the answer; finite */
    uint32_t id;     /* the caller's */
    uint32_t higher; /* candidates above it */
    uint32_t same;   /* candidates that tie with it */
} MetasdRankCounts;

/*
 * Counts, for each of M answers, the N scores above it and equal to it; the answers are by
 * score, the lowest first. No score is NaN. An answer that is among the scores ties with itself.
 */
extern void metasd_rank_counts(size_t n, const float *scores, size_t m, MetasdRankCounts *answers);

#endif
