/*
 * import.h - a run whose weights were trained elsewhere.
 *
 * The labels and embeddings of two tables take the place of training: the labels number entities
 * and relations, also those that no triple of the source has, and the weights fill the tables of
 * the trainer. They are pruned as they are or, if the parameter finetune says so, fine-tuned. What
 * follows is what follows any training: rounding, ranks, calibration, storing and promotion.
 *
 * The metrics of the run say from its start which tables it imports; a run that is resumed reads
 * them again for its labels.
 */
#ifndef METASD_PG_WORKER_IMPORT_H
#define METASD_PG_WORKER_IMPORT_H

#include "pg/base/compat.h"

#include "utils/jsonb.h"

#include "core/train/fit.h"
#include "pg/catalog/import_order.h"
#include "pg/params/params.h"
#include "pg/source/embedding_table.h"
#include "pg/source/source.h"

typedef struct MetasdProcess MetasdProcess;   /* process.h */
typedef struct MetasdTraining MetasdTraining; /* training.h, which knows what an input is */

/* Rows of `width` numbers in the order in which they were read, in blocks. */
typedef struct MetasdImportRows {
    float **block;
    size_t blocks, capacity; /* of `block` */
    size_t count;            /* rows */
} MetasdImportRows;

typedef struct MetasdImport {
    bool given; /* false: the run is a training */
    MetasdImportOrder order;
    MetasdEmbeddingTable *table[2]; /* once they are open */
    MetasdEmbeddingShape shape;
    MetasdImportRows rows[2], reciprocal; /* reciprocal: none, or one for each relation */
    uint32 *number[2];                    /* of each row */
    uint64 missing;                       /* triples of the source with such a label */
    char *missed;                         /* the first one */
    bool missed_relation;                 /* it is a relation */
    bool reciprocals;                     /* relations have embeddings that score heads */
    uint64 zeros;                         /* rows whose numbers all are 0, once they are filled */
    bool fits;                            /* the graph is large enough for the two below */
    MetasdFit fit, other_fit; /* how weights fit the facts; and their tails in the other layout */
    MetasdBudget *budget;
    MemoryContext context; /* of the rows; NULL once they are used */
} MetasdImport;

/* Reads from the run's row whether it imports, and what. In a transaction with SPI. */
extern void metasd_import_find(MetasdImport *import, int64 run);

/* Opens the tables on behalf of the model's owner. Likewise. */
extern void metasd_import_open(MetasdImport *import, Oid owner);

/* Reads the tables, whose labels the two sets number. Likewise. */
extern void metasd_import_read(MetasdImport *import, Oid owner, const MetasdFamily *family,
                               MetasdBudget *budget, MetasdLabelSet *const labels[2]);

/* Notes a triple of the source with a label, of a relation or an entity, that the tables lack. */
extern void metasd_import_miss(MetasdImport *import, bool relation, const char *label, size_t len);

/* An error if there were such triples, unless they may be left out and there are TRIPLES more. */
extern void metasd_import_check_missing(const MetasdImport *import, const char *source,
                                        size_t triples);

/* The labels have other numbers now: row i of entities is number[0][i]. Takes both arrays. */
extern void metasd_import_number(MetasdImport *import, uint32 *const number[2]);

/* The shape of the embeddings, and that nothing but fine-tuning is trained, as parameters. */
extern void metasd_import_settle(const MetasdImport *import, MetasdParams *params);

/* What the run's metrics say of it. */
extern Jsonb *metasd_import_metrics(const MetasdImport *import);

/*
 * Fills the trainer's weights, whose memory has been taken, frees the rows, and measures how the
 * weights fit the graph.
 */
extern void metasd_import_fill(MetasdImport *import, MetasdProcess *process,
                               MetasdTraining *training);

#endif
