/*
 * figures.h - what the catalog knows of the version that a report is about.
 */
#ifndef METASD_PG_REPORT_FIGURES_H
#define METASD_PG_REPORT_FIGURES_H

#include "pg/base/compat.h"

#include "pg/catalog/model.h"

/* Numbers are NaN, and texts NULL, where the version does not have them. */
typedef struct MetasdFigures {
    char *started, *finished;
    double seconds;
    double entities, relations, triples;
    double bytes, dense_bytes;
    double mrr, hits_10, queries; /* of the stored embeddings */
    double epochs, best_epoch, sparsity, rank;
    char *storage, *note, *warm_start, *imported; /* imported: the tables of an import */
    double held_out, skipped, peak_memory, workers;
} MetasdFigures;

/* Reads the figures of the version that serves the model. SPI must be connected. */
extern void metasd_figures_read(const MetasdModel *model, MetasdFigures *figures);

/* A column of type float8 of a row of SPI_tuptable; NaN if it is null. */
extern double metasd_figures_number(uint64 row, int column);

#endif
