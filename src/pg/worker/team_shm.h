/*
 * team_shm.h - the members of one training: its leader and followers, each a background worker.
 *
 * What they share lies in dynamic shared memory: the crew's own small segment, and, once it is
 * known who takes part, the segments of the training. Nobody waits without an end: whoever
 * leaves early stops the crew, and whoever waits looks whether it has been stopped.
 *
 *     leader                                     follower
 *     metasd_recruit_launch: makes the crew, registers   attaches to the crew
 *     builds the graph                           metasd_team_shm_join: gets a rank
 *     metasd_recruit_wait: admits no more, makes       waits until crew->shared->ready
 *       the memory, says so                      attaches to the memory
 *     metasd_train                               metasd_train
 *     reports, stores, sees the followers off    leaves
 */
#ifndef METASD_PG_WORKER_TEAM_SHM_H
#define METASD_PG_WORKER_TEAM_SHM_H

#include "pg/worker/job.h"

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"

/* A segment is made in one system call that no signal ends: it must not take long. */
#define METASD_SEGMENT_BYTES ((size_t)256 << 20)

typedef struct MetasdTeamShared {
    int64 run;
    char model[256];

    pg_atomic_uint32 came;     /* followers that have a rank, and a bit once no more get one */
    pg_atomic_uint32 ready;    /* 1 once all below the barrier is there */
    pg_atomic_uint32 stop;     /* see team_shm.c */
    ConditionVariable changed; /* one of these, or `round` */
    int sqlerrcode;            /* why the crew was stopped; 0: it is not needed any more */
    char reason[1024];

    /* The barrier. Members look at `round` while they spin: nothing else is on its cache line. */
    pg_atomic_uint32 arrived pg_attribute_aligned(PG_CACHE_LINE_SIZE);
    pg_atomic_uint32 round pg_attribute_aligned(PG_CACHE_LINE_SIZE);

    /* What the followers train by. */
    int members pg_attribute_aligned(PG_CACHE_LINE_SIZE);
    MetasdParams params;
    MetasdProgress progress; /* where the training begins */
    MetasdGraph graph;       /* its numbers: where the arrays are each member finds for itself */
    MetasdRegions regions;   /* their sizes */
    dsm_handle segment[METASD_MOST_REGIONS];
} MetasdTeamShared;

/* A member's own view of it. */
struct MetasdTeamShm {
    MetasdTeamShared *shared;
    int rank;          /* 0 is the leader */
    bool left;         /* this member's end is no surprise */
    int spin_us;       /* how long a barrier spins before it sleeps */
    uint32 wait_event; /* what pg_stat_activity shows */
};

/* ---- team_shm.c ---- */

/* The crew in a segment, which is pinned; the leader also initialises it. */
extern MetasdTeamShm *metasd_team_shm_open(MetasdJob *job, dsm_segment *segment, bool initialise);

/* Gets a follower a rank; false if it comes too late. */
extern bool metasd_team_shm_join(MetasdTeamShm *crew);

/* Admits no more followers and returns how many have come. */
extern int metasd_team_shm_close(MetasdTeamShm *crew);

/* Makes the job's team that of the crew, whose size is known by now. */
extern void metasd_team_shm_team(MetasdJob *job);

/* Takes graph and trainer from the crew's memory, and what is the member's own from its own. */
extern void metasd_team_shm_take(MetasdJob *job, MetasdRegions *regions);

/*
 * Ends the training for all members, at their next poll or barrier. Only the first reason
 * counts. Raises no error.
 */
extern void metasd_team_shm_stop(MetasdTeamShm *crew, int sqlerrcode, const char *reason);
extern bool metasd_team_shm_is_stopped(const MetasdTeamShm *crew);

/* Raises the reason why the crew was stopped, if it was and there is one. */
extern void metasd_team_shm_raise(const MetasdTeamShm *crew);

/* Sleeps until *word is not VALUE any more, or a poll says to stop. */
extern MetasdStatus metasd_team_shm_wait(MetasdJob *job, pg_atomic_uint32 *word, uint32 value);
/* The same, but for a moment at most. */
extern MetasdStatus metasd_team_shm_sleep(MetasdJob *job, pg_atomic_uint32 *word, uint32 value);

/* Tells those who wait for a word of the crew that it has changed. */
extern void metasd_team_shm_wake(MetasdTeamShm *crew);

/* ---- recruit.c: the leader's part ---- */

/* Calls for followers, as many as job->wished says; they start while the graph is built. */
extern void metasd_recruit_launch(MetasdJob *job);

/*
 * Puts the graph, and room for the trainer, into memory that those who came share: job->crew and
 * job->team are then set. Without enough workers or memory job->crew is NULL, and a team of one
 * trains.
 */
extern void metasd_recruit_wait(MetasdJob *job);

#endif
