/*
 * run.h - whether the worker of a run is alive, and the status of a run.
 */
#ifndef METASD_PG_CATALOG_RUN_H
#define METASD_PG_CATALOG_RUN_H

#include "pg/base/compat.h"

/*
 * A run is alive while its worker holds a lock of the run, whatever the row says. The lock ends
 * with the process, however that ends. It is a lock on the run's number and on the extension's OID,
 * because after DROP EXTENSION another extension may have a run of that number.
 */
extern void metasd_run_lock(Oid extension, int64 run); /* by the worker, for its lifetime */
extern void metasd_run_keep_locks(void);    /* after each transaction; only workers have locks */
extern bool metasd_run_is_alive(int64 run); /* false on a standby */
extern int metasd_run_pid(int64 run);       /* the process that holds the lock, or 0 */

/* The true status: STATUS, or "interrupted" if nobody holds the lock of an unfinished run. */
extern const char *metasd_run_status(int64 run, const char *status);

/*
 * An error if a subscription replicates models from another database, which then trains and changes
 * them.
 */
extern void metasd_run_check_here(void);

/* Sleeps for so long or until the latch is set, and serves interrupts. For loops that wait. */
extern void metasd_run_sleep(long milliseconds);

/* Raises the error for a run that does not exist. */
extern _Noreturn void metasd_run_unknown(int64 run);

#endif
