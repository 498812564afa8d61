/*
 * topk.h - the best of many scores, a few at a time.
 *
 * Candidates come by score, the highest first, then by id. The caller takes candidates until it has
 * enough, and rejects some (known facts, ids that are no candidates). So only the scores that it
 * takes are sorted: each pass over the scores selects a chunk, larger than the one before.
 */
#ifndef METASD_CORE_RANKING_TOPK_H
#define METASD_CORE_RANKING_TOPK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct MetasdTopk {
    const float *scores; /* n, unchanged while candidates are taken */
    uint32_t *ids;       /* scratch of n: the current chunk, best first */
    uint32_t n;
    uint32_t chunk;     /* ids selected by the next pass, at most */
    uint32_t count, at; /* ids in the current chunk, and the next of them */
    float last_score;   /* the last candidate of the chunk: the next pass starts behind it */
    int64_t last_id;
} MetasdTopk;

/* Starts with N scores; none is NaN (a NaN never comes). SCRATCH has N numbers. */
extern void metasd_topk_start(MetasdTopk *topk, uint32_t n, const float *scores, uint32_t *scratch);

/* The next candidate; false after the last of N. */
extern bool metasd_topk_next(MetasdTopk *topk, uint32_t *id, float *score);

#endif
