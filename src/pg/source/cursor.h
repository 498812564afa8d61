/*
 * cursor.h - reads columns of a relation that the caller of a function has named.
 *
 * The caller needs the rights that a query of his own would need. The code of other roles does not
 * run with his rights: reading.h says which role reads.
 */
#ifndef METASD_PG_SOURCE_CURSOR_H
#define METASD_PG_SOURCE_CURSOR_H

#include "pg/base/compat.h"

#include "pg/source/fetch.h"

#define METASD_MOST_READ 2

/* What the relation holds, for error messages. */
typedef enum MetasdCursorUse { METASD_CANDIDATES, METASD_QUERIES } MetasdCursorUse;

typedef struct MetasdCursor {
    MetasdFetch fetch;
} MetasdCursor;

/*
 * Opens a cursor on N columns of RELATION; if COLUMN is NULL, on its first column. Connects to SPI
 * and stays in SPI's memory context until metasd_cursor_close.
 */
extern void metasd_cursor_open(MetasdCursor *cursor, Oid relation, const char *const *column, int n,
                               MetasdCursorUse use);

/* Returns the next row, as metasd_fetch_next does. */
extern bool metasd_cursor_next(MetasdCursor *cursor, MetasdLabel *labels);

extern void metasd_cursor_close(MetasdCursor *cursor);

#endif
