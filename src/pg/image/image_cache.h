/*
 * image_cache.h - the serving images that this backend uses.
 */
#ifndef METASD_PG_IMAGE_IMAGE_CACHE_H
#define METASD_PG_IMAGE_IMAGE_CACHE_H

#include "pg/base/compat.h"

#include "pg/catalog/catalog.h"
#include "core/serve/image.h"

/*
 * The image of the version that serves the model, by the active snapshot: the one that all
 * sessions share (image_file.h), built from the version's rows if it is not there; or one
 * of this session's own where it cannot be shared, by CACHE_SIZE, which is what
 * metasd.image_cache_size is here. Valid until the transaction ends,
 * and from then until the next call.
 * ERRCODE_DATA_CORRUPTED if a stored row is damaged.
 */
extern const MetasdImage *metasd_image_cache_get(const MetasdModel *model, int cache_size);

/*
 * Shares the image of the version that serves the model by what this transaction has done, so that
 * it is there before the transaction ends. Does nothing where images are not shared.
 */
extern void metasd_image_cache_publish(const char *model, int cache_size);

/* Likewise, but where images are not shared makes one here: an error if the version is damaged. */
extern void metasd_image_cache_check(const char *model, int cache_size);

/* Builds and shares the image of a version, unless that has been done. */
extern void metasd_image_cache_build(const pg_uuid_t *uuid, int64 run, int cache_size);

/* Gives back the images that this transaction has not used. */
extern void metasd_image_cache_forget(void);

/*
 * Another number once a transaction has ended or a savepoint has been rolled back: who kept an
 * image asks for it again.
 */
extern uint64 metasd_image_cache_generation(void);

#endif
