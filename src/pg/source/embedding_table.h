/*
 * embedding_table.h - tables of labels and embeddings, of a model that was trained elsewhere.
 *
 * A table has the columns `label`, of a type that identifiers have, and `embedding`, an array of
 * floats. A table of relations may also have `reciprocal`, an array that scores heads. It is read
 * with the rights of a role, as a source is (reading.h).
 */
#ifndef METASD_PG_SOURCE_EMBEDDING_TABLE_H
#define METASD_PG_SOURCE_EMBEDDING_TABLE_H

#include "pg/base/compat.h"

#include "pg/source/labelset.h"
#include "pg/source/reading.h"

typedef struct MetasdEmbeddingTable {
    Oid relation;
    bool of_relations;
    char *name;   /* for messages */
    char *quoted; /* schema.name, quoted for SQL */
    int arrays;   /* columns of arrays: 2 with the reciprocals */
    MetasdReading reading;
} MetasdEmbeddingTable;

/* The shape that all embeddings of a model share. */
typedef struct MetasdEmbeddingShape {
    size_t reals;     /* of a component: its length is a multiple of them */
    size_t most_rank; /* components */
    size_t width;     /* 0: the first embedding will tell */
} MetasdEmbeddingShape;

/*
 * Locks a table until the transaction ends, and checks that USER may read such columns from it.
 * Errors say what is allowed.
 */
extern MetasdEmbeddingTable *metasd_embedding_open(Oid relation, bool of_relations, Oid user);

/* A row, whose label got the next number; RECIPROCAL may be NULL. It is valid during the call. */
typedef void (*MetasdEmbeddingFunction)(void *context, const float *embedding,
                                        const float *reciprocal);

/*
 * Reads all rows on behalf of USER and adds their labels to the set. It checks the table again,
 * which an earlier transaction may have opened. A row that is incomplete, has the label or not the
 * shape of another, or a number that is not finite is an error; so are no rows. FUNCTION may be
 * NULL. SPI must be connected, and a snapshot be active. Serves interrupts.
 */
extern void metasd_embedding_read(const MetasdEmbeddingTable *table, Oid user,
                                  MetasdEmbeddingShape *shape, MetasdLabelSet *labels,
                                  MetasdEmbeddingFunction function, void *context);

#endif
