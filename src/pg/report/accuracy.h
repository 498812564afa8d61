/*
 * accuracy.h - how well a version ranks facts that it was not trained on, and how far its
 * probabilities hold.
 */
#ifndef METASD_PG_REPORT_ACCURACY_H
#define METASD_PG_REPORT_ACCURACY_H

#include "pg/report/section.h"

extern void metasd_accuracy_write(const MetasdReport *report);

#endif
