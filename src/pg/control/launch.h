/*
 * launch.h - starts the workers of runs, and finds the runs that are alive.
 */
#ifndef METASD_PG_CONTROL_LAUNCH_H
#define METASD_PG_CONTROL_LAUNCH_H

#include "pg/catalog/catalog.h"

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
