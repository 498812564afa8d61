/*
 * map.h - the map of the entities in a report.
 */
#ifndef METASD_PG_REPORT_MAP_H
#define METASD_PG_REPORT_MAP_H

#include "pg/report/section.h"

extern void metasd_map_write(const MetasdReport *report);

#endif
