/*
 * dense_columns.h - scores of all entities from the dimensions that most of them keep.
 *
 * Such a column has a code for every entity, 0 if it keeps no weight there. A weight is the scale
 * of its entity x the code. Codes are stored in tiles of 64 entities, with all columns of a tile
 * one after the other. So a query reads memory once, forwards, and the sums of a tile stay in
 * registers. Products are rounded before they are added, column after column, so that every
 * instruction set gives the same bits, as in postings.h; this file is compiled without contraction.
 */
#ifndef METASD_CORE_SERVE_DENSE_COLUMNS_H
#define METASD_CORE_SERVE_DENSE_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

/* The types of codes, the narrowest first. */
typedef enum MetasdCodes {
    METASD_CODES_INT8,  /* int8_t */
    METASD_CODES_INT16, /* int16_t */
    METASD_CODES_FLOAT, /* float */
    METASD_CODES
} MetasdCodes;

extern const size_t metasd_dense_code_bytes[METASD_CODES];

/* A column that a query reads. */
typedef struct MetasdDenseColumn {
    uint32_t number;
    float weight; /* of the query; finite */
} MetasdDenseColumn;

/* Tiles of `columns` columns each, and a scale for each of their entities. */
typedef struct MetasdDenseColumns {
    const void *codes;
    size_t columns;
    const float *scales;
} MetasdDenseColumns;

typedef struct MetasdDenseKernels {
    const char *name; /* of the instruction set */

    /*
     * scores[e] = scale x (the sum of weight x code, in the order of `asked`) + 0, which is never
     * -0, for 64 entities of each of the first `count` tiles.
     */
    void (*scores[METASD_CODES])(const MetasdDenseColumns *tiles, size_t count,
                                 const MetasdDenseColumn *asked, size_t asked_count, float *scores);
} MetasdDenseKernels;

/* The kernels for this processor. */
extern const MetasdDenseKernels *metasd_dense_kernels(void);

/* All kernels that this processor can run, the best first; NULL after the last. For tests. */
extern const MetasdDenseKernels *metasd_dense_kernels_at(int i);

/* weight x code AT of the array, with the rounding of the kernels: for one entity. */
extern float metasd_dense_code_product(MetasdCodes kind, const void *codes, size_t at,
                                       float weight);

#endif
