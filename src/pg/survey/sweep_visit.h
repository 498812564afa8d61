/*
 * sweep_visit.h - the visits of one process in a pass.
 */
#ifndef METASD_PG_SURVEY_SWEEP_VISIT_H
#define METASD_PG_SURVEY_SWEEP_VISIT_H

#include "pg/base/compat.h"

#include "pg/survey/question_file.h"
#include "pg/survey/visitor.h"

/*
 * Visits all questions that this process gets. A NOTICE tells progress now and then; SIDES are
 * those of the pass, 0: there is no NOTICE.
 */
extern void metasd_sweep_visit(MetasdVisitorKind kind, MetasdVisitor *visitor,
                               MetasdQuestionIndex *index, int sides);

#endif
