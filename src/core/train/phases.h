/*
 * phases.h - what each epoch of a training is for: the source alone, both, the student alone.
 *
 * Functions of the options and of an epoch's number (from 1), and of nothing else.
 */
#ifndef METASD_CORE_TRAIN_PHASES_H
#define METASD_CORE_TRAIN_PHASES_H

#include "core/train/train.h"

/* Is there a student before the end? */
extern bool metasd_phases_guided(const MetasdTrainOptions *options);

/* Is the student of this epoch pruned? The last one's is, so that there is a model to keep. */
extern bool metasd_phases_prunes(const MetasdTrainOptions *options, int epoch);

/* The sparsity of a pruned epoch: it rises to the full value. */
extern double metasd_phases_sparsity(const MetasdTrainOptions *options, int epoch);

/* Does the student learn alone? */
extern bool metasd_phases_finetunes(const MetasdTrainOptions *options, int epoch);

/* The learning rate of an epoch. */
extern float metasd_phases_rate(const MetasdTrainOptions *options, int epoch);

/* A mask is taken for every epoch, but for those of fine-tuning that come after the ramp. */
extern bool metasd_phases_takes_mask(const MetasdTrainOptions *options, int epoch);

/* Is there nothing to come? */
extern bool metasd_phases_over(const MetasdTrainOptions *options, const MetasdProgress *progress);

#endif
