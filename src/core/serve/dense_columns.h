/*
 * dense_columns.h - scores of all entities from the dimensions that many of them keep.
 *
 * Such a column has a code for every entity, that of 0 if it keeps no weight there. Codes are
 * stored in tiles of 64 entities, with all columns of a tile one after the other. So a query reads
 * memory once, forwards, and the sums of a tile stay in registers.
 *
 * Codes are whole numbers of 8 bits, and a weight is the scale of its entity x the code; or they
 * are floats, the weights themselves.
 *
 * Whole codes meet a query in whole numbers, too: its weights are rounded to multiples of a step,
 * 2^23 of which make up the largest. That is as fine as what sums of floats lose. Sums of whole
 * numbers are exact, in any order, so every instruction set gives the same bits, and processors
 * have instructions for them: four columns of 16 entities at once. A weight is split into parts
 * that are narrow enough for these. Codes are stored without a sign, 128 more than they are,
 * because that is what the instructions want; the sum of 128 x weight is subtracted in the end.
 *
 * Products of floats are rounded before they are added, column after column, so that every
 * instruction set gives the same bits, as in postings.h; this file is compiled without contraction.
 */
#ifndef METASD_CORE_SERVE_DENSE_COLUMNS_H
#define METASD_CORE_SERVE_DENSE_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "core/serve/postings.h"

/* The types of codes, the narrower first. */
typedef enum MetasdCodes {
    METASD_CODES_INT8,  /* uint8_t: METASD_CODE_ZERO + the code */
    METASD_CODES_FLOAT, /* float */
    METASD_CODES
} MetasdCodes;

#define METASD_CODE_ZERO 128

extern const size_t metasd_dense_code_bytes[METASD_CODES];

/* Tiles of `columns` columns each, and a scale for each of their entities if codes are whole. */
typedef struct MetasdDenseColumns {
    MetasdCodes kind;
    const void *codes;
    size_t columns;
    const double *scales;
} MetasdDenseColumns;

/* The weight of entity E in a column. */
static inline float
metasd_dense_weight(const MetasdDenseColumns *tiles, size_t e, size_t column)
{
    size_t at = (e / METASD_WORD * tiles->columns + column) * METASD_WORD + e % METASD_WORD;

    return tiles->kind == METASD_CODES_FLOAT
               ? ((const float *)tiles->codes)[at]
               : (float)((((const uint8_t *)tiles->codes)[at] - METASD_CODE_ZERO) *
                         tiles->scales[e]);
}

/* A column that a query reads. */
typedef struct MetasdDenseColumn {
    uint32_t number;
    float weight; /* of the query; finite */
} MetasdDenseColumn;

/* Four columns that a query reads; its weights there in whole steps, in the parts of a kernel. */
typedef struct MetasdDenseQuad {
    uint32_t number[4];
    int32_t part[4];
} MetasdDenseQuad;

/* A query, in memory that the caller has. */
typedef struct MetasdDenseQuery {
    MetasdDenseColumn *columns;
    size_t count;
    MetasdDenseQuad *quads; /* room for metasd_dense_quads(count) */
    double step;            /* of whole weights */
    int64_t bias;           /* METASD_CODE_ZERO x the sum of them */
} MetasdDenseQuery;

/* The most whole steps of a weight: three bytes, each from -128 to 127. */
#define METASD_DENSE_MOST 0x7f7f7f

/* Quads that are added in 32 bits without overflow. */
#define METASD_DENSE_BLOCK ((size_t)1024)

static inline size_t
metasd_dense_quads(size_t columns)
{
    return (columns + 3) / 4;
}

typedef struct MetasdDenseKernels {
    const char *name; /* of the instruction set */

    unsigned part_bits; /* of a weight's parts: 8 (three bytes) or 12 (two of 16 bits) */

    /*
     * sums[p][e] = the sum of part p x stored code, for the 64 entities of a tile; COUNT is at most
     * METASD_DENSE_BLOCK. NEXT is the tile that will be read next.
     */
    void (*add)(const uint8_t *tile, const uint8_t *next, const MetasdDenseQuad *quads,
                size_t count, int32_t sums[3][METASD_WORD]);

    /* scores[e] = the sum of weight x code, in the order of the columns, + 0. */
    void (*add_floats)(const MetasdDenseColumns *tiles, size_t count, const MetasdDenseQuery *query,
                       float *scores);
} MetasdDenseKernels;

/* Rounds the query's weights to whole steps, if the codes are whole: before the functions below. */
extern void metasd_dense_prepare(const MetasdDenseKernels *kernels, MetasdCodes kind,
                                 MetasdDenseQuery *query);

/*
 * scores[e] = the sum of the query's weights x those of the entity, + 0, which is never -0, for 64
 * entities of each of the first `count` tiles.
 */
extern void metasd_dense_scores(const MetasdDenseKernels *kernels, const MetasdDenseColumns *tiles,
                                size_t count, const MetasdDenseQuery *query, float *scores);

/*
 * Reads tile T into a cache. That is faster than to read the columns of one query after the other,
 * if queries read most of them in the end.
 */
extern void metasd_dense_touch(const MetasdDenseColumns *tiles, size_t t);

/* The score of entity E alone: the same bits. */
extern float metasd_dense_score(const MetasdDenseColumns *tiles, size_t e,
                                const MetasdDenseQuery *query);

/* The kernels for this processor. */
extern const MetasdDenseKernels *metasd_dense_kernels(void);

/* All kernels that this processor can run, the best first; NULL after the last. For tests. */
extern const MetasdDenseKernels *metasd_dense_kernels_at(int i);

#endif
