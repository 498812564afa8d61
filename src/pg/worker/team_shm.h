/*
 * team_shm.h - the members of one training, a leader and its followers, each a background worker.
 *
 * They meet in dynamic shared memory: a small segment of the team's own and, once its
 * members are known, the segments of the training. No process waits forever: a member that leaves
 * early stops the team, and a member that waits looks whether the team has been stopped.
 *
 *     leader                                     follower
 *     metasd_recruit_launch: makes the team's    attaches to the segment
 *       segment, registers followers
 *     builds the graph                           metasd_team_shm_join: gets a rank
 *     metasd_recruit_wait: admits no more,       waits until shared->ready
 *       makes the memory, copies the graph
 *     fills the trainer's tables
 *     metasd_recruit_begin: says ready           attaches to the memory
 *     metasd_train                               metasd_train
 *     stores, stops the team, waits for          leaves
 *       followers to end
 */
#ifndef METASD_PG_WORKER_TEAM_SHM_H
#define METASD_PG_WORKER_TEAM_SHM_H

#include "pg/base/compat.h"

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"

#include "core/train/train.h"
#include "pg/params/params.h"
#include "pg/worker/process.h"

/* Values of `stop`. The process that turns the first into the second writes the reason, and then
 * the third. */
enum { METASD_TEAM_GOES_ON = 0, METASD_TEAM_STOPPING, METASD_TEAM_STOPPED };

typedef struct MetasdTeamShared {
    int64 run;
    char model[256];

    pg_atomic_uint32 came;  /* followers that have a rank, and a bit once no more get one */
    pg_atomic_uint32 ready; /* 1 once all below the barrier is there */
    pg_atomic_uint32 stop;
    pg_atomic_uint64 followers_bytes; /* of memory: the most that each has had, once it is done */
    ConditionVariable changed;        /* one of these, or `round` */
    int sqlerrcode;                   /* why the team was stopped; 0: it is not needed any more */
    char reason[1024];

    /* The barrier. Members look at `round` while they spin: nothing else is on its cache line. */
    pg_atomic_uint32 arrived pg_attribute_aligned(PG_CACHE_LINE_SIZE);
    pg_atomic_uint32 round pg_attribute_aligned(PG_CACHE_LINE_SIZE);

    /* What a follower needs to train. */
    int members pg_attribute_aligned(PG_CACHE_LINE_SIZE);
    MetasdParams params;
    MetasdProgress progress; /* where the training begins */
    MetasdGraph graph;       /* its numbers; each member finds the arrays for itself */
    MetasdRegions regions;   /* their sizes */
    dsm_handle segment[METASD_MOST_REGIONS];
} MetasdTeamShared;

/* A member's own view of it. */
struct MetasdTeamShm {
    MetasdTeamShared *shared;
    int rank;          /* 0 is the leader */
    bool left;         /* this member's end is no surprise */
    int spin_us;       /* how long a barrier spins before it sleeps */
    uint32 wait_event; /* in pg_stat_activity */
};

/* Makes a team in a new segment, which is pinned, with this process as its leader. */
extern MetasdTeamShm *metasd_team_shm_create(dsm_segment *segment, int64 run, const char *model);

/* The team of a segment that its leader has made; pins the segment. */
extern MetasdTeamShm *metasd_team_shm_attach(dsm_segment *segment);

/* Gets a follower a rank; false if it comes too late. */
extern bool metasd_team_shm_join(MetasdTeamShm *shm);

/* Admits no more followers and returns how many have come. */
extern int metasd_team_shm_close(MetasdTeamShm *shm);

/* Makes the process a member of its team, whose size is known by now: its rank, its barrier. */
extern void metasd_team_shm_enter(MetasdProcess *process);

/*
 * Ends the training for all members, at their next poll or barrier. Only the first reason
 * counts. Raises no error.
 */
extern void metasd_team_shm_stop(MetasdTeamShm *shm, int sqlerrcode, const char *reason);

static inline bool
metasd_team_shm_is_stopped(const MetasdTeamShm *shm)
{
    return pg_atomic_read_u32(&shm->shared->stop) == METASD_TEAM_STOPPED;
}

/* Raises the reason why the team was stopped, if it was and there is one. */
extern void metasd_team_shm_raise(const MetasdTeamShm *shm);

/* Sleeps until *word has another value than VALUE, or a poll ends the training. */
extern MetasdStatus metasd_team_shm_wait(MetasdProcess *process, pg_atomic_uint32 *word,
                                         uint32 value);
/* Likewise, but for 10 ms at most. */
extern MetasdStatus metasd_team_shm_sleep(MetasdProcess *process, pg_atomic_uint32 *word,
                                          uint32 value);

/* Wakes the members that wait for a word of the team, which has changed. */
extern void metasd_team_shm_wake(MetasdTeamShm *shm);

#endif
