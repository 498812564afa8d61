/*
 * image_collect.h - removes image files that no session needs.
 */
#ifndef METASD_PG_IMAGE_IMAGE_COLLECT_H
#define METASD_PG_IMAGE_IMAGE_COLLECT_H

#include "pg/base/compat.h"

#include "nodes/pg_list.h"
#include "utils/uuid.h"

/*
 * Removes the files of versions that do not serve and of writers that have exited. Then it removes
 * the least recently used files until the image of version UUID, of BYTES bytes, fits in
 * CACHE_SIZE kB. MINE: the uuids (pg_uuid_t *) of images that stay.
 */
extern void metasd_image_collect(const pg_uuid_t *uuid, size_t bytes, List *mine, int cache_size);

#endif
