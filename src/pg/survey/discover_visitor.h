/*
 * discover_visitor.h - offers what may answer a question and is no fact yet.
 */
#ifndef METASD_PG_SURVEY_DISCOVER_VISITOR_H
#define METASD_PG_SURVEY_DISCOVER_VISITOR_H

#include "pg/base/compat.h"

#include "pg/survey/visitor.h"

/* What an offered triple's values are; its key is the probability. */
enum { METASD_DISCOVERED_SCORE };

extern void metasd_discover_visitor_start(MetasdVisitor *visitor);
extern void metasd_discover_visitor_visit(MetasdVisitor *visitor,
                                          const MetasdSweepQuestion *question);

#endif
