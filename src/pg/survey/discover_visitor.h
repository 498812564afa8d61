/*
 * discover_visitor.h - offers triples that answer a question and are no facts yet.
 */
#ifndef METASD_PG_SURVEY_DISCOVER_VISITOR_H
#define METASD_PG_SURVEY_DISCOVER_VISITOR_H

#include "pg/base/compat.h"

#include "pg/survey/visitor.h"

/* The parameters of a pass. */
typedef struct MetasdDiscoverParameters {
    uint32 relation; /* of the questions that count; METASD_ANY: all */
    uint32 entity;   /* given in them; METASD_ANY: any */
    bool subjects;   /* heads must be subjects: given in questions of the file */
    bool chosen;     /* only some entities may be answers: */
    uint32 count;
    /*
     * Behind it: a float for each relation, which is added to keys (calibration.h), and `count` ids
     * of the chosen.
     */
    uint32 rest[FLEXIBLE_ARRAY_MEMBER];
} MetasdDiscoverParameters;

/* What an offered triple's value is; its key is that of both_sides.h. */
enum { METASD_DISCOVERED_SCORE };

extern void metasd_discover_visitor_start(MetasdVisitor *visitor);
extern void metasd_discover_visitor_visit(MetasdVisitor *visitor,
                                          const MetasdSweepQuestion *question);

#endif
