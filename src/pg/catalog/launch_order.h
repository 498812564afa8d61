/*
 * launch_order.h - what a session hands to the worker that trains for it.
 */
#ifndef METASD_PG_CATALOG_LAUNCH_ORDER_H
#define METASD_PG_CATALOG_LAUNCH_ORDER_H

#include "pg/base/compat.h"

#define METASD_TRAIN_LIBRARY "metasd_train"
#define METASD_WORKER_TYPE "metasd training" /* in pg_stat_activity */

/* Functions of that library: the worker that leads a training, and one that follows it. */
#define METASD_TRAIN_FUNCTION "metasd_train_main"
#define METASD_FOLLOW_FUNCTION "metasd_follow_main"

/* Settings that bound the others; their names are METASD_LIMIT_NAMES, in this order. */
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

/* It lies in bgw_extra of the worker that leads, and of those that follow it. */
typedef struct MetasdLaunch {
    int64 run;
    TransactionId
        transaction; /* the top-level one that started it: the run counts once it commits */
    Oid database;
    Oid extension; /* another one after DROP EXTENSION, where the numbers of runs begin anew */
    Oid owner;     /* of the model: the role that the worker connects as */
    /* settings of the session */
    int train_mem; /* kB; 0: no limit */
    int max_workers;
    int nice;
    /* of all trainings of the owner */
    int place; /* of this one; quota.h */
    int most_workers;
    /* limits that the session only has by default, as bits (1 << MetasdLimit) */
    int unset;
    bool limited; /* train_mem is what metasd.train_mem_limit allows */
    bool resume;  /* the run's row was there before: it goes on from its checkpoint */
} MetasdLaunch;

#endif
