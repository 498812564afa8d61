/*
 * image_path.h - the names of image files.
 *
 * The image of a version is base/pgsql_tmp/pgsql_tmp_metasd_<database>_<uuid>, where the uuid is
 * that of the version's run. A copy of a database has the same uuids, so the name holds the
 * database, too. PostgreSQL empties that directory when it starts (from version 14 on also after a
 * crash, by default) and leaves it out of base backups.
 */
#ifndef METASD_PG_IMAGE_IMAGE_PATH_H
#define METASD_PG_IMAGE_IMAGE_PATH_H

#include "pg/base/compat.h"

#include "utils/uuid.h"

#define METASD_IMAGE_DIRECTORY "base/" PG_TEMP_FILES_DIR

typedef struct MetasdImagePath {
    char name[MAXPGPATH];
} MetasdImagePath;

/* What the name of a file in the directory says. */
typedef struct MetasdImageName {
    MetasdImagePath path;
    Oid database;
    int writer; /* the process that writes the file; 0 if the file is complete */
} MetasdImageName;

/* The path of the image of a version of this database. */
extern MetasdImagePath metasd_image_path(const pg_uuid_t *uuid);

/* The path of the same file while this process writes it: no other process uses that name. */
extern MetasdImagePath metasd_image_path_of_draft(const MetasdImagePath *path);

/* Parses the name of a file in the directory; false if it is not an image. */
extern bool metasd_image_path_parse(const char *name, MetasdImageName *parsed);

/* The version of a complete file; false if the path holds none. */
extern bool metasd_image_path_uuid(const MetasdImagePath *path, pg_uuid_t *uuid);

#endif
