/* image_internal.h - definitions that the files of this room share. */
#ifndef METASD_CORE_SERVE_IMAGE_INTERNAL_H
#define METASD_CORE_SERVE_IMAGE_INTERNAL_H

#include <math.h>

#include "core/serve/image.h"

static inline uint64_t
metasd_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* The place of relation row 0 .. P - 1: a relation and its reciprocal are neighbours. */
static inline uint64_t
metasd_relation_row(const MetasdImage *image, uint32_t relation)
{
    uint32_t r = image->plan.relations;

    return relation < r ? 2 * (uint64_t)relation : 2 * (uint64_t)(relation - r) + 1;
}

/* The place of its sigmoid; P: of questions that ask for relations. */
static inline uint64_t
metasd_sigmoid_place(const MetasdImage *image, uint32_t relation)
{
    return relation == 2 * image->plan.relations ? relation : metasd_relation_row(image, relation);
}

/* The cosine of an entity of this norm whose product with a unit vector is PRODUCT. */
static inline float
metasd_cosine(float product, float norm)
{
    float cosine = norm > 0 ? product / norm : 0;

    return cosine > 1 ? 1 : cosine < -1 ? -1 : cosine; /* rounding may pass the ends */
}

static inline bool
metasd_weight_ok(float value)
{
    return fabsf(value) <= METASD_IMAGE_MAX_WEIGHT && value != 0; /* false for NaN */
}

#endif
