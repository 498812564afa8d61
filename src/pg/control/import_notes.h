/*
 * import_notes.h - what kg_wait says of imported embeddings that do not suit the facts.
 */
#ifndef METASD_PG_CONTROL_IMPORT_NOTES_H
#define METASD_PG_CONTROL_IMPORT_NOTES_H

#include "pg/base/compat.h"

/*
 * Warns of what the run's metrics tell; false if the worker has not looked yet. True at once for a
 * run that imports nothing. SPI must be connected.
 */
extern bool metasd_import_notes_show(int64 run);

#endif
