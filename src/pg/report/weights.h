/*
 * weights.h - the weights that a version keeps, and the bytes that they take.
 */
#ifndef METASD_PG_REPORT_WEIGHTS_H
#define METASD_PG_REPORT_WEIGHTS_H

#include "pg/report/section.h"

extern void metasd_weights_write(const MetasdReport *report);

#endif
