/*
 * image_file.h - serving images as files that all backends of a database share.
 *
 * The image of a version is base/pgsql_tmp/pgsql_tmp_metasd_<database>_<uuid>, where
 * the uuid is that of the version's run: a copy of a database has the same uuids, so the
 * database is named too. PostgreSQL empties that directory when it starts (from 14 on also
 * after a crash, by default) and leaves it out of base backups. So nothing here is fsynced:
 * no file is read by another start of the server than the one that wrote it, and after
 * the crash of a process alone the kernel still has what was written. (Where a file does
 * survive a crash it is as good as before.)
 *
 * A file is written once, under a name of its writer's own, then renamed: nobody sees half of
 * one, and nobody writes to one that is seen. A mapping outlives the file's name.
 *
 * Trust. The writer compares what the file gives back with what it wrote; others attach
 * after looking at the frame and the image's header, as reading all of it takes
 * longer than a first answer may. What they cannot see so: that somebody wrote to the file
 * since. But the frame holds the time that the writer gave the file as that of its last
 * modification, in the past, and any write changes that. A file with another time is read in
 * full, every sum and bound checked, before a query goes near it; if it is good it gets
 * its time back. A bit that goes bad without a write, on the disk or in memory, can make an
 * answer wrong, but no query leaves the image for it (image.h). Only the server's own user
 * may write to these files; who cuts one short while it is mapped ends the backends that use it.
 */
#ifndef METASD_PG_IMAGE_IMAGE_FILE_H
#define METASD_PG_IMAGE_IMAGE_FILE_H

#include "pg/base/compat.h"

#include "nodes/pg_list.h"
#include "utils/uuid.h"

#include "core/serve/image.h"

/* Memory of this process alone for an image; given back with the current memory context. */
extern void *metasd_image_file_memory(size_t bytes);

/*
 * Lets one session at a time build the image of a version; the others wait here. Ends with
 * the transaction, too.
 */
extern void metasd_image_file_lock(const pg_uuid_t *uuid);
extern void metasd_image_file_unlock(const pg_uuid_t *uuid);

/* The lock of a worker that builds the image, until its transaction ends; whether one has it. */
extern void metasd_image_file_begin_building(const pg_uuid_t *uuid);
extern bool metasd_image_file_is_building(const pg_uuid_t *uuid);

/*
 * Opens the shared image of a version, mapped until the current memory context goes. False
 * where there is none that can be used. Polls the team. LOCKED, by metasd_image_file_lock: a
 * damaged one is logged, and removed.
 */
extern bool metasd_image_file_attach(const pg_uuid_t *uuid, bool locked, MetasdTeam *team,
                                     MetasdImage *index);

/*
 * Shares an image of BYTES bytes, then does as metasd_image_file_attach. False where it cannot
 * be written: a WARNING says so, once a session.
 */
extern bool metasd_image_file_publish(const pg_uuid_t *uuid, const void *image, size_t bytes,
                                      MetasdImage *index);

/* Whether an image of that size may be shared where CACHE_SIZE is the setting; 0: any at all. */
extern bool metasd_image_file_may_share(size_t bytes, int cache_size);

/*
 * Keeps the image of a version that does not serve yet from being collected until the transaction
 * ends.
 */
extern void metasd_image_file_keep(const pg_uuid_t *uuid);

/* Says that the image is in use, for metasd_image_file_collect to know which is not. */
extern void metasd_image_file_touch(const pg_uuid_t *uuid);

/*
 * Removes the files of versions that do not serve, and of writers that are gone, then those that
 * have not been used for longest until one more of BYTES bytes, of version UUID, has room in
 * CACHE_SIZE kB. MINE: the uuids (pg_uuid_t *) of images that stay.
 */
extern void metasd_image_file_collect(const pg_uuid_t *uuid, size_t bytes, List *mine,
                                      int cache_size);

#endif
