/*
 * image_cache.h - the serving images that this backend uses.
 */
#ifndef METASD_PG_IMAGE_IMAGE_CACHE_H
#define METASD_PG_IMAGE_IMAGE_CACHE_H

#include "pg/base/compat.h"

#include "pg/catalog/model.h"
#include "core/serve/image.h"

/*
 * The image of the version that serves the model according to the active snapshot. All sessions
 * share it (image_file.h); if it does not exist it is built from the version's rows. If CACHE_SIZE,
 * the setting metasd.image_cache_size in kB, is too small for it, this session keeps an image of
 * its own. The image is valid until the transaction ends, and then until the next call.
 * ERRCODE_DATA_CORRUPTED if a stored row is damaged.
 */
extern const MetasdImage *metasd_image_cache_get(const MetasdModel *model, int cache_size);

/*
 * Shares the image of the version that serves the model after the changes of this transaction, so
 * that the image exists before the transaction ends. Does nothing if images are not shared.
 */
extern void metasd_image_cache_publish(const char *model, int cache_size);

/* The same; but if images are not shared, builds one here. An error if the version is damaged. */
extern void metasd_image_cache_check(const char *model, int cache_size);

/* Builds and shares the image of a version, unless it exists. The caller holds the build lock. */
extern void metasd_image_cache_build(const pg_uuid_t *uuid, int64 run, int cache_size);

/* Frees the images that this transaction has not used. */
extern void metasd_image_cache_forget(void);

/*
 * Changes when a transaction ends or a savepoint is rolled back: a caller that kept an image then
 * gets it again.
 */
extern uint64 metasd_image_cache_generation(void);

#endif
