#include "pg/image/image_collect.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "storage/fd.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "pg/catalog/statement.h"
#include "pg/image/image_file.h"
#include "pg/image/image_lock.h"
#include "pg/image/image_path.h"

typedef struct ImageFile {
    MetasdImageName name;
    uint64 bytes;
    int64 used; /* last access */
} ImageFile;

/* The image files of all databases (ImageFile *). */
static List *
list_files(void)
{
    DIR *directory = AllocateDir(METASD_IMAGE_DIRECTORY);
    List *files = NIL;
    struct dirent *entry;

    if (!directory && errno == ENOENT)
        return NIL;
    while ((entry = ReadDirExtended(directory, METASD_IMAGE_DIRECTORY, LOG)) != NULL) {
        MetasdImageName name;
        ImageFile *file;
        struct stat st;

        if (!metasd_image_path_parse(entry->d_name, &name) || stat(name.path.name, &st) != 0)
            continue;
        file = palloc(sizeof(*file));
        *file = (ImageFile){.name = name, .bytes = (uint64)st.st_size, .used = (int64)st.st_atime};
        files = lappend(files, file);
    }
    if (directory)
        FreeDir(directory);
    return files;
}

/*
 * The paths (char *) of the images of versions that serve according to a snapshot with the commands
 * before BEFORE, in the caller's context.
 */
static List *
list_serving_paths_in(Snapshot snapshot, CommandId before)
{
    static MetasdStatement look = {"SELECT r.uuid FROM metasd.model m JOIN metasd.run r "
                                   "ON r.id = m.serving",
                                   0,
                                   {0},
                                   NULL};
    MemoryContext caller = CurrentMemoryContext;
    List *paths = NIL;
    uint64 n;

    SPI_connect();
    PushCopiedSnapshot(snapshot);
    GetActiveSnapshot()->curcid = Min(before, GetActiveSnapshot()->curcid);
    n = metasd_statement_execute(&look, NULL, NULL, true);
    PopActiveSnapshot();
    for (uint64 i = 0; i < n; i++) {
        bool isnull;
        MetasdImagePath path =
            metasd_image_path(DatumGetUUIDP(metasd_statement_value(i, 1, &isnull)));
        MemoryContext spi = MemoryContextSwitchTo(caller);

        paths = lappend(paths, pstrdup(path.name));
        MemoryContextSwitchTo(spi);
    }
    SPI_finish();
    return paths;
}

/*
 * The same for the newest snapshot, with and without the changes of this transaction: until it
 * ends, other sessions ask the versions that served before.
 */
static List *
list_serving_paths(void)
{
    Snapshot newest = GetLatestSnapshot();

    return list_concat(list_serving_paths_in(newest, newest->curcid),
                       list_serving_paths_in(newest, FirstCommandId));
}

static bool
has_path(const List *paths, const MetasdImagePath *path)
{
    ListCell *cell;

    foreach (cell, paths)
        if (strcmp(lfirst(cell), path->name) == 0)
            return true;
    return false;
}

static void
remove_file(const ImageFile *file)
{
    if (unlink(file->name.path.name) != 0 && errno != ENOENT)
        ereport(LOG, (errcode_for_file_access(),
                      errmsg("could not remove file \"%s\": %m", file->name.path.name)));
}

/* Is there no session that could use the file? */
static bool
is_useless(const ImageFile *file, const List *serving)
{
    const MetasdImageName *name = &file->name;
    pg_uuid_t uuid;

    if (name->database != MyDatabaseId)
        return !SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(name->database));
    if (name->writer != 0) /* this process writes none now */
        return name->writer == MyProcPid || BackendPidGetProc(name->writer) == NULL;
    return !has_path(serving, &name->path) &&
           !(metasd_image_path_uuid(&name->path, &uuid) && metasd_image_lock_is_kept(&uuid));
}

static int
compare_by_use(const ListCell *a, const ListCell *b)
{
    int64 x = ((const ImageFile *)lfirst(a))->used, y = ((const ImageFile *)lfirst(b))->used;

    return x < y ? -1 : x > y;
}

/* Removes the least recently used of FILES that do not STAY until TOTAL bytes are at most MOST. */
static void
remove_oldest_files(List *files, const List *stay, uint64 total, uint64 most)
{
    ListCell *cell;

    list_sort(files, compare_by_use);
    foreach (cell, files) {
        ImageFile *file = lfirst(cell);

        if (total > most && !has_path(stay, &file->name.path)) {
            remove_file(file);
            total -= file->bytes;
        }
    }
}

/*
 * The directory is read before the snapshot is taken. A version whose image was there served by
 * then. If it does not serve now, it has been replaced; or the transaction that makes it serve has
 * not ended, and keeps it. If that transaction ends between the two steps, the image is removed and
 * built again, nothing worse.
 */
void
metasd_image_collect(const pg_uuid_t *uuid, size_t bytes, List *mine, int cache_size)
{
    List *files, *serving, *stay = NIL, *others = NIL;
    MetasdImagePath path = metasd_image_path(uuid);
    uint64 total = METASD_IMAGE_FRAME + bytes;
    ListCell *cell;

    if (IsInParallelMode()) /* there is no newest snapshot; a later build will collect */
        return;
    files = list_files();
    serving = list_serving_paths();
    foreach (cell, mine) {
        MetasdImagePath own = metasd_image_path(lfirst(cell));

        stay = lappend(stay, pstrdup(own.name));
    }
    foreach (cell, files) {
        ImageFile *file = lfirst(cell);

        if (is_useless(file, serving))
            remove_file(file);
        else if (file->name.database == MyDatabaseId && file->name.writer == 0 &&
                 strcmp(file->name.path.name, path.name) != 0) {
            others = lappend(others, file);
            total += file->bytes;
        }
    }
    remove_oldest_files(others, stay, total, (uint64)cache_size * 1024);
}
