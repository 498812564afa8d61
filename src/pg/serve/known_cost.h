/*
 * known_cost.h - the costs of looking up known facts in a source, and of reading all of it instead.
 */
#ifndef METASD_PG_SERVE_KNOWN_COST_H
#define METASD_PG_SERVE_KNOWN_COST_H

#include "pg/base/compat.h"

#include "pg/serve/known.h"

/* The planner's estimates, in its units. */
typedef struct MetasdReadCost {
    double lookup; /* of the facts of one question */
    double whole;  /* of all facts */
    bool foreign;  /* another server does the lookup, and its cost is unknown here */
} MetasdReadCost;

/* Asks the planner, which takes some tenths of a millisecond. */
extern MetasdReadCost metasd_known_cost(const MetasdSource *source, MetasdAsked asked);

/* Does a lookup cost much, or about a good part of the whole? With an index it would not. */
extern bool metasd_known_cost_is_high(const MetasdReadCost *cost);

/* How the facts of a batch of questions are found. */
typedef enum MetasdReadWay {
    METASD_READ_EACH, /* a lookup for each question */
    METASD_READ_SOME, /* one query for all questions: another server finds the facts */
    METASD_READ_WHOLE /* all facts are read */
} MetasdReadWay;

/* The cheapest way for N questions. Asks the planner unless the answer is plain. */
extern MetasdReadWay metasd_known_cost_choose(const MetasdSource *source, MetasdAsked asked,
                                              uint32 n);

/* The rows of a relation according to its statistics; not above 0 if it has none. */
extern double metasd_known_cost_rows(Oid relation);

#endif
