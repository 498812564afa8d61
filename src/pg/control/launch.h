/*
 * launch.h - what a session hands to the worker that trains for it.
 */
#ifndef METASD_PG_CONTROL_LAUNCH_H
#define METASD_PG_CONTROL_LAUNCH_H

#include "pg/catalog/catalog.h"

#define METASD_TRAIN_LIBRARY "metasd_train"
#define METASD_WORKER_TYPE "metasd training" /* in pg_stat_activity */
#define METASD_TRAIN_FUNCTION "metasd_train_main"

/* Settings that bound the others; the names are in METASD_LIMITS. */
typedef enum MetasdLimit {
    METASD_TRAIN_MEM_LIMIT,
    METASD_MIN_NICE,
    METASD_MAX_TRAININGS,
    METASD_MAX_WORKERS,
    METASD_LIMITS
} MetasdLimit;

#define METASD_LIMIT_NAMES                                                                         \
    {                                                                                              \
        "metasd.train_mem_limit", "metasd.min_nice", "metasd.max_trainings_per_role",              \
            "metasd.max_workers_per_role"                                                          \
    }

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
    /* of all trainings of the owner */
    int place; /* of this one; quota.h */
    int most_workers;
    /* limits that the session only has by default, as bits (1 << MetasdLimit); limits.c */
    int unset;
    bool limited; /* train_mem is what metasd.train_mem_limit allows */
    bool resume;  /* the run's row was there before: it goes on from its checkpoint */
} MetasdLaunch;

/*
 * Raises an error where a run of that model could not start: for its owner's rights, or for what is
 * known of its sources before a worker reads them.
 */
extern void metasd_launch_check(const MetasdModel *model);

/* The run of the model that is alive, or 0. Dead ones get the status they deserve. */
extern int64 metasd_launch_alive(const MetasdModel *model);

/* An error where there is one. */
extern void metasd_launch_alone(const MetasdModel *model);

/* The run's model, which must belong to the caller; *status is as the run's row has it. */
extern MetasdModel *metasd_launch_own(int64 run, char **status);

/*
 * The same, locked, for a function that is to start the run again. Errors: on a standby, in a
 * transaction that may not write, for a run that is not there or not the caller's.
 */
extern MetasdModel *metasd_launch_model(const char *function, int64 run);

/* Starts a new run and returns it. */
extern int64 metasd_launch_run(const MetasdModel *model);

/* Starts the worker of a run that goes on from its checkpoint. */
extern void metasd_launch_again(const MetasdModel *model, int64 run);

#endif
