/*
 * builder.h - an image built by a background worker, for a session that may not have the time.
 *
 * A statement_timeout that is shorter than a build would end every question that begins one, and
 * what it had built would be lost each time. A worker goes on, and the next question finds the
 * image. Where there is no worker to be had the session builds it.
 */
#ifndef METASD_PG_IMAGE_BUILDER_H
#define METASD_PG_IMAGE_BUILDER_H

#include "pg/base/compat.h"

#include "utils/uuid.h"

#include "core/serve/image.h"

/* In bgw_extra of the worker. */
typedef struct MetasdBuildOrder {
    Oid database, extension;
    int64 run;
    pg_uuid_t uuid;
    int cache_size; /* kB */
} MetasdBuildOrder;

/* Whether this session should leave building to a worker. */
extern bool metasd_builder_is_wanted(void);

/*
 * Lets a worker build and share the image of a version, and attaches it when it is there. False
 * where it cannot be built so. With the version locked, by metasd_image_file_lock.
 */
extern bool metasd_builder_build(const pg_uuid_t *uuid, int64 run, int cache_size, MetasdTeam *team,
                                 MetasdImage *index);

#endif
