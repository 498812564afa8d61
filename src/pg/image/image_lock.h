/*
 * image_lock.h - locks on the image of a version: to build it, and to keep its file.
 *
 * They are advisory locks of a kind that SQL cannot take. Two of 2^64 versions share a lock.
 */
#ifndef METASD_PG_IMAGE_IMAGE_LOCK_H
#define METASD_PG_IMAGE_IMAGE_LOCK_H

#include "pg/base/compat.h"

#include "utils/uuid.h"

/*
 * Lets one session at a time build the image of a version; the others wait here. The lock also
 * ends with the transaction.
 */
extern void metasd_image_lock_build(const pg_uuid_t *uuid);
extern void metasd_image_lock_release_build(const pg_uuid_t *uuid);

/* The lock of a worker that builds the image, until its transaction ends. */
extern void metasd_image_lock_worker(const pg_uuid_t *uuid);

/* Does another process hold the lock of a worker? */
extern bool metasd_image_lock_has_worker(const pg_uuid_t *uuid);

/*
 * Keeps the image of a version that does not serve yet from being collected until the transaction
 * ends. Several sessions may hold this lock: one promotes a version that another stores.
 */
extern void metasd_image_lock_keep(const pg_uuid_t *uuid);

/* Does another process keep the image of a version? */
extern bool metasd_image_lock_is_kept(const pg_uuid_t *uuid);

#endif
