/*
 * yardstick.h - how fast the library multiplies at the shapes of a training, on this machine, now.
 *
 * A step's dense products are of three forms: scores (queries x entities, as deep as a row is
 * wide), the table's gradient (entities x width, as deep as there are queries) and the queries'
 * gradient (queries x width, as deep as there are entities), each by slices of the entities.
 */
#ifndef METASD_BENCH_YARDSTICK_H
#define METASD_BENCH_YARDSTICK_H

#include "core/base/team.h"

typedef struct Yardstick {
    size_t queries, entities, width; /* of one call */
    double forms[3];                 /* flop a second of all members: scores, table, queries */
    double rate;                     /* of as much of each form */
} Yardstick;

/*
 * The best rate of several calls by all members at once, each on matrices of its own, about a
 * second in all; of the two ways to lay out scores, a query or an entity a row, the faster one.
 * `queries` is what a batch has of them, `entities` all of the graph.
 */
extern Yardstick yardstick_measure(int members, size_t queries, uint32_t entities, size_t width);

#endif
