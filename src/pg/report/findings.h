/*
 * findings.h - what a model would add to its source, and what it doubts there.
 */
#ifndef METASD_PG_REPORT_FINDINGS_H
#define METASD_PG_REPORT_FINDINGS_H

#include "pg/report/section.h"

extern void metasd_findings_write(MetasdReport *report);

#endif
