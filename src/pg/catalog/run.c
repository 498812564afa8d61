#include "pg/catalog/run.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "pg/catalog/extension.h"
#include "pg/catalog/statement.h"
#include "pg/catalog/subscription.h"

/*
 * The worker of a living run holds two locks. One of them is enough, but neither survives all
 * events. SQL in a source can release all advisory locks of its session. It cannot release the lock
 * on an object, which belongs to the extension and does not exist; but an aborted transaction does.
 * The worker takes a lost lock again when the transaction is over. Advisory locks of SQL have 1 or
 * 2 in the last field, so nobody takes these by accident. Runs whose numbers differ by a multiple
 * of 2^32 share their locks.
 */
typedef struct RunLocks {
    LOCKTAG tag[2];
} RunLocks;

static RunLocks own_locks; /* of the run whose worker this process is */
static bool is_worker;

static RunLocks
locks_of(Oid extension, int64 run)
{
    RunLocks locks;

    SET_LOCKTAG_ADVISORY(locks.tag[0], MyDatabaseId, extension, (uint32)run, 0x6d73);
    SET_LOCKTAG_OBJECT(locks.tag[1], MyDatabaseId, extension, (uint32)run, 0x6d73);
    return locks;
}

void
metasd_run_keep_locks(void)
{
    if (!is_worker)
        return;
    for (int i = 0; i < 2; i++)
        if (!metasd_lock_is_held(&own_locks.tag[i], ExclusiveLock))
            (void)LockAcquire(&own_locks.tag[i], ExclusiveLock, true, false);
}

/* The worker already holds its place, which releases all locks when the process ends (quota.h). */
void
metasd_run_lock(Oid extension, int64 run)
{
    own_locks = locks_of(extension, run);
    is_worker = true;
    metasd_run_keep_locks();
}

/* Does another process have the lock? */
static bool
is_locked(const LOCKTAG *tag)
{
    if (LockAcquire(tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
        return true;
    LockRelease(tag, ShareLock, false);
    return false;
}

bool
metasd_run_is_alive(int64 run)
{
    RunLocks locks;

    if (RecoveryInProgress())
        return false;
    locks = locks_of(metasd_extension(), run);
    return is_locked(&locks.tag[0]) || is_locked(&locks.tag[1]);
}

int
metasd_run_pid(int64 run)
{
    static MetasdStatement holder = {
        "SELECT l.pid FROM pg_catalog.pg_locks l "
        "WHERE l.locktype = ANY ('{advisory,object}'::text[]) AND l.database = $1 "
        "AND l.classid = $2 AND l.objid = $3 AND l.objsubid = 28019 AND l.mode = 'ExclusiveLock' "
        "AND l.granted",
        3,
        {OIDOID, OIDOID, OIDOID},
        NULL};
    Datum values[3] = {ObjectIdGetDatum(MyDatabaseId), ObjectIdGetDatum(metasd_extension()),
                       ObjectIdGetDatum((Oid)run)};
    int pid = 0;

    SPI_connect();
    if (metasd_statement_execute(&holder, values, NULL, true) > 0) {
        bool isnull;

        pid = DatumGetInt32(metasd_statement_value(0, 1, &isnull));
    }
    SPI_finish();
    return pid;
}

/* The status of the row in the newest snapshot, or NULL if there is no such run. */
static char *
newest_status(int64 run)
{
    static MetasdStatement look = {
        "SELECT status FROM metasd.run WHERE id = $1", 1, {INT8OID}, NULL};
    Datum value = Int64GetDatum(run);
    char *status = NULL;

    SPI_connect();
    PushActiveSnapshot(GetLatestSnapshot());
    if (metasd_statement_execute(&look, &value, NULL, true) > 0)
        status = metasd_statement_text(0, 1);
    PopActiveSnapshot();
    SPI_finish();
    return status;
}

void
metasd_run_check_here(void)
{
    /*
     * A run of this database could take the number of a later one of the publisher, and replication
     * would stop there. What is changed here would be changed again by the publisher.
     */
    if (metasd_subscription_exists())
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("cannot train or change models in a database that subscribes to models of "
                        "another database"),
                 errhint("Models are trained and changed where they are published, and replicated "
                         "from there. Where that database is gone, drop the subscription.")));
}

static bool
is_unfinished(const char *status)
{
    return strcmp(status, "queued") == 0 || strcmp(status, "running") == 0;
}

const char *
metasd_run_status(int64 run, const char *status)
{
    char *newest;

    if (!is_unfinished(status) || RecoveryInProgress() || metasd_run_is_alive(run))
        return status;
    /*
     * The worker may have finished after the caller's snapshot was taken, so the row is read again.
     */
    newest = newest_status(run);
    return newest && (!is_unfinished(newest) || metasd_subscription_exists()) ? newest
                                                                              : "interrupted";
}

void
metasd_run_sleep(long milliseconds)
{
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
                    PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
}

void
metasd_run_unknown(int64 run)
{
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("run " INT64_FORMAT " does not exist", run),
             errhint("Look at metasd.versions.")));
}
