/*
 * known_batch.h - the known facts of a batch of questions, read from the source at once.
 *
 * A view may have to be read whole to look one question up. So the questions of a batch are
 * collected first, then the source is read, once: what answers one of them is sorted by question,
 * beyond work_mem on disk. Where an index finds the facts of a few questions sooner, nothing is
 * read.
 */
#ifndef METASD_PG_SERVE_KNOWN_BATCH_H
#define METASD_PG_SERVE_KNOWN_BATCH_H

#include "pg/base/compat.h"

#include "pg/serve/known.h"
#include "pg/serve/call_site.h"

typedef struct MetasdKnownBatch MetasdKnownBatch;

/* How many questions may be collected, by work_mem. */
extern uint32 metasd_known_batch_room(void);

/* No questions yet; in the current memory context. */
extern MetasdKnownBatch *metasd_known_batch_create(const MetasdQuestion *question,
                                                   MetasdAsked asked);

/* Adds a question: the numbers of what is given. One that is there already counts once. */
extern void metasd_known_batch_add(MetasdKnownBatch *batch, const uint32 id[2]);

/*
 * Reads the facts of all questions, where that takes less than to look them up; false: it does not.
 */
extern bool metasd_known_batch_read(MetasdKnownBatch *batch);

/* Sets known_ids[id] for all that make a fact with a question that was added. */
extern void metasd_known_batch_mark(MetasdKnownBatch *batch, const uint32 id[2], bool *known_ids);

extern void metasd_known_batch_end(MetasdKnownBatch *batch);

#endif
