/*
 * newcomer_facts.h - the facts of entities and relations that the model does not know, as questions
 * of their rows (core/serve/fold.h): looked up one by one, or of many labels at once.
 *
 * They are looked up in the live source as known facts are: with the rights of the model's owner,
 * under the snapshot of the query. So who may ask the model learns nothing that he may not read.
 */
#ifndef METASD_PG_SERVE_NEWCOMER_FACTS_H
#define METASD_PG_SERVE_NEWCOMER_FACTS_H

#include "pg/base/compat.h"

#include "core/serve/fold.h"
#include "pg/serve/question.h"

typedef struct MetasdNewcomerFacts {
    MetasdFoldFact *list[2]; /* sorted; of a relation in both directions, else the first only */
    size_t count[2], capacity[2];
    uint32 others;    /* with entities or relations that are new, too: of no use */
    uint32 reflexive; /* from an entity to itself, of a relation */
    bool some_left;   /* there are more */
} MetasdNewcomerFacts;

/* Facts that have been read of many labels. */
typedef struct MetasdNewcomersAhead MetasdNewcomersAhead;

/*
 * Can the model's owner read the source, without an error? What is new must not have answers on one
 * server and none on another.
 */
extern bool metasd_newcomer_facts_are_readable(const MetasdModel *model);

/*
 * The facts of a label, in the current memory context: from those read ahead, unless AHEAD is NULL
 * or does not have them; else from the source.
 */
extern const MetasdNewcomerFacts *metasd_newcomer_facts_find(const MetasdQuestion *question,
                                                             const MetasdNewcomersAhead *ahead,
                                                             MetasdLabel label, bool relation);

/* Without facts, in that memory context. */
extern MetasdNewcomersAhead *metasd_newcomer_facts_ahead(MemoryContext context);

/* Reads the facts of N labels; what it has of that kind is forgotten. */
extern void metasd_newcomer_facts_read(const MetasdQuestion *question, MetasdNewcomersAhead *ahead,
                                       const MetasdLabel *labels, uint32 n, bool relation);

extern void metasd_newcomer_facts_forget(MetasdNewcomersAhead *ahead);

#endif
