/*
 * checkpoint.h - the state of a training in rows of metasd.checkpoint, from which it can go on.
 *
 * A run has two parts; its row names the one that is whole. The other is written chunk by chunk,
 * each in a transaction of its own; the last of these lets the row name it and removes the part
 * before. Whenever the server stops, the row names a whole part, or none if there never was one.
 */
#ifndef METASD_PG_WORKER_CHECKPOINT_H
#define METASD_PG_WORKER_CHECKPOINT_H

#include "pg/base/compat.h"

#include "utils/timestamp.h"

#include "pg/worker/input.h"
#include "pg/worker/process.h"
#include "pg/worker/training.h"

/* The checkpoints of this run. */
typedef struct MetasdCheckpointState {
    const char *model;
    double every;     /* seconds between two of them; 0: one per epoch; below 0: none */
    uint64 graph;     /* hash of the graph and its labels */
    int part;         /* 0 or 1: the checkpoint that is whole; -1: there is none */
    TimestampTz last; /* when one was written, or the training began */
    double seconds;   /* that one takes */
} MetasdCheckpointState;

/* Gives checkpoints the hash of the graph and its labels: one with another hash is refused. */
extern void metasd_checkpoint_identify(MetasdCheckpointState *state, MetasdProcess *process,
                                       const MetasdGraph *graph, const MetasdInput *input);

/* Fills the trainer, whose memory has been taken, with the run's checkpoint. */
extern void metasd_checkpoint_resume(const MetasdCheckpointState *state, MetasdProcess *process,
                                     MetasdTraining *training);

/*
 * At the end of an epoch: writes a checkpoint if it is time for one. For callbacks of the core.
 */
extern MetasdStatus metasd_checkpoint_after_epoch(MetasdCheckpointState *state,
                                                  MetasdProcess *process, MetasdTraining *training);

/* Removes all checkpoints of the model's runs. In a transaction. */
extern void metasd_checkpoint_forget(const char *model);

#endif
