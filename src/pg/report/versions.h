/*
 * versions.h - the versions of a model, and how the one that serves differs from the one before.
 */
#ifndef METASD_PG_REPORT_VERSIONS_H
#define METASD_PG_REPORT_VERSIONS_H

#include "pg/report/section.h"

extern void metasd_versions_write(const MetasdReport *report);

#endif
