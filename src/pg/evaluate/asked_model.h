/*
 * asked_model.h - the model that a function of kg_evaluate's query asks, kept for its call site.
 */
#ifndef METASD_PG_EVALUATE_ASKED_MODEL_H
#define METASD_PG_EVALUATE_ASKED_MODEL_H

#include "pg/base/compat.h"

#include "access/tupdesc.h"

#include "pg/catalog/model.h"
#include "pg/image/image_cache.h"

/* Kept in fn_extra while the role and the name are the same, until a (sub)transaction ends. */
typedef struct MetasdAskedModel {
    MemoryContext context; /* of all that belongs to the model */
    Oid user;
    uint64 generation;
    text *name;
    const MetasdModel *model;
    const MetasdImage *image;
    int64 *counts[2]; /* of entities and relations; NULL until needed */
    float *scores;    /* one per entity; NULL until needed */
    void *scratch;
    uint32 *ids;   /* scratch for their order, one per entity */
    TupleDesc row; /* metasd.ranked_answer; NULL until needed */
    Oid row_type;
} MetasdAskedModel;

/* The model that argument 0 names. Checks that the current user may ask it. */
extern MetasdAskedModel *metasd_asked_model(FunctionCallInfo fcinfo);

#endif
