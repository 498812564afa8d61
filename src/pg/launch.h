/*
 * launch.h - what a session hands to the worker that trains for it.
 */
#ifndef METASD_LAUNCH_H
#define METASD_LAUNCH_H

#include "catalog.h"

#define METASD_TRAIN_LIBRARY "metasd_train"
#define METASD_WORKER_TYPE "metasd training" /* in pg_stat_activity */
#define METASD_TRAIN_FUNCTION "metasd_train_main"

/* In bgw_extra of the worker that leads, and of those that follow it. */
typedef struct MetasdLaunch {
    int64 run;
    TransactionId transaction; /* top-level one that started it: the run counts once it commits */
    Oid database;
    Oid extension; /* another one after DROP EXTENSION, where the numbers of runs begin anew */
    Oid owner;     /* of the model: the role the worker connects as */
    /* settings of the session */
    int train_mem; /* kB */
    int max_workers;
    int nice;
    bool resume; /* the run's row was there before: it goes on from its checkpoint */
} MetasdLaunch;

/* ---- launch.c ---- */

struct MetasdModel;

/* Raises an error where a training of that model could not start, for its owner's rights or its source. */
extern void metasd_launch_check(const struct MetasdModel *model);

/*
 * The model of a run, locked, for a function that is to start the run again. Errors: on a standby, in a
 * transaction that may not write, for a run that is not there or not the caller's.
 */
extern struct MetasdModel *metasd_launch_model(const char *function, int64 run);

/* Errors where a run of the model is alive; one that is dead gets the status it deserves. */
extern void metasd_launch_alone(const struct MetasdModel *model);

/* Starts the worker of a run that goes on from its checkpoint. */
extern void metasd_launch_again(const struct MetasdModel *model, int64 run);

#endif
