/*
 * image_file.h - serving images as files that all backends of a database share.
 *
 * PostgreSQL empties the directory of the files when it starts (image_path.h). So nothing here is
 * fsynced: the server that wrote a file is the only one to read it, and when a single process
 * crashes the kernel still has all that the process wrote. (A file that survives a crash of the
 * server is still good.)
 *
 * A process writes a file once, under a name of its own, then renames it. So no session sees a part
 * of a file, and no process writes to a file that others see. A mapping outlives the file's name.
 *
 * Trust. The writer compares the mapped file with the image that it wrote. Other sessions attach a
 * file after they have checked its frame and the image's header, because to read all of it takes
 * longer than a first answer may. These checks do not notice that somebody wrote to the file since.
 * But the writer sets the time of the last modification, to one in the past, and stores it in the
 * frame; any write changes the time of the file. A file with another time is read in full, with all
 * sums and bounds checked, before a query uses it; if it is good its time is set back. A bit that
 * changes without a write, on the disk or in memory, can make an answer wrong, but no query then
 * reads outside the image (image.h). Only the user of the server may write to these files. If that
 * user truncates one while it is mapped, the backends that use it end.
 */
#ifndef METASD_PG_IMAGE_IMAGE_FILE_H
#define METASD_PG_IMAGE_IMAGE_FILE_H

#include "pg/base/compat.h"

#include "utils/uuid.h"

#include "core/serve/image.h"

/* Bytes of a file before its image. */
#define METASD_IMAGE_FRAME ((size_t)64)

/* Memory of this process alone for an image; it is freed with the current memory context. */
extern void *metasd_image_file_memory(size_t bytes);

/*
 * Opens the shared image of a version; the mapping lasts for the current memory context. False if
 * there is no usable file. Polls the team. LOCKED: this session holds metasd_image_lock_build, and
 * a damaged file is logged and removed.
 */
extern bool metasd_image_file_attach(const pg_uuid_t *uuid, bool locked, MetasdTeam *team,
                                     MetasdImage *view);

/*
 * Writes an image of BYTES bytes to the shared file and opens it as metasd_image_file_attach does.
 * False if the file cannot be written: a WARNING says so once per session. Else memory from
 * metasd_image_file_memory may have been released: then it has zeros.
 */
extern bool metasd_image_file_publish(const pg_uuid_t *uuid, const void *image, size_t bytes,
                                      MetasdImage *view);

/* May an image of BYTES bytes be shared with the setting CACHE_SIZE (kB)? 0 bytes: any image? */
extern bool metasd_image_file_may_share(size_t bytes, int cache_size);

/* Notes that the image is in use, for metasd_image_collect. */
extern void metasd_image_file_touch(const pg_uuid_t *uuid);

#endif
