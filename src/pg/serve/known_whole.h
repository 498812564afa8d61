/*
 * known_whole.h - all known facts of a source, kept by a statement that asks many questions one by
 * one.
 *
 * A join that calls kg_predict for each row does not say how many there will be. After the first
 * few that each had to read a good part of the source, it is read whole, and kept in memory until
 * the statement ends: if that fits work_mem, else all goes on as before.
 */
#ifndef METASD_PG_SERVE_KNOWN_WHOLE_H
#define METASD_PG_SERVE_KNOWN_WHOLE_H

#include "pg/base/compat.h"

#include "pg/serve/known.h"
#include "pg/serve/call_site.h"
#include "pg/source/source.h"

/*
 * The numbers of a row of the source, of the two places that are given or the one that is asked
 * for, where GIVEN or ANSWER is not NULL; false if the model does not know one of them.
 */
extern bool metasd_known_numbers(const MetasdQuestion *question, MetasdAsked asked,
                                 const MetasdTripleLabels *row, uint32 *given, uint32 *answer);

/* Another question, or batch of them, needs facts: have all been read, perhaps now? */
extern bool metasd_known_whole(const MetasdQuestion *question, MetasdAsked asked);

/* If so: sets known_ids[id] for all that make a fact with what is given. */
extern void metasd_known_whole_mark(const MetasdQuestion *question, MetasdAsked asked,
                                    const uint32 id[2], bool *known_ids);

#endif
