/*
 * calibrate_visitor.h - samples keys (both_sides.h) of facts that the training has not seen, and of
 * triples that are no facts, for calibration.h.
 *
 * Which ones depends on their numbers alone.
 */
#ifndef METASD_PG_SURVEY_CALIBRATE_VISITOR_H
#define METASD_PG_SURVEY_CALIBRATE_VISITOR_H

#include "pg/base/compat.h"

#include "pg/survey/visitor.h"

/* The parameters of a pass. */
typedef struct MetasdCalibrateParameters {
    double fraction;  /* of the facts that the training held out: unseen.h */
    double facts;     /* the part of these to take */
    double questions; /* the part of the questions of which other candidates are taken */
} MetasdCalibrateParameters;

/* Triples of lower keys are left out: they are many, and few of them are facts. */
#define METASD_LEAST_SAMPLED_KEY (-4.0f)

/* An offered triple's values: the key of both_sides.h, for how many it stands, 1 for a fact. */
enum { METASD_SAMPLED_KEY, METASD_SAMPLED_WEIGHT, METASD_SAMPLED_FACT };

extern void metasd_calibrate_visitor_start(MetasdVisitor *visitor);
extern void metasd_calibrate_visitor_visit(MetasdVisitor *visitor,
                                           const MetasdSweepQuestion *question);

#endif
