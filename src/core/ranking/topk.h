/*
 * topk.h - the best of many scores, a few at a time.
 *
 * Candidates come in one order: score descending, then id ascending. The caller
 * takes as many as it likes and rejects those it must (facts already known, ids
 * outside its candidates), so nothing is sorted that nobody asks for: each pass
 * over the scores selects a chunk, and each chunk is larger than the one before.
 */
#ifndef METASD_CORE_RANKING_TOPK_H
#define METASD_CORE_RANKING_TOPK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct MetasdTopk {
    const float *scores; /* n, the caller's, unchanged while candidates are taken */
    uint32_t *ids;       /* scratch of n: the present chunk, best first */
    uint32_t n;
    uint32_t chunk;    /* ids selected by the next pass, at most */
    uint32_t held, at; /* ids in the present chunk, and the next of them to give */
    float last_score;  /* the end of the chunks so far: the next pass starts behind it */
    int64_t last_id;
} MetasdTopk;

/* Starts over N scores, none of them NaN (a NaN is never given); SCRATCH has N numbers. */
extern void metasd_topk_start(MetasdTopk *topk, uint32_t n, const float *scores, uint32_t *scratch);

/* The next candidate; false after the last, so N in all. */
extern bool metasd_topk_next(MetasdTopk *topk, uint32_t *id, float *score);

#endif
