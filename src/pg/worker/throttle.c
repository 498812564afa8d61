/*
 * throttle.c - how a training makes room for the sessions of its server.
 *
 * A low priority settles who computes when both want to. Sessions that answer short questions
 * want to for a moment, thousands of times a second: between them a worker is let in, and its
 * matrices drive from the caches what the sessions work with, which halves their rate at any
 * priority. So a worker that others keep from running while sessions compute leaves the processor
 * to them for so long that it gets the part of the time that its priority stands for: 1 to 1.25 a
 * step of `nice`, as in Linux's scheduler.
 *
 * What is made room for is sessions of this server, and what computes for them, alone. Other
 * programs, other virtual machines and other trainings have their due from the priority. Nor does a
 * session count that waits: for its client, a lock, or the end of this very training.
 *
 * Whether a session computes is in its PGPROC, which says what each process waits for. That is read
 * without a lock, as pg_stat_activity does. Sessions that answer short questions compute one moment
 * and not the next, so what counts is the mean of many looks.
 */
#include "pg/worker/job.h"

#include <math.h>
#include <time.h>

#include "storage/latch.h"
#include "storage/proc.h"

#include "pg/worker/team_shm.h"

/* Between two looks; a look at a process takes a tenth of a microsecond, of which one part in 100
 * may go. */
#define LOOK_EVERY_US 5000.0
#define EACH_EVERY_US 10.0

/* What each look adds to the means; a single one may fall on a moment that is like no other. */
#define ADDED 0.1

/* The part of its time awake that others must take from a worker to be noticed. */
#define NOTICED 0.2

/*
 * Sessions that compute, as a mean: up to the first all is done between two steps of a training,
 * from the second on a worker keeps to the time of its priority, and in between to more.
 */
#define FEW 0.1
#define ENOUGH 0.4

#define MOST_US 1e6 /* to wait at once */
#define NAP_MS 10L  /* between two looks at sessions, and whether the training is to end */

static double
clock_us(clockid_t clock)
{
    struct timespec now;

    if (clock_gettime(clock, &now) != 0)
        return 0;
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* ---- sessions ---- */

/* The first are those of sessions; others may have been started by one, to compute in parallel. */
static bool
is_session(const PGPROC *proc)
{
    return proc >= ProcGlobal->allProcs && proc < ProcGlobal->allProcs + MaxConnections;
}

/* A process that has ended owns no latch. */
static bool
computes(const volatile PGPROC *proc)
{
    return proc->procLatch.owner_pid != 0 && proc->wait_event_info == 0;
}

static int
count_busy_sessions(void)
{
    int busy = 0;

    for (uint32 i = 0; i < ProcGlobal->allProcCount; i++) {
        PGPROC *proc = &ProcGlobal->allProcs[i];

        busy += computes(proc) &&
                (is_session(proc) || is_session(((volatile PGPROC *)proc)->lockGroupLeader));
    }
    return busy;
}

static void
look_at_sessions(MetasdThrottle *room)
{
    room->busy += ADDED * (count_busy_sessions() - room->busy);
}

/* ---- waiting ---- */

/* How long a worker that has computed so long should have been at it, by what sessions need. */
static double
due_us(const MetasdJob *job, double computed)
{
    double away = Min(1, Max(0, (job->room.busy - FEW) / (ENOUGH - FEW)));

    return computed * (1 + away * (pow(1.25, job->launch.nice) - 1));
}

/* Signals end a nap by the latch; that other members have ended must be looked for. */
static void
stay_away(MetasdJob *job, double computed)
{
    double begun = clock_us(CLOCK_MONOTONIC), now = begun;

    while (now - job->room.looked < due_us(job, computed) && now - begun < MOST_US &&
           !INTERRUPTS_PENDING_CONDITION() &&
           !(job->crew && metasd_team_shm_is_stopped(job->crew))) {
        if (WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH, NAP_MS,
                      job->room.wait_event) &
            WL_POSTMASTER_DEATH)
            return;
        ResetLatch(MyLatch);
        look_at_sessions(&job->room);
        now = clock_us(CLOCK_MONOTONIC);
    }
}

static void
look_anew(MetasdThrottle *room)
{
    room->looked = clock_us(CLOCK_MONOTONIC);
    room->computed = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    room->asleep = 0;
}

void
metasd_throttle(MetasdJob *job)
{
    MetasdThrottle *room = &job->room;
    double elapsed = clock_us(CLOCK_MONOTONIC) - room->looked, awake, computed;

    if (job->launch.nice == 0 || elapsed < Max(LOOK_EVERY_US, EACH_EVERY_US * MaxConnections))
        return;
    awake = elapsed - room->asleep;
    computed = clock_us(CLOCK_PROCESS_CPUTIME_ID) - room->computed;
    if (room->looked > 0 && awake > 0)
        room->taken += ADDED * (1 - computed / awake - room->taken);
    look_at_sessions(room);
    if (room->looked > 0 && room->taken > NOTICED)
        stay_away(job, computed);
    look_anew(room);
}

double
metasd_throttle_sleep_begin(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

void
metasd_throttle_sleep_end(MetasdJob *job, double asleep_since)
{
    job->room.asleep += clock_us(CLOCK_MONOTONIC) - asleep_since;
}
