/*
 * projection.h - a map of the entities: the principal components of their embeddings.
 *
 * Rows are taken at length 1, because kg_similar, too, compares directions: otherwise the first
 * component would be how frequent an entity is. The components come from a sample of the entities,
 * evenly over their numbers, if there are many. They are found by subspace iteration (Rutishauser
 * 1970) from fixed starting vectors, so the same image gives the same map.
 */
#ifndef METASD_CORE_SERVE_PROJECTION_H
#define METASD_CORE_SERVE_PROJECTION_H

#include "core/base/arena.h"
#include "core/serve/image.h"

#define METASD_COMPONENTS 3

/* Floats of the sample, at most. */
#define METASD_PROJECTION_FLOATS ((size_t)4 << 20)

typedef struct MetasdProjection {
    uint32_t width;
    uint32_t sample;                    /* entities whose rows the components come from */
    double total;                       /* variance of these */
    double variance[METASD_COMPONENTS]; /* of these along each component, the largest first */
    float *mean;                        /* width: of the rows at length 1 */
    float *axes; /* COMPONENTS x width: unit vectors, their largest weight positive; or 0 */
    float *rows; /* sample x width, around the mean */
    float *row;  /* width */
    float *basis, *image_of; /* width x VECTORS: the subspace, and where an iteration leads */
    double *column;          /* width */
} MetasdProjection;

/* Takes the memory; of the image only its plan counts. */
extern void metasd_projection_take(MetasdProjection *projection, MetasdArena *arena,
                                   const MetasdImagePlan *plan);

/* Finds the components. Polls; for a team of one. */
extern MetasdStatus metasd_projection_find(MetasdProjection *projection, MetasdTeam *team,
                                           const MetasdImage *image);

/* Where an entity lies along each component, from the mean. */
extern void metasd_projection_place(MetasdProjection *projection, const MetasdImage *image,
                                    uint32_t entity, double place[METASD_COMPONENTS]);

#endif
