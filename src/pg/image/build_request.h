/*
 * build_request.h - asks a background worker to build an image.
 *
 * A statement_timeout that is shorter than a build would end every question that starts one, and
 * each time the unfinished image would be lost. A worker goes on after the timeout, so that the
 * next question finds the image. If no worker is free, the session builds the image itself.
 */
#ifndef METASD_PG_IMAGE_BUILD_REQUEST_H
#define METASD_PG_IMAGE_BUILD_REQUEST_H

#include "pg/base/compat.h"

#include "utils/uuid.h"

#include "core/serve/image.h"

/* The request, in bgw_extra of the worker. */
typedef struct MetasdBuildRequest {
    Oid database, extension;
    int64 run;
    pg_uuid_t uuid;
    int cache_size; /* kB */
} MetasdBuildRequest;

/* Should a worker build images for this session? */
extern bool metasd_build_request_is_wanted(void);

/*
 * Lets a worker build and share the image of a version, waits for it and attaches the image. False
 * if no worker could do that. The caller holds metasd_image_lock_build of the version.
 */
extern bool metasd_build_request_wait(const pg_uuid_t *uuid, int64 run, int cache_size,
                                      MetasdTeam *team, MetasdImage *view);

#endif
