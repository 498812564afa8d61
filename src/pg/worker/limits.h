/*
 * limits.h - how much the server's configuration allows a training, as its worker sees it.
 */
#ifndef METASD_PG_WORKER_LIMITS_H
#define METASD_PG_WORKER_LIMITS_H

#include "pg/catalog/launch_order.h"
#include "pg/worker/process.h"

/*
 * Lowers the order, and this process's priority, to the limits of the worker's own session where
 * the session that launched it had none set. An error if this training is one too many.
 */
extern void metasd_limits_obey(MetasdLaunch *launch);

/* metasd.image_cache_size, as this worker sees it. */
extern int metasd_limits_cache_size(void);

/* The setting that bounds the training's memory. */
extern const char *metasd_limits_memory_setting(const MetasdLaunch *launch);

/* Is the number of the owner's workers limited? */
extern bool metasd_limits_bind(const MetasdLaunch *launch);

/*
 * Of that many followers wished for, the number that the owner may have now. No other training of
 * the owner takes workers before metasd_limits_end, which is to be called once they have come.
 */
extern int metasd_limits_followers(MetasdProcess *process, int wished);
extern void metasd_limits_end(const MetasdLaunch *launch);

#endif
