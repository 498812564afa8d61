/*
 * recruit.c - the leader's part of a crew: it gets followers, makes the memory of the training,
 * and sees the followers off.
 *
 * A team is a means, never a condition: where there are fewer workers or there is less shared
 * memory than wished, the training goes on with what there is, and the log says what was missing.
 */
#include "pg/worker/team_shm.h"

#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#define FUNCTION "metasd_follow_main"

#define MOST_FOLLOWERS (METASD_MAX_PARTS - 1)

/* How long followers have: to come, to leave, and to leave once they are told to terminate. */
#define COME_MS 10000
#define LEAVE_MS 1000
#define TERMINATE_MS 5000

struct MetasdRecruits {
    MetasdTeamShm *crew;
    dsm_segment *segment; /* the crew's, then the one made last */
    BackgroundWorkerHandle *follower[MOST_FOLLOWERS];
    int registered;
};

/* ---- the end: no follower is left behind ---- */

static int
count_gone(const MetasdRecruits *muster)
{
    int gone = 0;
    pid_t pid;

    for (int i = 0; i < muster->registered; i++)
        gone += GetBackgroundWorkerPid(muster->follower[i], &pid) == BGWH_STOPPED;
    return gone;
}

static bool
elapsed(TimestampTz begun, int ms)
{
    return TimestampDifferenceExceeds(begun, GetCurrentTimestamp(), ms);
}

/*
 * Runs before the leader lets go of the run's lock, however it ends: who starts the next training
 * finds the slots free. Interrupts are held off by now.
 */
static void
see_off(int code, Datum argument)
{
    MetasdRecruits *muster = (MetasdRecruits *)DatumGetPointer(argument);
    TimestampTz begun = GetCurrentTimestamp();
    bool terminated = false;

    (void)code;
    metasd_team_shm_stop(muster->crew, 0, "");
    while (count_gone(muster) < muster->registered) {
        if (!terminated && elapsed(begun, LEAVE_MS)) {
            for (int i = 0; i < muster->registered; i++)
                TerminateBackgroundWorker(muster->follower[i]);
            terminated = true;
        }
        if (elapsed(begun, LEAVE_MS + TERMINATE_MS)) {
            ereport(LOG, (errmsg("metasd run " INT64_FORMAT ": a training worker has not ended yet",
                                 muster->crew->shared->run)));
            return;
        }
        if (WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH, 10,
                      muster->crew->wait_event) &
            WL_POSTMASTER_DEATH)
            return;
        ResetLatch(MyLatch);
    }
}

/* ---- followers ---- */

static void
make_crew(MetasdJob *job, const void *what)
{
    (void)what;
    job->muster->segment = dsm_create(sizeof(MetasdTeamShared), 0);
    job->crew = job->muster->crew = metasd_team_shm_open(job, job->muster->segment, true);
}

static bool
have_come(const MetasdRecruits *muster)
{
    uint32 here = pg_atomic_read_u32(&muster->crew->shared->came);

    return (int)here + count_gone(muster) >= muster->registered;
}

/* Registers up to N followers; fewer where there is no slot for more. */
static void
register_followers(MetasdJob *job, int n)
{
    MetasdRecruits *muster = job->muster;
    BackgroundWorker worker;

    memset(&worker, 0, sizeof(worker));
    snprintf(worker.bgw_name, BGW_MAXLEN, "metasd run " INT64_FORMAT " (follower)",
             job->launch.run);
    snprintf(worker.bgw_type, BGW_MAXLEN, METASD_WORKER_TYPE);
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), METASD_TRAIN_LIBRARY);
    snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), FUNCTION);
    worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(muster->segment));
    worker.bgw_notify_pid = MyProcPid;
    memcpy(worker.bgw_extra, &job->launch, sizeof(job->launch));
    while (muster->registered < n &&
           RegisterDynamicBackgroundWorker(&worker, &muster->follower[muster->registered]))
        muster->registered++;
}

/* As many as the owner's trainings may have together: where that counts, they must be there. */
static void
register_allowed(MetasdJob *job)
{
    MetasdRecruits *muster = job->muster;
    TimestampTz begun = GetCurrentTimestamp();
    int wished = Min(job->wished - 1, MOST_FOLLOWERS);

    register_followers(job, metasd_limits_followers(job, wished));
    while (metasd_limits_bind(job) && !have_come(muster) && !elapsed(begun, COME_MS)) {
        pg_atomic_uint32 *came = &job->crew->shared->came;

        metasd_process_check_status(job,
                                    metasd_team_shm_sleep(job, came, pg_atomic_read_u32(came)));
    }
    metasd_limits_end(job);
}

/* The training goes on without a team, because of the error that the guard has kept. */
static void
go_on_alone(MetasdJob *job, size_t bytes)
{
    ErrorData *error = job->error;

    job->error = NULL;
    LWLockReleaseAll(); /* outside a transaction no abort does it */
    if (job->muster->crew)
        metasd_team_shm_stop(job->muster->crew, 0, "");
    job->crew = NULL;
    metasd_process_check_status(job,
                                job->team.poll(&job->team)); /* a signal may have been the reason */
    ereport(LOG,
            (errmsg("metasd run " INT64_FORMAT " trains with one worker instead of %d: %s",
                    job->launch.run, job->wished, error->message),
             errdetail("A team needs %zu MB of dynamic shared memory.", (bytes >> 20) + 1),
             errhint("Make /dev/shm, which holds dynamic shared memory, larger; for a container "
                     "with --shm-size.")));
}

void
metasd_recruit_launch(MetasdJob *job)
{
    if (job->wished <= 1)
        return;
    job->muster = MemoryContextAllocZero(job->context, sizeof(*job->muster));
    if (metasd_transaction_guard(job, make_crew, NULL) != METASD_OK) {
        go_on_alone(job, sizeof(MetasdTeamShared));
        return;
    }
    before_shmem_exit(see_off, PointerGetDatum(job->muster));
    register_allowed(job);
}

/* Waits until all followers have come that will; returns how many. */
static int
admit_followers(MetasdJob *job)
{
    MetasdRecruits *muster = job->muster;
    pg_atomic_uint32 *came = &job->crew->shared->came;
    TimestampTz begun = GetCurrentTimestamp();
    uint32 here;

    while ((int)(here = pg_atomic_read_u32(came)) + count_gone(muster) < muster->registered &&
           !elapsed(begun, COME_MS))
        metasd_process_check_status(job, metasd_team_shm_sleep(job, came, here));
    return metasd_team_shm_close(job->crew);
}

/* ---- memory ---- */

static void
make_segment(MetasdJob *job, const void *what)
{
    const size_t *bytes = what;

    job->muster->segment = dsm_create(*bytes, 0);
    dsm_pin_mapping(job->muster->segment);
}

/* Makes the segments of the training, all or none; interrupts are served between them. */
static bool
make_segments(MetasdJob *job, MetasdRegions *regions)
{
    MetasdTeamShared *shared = job->crew->shared;
    dsm_segment *segment[METASD_MOST_REGIONS];

    for (int i = 0; i < regions->count; i++) {
        metasd_process_check_status(job, job->team.poll(&job->team));
        if (metasd_transaction_guard(job, make_segment, &regions->size[i]) != METASD_OK) {
            while (i-- > 0)
                dsm_detach(segment[i]);
            return false;
        }
        segment[i] = job->muster->segment;
        regions->memory[i] = dsm_segment_address(segment[i]);
        shared->segment[i] = dsm_segment_handle(segment[i]);
    }
    return true;
}

/* Lays the training out in segments. */
static void
measure_segments(MetasdJob *job, MetasdRegions *regions, int members)
{
    MetasdArena shared = metasd_arena_measure_regions(regions, METASD_SEGMENT_BYTES);
    MetasdArena own = metasd_arena_measure();
    MetasdGraph graph = job->graph;
    MetasdTrainer trainer;

    metasd_graph_take(&graph, &shared);
    metasd_trainer_take(&trainer, &shared, &own, &job->graph, &job->options, members);
    if (!metasd_arena_ok(&shared))
        metasd_process_check_status(job, METASD_NO_MEMORY);
}

/* Moves the graph to the crew's memory, and lets the followers begin. */
static void
begin(MetasdJob *job, MetasdRegions *regions)
{
    MetasdTeamShared *shared = job->crew->shared;
    MetasdGraph built = job->graph;

    metasd_team_shm_team(job);
    metasd_team_shm_take(job, regions);
    metasd_process_check_status(job, metasd_graph_copy(&job->graph, &job->team, &built));
    pfree(job->graph_memory);
    job->graph_memory = NULL;
    metasd_checkpoint_resume(job);
    metasd_warm_start_fill(job);
    shared->params = job->params;
    shared->progress = job->trainer.progress;
    shared->graph = job->graph;
    shared->regions = *regions;
    pg_write_barrier();
    pg_atomic_write_u32(&shared->ready, 1);
    metasd_team_shm_wake(job->crew);
}

static void
log_missing(const MetasdJob *job, int members)
{
    if (members < job->wished)
        ereport(LOG, (errmsg("metasd run " INT64_FORMAT " trains with %d of %d workers",
                             job->launch.run, members, job->wished),
                      errdetail("No more background workers were available."),
                      metasd_limits_bind(job)
                          ? errhint("Raise max_worker_processes, which is %d, or "
                                    "metasd.max_workers_per_role, or lower metasd.max_workers.",
                                    max_worker_processes)
                          : errhint("Raise max_worker_processes, which is %d, or lower "
                                    "metasd.max_workers.",
                                    max_worker_processes)));
}

void
metasd_recruit_wait(MetasdJob *job)
{
    MetasdRegions regions;
    int members;

    if (!job->crew)
        return;
    members = 1 + admit_followers(job);
    log_missing(job, members);
    job->crew->shared->members = members;
    if (members == 1) {
        metasd_team_shm_stop(job->crew, 0, "");
        job->crew = NULL;
        return;
    }
    measure_segments(job, &regions, members);
    if (make_segments(job, &regions))
        begin(job, &regions);
    else
        go_on_alone(job, metasd_arena_regions_bytes(&regions));
}
