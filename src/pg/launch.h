/*
 * launch.h - what a session hands to the worker that trains for it.
 */
#ifndef METASD_LAUNCH_H
#define METASD_LAUNCH_H

#include "compat.h"

#define METASD_TRAIN_LIBRARY "metasd_train"
#define METASD_TRAIN_FUNCTION "metasd_train_main"

/* In the worker's bgw_extra. */
typedef struct MetasdLaunch {
    int64 run;
    TransactionId transaction; /* top-level one that started it: the run counts once it commits */
    Oid database;
    Oid extension; /* another one after DROP EXTENSION, where the numbers of runs begin anew */
    Oid owner;     /* of the model: the role the worker connects as */
    int train_mem; /* metasd.train_mem of the session, in kB */
} MetasdLaunch;

#endif
