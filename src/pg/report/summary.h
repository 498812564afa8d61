/*
 * summary.h - the head of a report, and what the version was trained on.
 */
#ifndef METASD_PG_REPORT_SUMMARY_H
#define METASD_PG_REPORT_SUMMARY_H

#include "pg/report/section.h"

extern void metasd_summary_write(const MetasdReport *report);

#endif
