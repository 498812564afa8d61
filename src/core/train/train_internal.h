/*
 * training.h - a training under way, as train.c and epoch.c share it.
 */
#ifndef METASD_TRAINING_H
#define METASD_TRAINING_H

#include "core/train/train.h"

/* One member's view; what is known of the epochs before is in trainer->progress. */
typedef struct MetasdTraining {
    MetasdTrainer *trainer;
    MetasdTeam *team;
    const MetasdGraph *graph;
    const MetasdTrainOptions *options;
    const MetasdTrainEvents *events;
    MetasdStepOptions step; /* with the learning rates in force, and the stages of this epoch */
    MetasdRun own[2];
    int epoch;            /* under way */
    uint64_t quiz_rounds; /* as the epoch began */
} MetasdTraining;

/* ---- epoch.c ---- */

/* Runs an epoch's batches, again from its start at half the rates while a loss is not finite. */
extern MetasdStatus metasd_epoch_run(MetasdTraining *training, MetasdEpoch *report);

/* Takes a mask and counts what changed against the one before; in *report. */
extern MetasdStatus metasd_epoch_mask(MetasdTraining *training, MetasdEpoch *report,
                                      double sparsity);

/* Puts the quizzes where progress says that they are. */
extern MetasdStatus metasd_epoch_place_quizzes(MetasdTraining *training);

/* student = the kept weights, of this member's rows. */
extern MetasdStatus metasd_epoch_make_student(MetasdTraining *training);

/* Copies this member's rows of a table whose weights have so many bytes. */
extern MetasdStatus metasd_epoch_copy_own(const MetasdTraining *training, void *to,
                                          const void *from, size_t width);

#endif
