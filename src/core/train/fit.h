/*
 * fit.h - how well weights that were trained elsewhere fit the facts that they come with.
 *
 * A fact is compared with triples that have another entity in the place of its answer. Weights that
 * were trained on such facts give it the higher score in more than nine comparisons of ten, others
 * in one of two.
 */
#ifndef METASD_CORE_TRAIN_FIT_H
#define METASD_CORE_TRAIN_FIT_H

#include "core/graph/graph.h"
#include "core/model/family.h"

/* Writes a row of weights as it is to be read. */
typedef void (*MetasdFitReading)(size_t width, const float *row, float *out);

/* Rows of weights: entities, then relations, then their reciprocals. */
typedef struct MetasdFitWeights {
    const MetasdFamily *family;
    size_t width;
    const float *rows;
    MetasdFitReading reading; /* NULL: they are read as they are */
    float *scratch;           /* METASD_FIT_SCRATCH rows */
} MetasdFitWeights;

#define METASD_FIT_SCRATCH 4

/* The part of comparisons that facts win, with half of those of equal scores. */
typedef struct MetasdFit {
    double tails, heads;
} MetasdFit;

/* Fewer triples or entities than these tell nothing. */
#define METASD_FIT_TRIPLES 100
#define METASD_FIT_ENTITIES 20

/* Compares facts of the graph, drawn at random; the same whenever it is called. */
extern MetasdStatus metasd_fit(const MetasdFitWeights *weights, MetasdTeam *team,
                               const MetasdGraph *graph, MetasdFit *fit);

#endif
