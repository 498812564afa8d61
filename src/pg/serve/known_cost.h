/*
 * known_cost.h - what it takes to look known facts up in a source, and to read all of it instead.
 */
#ifndef METASD_PG_SERVE_KNOWN_COST_H
#define METASD_PG_SERVE_KNOWN_COST_H

#include "pg/base/compat.h"

#include "pg/serve/known.h"

/* By the planner's estimate, in its units. */
typedef struct MetasdReadCost {
    double lookup; /* of the facts of one question */
    double whole;  /* of all facts */
    bool foreign;  /* somebody else looks up, nobody here knows how */
} MetasdReadCost;

/* Asks the planner, who takes some tenths of a millisecond. */
extern MetasdReadCost metasd_known_cost(const MetasdSource *source, MetasdAsked asked);

/* Does a lookup read a good part of the source, or much of anything? An index would not. */
extern bool metasd_known_cost_is_dear(const MetasdReadCost *cost);

/*
 * Do N questions at once take less if all facts are read than if each is looked up? Asks the
 * planner where that is not plain.
 */
extern bool metasd_known_cost_reading_pays(const MetasdSource *source, MetasdAsked asked, uint32 n);

#endif
