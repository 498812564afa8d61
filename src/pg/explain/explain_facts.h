/*
 * explain_facts.h - the facts of the source that may speak for a triple, as far as the caller may
 * read them.
 *
 * They are facts of its head, facts of its tail, and like cases: facts of its relation between
 * entities near these. Known facts of other functions are looked up as the owner of the model. But
 * these are shown, so the source is read as the caller (pg/source/reading.h): row-level security
 * hides from him what it hides in a query of his own.
 */
#ifndef METASD_PG_EXPLAIN_EXPLAIN_FACTS_H
#define METASD_PG_EXPLAIN_EXPLAIN_FACTS_H

#include "pg/base/compat.h"

#include "core/serve/pull.h"
#include "pg/serve/question.h"

/* Places in a fact. */
enum { METASD_EXPLAIN_HEAD, METASD_EXPLAIN_RELATION, METASD_EXPLAIN_TAIL };

typedef struct MetasdExplainFact {
    uint32 id[3];
    double weight;
} MetasdExplainFact;

/* Facts in the order of relation, head and tail, each once, and not the triple itself. */
typedef struct MetasdExplainFacts {
    MetasdExplainFact *list;
    uint32 count, capacity;
} MetasdExplainFacts;

/* Can the caller read facts of the model? If not: a NOTICE, one per statement. */
extern bool metasd_explain_facts_possible(const MetasdQuestion *question);

/*
 * Reads the facts around the triple of PULL, which is started but not centered. The number of facts
 * read is bounded: of an entity with more, those of the relations that reach farthest come first.
 */
extern MetasdExplainFacts metasd_explain_facts_read(const MetasdQuestion *question,
                                                    MetasdPull *pull);

#endif
