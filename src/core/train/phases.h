/*
 * phases.h - the phases of a training: in the first epochs only the full model is trained, then
 * full model and student together, in the last ones only the student (doc/method.md, "Phases").
 *
 * All are functions of only the options and an epoch's number (from 1).
 */
#ifndef METASD_CORE_TRAIN_PHASES_H
#define METASD_CORE_TRAIN_PHASES_H

#include "core/train/options.h"

/* Is there a student before the end? */
extern bool metasd_phases_has_student(const MetasdTrainOptions *options);

/* Is the student of this epoch pruned? The last one's is, so that there is a model to keep. */
extern bool metasd_phases_prunes(const MetasdTrainOptions *options, int epoch);

/* The sparsity of a pruned epoch: it rises to the full value. */
extern double metasd_phases_sparsity(const MetasdTrainOptions *options, int epoch);

/* Is only the student trained? */
extern bool metasd_phases_finetunes(const MetasdTrainOptions *options, int epoch);

/* Does the student see its weights as they will be stored? In the last epochs of fine-tuning. */
extern bool metasd_phases_rounds(const MetasdTrainOptions *options, int epoch);

/*
 * Is there a full model besides the student? Not where the student has learnt alone from the first
 * epoch on, as nothing has trained what is pruned, nor while it alone learns and is not pruned, as
 * it is all there is.
 */
extern bool metasd_phases_has_full(const MetasdTrainOptions *options, int epoch);

/* The learning rate of an epoch. */
extern float metasd_phases_rate(const MetasdTrainOptions *options, int epoch);

/* A mask is taken for every epoch, but for those of fine-tuning that come after the ramp. */
extern bool metasd_phases_takes_mask(const MetasdTrainOptions *options, int epoch);

#endif
