/* index_parts.h - what the sources of the index share, and nobody else needs. */
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

/* Relation row 0 .. P - 1 in the image's order: a relation and its reciprocal are neighbours. */
static inline uint64_t
metasd_relation_row(const MetasdImage *index, uint32_t relation)
{
    uint32_t r = index->plan.relations;

    return relation < r ? 2 * (uint64_t)relation : 2 * (uint64_t)(relation - r) + 1;
}

/* Where its sigmoid is, or at P that of questions for relations. */
static inline uint64_t
metasd_sigmoid_place(const MetasdImage *index, uint32_t relation)
{
    return relation == 2 * index->plan.relations ? relation : metasd_relation_row(index, relation);
}

static inline bool
metasd_weight_ok(float value)
{
    return fabsf(value) <= METASD_INDEX_MAX_WEIGHT && value != 0; /* false for NaN */
}

/*
 * Which dimensions of the rows are columns, into the plan; COUNTS has `width` numbers. Polls the
 * team.
 */
extern MetasdStatus metasd_transpose_choose_columns(const MetasdImage *index, MetasdImagePlan *plan,
                                                    uint32_t *counts, MetasdTeam *team);

/* The transpose of the entities' rows, into memory that is all zeros. Polls the team. */
extern MetasdStatus metasd_transpose_fill(MetasdImage *index, MetasdTeam *team);

/*
 * METASD_CORRUPT unless a question stays inside the dimensions, with finite scores. Polls the team.
 */
extern MetasdStatus metasd_transpose_check(const MetasdImage *index, MetasdTeam *team);

/*
 * Adds label ID, of which there are CAPACITY bytes in all; METASD_INVALID where it is there
 * already, or too long.
 */
extern MetasdStatus metasd_label_add(MetasdLabelTable *labels, uint64_t capacity, uint32_t id,
                                     const char *label, size_t len);

/*
 * METASD_CORRUPT unless a search in labels of so many bytes ends and stays inside. Polls the team.
 */
extern MetasdStatus metasd_label_check(const MetasdLabelTable *labels, uint64_t bytes,
                                       MetasdTeam *team);

#endif
