/*
 * process.c - what every training worker is, leader or follower: a process that serves
 * interrupts while the core computes.
 */
#include "pg/worker/job.h"

#include <sys/resource.h>

#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#include "pg/worker/team_shm.h"

/* ---- the core's view of this process ---- */

static void
serve_interrupts(MetasdJob *job, const void *what)
{
    (void)job;
    (void)what;
    CHECK_FOR_INTERRUPTS();
}

/* Serves interrupts. SIGTERM is kept for the worker's own end, where its reason is recorded. */
static MetasdStatus
poll_interrupts(MetasdTeam *team)
{
    MetasdJob *job = team->context;

    if (!PostmasterIsAlive())
        proc_exit(1); /* no server could start while this process goes on */
    if (job->crew && metasd_team_shm_is_stopped(job->crew))
        return METASD_INTERRUPTED;
    metasd_throttle(job);
    if (!INTERRUPTS_PENDING_CONDITION())
        return METASD_OK;
    if (ProcDiePending)
        return METASD_INTERRUPTED;
    return metasd_transaction_guard(job, serve_interrupts, NULL);
}

void
metasd_process_check_status(MetasdJob *job, MetasdStatus status)
{
    switch (status) {
        case METASD_OK:
            return;
        case METASD_INTERRUPTED:
            if (job->crew)
                metasd_team_shm_raise(job->crew); /* what came first */
            if (job->error)
                ReThrowError(job->error);
            ereport(ERROR, (errcode(ERRCODE_ADMIN_SHUTDOWN),
                            errmsg("the training worker was told to terminate")));
            break;
        case METASD_NON_FINITE:
            ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                            errmsg("a loss is not finite in epoch %d, batch %zu",
                                   job->trouble.epoch, job->trouble.batch),
                            errdetail_plural("The epoch was repeated %d time, each with half the "
                                             "learning rate, down to %g.",
                                             "The epoch was repeated %d times, each with half the "
                                             "learning rate, down to %g.",
                                             METASD_REPEATS, METASD_REPEATS, job->trouble.lr * 2),
                            errhint("Lower the parameters lr, finetune_lr or quiz_lr, or raise "
                                    "reg.")));
            break;
        case METASD_NO_MEMORY:
            ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
            break;
        default:
            elog(ERROR, "training failed: %s", metasd_status_text(status));
    }
}

char *
metasd_transaction_error_text(const ErrorData *error)
{
    return psprintf("%s%s%s%s%s", error->message, error->detail ? " - " : "",
                    error->detail ? error->detail : "", error->hint ? " - " : "",
                    error->hint ? error->hint : "");
}

MetasdArena
metasd_transaction_arena(size_t bytes, void **allocated)
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

/* ---- the process ---- */

/* Training is never as urgent as what sessions do. */
void
metasd_process_lower_priority(const MetasdJob *job)
{
    int nice = job->launch.nice;

    if (getpriority(PRIO_PROCESS, 0) < nice && setpriority(PRIO_PROCESS, 0, nice) != 0)
        ereport(LOG, (errmsg("could not set the priority of a training worker to %d: %m", nice)));
}

/*
 * What the role or the database may have set, and would end a training or leave it unrecorded. An
 * error must not end the process: its reason is recorded, and members tell each other.
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

MetasdJob *
metasd_process_start(void)
{
    MetasdJob *job;

    pqsignal(SIGTERM, die);
    pqsignal(SIGINT, StatementCancelHandler);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();

    job = MemoryContextAllocZero(TopMemoryContext, sizeof(*job));
    job->context = TopMemoryContext;
    job->team = metasd_team_of_one();
    job->team.barrier = job->team.poll = poll_interrupts;
    job->team.context = job;
    job->started = GetCurrentTimestamp();
    memcpy(&job->launch, MyBgworkerEntry->bgw_extra, sizeof(job->launch));
    metasd_process_lower_priority(job);
    return job;
}

void
metasd_process_connect(MetasdJob *job)
{
    BackgroundWorkerInitializeConnectionByOid(job->launch.database, job->launch.owner,
                                              METASD_CONNECT_FLAGS);
    pin_settings();
    MemoryContextSwitchTo(job->context);
    job->room.wait_event = metasd_wait_event("MetasdThrottle");
}
