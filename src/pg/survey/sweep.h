/*
 * sweep.h - visits every question that the facts of a source answer, with all of its answers.
 *
 * kg_discover and others look at a whole graph: at (head, relation, ?) with all known tails, and at
 * (?, relation, tail) with all known heads. The source is read once, as kg_predict reads it, and
 * sorted by question into a temporary file (question_file.h). Then passes go over the questions.
 * In a pass a visitor sees each question once, in any order, and offers triples; the pass returns
 * the k best of them. Passes are shared by parallel workers, each with visitors of its own. What a
 * visitor offers must not depend on the questions it has seen before, except what is below
 * metasd_best_triples_least: such a triple need not be offered.
 *
 *     MetasdSweep *sweep = metasd_sweep_begin(&question, &choice, NULL);
 *
 *     metasd_sweep_add(sweep, ...);      questions that nothing answers yet, if there are any
 *     metasd_sweep_sort(sweep);
 *     metasd_sweep_pass(sweep, &pass, &best);     as often as needed
 *     metasd_sweep_end(sweep);
 *
 * A new kind of visitor is an entry of MetasdVisitorKind and of the table in visitor.c: functions
 * cannot be sent to a worker, numbers can.
 */
#ifndef METASD_PG_SURVEY_SWEEP_H
#define METASD_PG_SURVEY_SWEEP_H

#include "pg/base/compat.h"

#include "pg/survey/best_triples.h"
#include "pg/survey/question_file.h"
#include "pg/survey/sorted_facts.h"
#include "pg/survey/visitor.h"

typedef struct MetasdSweep MetasdSweep;

/* One pass over the questions. */
typedef struct MetasdSweepPass {
    MetasdVisitorKind kind;
    MetasdSides sides;      /* the questions to visit */
    uint32 k;               /* triples to return, at most */
    float least;            /* triples of lower keys are of no use; -INFINITY: all are */
    const void *parameters; /* for the visitors: plain bytes without pointers, aligned as malloc */
    Size parameter_bytes;
    bool quiet; /* no NOTICE about progress */
} MetasdSweepPass;

/*
 * Reads the source. CHOICE says which questions matter; fewer take less time. SUBJECTS is NULL, or
 * gets what metasd_sorted_facts_read says.
 */
extern MetasdSweep *metasd_sweep_begin(const MetasdQuestion *question,
                                       const MetasdFactChoice *choice, MetasdSortedFacts *subjects);

/* Adds a question to be visited even if no fact answers it; ROW as in MetasdSweepQuestion. */
extern void metasd_sweep_add(MetasdSweep *sweep, uint32 row, uint32 entity);

extern void metasd_sweep_sort(MetasdSweep *sweep);

/* The number of different questions of these sides; after the sort. */
extern uint64 metasd_sweep_questions(const MetasdSweep *sweep, MetasdSides sides);

/* The number of answers of all these questions. */
extern uint64 metasd_sweep_facts(const MetasdSweep *sweep);

/*
 * Goes over the questions. BEST gets the best triples, sorted, in the current memory context.
 * Serves interrupts; NOTICEs tell the progress every few seconds.
 */
extern void metasd_sweep_pass(MetasdSweep *sweep, const MetasdSweepPass *pass,
                              MetasdBestTriples *best);

/* The questions, to look them up between passes; after the sort. */
extern MetasdQuestionFile *metasd_sweep_file(const MetasdSweep *sweep);

extern void metasd_sweep_end(MetasdSweep *sweep);

#endif
