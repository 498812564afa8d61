/*
 * sparse_products.h - products of a slice's kept weights with a tile of queries.
 *
 * A slice has `rows` rows of which few weights are kept; a tile is METASD_TILE queries side by
 * side: tile[j x METASD_TILE + b] is component j of query b. Queries stay in registers while kept
 * weights stream past, so that each is read once per tile. The kernels are compiled for several
 * instruction sets, and the processor decides which of them are used; no bit of a result depends on
 * anything else.
 */
#ifndef METASD_CORE_MATH_SPARSE_PRODUCTS_H
#define METASD_CORE_MATH_SPARSE_PRODUCTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kept weights of one slice, by rows and by columns, with packed values. */
typedef struct MetasdKept {
    size_t rows, width;
    const uint32_t *row_start;    /* rows + 1: where a row's weights begin in column[] */
    const uint16_t *column;       /* of each kept weight, ascending within a row */
    const uint32_t *column_start; /* width + 1: where a column's weights begin in row[] */
    const uint16_t *row;          /* of each kept weight, ascending within a column */
    const float *by_row;          /* values in the order of column[] */
    const float *by_column;       /* values in the order of row[] */
} MetasdKept;

typedef struct MetasdSparseKernels {
    const char *name; /* of the instruction set */

    /*
     * Part of the weights up to which these kernels are faster than the dense products, all three
     * taken together (test/bench/kernels.c measures it). A constant, so that no timing decides.
     */
    double most_density;

    /* z[e x stride + b] = (add ? z : 0) + <row e, query b> */
    void (*scores)(const MetasdKept *kept, const float *tile, bool add, float *z, size_t stride);

    /* out[j x METASD_TILE + b] = (add ? out : 0) + sum over e of g[e x stride + b] weight[e][j] */
    void (*queries)(const MetasdKept *kept, const float *g, size_t stride, bool add, float *out);

    /* sum[k] += <g[e], component j of the queries> over `lanes` queries, for each kept (e, j) */
    void (*weights)(const MetasdKept *kept, const float *g, size_t stride, const float *tile,
                    size_t lanes, float *sum);
} MetasdSparseKernels;

/* Those for this processor. */
extern const MetasdSparseKernels *metasd_sparse_kernels(void);

/* All that this processor can run, the best one first; NULL after the last. For tests. */
extern const MetasdSparseKernels *metasd_sparse_kernels_at(int i);

#endif
