/*
 * best_first.h - the best of many scores whose ids come in no order.
 *
 * The same as topk.h, the highest score first, then the lowest id, where scores[i] is that of
 * ids[i]: the candidates that tie are sorted before the first of them comes.
 */
#ifndef METASD_CORE_RANKING_BEST_FIRST_H
#define METASD_CORE_RANKING_BEST_FIRST_H

#include "core/ranking/topk.h"

typedef struct MetasdBestFirst {
    MetasdTopk topk;
    const uint32_t *ids; /* NULL: candidate i has the id i */
    uint32_t *tied;      /* the ids of the current score, ascending */
    uint32_t count, at;  /* their number, and the next of them */
    float score;
    bool waits;    /* a candidate of the next score has been taken already: */
    uint32_t next; /* its place */
    float next_score;
} MetasdBestFirst;

/* Starts with N scores, as metasd_topk_start does. SCRATCH has 2 N numbers, or N if IDS is NULL. */
extern void metasd_best_first_start(MetasdBestFirst *best, uint32_t n, const float *scores,
                                    const uint32_t *ids, uint32_t *scratch);

/* The next candidate; false after the last of N. */
extern bool metasd_best_first_next(MetasdBestFirst *best, uint32_t *id, float *score);

#endif
