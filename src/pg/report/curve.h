/*
 * curve.h - the learning curve in a report.
 */
#ifndef METASD_PG_REPORT_CURVE_H
#define METASD_PG_REPORT_CURVE_H

#include "pg/report/section.h"

/* Goes on with the section of the training, and ends it. */
extern void metasd_curve_write(const MetasdReport *report);

#endif
