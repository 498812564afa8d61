/*
 * transpose.h - the entities' weights by dimensions, as columns of codes and lists.
 */
#ifndef METASD_CORE_SERVE_TRANSPOSE_H
#define METASD_CORE_SERVE_TRANSPOSE_H

#include "core/serve/image.h"

/*
 * Chooses the dimensions that are columns, into the plan; COUNTS has `width` numbers. Polls the
 * team.
 */
extern MetasdStatus metasd_transpose_choose_columns(const MetasdImage *image, MetasdImagePlan *plan,
                                                    uint32_t *counts, MetasdTeam *team);

/* Fills the dimensions from the entities' rows; their memory is all zeros. Polls the team. */
extern MetasdStatus metasd_transpose_fill(MetasdImage *image, MetasdTeam *team);

/*
 * METASD_CORRUPT unless every query stays inside the dimensions and has finite scores. Polls the
 * team.
 */
extern MetasdStatus metasd_transpose_check(const MetasdImage *image, MetasdTeam *team);

#endif
