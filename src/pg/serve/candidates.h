/*
 * candidates.h - the entities that compete to be the answer, if not all of them do.
 */
#ifndef METASD_PG_SERVE_CANDIDATES_H
#define METASD_PG_SERVE_CANDIDATES_H

#include "pg/base/compat.h"

#include "pg/serve/newcomer.h"
#include "pg/serve/question.h"

typedef struct MetasdCandidates {
    bool given;        /* if not, all entities of the image compete */
    uint32 count;      /* of the image: */
    const uint32 *ids; /* ascending, each once */
    uint32 newcomers;
    const MetasdNewcomerCopy *list; /* these, in the order of the labels' bytes */
} MetasdCandidates;

/*
 * The candidates in argument N, a relation whose first column holds their identifiers, or argument
 * N + 1, an array of identifiers; not given if both are NULL. Of what the model does not know, up
 * to 1,000 are looked at whether they are newcomers; others are left out. The relation is read once
 * per call site: a statement sees it as it was when the statement began.
 */
extern MetasdCandidates metasd_candidates_argument(const MetasdQuestion *question, int n);

/* The candidates in the first column of a relation; newcomers as above. */
extern MetasdCandidates metasd_candidates_relation(const MetasdQuestion *question, Oid relation);

/*
 * The scores of the candidates of the image, in their order, and room behind them for those of the
 * newcomers; SCORES are those of all entities.
 */
extern float *metasd_candidates_scores(const MetasdCandidates *candidates, const float *scores);

#endif
