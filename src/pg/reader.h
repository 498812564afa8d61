/*
 * reader.h - reads columns of a relation that the caller of a function has named.
 *
 * The query needs the caller's rights, and nobody's code runs with them that he need not trust:
 * reading.h says as whom it runs.
 */
#ifndef METASD_READER_H
#define METASD_READER_H

#include "compat.h"

#include "executor/spi.h"

#include "labels.h"
#include "reading.h"

#define METASD_MOST_READ 2

/* What the relation holds, for errors. */
typedef enum MetasdReaderUse { METASD_CANDIDATES, METASD_QUERIES } MetasdReaderUse;

typedef struct MetasdReader {
    int columns;
    MetasdReading reading;
    Portal portal;
    SPITupleTable *rows;  /* fetched together, */
    uint64 count, at;     /* how many, and the next of them to give */
    MemoryContext values; /* of those that are compressed or out of line */
} MetasdReader;

/*
 * Opens a cursor on N columns of RELATION, or on the first there is where COLUMN is NULL. Connects
 * to SPI, and stays in its memory context until metasd_reader_close.
 */
extern void metasd_reader_open(MetasdReader *reader, Oid relation, const char *const *column, int n,
                               MetasdReaderUse use);

/*
 * The next row as labels, valid until the next call; false after the last. What is NULL has no
 * data. Serves interrupts.
 */
extern bool metasd_reader_next(MetasdReader *reader, MetasdLabel *labels);

extern void metasd_reader_close(MetasdReader *reader);

#endif
