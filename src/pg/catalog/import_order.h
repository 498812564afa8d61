/*
 * import_order.h - what a run imports, as its metrics say it from the start.
 *
 * kg_import writes it into the row of the run, and the worker reads it there: also a worker that
 * resumes the run.
 */
#ifndef METASD_PG_CATALOG_IMPORT_ORDER_H
#define METASD_PG_CATALOG_IMPORT_ORDER_H

#include "pg/base/compat.h"

#include "pg/base/json.h"

typedef struct MetasdImportOrder {
    Oid relation[2];  /* tables: of entities, of relations */
    char *name[2];    /* their names, in SQL syntax */
    bool interleaved; /* each real part is followed by its imaginary part */
    bool skips;       /* triples with a label that the tables lack */
} MetasdImportOrder;

/* The words for false and true of the last two. */
extern const char *const metasd_import_layouts[2], *const metasd_import_missing[2];

/* Writes it as members of an object. */
extern void metasd_import_order_write(const MetasdImportOrder *order, MetasdJson *json);

/*
 * Reads that of a run, with names that live as long as the process; false if the run imports
 * nothing. In a transaction with SPI.
 */
extern bool metasd_import_order_read(MetasdImportOrder *order, int64 run);

#endif
