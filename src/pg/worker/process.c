#include "pg/worker/process.h"

#include <sys/resource.h>

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "core/math/blas.h"
#include "pg/worker/team_shm.h"

/* ---- interrupts ---- */

static void
serve_interrupts(void *context)
{
    (void)context;
    CHECK_FOR_INTERRUPTS();
}

/* Serves interrupts. SIGTERM is kept for the worker's own end, where its reason is recorded. */
static MetasdStatus
poll_interrupts(MetasdTeam *team)
{
    MetasdProcess *process = team->context;

    if (!PostmasterIsAlive())
        proc_exit(1); /* no server could start while this process goes on */
    if (process->shm && metasd_team_shm_is_stopped(process->shm))
        return METASD_INTERRUPTED;
    metasd_throttle(&process->throttle, process->launch.nice, process->shm);
    if (!INTERRUPTS_PENDING_CONDITION())
        return METASD_OK;
    if (ProcDiePending)
        return METASD_INTERRUPTED;
    return metasd_transaction_guard(&process->transactions, serve_interrupts, NULL);
}

void
metasd_process_check_status(MetasdProcess *process, MetasdStatus status)
{
    switch (status) {
        case METASD_OK:
            return;
        case METASD_INTERRUPTED:
            if (process->shm)
                metasd_team_shm_raise(process->shm); /* the first reason */
            if (process->transactions.error)
                ReThrowError(process->transactions.error);
            ereport(ERROR, (errcode(ERRCODE_ADMIN_SHUTDOWN),
                            errmsg("the training worker was told to terminate")));
            break;
        case METASD_NO_MEMORY:
            ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
            break;
        default:
            elog(ERROR, "training failed: %s", metasd_status_text(status));
    }
}

void
metasd_process_poll(MetasdProcess *process)
{
    metasd_process_check_status(process, process->team.poll(&process->team));
}

/* ---- the process ---- */

void
metasd_process_lower_priority(int nice)
{
    if (getpriority(PRIO_PROCESS, 0) < nice && setpriority(PRIO_PROCESS, 0, nice) != 0)
        ereport(LOG, (errmsg("could not set the priority of a training worker to %d: %m", nice)));
}

/*
 * The role or the database may have set these to values that would end a training or leave it
 * unrecorded. An error must not end the process: its reason is recorded, and members tell each
 * other.
 */
static void
pin_settings(void)
{
    static const char *const settings[][2] = {
        /* Heartbeats need not survive a crash, and must not wait for the disk; the result does. */
        {"synchronous_commit", "off"},
        {"default_transaction_isolation", "read committed"},
        {"default_transaction_read_only", "off"},
        {"default_transaction_deferrable", "off"},
        {"session_replication_role", "origin"},
        {"exit_on_error", "off"},
        {"lock_timeout", "0"},
        {"statement_timeout", "0"},
        {"idle_in_transaction_session_timeout", "0"},
#if PG_VERSION_NUM >= 140000
        {"idle_session_timeout", "0"},
#endif
#if PG_VERSION_NUM >= 170000
        {"transaction_timeout", "0"},
#endif
    };

    for (int i = 0; i < (int)lengthof(settings); i++)
        SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_SESSION);
}

MetasdProcess *
metasd_process_start(void)
{
    MetasdProcess *process;

    pqsignal(SIGTERM, die);
    pqsignal(SIGINT, StatementCancelHandler);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();

    process = MemoryContextAllocZero(TopMemoryContext, sizeof(*process));
    process->started = GetCurrentTimestamp();
    memcpy(&process->launch, MyBgworkerEntry->bgw_extra, sizeof(process->launch));
    process->transactions.extension = process->launch.extension;
    process->transactions.context = TopMemoryContext;
    process->team = metasd_team_of_one();
    process->team.barrier = process->team.poll = poll_interrupts;
    process->team.context = process;
    metasd_process_lower_priority(process->launch.nice);
    metasd_blas_limit_threads();
    return process;
}

void
metasd_process_connect(MetasdProcess *process)
{
    BackgroundWorkerInitializeConnectionByOid(process->launch.database, process->launch.owner,
                                              METASD_CONNECT_FLAGS);
    pin_settings();
    MemoryContextSwitchTo(process->transactions.context);
    process->throttle.wait_event = metasd_wait_event("MetasdThrottle");
}

MetasdTeam
metasd_process_team_of_one(const MetasdProcess *process)
{
    MetasdTeam team = process->team;

    team.rank = 0;
    team.size = 1;
    team.barrier = team.poll;
    return team;
}

MetasdArena
metasd_process_arena(size_t bytes, void **allocated)
{
    void *memory = bytes == SIZE_MAX
                       ? NULL
                       : MemoryContextAllocExtended(TopMemoryContext, bytes,
                                                    MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);

    if (allocated)
        *allocated = memory;
    if (!memory)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
                        errdetail("Training needs %zu MB more.", bytes >> 20),
                        errhint("Lower the parameters rank or batch.")));
    return metasd_arena_over(memory, bytes);
}
