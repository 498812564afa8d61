/*
 * throttle.h - how a training worker leaves the processor to the sessions of its server.
 *
 * A low priority decides which process computes when several want to. Sessions that answer short
 * questions want to for a moment, thousands of times per second. Between two moments a worker may
 * run, and its matrices drive the data of the sessions from the caches, which halves their rate at
 * any priority.
 * So a worker that others keep from running while sessions compute leaves the processor to them
 * until it has had the part of the time that its priority stands for: each step of `nice` is a
 * factor of 1.25, as in Linux's scheduler.
 *
 * Only sessions of this server count, with the processes that compute for them. Other programs,
 * other virtual machines and other trainings get their part through the priority. A session does
 * not count while it waits for its client, for a lock, or for the end of this very training.
 *
 * A session's PGPROC tells whether the session waits. It is read without a lock, as
 * pg_stat_activity does. Sessions that answer short questions compute one moment and wait the next,
 * so the mean of many looks counts.
 */
#ifndef METASD_PG_WORKER_THROTTLE_H
#define METASD_PG_WORKER_THROTTLE_H

#include "pg/base/compat.h"

typedef struct MetasdThrottle {
    double looked, computed; /* at the last look, in microseconds: the time, and the CPU time */
    double taken;            /* mean part of its time awake that others took */
    double busy;             /* mean number of sessions that computed */
    double asleep;           /* microseconds since the last look that it did not want to run */
    uint32 wait_event;
} MetasdThrottle;

typedef struct MetasdTeamShm MetasdTeamShm; /* team_shm.h */

/*
 * Waits while sessions need the processor, no longer than the priority NICE demands, and not once
 * the team, if there is one, is stopped. Every poll calls it.
 */
extern void metasd_throttle(MetasdThrottle *throttle, int nice, const MetasdTeamShm *shm);

/* To be called around a sleep, as nobody took that time: the first returns when it began. */
extern double metasd_throttle_sleep_begin(void);
extern void metasd_throttle_sleep_end(MetasdThrottle *throttle, double asleep_since);

#endif
