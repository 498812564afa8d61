/*
 * candidates.h - the entities that compete to be the answer, if not all of them do.
 */
#ifndef METASD_PG_SERVE_CANDIDATES_H
#define METASD_PG_SERVE_CANDIDATES_H

#include "pg/base/compat.h"

#include "pg/serve/question.h"

/* Entities of the image, ascending, each once. */
typedef struct MetasdCandidates {
    bool given; /* if not, all entities compete */
    uint32 count;
    const uint32 *ids;
} MetasdCandidates;

/*
 * The candidates in argument N, a relation whose first column holds their identifiers, or argument
 * N + 1, an array of identifiers; not given if both are NULL. Identifiers that the model does not
 * know are left out. The relation is read once per call site: a statement sees it as it was when
 * the statement began.
 */
extern MetasdCandidates metasd_candidates_argument(const MetasdQuestion *question, int n);

/* The candidates in the first column of a relation. */
extern MetasdCandidates metasd_candidates_relation(const MetasdQuestion *question, Oid relation);

/* The scores of the candidates, in their order; SCORES are those of all entities. */
extern float *metasd_candidates_scores(const MetasdCandidates *candidates, const float *scores);

#endif
