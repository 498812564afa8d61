#include "run.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "catalog.h"

/*
 * Advisory locks of SQL have 1 or 2 in the last field: nobody can take this one by accident.
 * Runs 4 billion apart share a lock.
 */
static void
run_lock_tag(LOCKTAG *tag, Oid extension, int64 run)
{
    SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, extension, (uint32)run, 0x6d73);
}

void
metasd_run_lock(Oid extension, int64 run)
{
    LOCKTAG tag;

    run_lock_tag(&tag, extension, run);
    (void)LockAcquire(&tag, ExclusiveLock, true, false);
}

bool
metasd_run_is_alive(int64 run)
{
    LOCKTAG tag;

    if (RecoveryInProgress())
        return false;
    run_lock_tag(&tag, metasd_extension(), run);
    if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
        return true;
    LockRelease(&tag, ShareLock, false);
    return false;
}

int
metasd_run_pid(int64 run)
{
    static MetasdStatement holder = {
        "SELECT l.pid FROM pg_catalog.pg_locks l WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory'"
        " AND l.database OPERATOR(pg_catalog.=) $1 AND l.classid OPERATOR(pg_catalog.=) $2"
        " AND l.objid OPERATOR(pg_catalog.=) $3 AND l.objsubid OPERATOR(pg_catalog.=) 28019"
        " AND l.mode OPERATOR(pg_catalog.=) 'ExclusiveLock' AND l.granted",
        3,
        {OIDOID, OIDOID, OIDOID},
        NULL};
    Datum values[3] = {ObjectIdGetDatum(MyDatabaseId), ObjectIdGetDatum(metasd_extension()),
                       ObjectIdGetDatum((Oid)run)};
    int pid = 0;

    SPI_connect();
    if (metasd_execute(&holder, values, NULL, true) > 0) {
        bool isnull;

        pid = DatumGetInt32(metasd_column(0, 1, &isnull));
    }
    SPI_finish();
    return pid;
}

/* The row's status as the newest snapshot has it, or NULL if there is no such run. */
static char *
newest_status(int64 run)
{
    static MetasdStatement look = {
        "SELECT status FROM metasd.run WHERE id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}, NULL};
    Datum value = Int64GetDatum(run);
    char *status = NULL;

    SPI_connect();
    PushActiveSnapshot(GetLatestSnapshot());
    if (metasd_execute(&look, &value, NULL, true) > 0)
        status = metasd_column_text(0, 1);
    PopActiveSnapshot();
    SPI_finish();
    return status;
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
    return newest && !unfinished(newest) ? newest : "interrupted";
}

void
metasd_doze(long milliseconds)
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

PG_FUNCTION_INFO_V1(metasd_run_status_sql);

/* metasd.run_status(run bigint, status text) returns text */
Datum
metasd_run_status_sql(PG_FUNCTION_ARGS)
{
    char *status = text_to_cstring(PG_GETARG_TEXT_PP(1));

    PG_RETURN_TEXT_P(cstring_to_text(metasd_run_status(PG_GETARG_INT64(0), status)));
}
