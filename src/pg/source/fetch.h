/*
 * fetch.h - reads columns of a relation as text, row by row, through a cursor.
 *
 * The query runs with the rights and the settings of a reading (reading.h). They are in force only
 * while rows are fetched, not while the caller looks at a row.
 */
#ifndef METASD_PG_SOURCE_FETCH_H
#define METASD_PG_SOURCE_FETCH_H

#include "pg/base/compat.h"

#include "executor/spi.h"
#include "utils/array.h"

#include "pg/source/labelset.h"
#include "pg/source/reading.h"

typedef struct MetasdFetch {
    MetasdReading reading;
    int columns; /* as text; others follow, as arrays of floats */
    Portal portal;
    SPITupleTable *rows;  /* those fetched last, or NULL */
    uint64 count, at;     /* how many they are, and the next one to return */
    long next;            /* how many rows to fetch next */
    MemoryContext values; /* for values that are compressed or stored out of line */
} MetasdFetch;

/* The rows for which SQL holds, whose parameters $1 to $NARGS have these values; none is NULL. */
typedef struct MetasdFetchCondition {
    const char *sql;
    int nargs;
    Oid *types;
    Datum *values;
} MetasdFetchCondition;

/* Begins to read N columns of the relation of READING. SPI must be connected until the end. */
extern void metasd_fetch_begin(MetasdFetch *fetch, const MetasdReading *reading,
                               char *const *columns, int n);

/* The same of the rows for which a condition holds; all if it is NULL. */
extern void metasd_fetch_begin_some(MetasdFetch *fetch, const MetasdReading *reading,
                                    char *const *columns, int n,
                                    const MetasdFetchCondition *condition);

/* The same, and after these N columns come ARRAYS more, which hold arrays of floats. */
extern void metasd_fetch_begin_arrays(MetasdFetch *fetch, const MetasdReading *reading,
                                      char *const *columns, int n, int arrays);

/* Array I of the row that metasd_fetch_next returned, or NULL; valid until the next call. */
extern ArrayType *metasd_fetch_array(const MetasdFetch *fetch, int i);

/*
 * Returns the next row as labels, which are valid until the next call; false after the last row. A
 * NULL has no data. Serves interrupts, and leaves the current memory context unchanged.
 */
extern bool metasd_fetch_next(MetasdFetch *fetch, MetasdLabel *labels);

extern void metasd_fetch_end(MetasdFetch *fetch);

#endif
