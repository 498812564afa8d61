/*
 * known_batch.h - the known facts of a batch of questions, read from the source at once.
 *
 * One lookup in a view may read all of the view, and on another server each takes a round trip. So
 * the questions of a batch are collected first; then the source is read once, all of it or the
 * facts of these questions, and the rows that answer a question are sorted by question, on disk
 * beyond work_mem. If an index here finds the facts of a few questions sooner, nothing is read.
 */
#ifndef METASD_PG_SERVE_KNOWN_BATCH_H
#define METASD_PG_SERVE_KNOWN_BATCH_H

#include "pg/base/compat.h"

#include "pg/serve/known.h"
#include "pg/serve/question.h"

typedef struct MetasdKnownBatch MetasdKnownBatch;

/* The number of questions that work_mem has room for. */
extern uint32 metasd_known_batch_capacity(void);

/* An empty batch, in the current memory context. */
extern MetasdKnownBatch *metasd_known_batch_create(const MetasdQuestion *question,
                                                   MetasdAsked asked);

/* Adds a question, that is the numbers of its given places. A repeated question counts once. */
extern void metasd_known_batch_add(MetasdKnownBatch *batch, const uint32 id[2]);

/* Reads the facts of all questions if that is cheaper than to look up each; else false. */
extern bool metasd_known_batch_read(MetasdKnownBatch *batch);

/* Sets known_ids[id] for all ids that complete a fact with a question that was added. */
extern void metasd_known_batch_mark(MetasdKnownBatch *batch, const uint32 id[2], bool *known_ids);

extern void metasd_known_batch_end(MetasdKnownBatch *batch);

#endif
