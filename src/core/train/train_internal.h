/*
 * train_internal.h - a training under way, as train.c and epoch.c share it.
 */
#ifndef METASD_CORE_TRAIN_TRAIN_INTERNAL_H
#define METASD_CORE_TRAIN_TRAIN_INTERNAL_H

#include "core/train/train.h"

/* One member's view; what is known of the epochs before is in trainer->progress. */
typedef struct MetasdTrainLoop {
    MetasdTrainer *trainer;
    MetasdTeam *team;
    const MetasdGraph *graph;
    const MetasdTrainOptions *options;
    const MetasdTrainEvents *events;
    MetasdStepOptions step; /* with the learning rates in force, and the stages of this epoch */
    MetasdSpan own[2];
    int epoch;            /* under way */
    uint64_t quiz_rounds; /* as the epoch began */
} MetasdTrainLoop;

/* ---- epoch.c ---- */

/* Runs an epoch's batches, again from its start at half the rates while a loss is not finite. */
extern MetasdStatus metasd_epoch_run(MetasdTrainLoop *training, MetasdEpoch *report);

/* Takes a mask and counts what changed against the one before; in *report. */
extern MetasdStatus metasd_epoch_mask(MetasdTrainLoop *training, MetasdEpoch *report,
                                      double sparsity);

/* Puts the quizzes where progress says that they are. */
extern MetasdStatus metasd_epoch_place_quizzes(MetasdTrainLoop *training);

/* student = the kept weights, of this member's rows. */
extern MetasdStatus metasd_epoch_make_student(MetasdTrainLoop *training);

/* Copies this member's rows of a table whose weights have so many bytes. */
extern MetasdStatus metasd_epoch_copy_own(const MetasdTrainLoop *training, void *to,
                                          const void *from, size_t width);

#endif
