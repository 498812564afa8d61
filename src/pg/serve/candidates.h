/*
 * candidates.h - which entities compete to be the answer, where not all do.
 */
#ifndef METASD_PG_SERVE_CANDIDATES_H
#define METASD_PG_SERVE_CANDIDATES_H

#include "pg/base/compat.h"

#include "pg/serve/call_site.h"

/* Entities of the image, ascending, each once. */
typedef struct MetasdCandidates {
    bool given; /* if not, all compete */
    uint32 count;
    const uint32 *ids;
} MetasdCandidates;

/*
 * Candidates by arguments N, a relation whose first column holds their identifiers, and N + 1,
 * an array of them; not given where both are NULL. What the model does not know is left out. The
 * relation is read once a call site: a statement sees it as it was when the statement began.
 */
extern MetasdCandidates metasd_candidates_argument(const MetasdQuestion *question, int n);

/* The scores of the candidates, in their order, out of those of all entities. */
extern float *metasd_candidates_scores(const MetasdCandidates *candidates, const float *scores);

#endif
