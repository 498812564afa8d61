/*
 * quota.h - how many trainings a role has, in all databases, and how many workers.
 *
 * A training has a place among those of its role, as a lock that its worker holds from its first
 * moment to its last: trainings count whose rows nobody else sees yet, and those count no more
 * whose worker is gone. Who looks for a free place locks the role's gate, and leaves it once the
 * place is taken.
 */
#ifndef METASD_PG_CATALOG_QUOTA_H
#define METASD_PG_CATALOG_QUOTA_H

#include "pg/base/compat.h"

#define METASD_NO_PLACE (-1)

/* The most trainings, and workers, that a role may have where a setting says -1, the default. */
extern int metasd_quota_trainings(int setting, Oid role);
extern int metasd_quota_workers(int setting, Oid role);

/* Lowers an amount of memory, in kB and 0 for any, to a limit, likewise; *LIMITED where it does. */
extern void metasd_quota_limit_memory(int *memory, int limit, bool *limited);

/*
 * In a session: locks the gate until metasd_quota_leave or the end of the transaction, and returns
 * a free place. An error where the role has MOST trainings, unless one ends within a moment.
 */
extern int metasd_quota_enter(Oid role, int most);
extern void metasd_quota_leave(Oid role);

/* In a worker, for its lifetime: takes a place; an error if it is not free. */
extern void metasd_quota_hold(Oid role, int place);

/* After a transaction that failed, which lets go of all locks. */
extern void metasd_quota_hold_again(void);

/* In a worker: locks the gate, or unlocks it; false if somebody else has it. */
extern bool metasd_quota_try_gate(Oid role);
extern void metasd_quota_leave_gate(Oid role);

/* Trainings of the role, from outside any of them; and all workers of its trainings. */
extern int metasd_quota_count_trainings(Oid role);
extern int metasd_quota_count_workers(Oid role);

#endif
