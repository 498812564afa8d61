/*
 * ties.h - ranks of answers that come best first. Answers of the same score share a rank, and the
 * next rank leaves a gap, as rank() does in SQL.
 */
#ifndef METASD_CORE_RANKING_TIES_H
#define METASD_CORE_RANKING_TIES_H

#include <stdint.h>

typedef struct MetasdTies {
    uint32_t count; /* answers so far */
    uint32_t rank;  /* of the last answer */
    float score;    /* of the last answer */
} MetasdTies;

/* The rank of the next answer. */
static inline uint32_t
metasd_ties_rank(MetasdTies *ties, float score)
{
    if (ties->count++ == 0 || score != ties->score)
        ties->rank = ties->count;
    ties->score = score;
    return ties->rank;
}

#endif
