/*
 * questions.h - the number of questions that triples answer.
 */
#ifndef METASD_PG_WORKER_QUESTIONS_H
#define METASD_PG_WORKER_QUESTIONS_H

#include "pg/base/compat.h"

#include "core/graph/graph.h"

/*
 * About how many pairs (head, relation) and (relation, tail) are there, within 1 %: an epoch scores
 * all entities once for each. The same triples give the same number.
 */
extern double metasd_questions_estimate(const MetasdTriple *triples, size_t n);

#endif
