/*
 * run.h - whether the worker of a run is alive.
 */
#ifndef METASD_PG_CATALOG_RUN_H
#define METASD_PG_CATALOG_RUN_H

#include "pg/base/compat.h"

/*
 * A run is alive while its worker holds a lock of the run's, whatever its row says: it
 * goes with the process, however that ends. It is on the number and on the
 * extension, since after DROP EXTENSION another may have a run of that number.
 */
extern void metasd_run_lock(Oid extension, int64 run); /* by the worker, for its lifetime */
extern void metasd_run_keep_locks(void); /* after each transaction; by others than workers no-op */
extern bool metasd_run_is_alive(int64 run); /* false on a standby */
extern int metasd_run_pid(int64 run);       /* of the process that holds the lock, or 0 */

/* What the row should say: `status`, or "interrupted" where nobody holds the lock any more. */
extern const char *metasd_run_status(int64 run, const char *status);

/* An error where a subscription replicates models from another database: they are trained there. */
extern void metasd_run_check_here(void);

/* Sleeps for so long or until the latch is set, and serves interrupts: for who waits for a run. */
extern void metasd_run_sleep(long milliseconds);

/* Raises the error for a run that is not there. */
extern _Noreturn void metasd_run_unknown(int64 run);

#endif
