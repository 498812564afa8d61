/*
 * yield.c - how a training makes room for sessions.
 *
 * A low priority settles who computes when both want to. Sessions that answer short questions
 * want to for a moment, thousands of times a second: between them a worker is let in, and its
 * matrices drive from the caches what the sessions work with, which halves their rate at any
 * priority. So a worker that others keep from running leaves the processor to them for so long
 * that it gets the part of the time that its priority stands for: 1 to 1.25 a step of `nice`, as
 * in Linux's scheduler. Where nobody else wants to compute it never waits.
 */
#include "job.h"

#include <math.h>
#include <time.h>

#include "pgstat.h"
#include "storage/latch.h"

#include "crew.h"

#define LOOK_EVERY_US 10000.0

/*
 * The part of its time awake that others must take from a worker to be noticed; a mean, to which
 * each look adds so much: a single one may fall on a moment that something else took.
 */
#define NOTICED 0.2
#define ADDED 0.15

#define MOST_US 1e6 /* to wait at once */
#define NAP_MS 20.0 /* between two looks whether the training is to end */

static double
clock_us(clockid_t clock)
{
    struct timespec now;

    if (clock_gettime(clock, &now) != 0)
        return 0;
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Signals end a nap by the latch; that other members have ended must be looked for. */
static void
wait_for(MetasdJob *job, double us)
{
    double until = clock_us(CLOCK_MONOTONIC) + Min(us, MOST_US), left;

    while ((left = until - clock_us(CLOCK_MONOTONIC)) > 0 && !INTERRUPTS_PENDING_CONDITION() &&
           !(job->crew && metasd_crew_is_stopped(job->crew))) {
        if (WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH,
                      (long)ceil(Min(left / 1000, NAP_MS)), job->room.wait_event) &
            WL_POSTMASTER_DEATH)
            return;
        ResetLatch(MyLatch);
    }
}

static void
look_anew(MetasdRoom *room)
{
    room->looked = clock_us(CLOCK_MONOTONIC);
    room->computed = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    room->asleep = 0;
}

void
metasd_make_room(MetasdJob *job)
{
    MetasdRoom *room = &job->room;
    double elapsed = clock_us(CLOCK_MONOTONIC) - room->looked, awake, computed;

    if (job->launch.nice == 0 || elapsed < LOOK_EVERY_US)
        return;
    awake = elapsed - room->asleep;
    computed = clock_us(CLOCK_PROCESS_CPUTIME_ID) - room->computed;
    if (room->looked > 0 && awake > 0)
        room->taken += ADDED * (1 - computed / awake - room->taken);
    if (room->taken > NOTICED)
        wait_for(job, computed * pow(1.25, job->launch.nice) - elapsed);
    look_anew(room);
}

double
metasd_fall_asleep(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

void
metasd_wake_up(MetasdJob *job, double asleep_since)
{
    job->room.asleep += clock_us(CLOCK_MONOTONIC) - asleep_since;
}
