/*
 * cache.h - the serving images that this backend has built.
 */
#ifndef METASD_CACHE_H
#define METASD_CACHE_H

#include "compat.h"

#include "catalog.h"
#include "index.h"

/*
 * The image of the version that serves the model: built from its rows, as the active
 * snapshot sees them, when first asked for. Valid until the transaction ends.
 * ERRCODE_DATA_CORRUPTED if a stored row is damaged.
 */
extern const MetasdIndex *metasd_cache_image(const MetasdModel *model);

#endif
