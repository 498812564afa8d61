/*
 * recruit.h - the leader's part of a team: it gets followers, makes the memory of the training, and
 * waits for the followers' end.
 *
 * A team is a means, never a condition: with fewer workers or less shared memory than wished the
 * training goes on with those that there are, and the log says what was missing.
 */
#ifndef METASD_PG_WORKER_RECRUIT_H
#define METASD_PG_WORKER_RECRUIT_H

#include "pg/params/params.h"
#include "pg/worker/process.h"
#include "pg/worker/training.h"

typedef struct MetasdRecruits MetasdRecruits;

/*
 * Registers followers for a team of WISHED members; they start while the leader builds the graph.
 * NULL, and process->shm is NULL, where the process trains alone.
 */
extern MetasdRecruits *metasd_recruit_launch(MetasdProcess *process, const char *model, int wished);

/*
 * Waits for the followers. Then copies the graph into memory that the members share, takes the
 * trainer's memory there and makes the process's team theirs. Without followers or memory for them
 * process->shm becomes NULL, and the training is as it was.
 */
extern void metasd_recruit_wait(MetasdRecruits *recruits, MetasdProcess *process,
                                MetasdTraining *training);

/* Lets the followers begin, from trainer and graph as they are. */
extern void metasd_recruit_begin(MetasdRecruits *recruits, MetasdProcess *process,
                                 const MetasdTraining *training, const MetasdParams *params);

#endif
