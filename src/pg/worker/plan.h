/*
 * plan.h - the plan of a training: its options, its memory, and its number of members.
 */
#ifndef METASD_PG_WORKER_PLAN_H
#define METASD_PG_WORKER_PLAN_H

#include "core/train/train.h"
#include "pg/params/params.h"
#include "pg/worker/input.h"

typedef struct MetasdPlan {
    MetasdTrainOptions options;
    MetasdSplit split;
    /* the number that the parameters ask for; if they name none, all that are allowed and useful */
    int members;
    /*
     * of memory for graph and training, all members together, or for the leader's work after the
     * others have left, whichever are more; SIZE_MAX if too many to count
     */
    size_t bytes;
    int rank_wish; /* the default rank that memory does not allow; 0: it does, or it was given */
} MetasdPlan;

/*
 * Sets the defaults among `params` and plans with them. A rank that was not given is lowered until
 * the training needs no more than MOST bytes (0: any number), but not below METASD_LEAST_RANK.
 */
extern MetasdPlan metasd_plan(const MetasdInput *input, int max_workers, size_t most,
                              MetasdParams *params);

/*
 * The same plan for other parameters: their rank is that of a version, and WARM says whether the
 * training starts from it. No rank is searched for.
 */
extern void metasd_plan_follow(MetasdPlan *plan, const MetasdInput *input, int max_workers,
                               bool warm, MetasdParams *params);

#endif
