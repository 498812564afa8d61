/*
 * process.h - a training worker, be it the leader or a follower: a process that serves interrupts
 * while the core computes.
 */
#ifndef METASD_PG_WORKER_PROCESS_H
#define METASD_PG_WORKER_PROCESS_H

#include "pg/base/compat.h"

#include "utils/timestamp.h"

#include "core/base/arena.h"
#include "core/base/team.h"
#include "pg/catalog/launch_order.h"
#include "pg/worker/throttle.h"
#include "pg/worker/transaction.h"

typedef struct MetasdTeamShm MetasdTeamShm; /* team_shm.h */

typedef struct MetasdProcess {
    MetasdLaunch launch;
    MetasdTransactions transactions;
    MetasdThrottle throttle;
    MetasdTeamShm *shm; /* the team's shared memory; NULL: this process trains alone */
    MetasdTeam team;    /* its polls serve this process's interrupts */
    TimestampTz started;
} MetasdProcess;

/* Prepares a new worker: signals, priority, the order that launched it, a team of one. */
extern MetasdProcess *metasd_process_start(void);

/* Lowers the priority to that of the launch: training is less urgent than any session's work. */
extern void metasd_process_lower_priority(int nice);

/* Connects to the database, as the owner of the model. */
extern void metasd_process_connect(MetasdProcess *process);

/* Raises the error that made the core return. */
extern void metasd_process_check_status(MetasdProcess *process, MetasdStatus status);

/* Serves interrupts, and leaves the processor to sessions; raises an error to end the training. */
extern void metasd_process_poll(MetasdProcess *process);

/* A team of this process alone, for work after the other members have left. */
extern MetasdTeam metasd_process_team_of_one(const MetasdProcess *process);

/* An arena over memory of this process; *allocated, if not NULL, can be pfree'd. */
extern MetasdArena metasd_process_arena(size_t bytes, void **allocated);

#endif
