/*
 * launch.h - starts the workers of runs, and finds the runs that are alive.
 */
#ifndef METASD_PG_CONTROL_LAUNCH_H
#define METASD_PG_CONTROL_LAUNCH_H

#include "pg/catalog/model.h"

/*
 * An error if a run of that model could not start: because of its owner's rights, or because of its
 * sources, as far as they are known before a worker reads them.
 */
extern void metasd_launch_check(const MetasdModel *model);

/*
 * The run of the model that is alive, or 0. Runs whose worker is gone get the status
 * "interrupted".
 */
extern int64 metasd_launch_alive(const MetasdModel *model);

/* An error if a run of the model is alive. */
extern void metasd_launch_alone(const MetasdModel *model);

/* Starts a new run and returns it. METRICS, or NULL, are those that its row begins with. */
extern int64 metasd_launch_run(const MetasdModel *model, Jsonb *metrics);

/* Starts a worker that continues the run from its checkpoint. */
extern void metasd_launch_again(const MetasdModel *model, int64 run);

#endif
