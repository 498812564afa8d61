#include "pg/catalog/quota.h"

#include "catalog/pg_authid.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "pg/catalog/launch_order.h"
#include "pg/catalog/run.h"

#define MOST_PLACES 1024
#define NO_PLACE (-1)
#define GATE UINT16_MAX
#define WAIT_FOR_PLACE_MS 2000 /* until another training ends */

/* ---- limits ---- */

/*
 * The defaults do not limit superusers, like limits of connections. Both defaults together leave
 * one or two of max_worker_processes to others, if there are more than two.
 */
int
metasd_quota_trainings(int setting, Oid role)
{
    if (setting >= 0)
        return setting;
    return superuser_arg(role) ? INT_MAX : Max(1, (max_worker_processes - 1) / 2);
}

int
metasd_quota_workers(int setting, Oid role)
{
    if (setting >= 0)
        return Max(1, setting);
    return superuser_arg(role) ? INT_MAX : Max(1, max_worker_processes / 2);
}

void
metasd_quota_limit_memory(int *memory, int limit, bool *limited)
{
    if (limit == 0 || (*memory != 0 && *memory <= limit))
        return;
    *memory = limit;
    *limited = true;
}

/* ---- locks ---- */

/*
 * A lock on a sub-object of the role, which does not exist, so no statement takes it. Unlike an
 * advisory lock, no SQL function can release it.
 */
static void
place_tag(LOCKTAG *tag, Oid role, int place)
{
    SET_LOCKTAG_OBJECT(*tag, InvalidOid, AuthIdRelationId, role, 1 + place);
}

static void
gate_tag(LOCKTAG *tag, Oid role)
{
    SET_LOCKTAG_OBJECT(*tag, InvalidOid, AuthIdRelationId, role, GATE);
}

/* Counts the places that are taken. *FREE is the first free one, or NO_PLACE. */
static int
count_places(Oid role, int *free)
{
    int places = Min(max_worker_processes, MOST_PLACES), taken = 0;

    *free = NO_PLACE;
    for (int place = 0; place < places; place++) {
        LOCKTAG tag;

        place_tag(&tag, role, place);
        if (LockAcquire(&tag, ShareLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
            taken++;
        else {
            LockRelease(&tag, ShareLock, true);
            if (*free == NO_PLACE)
                *free = place;
        }
    }
    return taken;
}

int
metasd_quota_count_trainings(Oid role)
{
    int free;

    return count_places(role, &free);
}

static void
refuse_training(Oid role, int taken, int most)
{
    ereport(ERROR,
            (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
             errmsg("too many trainings of role \"%s\"", GetUserNameFromId(role, false)),
             errdetail_plural("The role has %d training, of at most %d. Trainings that wait for "
                              "their transaction to commit and those in other databases count.",
                              "The role has %d trainings, of at most %d. Trainings that wait for "
                              "their transaction to commit and those in other databases count.",
                              taken, taken, most),
             errhint("Wait for one to end, or let a superuser raise "
                     "metasd.max_trainings_per_role.")));
}

/* Waits a moment for a place: an ended training keeps its place until its process has ended. */
int
metasd_quota_enter(Oid role, int most)
{
    TimestampTz begun = GetCurrentTimestamp();
    LOCKTAG gate;
    int free, taken;

    gate_tag(&gate, role);
    (void)LockAcquire(&gate, ExclusiveLock, false, false);
    while ((taken = count_places(role, &free)) >= most || free == NO_PLACE) {
        if (most == 0 ||
            TimestampDifferenceExceeds(begun, GetCurrentTimestamp(), WAIT_FOR_PLACE_MS))
            refuse_training(role, taken, Min(most, MOST_PLACES));
        metasd_run_sleep(20);
    }
    return free;
}

void
metasd_quota_leave(Oid role)
{
    LOCKTAG gate;

    gate_tag(&gate, role);
    LockRelease(&gate, ExclusiveLock, false);
}

/* ---- workers ---- */

static struct {
    Oid role;
    int place;
} own = {InvalidOid, NO_PLACE};

/* PostgreSQL releases session locks of an exiting worker only if they are advisory locks. */
static void
release_at_exit(int code, Datum argument)
{
    (void)code;
    (void)argument;
    LWLockReleaseAll();
    LockReleaseAll(DEFAULT_LOCKMETHOD, true);
}

static bool
take_lock(const LOCKTAG *tag)
{
    static bool registered = false;

    if (!registered) /* runs after the abort of the last transaction */
        on_shmem_exit(release_at_exit, (Datum)0);
    registered = true;
    return LockAcquire(tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
metasd_quota_hold(Oid role, int place)
{
    LOCKTAG tag;

    own.role = role;
    own.place = place;
    place_tag(&tag, role, place);
    if (!take_lock(&tag))
        elog(ERROR, "the place of a training is not free");
}

void
metasd_quota_hold_again(void)
{
    LOCKTAG tag;

    if (own.place == NO_PLACE)
        return;
    place_tag(&tag, own.role, own.place);
    if (!metasd_lock_is_held(&tag, ExclusiveLock))
        (void)take_lock(&tag);
}

bool
metasd_quota_try_gate(Oid role)
{
    LOCKTAG gate;

    gate_tag(&gate, role);
    return take_lock(&gate);
}

void
metasd_quota_leave_gate(Oid role)
{
    LOCKTAG gate;

    gate_tag(&gate, role);
    if (metasd_lock_is_held(&gate, ExclusiveLock))
        LockRelease(&gate, ExclusiveLock, true);
}

/* Counts the workers that have connected. */
int
metasd_quota_count_workers(Oid role)
{
    int workers = 0;

    for (uint32 i = (uint32)MaxConnections; i < ProcGlobal->allProcCount; i++) {
        const volatile PGPROC *proc = &ProcGlobal->allProcs[i];
        const char *type;

        if (proc->procLatch.owner_pid == 0 || proc->roleId != role)
            continue;
        type = GetBackgroundWorkerTypeByPid(proc->pid);
        workers += type && strcmp(type, METASD_WORKER_TYPE) == 0;
    }
    return workers;
}
