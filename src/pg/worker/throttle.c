#include "pg/worker/throttle.h"

#include <math.h>
#include <time.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"

#include "pg/worker/team_shm.h"

/*
 * Time between two looks. A look at one process takes a tenth of a microsecond, and looks may take
 * a hundredth of the time.
 */
#define LOOK_EVERY_US 5000.0
#define EACH_EVERY_US 10.0

/* The weight of a look in the means: a single look may fall on an unusual moment. */
#define ADDED 0.1

/* Less of its time awake than this a worker may lose to others without a wait. */
#define NOTICED 0.2

/*
 * Mean numbers of sessions that compute: up to the first a worker does not wait, from the second on
 * it keeps to the time of its priority, and in between it gets more.
 */
#define FEW 0.1
#define ENOUGH 0.4

#define MOST_US 1e6 /* of one wait */
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

/* The first processes are sessions; one of them may have started others, to compute in parallel. */
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
look_at_sessions(MetasdThrottle *throttle)
{
    throttle->busy += ADDED * (count_busy_sessions() - throttle->busy);
}

/* ---- waiting ---- */

/* The time that must pass while a worker computes for COMPUTED microseconds. */
static double
due_us(const MetasdThrottle *throttle, int nice, double computed)
{
    double away = Min(1, Max(0, (throttle->busy - FEW) / (ENOUGH - FEW)));

    return computed * (1 + away * (pow(1.25, nice) - 1));
}

/* Signals end a nap through the latch; whether the team was stopped must be looked up. */
static void
stay_away(MetasdThrottle *throttle, int nice, const MetasdTeamShm *shm, double computed)
{
    double begun = clock_us(CLOCK_MONOTONIC), now = begun;

    while (now - throttle->looked < due_us(throttle, nice, computed) && now - begun < MOST_US &&
           !INTERRUPTS_PENDING_CONDITION() && !(shm && metasd_team_shm_is_stopped(shm))) {
        if (WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH, NAP_MS,
                      throttle->wait_event) &
            WL_POSTMASTER_DEATH)
            return;
        ResetLatch(MyLatch);
        look_at_sessions(throttle);
        now = clock_us(CLOCK_MONOTONIC);
    }
}

void
metasd_throttle(MetasdThrottle *throttle, int nice, const MetasdTeamShm *shm)
{
    double elapsed = clock_us(CLOCK_MONOTONIC) - throttle->looked, awake, computed;

    if (nice == 0 || elapsed < Max(LOOK_EVERY_US, EACH_EVERY_US * MaxConnections))
        return;
    awake = elapsed - throttle->asleep;
    computed = clock_us(CLOCK_PROCESS_CPUTIME_ID) - throttle->computed;
    if (throttle->looked > 0 && awake > 0)
        throttle->taken += ADDED * (1 - computed / awake - throttle->taken);
    look_at_sessions(throttle);
    if (throttle->looked > 0 && throttle->taken > NOTICED)
        stay_away(throttle, nice, shm, computed);
    throttle->looked = clock_us(CLOCK_MONOTONIC);
    throttle->computed = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    throttle->asleep = 0;
}

double
metasd_throttle_sleep_begin(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

void
metasd_throttle_sleep_end(MetasdThrottle *throttle, double asleep_since)
{
    throttle->asleep += clock_us(CLOCK_MONOTONIC) - asleep_since;
}
