/*
 * relation_loss.h - the relation loss (Chen et al. 2021): each example's relation among all P,
 * given its head and tail.
 */
#ifndef METASD_CORE_TRAIN_RELATION_LOSS_H
#define METASD_CORE_TRAIN_RELATION_LOSS_H

#include "core/train/objective.h"

/* The relation loss before its weight; its gradient times the weight is added. */
extern MetasdStatus metasd_relation_loss(const MetasdObjective *objective, const float *table,
                                         bool pruned, float *gradient, double *loss);

#endif
