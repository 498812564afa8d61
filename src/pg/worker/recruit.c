#include "pg/worker/recruit.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"

#include "pg/base/background.h"
#include "pg/worker/limits.h"
#include "pg/worker/peak.h"
#include "pg/worker/team_shm.h"

#define MOST_FOLLOWERS (METASD_MAX_PARTS - 1)

/* A segment is made in one system call that no signal ends: it must not take long. */
#define SEGMENT_BYTES ((size_t)256 << 20)

/* The time that followers have to come, to leave, and to leave once they are told to terminate. */
#define COME_MS 10000
#define LEAVE_MS 1000
#define TERMINATE_MS 5000

struct MetasdRecruits {
    MetasdTeamShm *shm;
    dsm_handle handle;     /* of its segment */
    MetasdRegions regions; /* the memory of the training */
    int wished;            /* members, the leader with them */
    BackgroundWorkerHandle *follower[MOST_FOLLOWERS];
    int registered;
};

/* ---- the end: no follower is left behind ---- */

static int
count_gone(const MetasdRecruits *recruits)
{
    int gone = 0;
    pid_t pid;

    for (int i = 0; i < recruits->registered; i++)
        gone += GetBackgroundWorkerPid(recruits->follower[i], &pid) == BGWH_STOPPED;
    return gone;
}

static bool
has_elapsed(TimestampTz begun, int ms)
{
    return TimestampDifferenceExceeds(begun, GetCurrentTimestamp(), ms);
}

/*
 * Runs before the leader releases the run's lock, however it ends, so that the next training finds
 * the slots free. Interrupts are held off by now.
 */
static void
end_followers(int code, Datum argument)
{
    MetasdRecruits *recruits = (MetasdRecruits *)DatumGetPointer(argument);
    TimestampTz begun = GetCurrentTimestamp();
    bool terminated = false;

    (void)code;
    metasd_team_shm_stop(recruits->shm, 0, "");
    while (count_gone(recruits) < recruits->registered) {
        if (!terminated && has_elapsed(begun, LEAVE_MS)) {
            for (int i = 0; i < recruits->registered; i++)
                TerminateBackgroundWorker(recruits->follower[i]);
            terminated = true;
        }
        if (has_elapsed(begun, LEAVE_MS + TERMINATE_MS)) {
            ereport(LOG, (errmsg("metasd run " INT64_FORMAT ": a training worker has not ended yet",
                                 recruits->shm->shared->run)));
            return;
        }
        if (WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH, 10,
                      recruits->shm->wait_event) &
            WL_POSTMASTER_DEATH)
            return;
        ResetLatch(MyLatch);
    }
}

/* ---- followers ---- */

typedef struct TeamMaking {
    MetasdRecruits *recruits;
    int64 run;
    const char *model;
} TeamMaking;

static void
make_team(void *context)
{
    TeamMaking *making = context;
    dsm_segment *segment = dsm_create(sizeof(MetasdTeamShared), 0);

    making->recruits->handle = dsm_segment_handle(segment);
    making->recruits->shm = metasd_team_shm_create(segment, making->run, making->model);
}

static bool
have_come(const MetasdRecruits *recruits)
{
    uint32 here = pg_atomic_read_u32(&recruits->shm->shared->came);

    return (int)here + count_gone(recruits) >= recruits->registered;
}

/* Registers up to N followers; fewer where there is no slot for more. */
static void
register_followers(MetasdRecruits *recruits, const MetasdLaunch *launch, int n)
{
    BackgroundWorker worker =
        metasd_background_worker(METASD_TRAIN_LIBRARY, METASD_FOLLOW_FUNCTION,
                                 BgWorkerStart_RecoveryFinished, launch, sizeof(*launch));

    snprintf(worker.bgw_name, BGW_MAXLEN, "metasd run " INT64_FORMAT " (follower)", launch->run);
    snprintf(worker.bgw_type, BGW_MAXLEN, METASD_WORKER_TYPE);
    worker.bgw_main_arg = UInt32GetDatum(recruits->handle);
    while (recruits->registered < n &&
           RegisterDynamicBackgroundWorker(&worker, &recruits->follower[recruits->registered]))
        recruits->registered++;
}

/* Where the owner's workers are limited, they count once they are there: so it waits for them. */
static void
register_allowed(MetasdRecruits *recruits, MetasdProcess *process)
{
    TimestampTz begun = GetCurrentTimestamp();
    int wished = Min(recruits->wished - 1, MOST_FOLLOWERS);
    pg_atomic_uint32 *came = &recruits->shm->shared->came;

    register_followers(recruits, &process->launch, metasd_limits_followers(process, wished));
    while (metasd_limits_bind(&process->launch) && !have_come(recruits) &&
           !has_elapsed(begun, COME_MS))
        metasd_process_check_status(process,
                                    metasd_team_shm_sleep(process, came, pg_atomic_read_u32(came)));
    metasd_limits_end(&process->launch);
}

/* The training goes on without a team, because of the error that the guard has kept. */
static void
go_on_alone(const MetasdRecruits *recruits, MetasdProcess *process, size_t bytes)
{
    ErrorData *error = process->transactions.error;

    process->transactions.error = NULL;
    LWLockReleaseAll(); /* outside a transaction no abort does it */
    if (recruits->shm)
        metasd_team_shm_stop(recruits->shm, 0, "");
    process->shm = NULL;
    metasd_process_poll(process); /* a signal may have been the reason */
    ereport(LOG,
            (errmsg("metasd run " INT64_FORMAT " trains with one worker instead of %d: %s",
                    process->launch.run, recruits->wished, error->message),
             errdetail("A team needs %zu MB of dynamic shared memory.", (bytes >> 20) + 1),
             errhint("Make /dev/shm, which holds dynamic shared memory, larger; for a container "
                     "with --shm-size.")));
}

MetasdRecruits *
metasd_recruit_launch(MetasdProcess *process, const char *model, int wished)
{
    TeamMaking making = {.run = process->launch.run, .model = model};
    MetasdRecruits *recruits;

    if (wished <= 1)
        return NULL;
    recruits = MemoryContextAllocZero(TopMemoryContext, sizeof(*recruits));
    recruits->wished = wished;
    making.recruits = recruits;
    if (metasd_transaction_guard(&process->transactions, make_team, &making) != METASD_OK) {
        go_on_alone(recruits, process, sizeof(MetasdTeamShared));
        return NULL;
    }
    process->shm = recruits->shm;
    before_shmem_exit(end_followers, PointerGetDatum(recruits));
    register_allowed(recruits, process);
    return recruits;
}

/* Waits until all followers have come that will; returns how many. */
static int
admit_followers(const MetasdRecruits *recruits, MetasdProcess *process)
{
    pg_atomic_uint32 *came = &recruits->shm->shared->came;
    TimestampTz begun = GetCurrentTimestamp();
    uint32 here;

    while ((int)(here = pg_atomic_read_u32(came)) + count_gone(recruits) < recruits->registered &&
           !has_elapsed(begun, COME_MS))
        metasd_process_check_status(process, metasd_team_shm_sleep(process, came, here));
    return metasd_team_shm_close(recruits->shm);
}

/* ---- memory ---- */

typedef struct SegmentMaking {
    size_t bytes;
    dsm_segment *segment;
} SegmentMaking;

static void
make_segment(void *context)
{
    SegmentMaking *making = context;

    making->segment = dsm_create(making->bytes, 0);
    dsm_pin_mapping(making->segment);
}

/* Makes the segments of the training, all or none; interrupts are served between them. */
static bool
make_segments(MetasdRecruits *recruits, MetasdProcess *process)
{
    MetasdTeamShared *shared = recruits->shm->shared;
    MetasdRegions *regions = &recruits->regions;
    SegmentMaking making[METASD_MOST_REGIONS];

    for (int i = 0; i < regions->count; i++) {
        making[i].bytes = regions->size[i];
        metasd_process_poll(process);
        if (metasd_transaction_guard(&process->transactions, make_segment, &making[i]) !=
            METASD_OK) {
            while (i-- > 0)
                dsm_detach(making[i].segment);
            return false;
        }
        regions->memory[i] = dsm_segment_address(making[i].segment);
        shared->segment[i] = dsm_segment_handle(making[i].segment);
    }
    metasd_peak_add_shared(metasd_arena_regions_bytes(regions));
    return true;
}

static void
log_missing(const MetasdRecruits *recruits, const MetasdLaunch *launch, int members)
{
    if (members < recruits->wished)
        ereport(LOG, (errmsg("metasd run " INT64_FORMAT " trains with %d of %d workers",
                             launch->run, members, recruits->wished),
                      errdetail("No more background workers were available."),
                      metasd_limits_bind(launch)
                          ? errhint("Raise max_worker_processes, which is %d, or "
                                    "metasd.max_workers_per_role, or lower metasd.max_workers.",
                                    max_worker_processes)
                          : errhint("Raise max_worker_processes, which is %d, or lower "
                                    "metasd.max_workers.",
                                    max_worker_processes)));
}

void
metasd_recruit_wait(MetasdRecruits *recruits, MetasdProcess *process, MetasdTraining *training)
{
    MetasdGraph built = training->graph;
    int members;

    members = 1 + admit_followers(recruits, process);
    log_missing(recruits, &process->launch, members);
    recruits->shm->shared->members = members;
    if (members == 1) {
        metasd_team_shm_stop(recruits->shm, 0, "");
        process->shm = NULL;
        return;
    }
    if (!metasd_training_measure(training, members, SEGMENT_BYTES, &recruits->regions))
        metasd_process_check_status(process, METASD_NO_MEMORY);
    if (!make_segments(recruits, process)) {
        go_on_alone(recruits, process, metasd_arena_regions_bytes(&recruits->regions));
        return;
    }
    metasd_team_shm_enter(process);
    metasd_training_take_shared(training, members, &recruits->regions);
    metasd_process_check_status(process,
                                metasd_graph_copy(&training->graph, &process->team, &built));
}

void
metasd_recruit_begin(MetasdRecruits *recruits, MetasdProcess *process,
                     const MetasdTraining *training, const MetasdParams *params)
{
    MetasdTeamShared *shared = process->shm->shared;

    shared->params = *params;
    shared->progress = training->trainer.progress;
    shared->graph = training->graph;
    shared->regions = recruits->regions;
    pg_write_barrier();
    pg_atomic_write_u32(&shared->ready, 1);
    metasd_team_shm_wake(process->shm);
}
