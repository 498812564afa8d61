/*
 * cursor.h - reads columns of a relation that the caller of a function has named.
 *
 * The query needs the caller's rights, and nobody's code runs with them that he need not trust:
 * reading.h says as whom it runs.
 */
#ifndef METASD_PG_SOURCE_CURSOR_H
#define METASD_PG_SOURCE_CURSOR_H

#include "pg/base/compat.h"

#include "executor/spi.h"

#include "pg/source/labelset.h"
#include "pg/source/reading.h"

#define METASD_MOST_READ 2

/* What the relation holds, for errors. */
typedef enum MetasdReaderUse { METASD_CANDIDATES, METASD_QUERIES } MetasdReaderUse;

typedef struct MetasdCursor {
    int columns;
    MetasdReading reading;
    Portal portal;
    SPITupleTable *rows;  /* fetched together, */
    uint64 count, at;     /* how many, and the next of them to give */
    MemoryContext values; /* of those that are compressed or out of line */
} MetasdCursor;

/*
 * Opens a cursor on N columns of RELATION, or on the first there is where COLUMN is NULL. Connects
 * to SPI, and stays in its memory context until metasd_cursor_close.
 */
extern void metasd_cursor_open(MetasdCursor *reader, Oid relation, const char *const *column, int n,
                               MetasdReaderUse use);

/*
 * The next row as labels, valid until the next call; false after the last. What is NULL has no
 * data. Serves interrupts.
 */
extern bool metasd_cursor_next(MetasdCursor *reader, MetasdLabel *labels);

extern void metasd_cursor_close(MetasdCursor *reader);

#endif
