/*
 * cache.h - the serving images that this backend uses.
 */
#ifndef METASD_CACHE_H
#define METASD_CACHE_H

#include "compat.h"

#include "catalog.h"
#include "index.h"

/*
 * The image of the version that serves the model, by the active snapshot: the one that all
 * sessions share (image.h), built from the version's rows if it is not there; or one
 * of this session's own where it cannot be shared. Valid until the transaction ends,
 * and from then until the next call.
 * ERRCODE_DATA_CORRUPTED if a stored row is damaged.
 */
extern const MetasdIndex *metasd_cache_image(const MetasdModel *model);

/*
 * Another number once a transaction has ended or a savepoint has been rolled back: who kept an
 * image asks for it again.
 */
extern uint64 metasd_cache_generation(void);

#endif
