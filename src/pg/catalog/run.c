#include "pg/catalog/run.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "pg/catalog/catalog.h"

/*
 * That a run is alive is told by two locks of its worker's process, of which one is enough: none
 * outlasts all that may happen there. SQL in a source can release all advisory locks of its
 * session; the lock on an object, of the extension's and which there is not, it cannot. That one
 * goes where a transaction aborts, which an advisory lock survives. What has gone is taken again as
 * soon as the transaction is over. Advisory locks of SQL have 1 or 2 in the last field: nobody
 * takes these by accident. Runs 4 billion apart share them.
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

/* The worker holds its place by then, with which all its locks go as the process ends (quota.h). */
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

/* The row's status as the newest snapshot has it, or NULL if there is no such run. */
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

/*
 * Does this database get its runs by a subscription from another, which numbers them? A run of this
 * one would take the number of one to come, and replication would stop there.
 */
static bool
is_subscriber(void)
{
    static MetasdStatement look = {
        "SELECT FROM pg_catalog.pg_subscription_rel WHERE srrelid = 'metasd.model'::regclass "
        "OR srrelid = 'metasd.run'::regclass",
        0,
        {InvalidOid},
        NULL};
    bool subscriber;

    SPI_connect();
    subscriber = metasd_statement_execute(&look, NULL, NULL, true) > 0;
    SPI_finish();
    return subscriber;
}

void
metasd_run_check_here(void)
{
    if (is_subscriber())
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("cannot train in a database that subscribes to models of another database"),
                 errhint("Models are trained where they are published, and replicated from "
                         "there. Where that database is gone, drop the subscription.")));
}

static bool
unfinished(const char *status)
{
    return strcmp(status, "queued") == 0 || strcmp(status, "running") == 0;
}

const char *
metasd_run_status(int64 run, const char *status)
{
    char *newest;

    if (!unfinished(status) || RecoveryInProgress() || metasd_run_is_alive(run))
        return status;
    /*
     * The worker may have finished since the caller's snapshot was taken: what does the row say
     * now?
     */
    newest = newest_status(run);
    return newest && (!unfinished(newest) || is_subscriber()) ? newest : "interrupted";
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
