/*
 * explain_weights.h - how much each fact speaks for a triple.
 */
#ifndef METASD_PG_EXPLAIN_EXPLAIN_WEIGHTS_H
#define METASD_PG_EXPLAIN_EXPLAIN_WEIGHTS_H

#include "pg/explain/explain_facts.h"

/*
 * Sets the weights of facts for the triple of PULL; negative ones speak against it. Returns the
 * weight that the triple itself would have if it were a fact.
 */
extern double metasd_explain_weights(const MetasdQuestion *question, MetasdPull *pull,
                                     MetasdExplainFacts *facts);

#endif
