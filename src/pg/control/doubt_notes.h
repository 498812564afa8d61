/*
 * doubt_notes.h - what kg_wait says of slips in a source that the worker has found.
 */
#ifndef METASD_PG_CONTROL_DOUBT_NOTES_H
#define METASD_PG_CONTROL_DOUBT_NOTES_H

#include "pg/base/compat.h"

/*
 * Gives notices of what the run's metrics tell, with the SQL that mends it; false if the worker has
 * not read the source yet. SPI must be connected.
 */
extern bool metasd_doubt_notes_show(int64 run);

#endif
