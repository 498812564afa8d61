/*
 * growth.h - how many answers a question lacks, by the number of those that are known.
 *
 * Facts that are missing at random leave questions with one answer fewer. So of questions with d
 * known answers, n(d) of a relation, those that lack one more were counted among n(d + 1) when
 * nothing was missing, and the missing answers of a question are in proportion to
 *
 *     (d + 1) n(d + 1) / n(d)
 *
 * as in the estimate of Good and Turing (Good 1953). Where every question has one answer, one that
 * has its answer lacks nothing; where some have hundreds, one of a hundred lacks more than one of
 * ten. Numbers are counted in ranges that widen, and a few questions of the usual kind, which lack
 * as many as they have, are added to each.
 */
#ifndef METASD_CORE_MODEL_GROWTH_H
#define METASD_CORE_MODEL_GROWTH_H

#include <stdint.h>

#define METASD_GROWTH_RANGES 64

typedef struct MetasdGrowth {
    double questions[METASD_GROWTH_RANGES]; /* with so many answers */
    double answers[METASD_GROWTH_RANGES];   /* of the questions with one answer more */
    double counted;
} MetasdGrowth;

/* Starts without questions. */
extern void metasd_growth_start(MetasdGrowth *growth);

/* Counts a question with so many known answers, at least one. */
extern void metasd_growth_count(MetasdGrowth *growth, uint32_t answers);

/* All of N entities that were not counted have questions without answers. */
extern void metasd_growth_complete(MetasdGrowth *growth, uint32_t n);

/* In proportion to the missing answers of a question with so many known ones; above 0. */
extern double metasd_growth_of(const MetasdGrowth *growth, uint32_t answers);

#endif
