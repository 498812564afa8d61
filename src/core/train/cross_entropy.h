/*
 * cross_entropy.h - the loss of a block's targets by softmax, of one model without another.
 */
#ifndef METASD_CORE_TRAIN_CROSS_ENTROPY_H
#define METASD_CORE_TRAIN_CROSS_ENTROPY_H

#include "core/train/products.h"

/*
 * The mean loss of a block's targets by softmax, through block[b]; the gradient by the table is
 * added, dqueries are set. pairs[i].weight is the sum of the weights of query i's targets. Adds to
 * *loss.
 */
extern MetasdStatus metasd_cross_entropy(const MetasdPass *pass, int b, const MetasdTable *table,
                                         const MetasdQueries *queries, const MetasdTargets *targets,
                                         MetasdSoftmaxPair *pairs, float *gradient, float *dqueries,
                                         double *loss);

/* The loss of a block's targets from their kept scores t and the joined sums. */
extern double metasd_cross_entropy_loss(const MetasdPass *pass, int t, const MetasdTargets *targets,
                                        const MetasdSoftmaxPair *pairs);

#endif
