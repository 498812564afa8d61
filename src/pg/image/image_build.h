/*
 * image_build.h - builds the serving image of a version from its rows.
 */
#ifndef METASD_PG_IMAGE_IMAGE_BUILD_H
#define METASD_PG_IMAGE_IMAGE_BUILD_H

#include "pg/base/compat.h"

#include "core/serve/image.h"

/*
 * Builds the image of a run in memory of the current context and returns that memory. Reads with
 * the rights of the extension's owner. *provisional: this transaction wrote a row, and may yet roll
 * back. Polls the team. ERRCODE_DATA_CORRUPTED if a stored row is damaged.
 */
extern void *metasd_image_build(int64 run, MetasdTeam *team, MetasdImage *view, bool *provisional);

/*
 * Reads all rows of a run, and builds nothing: ERRCODE_DATA_CORRUPTED if one is damaged or missing.
 * An image that was built earlier would not tell.
 */
extern void metasd_image_build_check(int64 run);

#endif
