/*
 * visitor.h - what is done with a question of a sweep (sweep.h), by this process or by a worker.
 */
#ifndef METASD_PG_SURVEY_VISITOR_H
#define METASD_PG_SURVEY_VISITOR_H

#include "pg/base/compat.h"

#include "core/serve/image.h"
#include "pg/survey/best_triples.h"
#include "pg/survey/question_file.h"

typedef enum MetasdVisitorKind {
    METASD_VISIT_TO_CALIBRATE, /* calibrate_visitor.c */
    METASD_VISIT_TO_DISCOVER,  /* discover_visitor.c */
    METASD_VISIT_TO_SAMPLE,    /* suspect_visitor.c */
    METASD_VISIT_TO_SUSPECT,
    METASD_VISITORS
} MetasdVisitorKind;

/* What a process has for its visits in one pass. */
typedef struct MetasdVisitor {
    const MetasdImage *image;
    const void *parameters;   /* of the pass */
    MetasdQuestionFile *file; /* to look up other questions: metasd_question_file_find */
    MetasdBestTriples best;   /* offer triples to it */
    void *state;              /* of the functions below */
} MetasdVisitor;

typedef struct MetasdVisitorFunctions {
    /* Takes memory from the current context, which lasts for the pass. */
    void (*start)(MetasdVisitor *visitor);
    /* Looks at a question, milliseconds at most. The memory context is reset afterwards. */
    void (*visit)(MetasdVisitor *visitor, const MetasdSweepQuestion *question);
} MetasdVisitorFunctions;

extern const MetasdVisitorFunctions metasd_visitor_functions[METASD_VISITORS];

#endif
