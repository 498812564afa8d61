/*
 * known_plan.h - the plans of lookups of known facts, kept for the session.
 */
#ifndef METASD_PG_SERVE_KNOWN_PLAN_H
#define METASD_PG_SERVE_KNOWN_PLAN_H

#include "pg/base/compat.h"

#include "executor/spi.h"

#include "pg/source/reading.h"

#define METASD_KNOWN_PARAMETERS 3

/* The plan of a lookup, valid until SPI_finish. Called between metasd_reading_begin and _end. */
extern SPIPlanPtr metasd_known_plan(const MetasdReading *reading, const char *sql,
                                    Oid types[METASD_KNOWN_PARAMETERS]);

#endif
