/*
 * input.h - the triples of a source as numbers.
 */
#ifndef METASD_PG_WORKER_INPUT_H
#define METASD_PG_WORKER_INPUT_H

#include "pg/base/compat.h"

#include "core/graph/graph.h"
#include "pg/source/labelset.h"
#include "pg/source/source.h"
#include "pg/worker/import.h"

typedef struct MetasdInput {
    MetasdLabelSet *entities, *relations;
    MetasdTriple *triples, *validation; /* validation: NULL unless it has a source of its own */
    size_t count, capacity, validation_count, validation_capacity;
    double questions; /* about so many pairs (head, relation) and (relation, tail) */
    size_t bytes;     /* that reading has left in memory */
    uint64 skipped;   /* rows with a NULL or empty identifier */
    uint64 unknown;   /* validation rows with an entity or relation that the source has not */
} MetasdInput;

/*
 * Reads the source and, where there is one, the validation source; in a transaction with SPI. The
 * triples are sorted, and each is there once. An error before that takes more than TRAIN_MEM kB of
 * memory, 0 for any, which SETTING allows.
 *
 * Facts of the validation source are no triples of the source, even if it has them; but those that
 * are the only ones of an entity or relation are, unless there is an import. An error if no fact is
 * left to validate by.
 *
 * IMPORT is NULL, or is open. Then its labels, and no others, number entities and relations.
 */
extern void metasd_input_read(MetasdInput *input, const MetasdSource *source,
                              const MetasdSource *validation, Oid user, int train_mem,
                              const char *setting, MetasdImport *import,
                              const MetasdFamily *family);

#endif
