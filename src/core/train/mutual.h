/*
 * mutual.h - stage 3 of a step: full model and student learn from each other (doc/method.md,
 * "Mutual learning").
 */
#ifndef METASD_CORE_TRAIN_MUTUAL_H
#define METASD_CORE_TRAIN_MUTUAL_H

#include "core/train/objective.h"

/* One Adagrad step with the sum of both gradients; *full and *student are the losses. */
extern MetasdStatus metasd_mutual_step(const MetasdObjective *objective, double *full,
                                       double *student);

#endif
