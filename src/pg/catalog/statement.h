/*
 * statement.h - SQL statements on the tables of schema metasd.
 *
 * Only the extension's owner has rights on these tables. Each statement runs as that owner and
 * restores the caller's role afterwards.
 */
#ifndef METASD_PG_CATALOG_STATEMENT_H
#define METASD_PG_CATALOG_STATEMENT_H

#include "pg/base/compat.h"

#include "executor/spi.h"

#include "pg/catalog/reference.h"

#define METASD_MOST_ARGUMENTS 16

/* A statement; the first use prepares it. Each is one static variable of its user. */
typedef struct MetasdStatement {
    const char *sql;
    int nargs;
    Oid types[METASD_MOST_ARGUMENTS];
    SPIPlanPtr plan;
} MetasdStatement;

/*
 * Runs a statement as the extension's owner; SPI must be connected. NULLS is NULL, or has one
 * character per argument, 'n' for NULL, as in SPI. Returns SPI_processed; SPI_tuptable has the
 * rows. A READ_ONLY statement sees the active snapshot.
 */
extern uint64 metasd_statement_execute(MetasdStatement *statement, Datum *values, const char *nulls,
                                       bool read_only);

/* The number of a column of SPI_tuptable. An error if there is no such column. */
extern int metasd_statement_column(const char *name);

/* The value of a column of row ROW of SPI_tuptable. */
extern Datum metasd_statement_value(uint64 row, int column, bool *isnull);
/* The same as a palloc'd string in the context that was current before SPI_connect, or NULL. */
extern char *metasd_statement_text(uint64 row, int column);
/* The same of a column of type metasd.relation_ref. */
extern MetasdRemembered metasd_statement_relation(uint64 row, int column);

#endif
