/*
 * sweep_team.h - parallel workers of PostgreSQL that share the passes of a sweep.
 *
 * The questions are in a file that all processes read, and an index in shared memory hands out
 * batches (question_file.h). A worker writes its best triples to a file at the end of a pass, and
 * the leader adds them to its own. Whatever the number of workers, the best triples are the same.
 */
#ifndef METASD_PG_SURVEY_SWEEP_TEAM_H
#define METASD_PG_SURVEY_SWEEP_TEAM_H

#include "pg/base/compat.h"

#include "storage/dsm.h"
#include "storage/sharedfileset.h"

#include "pg/catalog/model.h"
#include "pg/survey/question_file.h"
#include "pg/survey/visitor.h"

/* What all processes share, for all passes. */
typedef struct MetasdSweepShared {
    SharedFileSet files;
    MetasdQuestionIndex index;
} MetasdSweepShared;

typedef struct MetasdSweepTeam {
    dsm_segment *segment;
    MetasdSweepShared *shared;
    int workers; /* to be started for a pass, at most */
    int passes;  /* so far */
} MetasdSweepTeam;

/* Parallel work of a pass, for all processes. */
typedef struct MetasdSweepWork {
    MetasdVisitorKind kind;
    MetasdSides sides;
    bool quiet;
    const void *parameters;
    Size parameter_bytes;
} MetasdSweepWork;

/*
 * A team for a sweep of so many answers; NULL if workers are not allowed, cost more than they are
 * worth, or there is no shared memory.
 */
extern MetasdSweepTeam *metasd_sweep_team_create(double answers, uint32 entities);

/*
 * Visits all questions, with workers if there are any. LEADER is the visitor of this process; it
 * has the best triples afterwards, not sorted.
 */
extern void metasd_sweep_team_work(MetasdSweepTeam *team, const MetasdModel *model,
                                   const MetasdSweepWork *work, MetasdVisitor *leader);

extern void metasd_sweep_team_end(MetasdSweepTeam *team);

#endif
