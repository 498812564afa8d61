/*
 * quota.h - limits the trainings and the workers of a role, in all databases together.
 *
 * A training has a place among the trainings of its role. The place is a lock that its worker holds
 * during its whole life. So a training counts before others see its row, and does not count after
 * its worker is gone. A session that looks for a free place locks the role's gate, and unlocks the
 * gate when the worker has taken the place.
 */
#ifndef METASD_PG_CATALOG_QUOTA_H
#define METASD_PG_CATALOG_QUOTA_H

#include "pg/base/compat.h"

/* The most trainings and workers of a role, according to a setting; -1 means the default. */
extern int metasd_quota_trainings(int setting, Oid role);
extern int metasd_quota_workers(int setting, Oid role);

/* Lowers an amount of memory to a limit, and then sets *LIMITED. Both are in kB; 0: no limit. */
extern void metasd_quota_limit_memory(int *memory, int limit, bool *limited);

/*
 * In a session: locks the gate until metasd_quota_leave or the end of the transaction, and returns
 * a free place. An error if the role has MOST trainings and none of them ends within two seconds.
 */
extern int metasd_quota_enter(Oid role, int most);
extern void metasd_quota_leave(Oid role);

/* In a worker: takes a place for the rest of its life; an error if the place is not free. */
extern void metasd_quota_hold(Oid role, int place);

/* In a worker, after a transaction that failed: takes the place again, if it was released. */
extern void metasd_quota_hold_again(void);

/* In a worker: locks the gate, or returns false if another process has it; and unlocks it. */
extern bool metasd_quota_try_gate(Oid role);
extern void metasd_quota_leave_gate(Oid role);

/* The number of trainings of the role, for a process that is none of them; and of all workers. */
extern int metasd_quota_count_trainings(Oid role);
extern int metasd_quota_count_workers(Oid role);

#endif
