/*
 * products.h - the products of a pass (pass.h): scores of queries by the rows of a slice, and the
 * way back.
 */
#ifndef METASD_CORE_TRAIN_PRODUCTS_H
#define METASD_CORE_TRAIN_PRODUCTS_H

#include "core/train/pass.h"

/* block[b] = (add ? block[b] : 0) + queries x table^T. */
extern MetasdStatus metasd_products_scores(const MetasdPass *pass, int s, int b,
                                           const MetasdTable *table, const MetasdQueries *queries,
                                           bool add);

/*
 * Back through block[b]: gradient += block[b] queries at the rows of the slice (and its kept
 * weights, where the table has a pattern; it is packed like them where they are packed); the part
 * of the query gradients is kept for metasd_products_reduce.
 */
extern MetasdStatus metasd_products_back(const MetasdPass *pass, int s, int b,
                                         const MetasdTable *table, const MetasdQueries *queries,
                                         float *gradient);

/* Sums the parts of the query gradients: dqueries is rows x width. */
extern MetasdStatus metasd_products_reduce(const MetasdPass *pass, const MetasdTable *table,
                                           float *dqueries);

/* This member's share of `rows` queries: whole tiles. */
extern MetasdSpan metasd_products_share(const MetasdTeam *team, size_t rows);

/* Of its share, the tiles and whole columns of a pattern; lanes beyond the last query are 0. */
extern MetasdStatus metasd_products_tile(MetasdTeam *team, const MetasdPattern *pattern,
                                         size_t rows, const float *queries, float *tiles,
                                         float *whole);

#endif
