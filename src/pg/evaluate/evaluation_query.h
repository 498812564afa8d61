/*
 * evaluation_query.h - the text of kg_evaluate's query.
 */
#ifndef METASD_PG_EVALUATE_EVALUATION_QUERY_H
#define METASD_PG_EVALUATE_EVALUATION_QUERY_H

#include "pg/base/compat.h"

#include "nodes/pg_list.h"

#include "pg/source/source.h"

#define METASD_FACTS "metasd_facts" /* the query's name for facts that were read before */

/* The groups of the result. */
typedef struct MetasdBucket {
    const char *name;
    const char *key;   /* of a row of b: groups and orders the result */
    const char *label; /* of the key x.key */
} MetasdBucket;

typedef struct MetasdEvaluationQuery {
    const MetasdBucket *by;
    const MetasdSource *test; /* NULL: its triples are among the facts */
    List *known;              /* MetasdSource of known facts */
    bool facts;               /* there are facts that were read before */
    int slices;               /* branches per side, for workers */
} MetasdEvaluationQuery;

/* The groups of that name, or for NULL a single one; an error if there are none. */
extern const MetasdBucket *metasd_evaluation_bucket(const char *name);

/* Do the groups need the labels of relations? */
extern bool metasd_evaluation_needs_label(const MetasdBucket *by);

/* The query; $1 is the name of the model. All its names are found with search_path pg_catalog. */
extern char *metasd_evaluation_query(const MetasdEvaluationQuery *query);

/* The query that counts the rows of a test relation, and those that are triples. */
extern char *metasd_evaluation_count_query(const MetasdSource *test);

/*
 * The query of the labels of a test relation that the model does not know, each once, with whether
 * it is a relation; $1 is the name of the model.
 */
extern char *metasd_evaluation_unknown_query(const MetasdSource *test);

#endif
