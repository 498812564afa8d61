/*
 * launch_order.h - the order that a session gives to the worker that trains for it.
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

/* The order. It is in bgw_extra of the leading worker and of the workers that follow it. */
typedef struct MetasdLaunch {
    int64 run;
    TransactionId transaction; /* top-level; the run exists when this transaction has committed */
    Oid database;
    Oid extension; /* after DROP EXTENSION another one may have a run of this number */
    Oid owner;     /* of the model; the worker connects as this role */
    /* Settings of the session: */
    int train_mem; /* kB; 0: no limit */
    int max_workers;
    int nice;
    /* Among all trainings of the owner: */
    int place; /* of this training; quota.h */
    int most_workers;
    /* Limits that have their default in the session, as bits (1 << MetasdLimit): */
    int unset;
    bool limited; /* metasd.train_mem_limit has lowered train_mem */
    bool resume;  /* the run continues from its checkpoint */
} MetasdLaunch;

#endif
