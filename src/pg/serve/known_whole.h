/*
 * known_whole.h - all facts of a source, kept for a statement that asks many questions one by one.
 *
 * A join that calls kg_predict for each row does not say how many rows there will be. Once a few
 * lookups have read about a good part of the source each, the source is read whole and kept in
 * memory until the statement ends. If it does not fit in work_mem, lookups go on.
 */
#ifndef METASD_PG_SERVE_KNOWN_WHOLE_H
#define METASD_PG_SERVE_KNOWN_WHOLE_H

#include "pg/base/compat.h"

#include "pg/serve/known.h"
#include "pg/serve/question.h"

/*
 * Counts another question, or batch of questions, and reads all facts if that pays by now. True if
 * they have been read.
 */
extern bool metasd_known_whole_prepare(const MetasdQuestion *question, MetasdAsked asked);

/* If they have: sets known_ids[id] for all ids that complete a fact with the given numbers. */
extern void metasd_known_whole_mark(const MetasdQuestion *question, MetasdAsked asked,
                                    const uint32 id[2], bool *known_ids);

#endif
