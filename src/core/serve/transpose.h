/*
 * transpose.h - the entities' weights by dimensions, as columns of codes and lists.
 */
#ifndef METASD_CORE_SERVE_TRANSPOSE_H
#define METASD_CORE_SERVE_TRANSPOSE_H

#include "core/serve/image.h"

/* Chooses the dimensions that are columns, into the plan; COUNTS as metasd_image_begin has them. */
extern void metasd_transpose_choose_columns(MetasdImagePlan *plan, const uint32_t *counts);

/* Gives columns and lists their places; METASD_INVALID unless the plan is that of these counts. */
extern MetasdStatus metasd_transpose_begin(MetasdImage *image, const uint32_t *counts);

/*
 * Adds a valid row of entity ID to the dimensions, and its weights in lists to image->entity;
 * counts it off. Ids come in order. METASD_INVALID if a dimension has no room for it, or if the
 * columns have codes and the row has none.
 */
extern MetasdStatus metasd_transpose_add(MetasdImage *image, uint32_t *counts, uint32_t id,
                                         const MetasdSparseRow *row);

/* Have all weights been added? */
extern bool metasd_transpose_is_complete(const MetasdImage *image, const uint32_t *counts);

/*
 * METASD_CORRUPT unless every query stays inside the dimensions and has finite scores. Polls the
 * team.
 */
extern MetasdStatus metasd_transpose_check(const MetasdImage *image, MetasdTeam *team);

#endif
