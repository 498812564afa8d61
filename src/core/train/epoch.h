/*
 * epoch.h - the batches of one epoch, repeated at half the rates while a loss is not finite.
 */
#ifndef METASD_CORE_TRAIN_EPOCH_H
#define METASD_CORE_TRAIN_EPOCH_H

#include "core/train/train.h"

/* A running training as one member sees it; trainer->progress tells of the epochs before. */
typedef struct MetasdTrainLoop {
    MetasdTrainer *trainer;
    MetasdTeam *team;
    const MetasdGraph *graph;
    const MetasdTrainOptions *options;
    const MetasdTrainEvents *events;
    MetasdStepOptions step; /* with the rates and stages of this epoch */
    MetasdSpan own[2];
    bool sampled;         /* the batches of this epoch are scored against samples */
    int epoch;            /* under way */
    uint64_t quiz_rounds; /* as the epoch began */
} MetasdTrainLoop;

/* Runs an epoch's batches; from its start again, at half the rates, while a loss is not finite. */
extern MetasdStatus metasd_epoch_run(MetasdTrainLoop *training, MetasdEpoch *report);

/* Takes a mask; *report gets its threshold and its changes against the one before. */
extern MetasdStatus metasd_epoch_mask(MetasdTrainLoop *training, MetasdEpoch *report,
                                      double sparsity);

/* Moves the quizzes to their place in trainer->progress. */
extern MetasdStatus metasd_epoch_place_quizzes(MetasdTrainLoop *training);

/* student = the kept weights, of this member's rows; as they will be stored if `rounded`. */
extern MetasdStatus metasd_epoch_make_student(MetasdTrainLoop *training, bool rounded);

/* Keeps the student, of this member's rows, as the best so far. */
extern MetasdStatus metasd_epoch_keep(MetasdTrainLoop *training);

#endif
