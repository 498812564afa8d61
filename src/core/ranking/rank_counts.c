#include "core/ranking/rank_counts.h"

#include "core/base/simd.h"

/* At most so many answers get a pass each, in vector code. */
#define FEW 8

METASD_VECTORISE static void
count_one(size_t n, const float *scores, MetasdRankCounts *answer)
{
    float score = answer->score;
    uint32_t higher = 0, same = 0;

#pragma omp simd reduction(+ : higher, same)
    for (size_t i = 0; i < n; i++) {
        higher += scores[i] > score;
        same += scores[i] == score;
    }
    answer->higher = higher;
    answer->same = same;
}

/* The number of answers below that score. */
static size_t
count_below(float score, size_t m, const MetasdRankCounts *answers)
{
    size_t low = 0;

    while (m > 0) {
        size_t half = m / 2;

        if (answers[low + half].score < score) {
            low += half + 1;
            m -= half + 1;
        } else
            m = half;
    }
    return low;
}

/* Counts each score once, at its place; sums from the top give the counts of higher scores. */
static void
count_many(size_t n, const float *scores, size_t m, MetasdRankCounts *answers)
{
    uint32_t above = 0;

    for (size_t a = 0; a < m; a++)
        answers[a].higher = answers[a].same = 0;
    for (size_t i = 0; i < n; i++) {
        size_t place = count_below(scores[i], m, answers);

        if (place < m && answers[place].score == scores[i])
            answers[place].same++; /* the first of equal answers gets it */
        if (place > 0)
            answers[place - 1].higher++;
    }
    for (size_t a = m; a-- > 0;)
        above = answers[a].higher += above;
    for (size_t a = 1; a < m; a++)
        if (answers[a].score == answers[a - 1].score)
            answers[a].same = answers[a - 1].same;
}

void
metasd_rank_counts(size_t n, const float *scores, size_t m, MetasdRankCounts *answers)
{
    if (m > FEW)
        count_many(n, scores, m, answers);
    else
        for (size_t a = 0; a < m; a++)
            count_one(n, scores, &answers[a]);
}
