/*
 * sparsity.h - where the entities of an image keep their weights.
 */
#ifndef METASD_CORE_SERVE_SPARSITY_H
#define METASD_CORE_SERVE_SPARSITY_H

#include "core/base/arena.h"
#include "core/serve/image.h"

typedef struct MetasdSparsity {
    uint32_t width;
    uint64_t kept;     /* weights of all entities */
    uint32_t *rows;    /* width + 1: entities that keep so many weights */
    uint32_t *columns; /* width: entities that keep a weight there, the most used column first */
} MetasdSparsity;

/* Takes the memory; of the image only its plan counts. */
extern void metasd_sparsity_take(MetasdSparsity *sparsity, MetasdArena *arena,
                                 const MetasdImagePlan *plan);

/* Counts the kept weights. Polls; for a team of one. */
extern MetasdStatus metasd_sparsity_count(MetasdSparsity *sparsity, MetasdTeam *team,
                                          const MetasdImage *image);

#endif
