#include "pg/image/image_file.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "access/xact.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/lock.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "pg/catalog/catalog.h"

#define DIRECTORY "base/" PG_TEMP_FILES_DIR
#define PREFIX PG_TEMP_FILE_PREFIX "_metasd_"

#define FILE_MODE (S_IRUSR | S_IWUSR)
#define CHUNK ((size_t)1 << 20) /* written or compared between two looks at interrupts */

#define MAGIC "metasdIM"
#define VERSION 1

/* What a file starts with; the image is behind it. */
typedef struct Frame {
    char magic[8];
    uint32 version;
    uint32 reserved;
    pg_uuid_t uuid;
    uint64 bytes; /* of the whole file */
    int64 time;   /* its last modification, as its writer set it: seconds since 1970 */
    uint32 unused[3];
    pg_crc32c checksum; /* of what is above */
} Frame;

StaticAssertDecl(sizeof(Frame) == 64, "the image behind it is aligned as a mapping is");

/* ---- names ---- */

typedef struct Path {
    char name[MAXPGPATH];
} Path;

static Path
path_of(const pg_uuid_t *uuid)
{
    Path path;
    char *text = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(uuid)));

    snprintf(path.name, sizeof(path.name), DIRECTORY "/" PREFIX "%u_%s", MyDatabaseId, text);
    pfree(text);
    return path;
}

/* While it is being written; nobody else's name, and a process writes one at a time. */
static Path
draft_of(const Path *path)
{
    Path draft;

    snprintf(draft.name, sizeof(draft.name), "%.*s.%d", MAXPGPATH - 16, path->name, MyProcPid);
    return draft;
}

/* ---- memory ---- */

typedef struct Mapping {
    MemoryContextCallback callback;
    void *memory; /* NULL once it is given back */
    size_t bytes;
} Mapping;

static void
unmap(void *argument)
{
    Mapping *mapping = argument;

    if (mapping->memory && munmap(mapping->memory, mapping->bytes) != 0)
        elog(LOG, "could not unmap an image: %m");
    mapping->memory = NULL;
}

/* A mapping that goes with the current memory context; NULL, and errno, where there is none. */
static Mapping *
map(size_t bytes, int protection, int flags, int fd)
{
    Mapping *mapping = palloc0(sizeof(*mapping));
    void *memory = mmap(NULL, bytes, protection, flags, fd, 0);

    if (memory == MAP_FAILED)
        return NULL;
    *mapping =
        (Mapping){.callback = {.func = unmap, .arg = mapping}, .memory = memory, .bytes = bytes};
    MemoryContextRegisterResetCallback(CurrentMemoryContext, &mapping->callback);
    return mapping;
}

/*
 * Not from malloc, which keeps what is freed, in pieces as large as an image may be: a session that
 * has built one has no more memory afterwards than one that has not.
 */
void *
metasd_image_file_memory(size_t bytes)
{
    Mapping *mapping = map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    if (!mapping)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
                        errdetail("Failed on %zu bytes for the image of a model.", bytes)));
    return mapping->memory;
}

/* ---- one builder at a time ---- */

/* In the last field of a lock: nobody takes one of these by SQL. */
#define BUILD_LOCK 0x6d74
#define KEEP_LOCK 0x6d75
#define WORKER_LOCK 0x6d76

/* Two versions in 2^64 share a lock. */
static void
lock_tag(LOCKTAG *tag, const pg_uuid_t *uuid, uint16 kind)
{
    uint32 word[2];

    memcpy(word, uuid->data, sizeof(word));
    SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, word[0], word[1], kind);
}

/*
 * A lock that the deadlock detector sees. lock_timeout does not count here: who waits gets
 * the image sooner than by building it, which no such timeout would end.
 */
void
metasd_image_file_lock(const pg_uuid_t *uuid)
{
    int nest_level = NewGUCNestLevel();
    LOCKTAG tag;

    (void)set_config_option("lock_timeout", "0", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
                            0, false);
    lock_tag(&tag, uuid, BUILD_LOCK);
    (void)LockAcquire(&tag, ExclusiveLock, false, false);
    AtEOXact_GUC(false, nest_level);
}

void
metasd_image_file_unlock(const pg_uuid_t *uuid)
{
    LOCKTAG tag;

    lock_tag(&tag, uuid, BUILD_LOCK);
    LockRelease(&tag, ExclusiveLock, false);
}

/* A lock that several may have: a version may be promoted by one, and stored by another. */
void
metasd_image_file_keep(const pg_uuid_t *uuid)
{
    LOCKTAG tag;

    lock_tag(&tag, uuid, KEEP_LOCK);
    (void)LockAcquire(&tag, ShareLock, false, false);
}

/* Whether somebody else has that lock of a version. */
static bool
is_locked(const pg_uuid_t *uuid, uint16 kind)
{
    LOCKTAG tag;

    lock_tag(&tag, uuid, kind);
    if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
        return true;
    LockRelease(&tag, ExclusiveLock, false);
    return false;
}

void
metasd_image_file_begin_building(const pg_uuid_t *uuid)
{
    LOCKTAG tag;

    lock_tag(&tag, uuid, WORKER_LOCK);
    (void)LockAcquire(&tag, ExclusiveLock, false, false);
}

bool
metasd_image_file_is_building(const pg_uuid_t *uuid)
{
    return is_locked(uuid, WORKER_LOCK);
}

/* ---- attaching ---- */

static pg_crc32c
frame_checksum(const Frame *frame)
{
    pg_crc32c crc;

    INIT_CRC32C(crc);
    COMP_CRC32C(crc, frame, offsetof(Frame, checksum));
    FIN_CRC32C(crc);
    return crc;
}

/* Sets the times of a file: now as the last access, TIME as the last modification. */
static bool
set_times(int fd, int64 time)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = (time_t)time}};

    return futimens(fd, times) == 0;
}

static bool
has_time(const struct stat *st, int64 time)
{
#ifdef __APPLE__
    return st->st_mtimespec.tv_sec == time && st->st_mtimespec.tv_nsec == 0;
#else
    return st->st_mtim.tv_sec == time && st->st_mtim.tv_nsec == 0;
#endif
}

/*
 * What is wrong with an image that is mapped, or NULL. One that has been written to is read in
 * full.
 */
static const char *
check_mapped(const Mapping *mapping, int fd, const struct stat *st, const pg_uuid_t *uuid,
             MetasdTeam *team, MetasdImage *index)
{
    const char *image = (const char *)mapping->memory + sizeof(Frame);
    size_t bytes = mapping->bytes - sizeof(Frame);
    Frame frame;

    memcpy(&frame, mapping->memory, sizeof(frame));
    if (memcmp(frame.magic, MAGIC, sizeof(frame.magic)) != 0 || frame.version != VERSION ||
        frame.checksum != frame_checksum(&frame))
        return "Its start is not that of an image.";
    if (memcmp(&frame.uuid, uuid, sizeof(*uuid)) != 0)
        return "It is of another version.";
    if (frame.bytes != mapping->bytes)
        return "It does not have its size.";
    if (has_time(st, frame.time))
        return metasd_image_attach(image, bytes, index) == METASD_OK ? NULL
                                                                     : "Its header is damaged.";
    if (metasd_image_open(image, bytes, team, index) != METASD_OK)
        return "It has been written to.";
    (void)set_times(fd, frame.time);
    return NULL;
}

/* The lock is what makes sure that the name is still that of the file looked at. */
bool
metasd_image_file_attach(const pg_uuid_t *uuid, bool locked, MetasdTeam *team, MetasdImage *index)
{
    Path path = path_of(uuid);
    int fd = OpenTransientFile(path.name, O_RDONLY | PG_BINARY);
    Mapping *mapping = NULL;
    const char *damage = NULL;
    struct stat st;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && (uint64)st.st_size <= SIZE_MAX) {
        if (st.st_size <= (off_t)sizeof(Frame))
            damage = "It does not have its size.";
        else if ((mapping = map((size_t)st.st_size, PROT_READ, MAP_SHARED, fd)) != NULL)
            damage = check_mapped(mapping, fd, &st, uuid, team, index);
    }
    if (damage && mapping)
        unmap(mapping);
    if (damage && locked) {
        ereport(LOG, (errcode(ERRCODE_DATA_CORRUPTED),
                      errmsg("file \"%s\" is damaged and will be built again", path.name),
                      errdetail_internal("%s", damage)));
        (void)unlink(path.name); /* if the next cannot be written nobody need read this again */
    }
    CloseTransientFile(fd);
    if (damage || !mapping)
        return false;
    metasd_image_file_touch(uuid);
    return true;
}

void
metasd_image_file_touch(const pg_uuid_t *uuid)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
    Path path = path_of(uuid);

    (void)utimensat(AT_FDCWD, path.name, times, 0);
}

/* ---- publishing ---- */

/* A file that is being written: removed with its memory context unless it has got its name. */
typedef struct Draft {
    MemoryContextCallback callback;
    Path path;
    bool exists;
    int fd; /* of this transaction */
} Draft;

static void
remove_draft(void *argument)
{
    Draft *draft = argument;

    if (draft->exists && unlink(draft->path.name) != 0 && errno != ENOENT)
        elog(LOG, "could not remove file \"%s\": %m", draft->path.name);
    draft->exists = false;
}

static bool
create(Draft *draft)
{
    int flags = O_RDWR | O_CREAT | O_EXCL | PG_BINARY;

    (void)unlink(draft->path.name); /* an earlier process of this number may have left one */
    draft->fd = OpenTransientFilePerm(draft->path.name, flags, FILE_MODE);
    if (draft->fd < 0 && errno == ENOENT) { /* no temporary file has been written here before */
        if (MakePGDirectory(DIRECTORY) != 0 && errno != EEXIST)
            return false;
        draft->fd = OpenTransientFilePerm(draft->path.name, flags, FILE_MODE);
    }
    draft->exists = draft->fd >= 0;
    return draft->exists;
}

/* By write(), as a page of a mapping that a full disk has no room for would end the process. */
static bool
write_all(int fd, const void *data, size_t bytes)
{
    for (const char *at = data; bytes > 0;) {
        ssize_t written;

        CHECK_FOR_INTERRUPTS();
        errno = 0;
        written = write(fd, at, Min(bytes, CHUNK));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = errno ? errno : ENOSPC;
            return false;
        }
        at += written;
        bytes -= (size_t)written;
    }
    return true;
}

static bool
same_bytes(const char *a, const char *b, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += CHUNK) {
        CHECK_FOR_INTERRUPTS();
        if (memcmp(a + at, b + at, Min(bytes - at, CHUNK)) != 0)
            return false;
    }
    return true;
}

/* Writes, maps and names the file; NULL and errno where that fails. CONTEXT gets the mapping. */
static Mapping *
write_image(Draft *draft, const Path *path, const pg_uuid_t *uuid, const void *image, size_t bytes,
            MemoryContext context)
{
    /*
     * A second ago, in whole seconds: whoever writes to the file sets a later time, however coarse.
     */
    Frame frame = {.magic = MAGIC,
                   .version = VERSION,
                   .uuid = *uuid,
                   .bytes = bytes + sizeof(frame),
                   .time = (int64)time(NULL) - 1};
    MemoryContext before = MemoryContextSwitchTo(context);
    Mapping *mapping = NULL;

    frame.checksum = frame_checksum(&frame);
    if (create(draft) && write_all(draft->fd, &frame, sizeof(frame)) &&
        write_all(draft->fd, image, bytes) && set_times(draft->fd, frame.time))
        mapping = map((size_t)frame.bytes, PROT_READ, MAP_SHARED, draft->fd);
    MemoryContextSwitchTo(before);
    if (!mapping)
        return NULL;
    if (!same_bytes((const char *)mapping->memory + sizeof(frame), image, bytes))
        errno = EIO;
    else if (rename(draft->path.name, path->name) == 0) {
        draft->exists = false;
        return mapping;
    }
    unmap(mapping);
    return NULL;
}

static void
warn_once(const Path *path)
{
    static bool warned = false;

    if (warned)
        return;
    warned = true;
    ereport(WARNING,
            (errcode_for_file_access(), errmsg("could not write file \"%s\": %m", path->name),
             errdetail("This session keeps an image of the model in its own memory."),
             errhint("All sessions of this database would share the file.")));
}

bool
metasd_image_file_publish(const pg_uuid_t *uuid, const void *image, size_t bytes,
                          MetasdImage *index)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "metasd draft", ALLOCSET_SMALL_SIZES);
    Draft *draft = MemoryContextAllocZero(context, sizeof(*draft));
    Path path = path_of(uuid);
    Mapping *mapping;

    draft->path = draft_of(&path);
    draft->callback = (MemoryContextCallback){.func = remove_draft, .arg = draft};
    MemoryContextRegisterResetCallback(context, &draft->callback);
    mapping = write_image(draft, &path, uuid, image, bytes, CurrentMemoryContext);
    if (!mapping)
        warn_once(&path);
    if (draft->fd >= 0)
        CloseTransientFile(draft->fd);
    MemoryContextDelete(context);
    if (!mapping)
        return false;
    if (metasd_image_attach((const char *)mapping->memory + sizeof(Frame), bytes, index) !=
        METASD_OK)
        elog(ERROR, "could not attach an image that has just been built");
    ereport(DEBUG1, (errmsg_internal("built \"%s\"", path.name)));
    return true;
}

/* ---- collecting ---- */

/* A file of ours in the directory. */
typedef struct Found {
    Path path;
    Oid database;
    int writer; /* the process that writes it; 0 if it is complete */
    uint64 bytes;
    int64 used; /* last access */
} Found;

bool
metasd_image_file_may_share(size_t bytes, int cache_size)
{
    return bytes <= (uint64)cache_size * 1024 && cache_size > 0;
}

/* Whose a file is, by its name; false if it is none of ours. */
static bool
parse(const char *name, Found *found)
{
    char *end;
    const char *dot = strchr(name, '.');

    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return false;
    found->database = (Oid)strtoul(name + strlen(PREFIX), &end, 10);
    found->writer = dot ? atoi(dot + 1) : 0;
    snprintf(found->path.name, sizeof(found->path.name), DIRECTORY "/%s", name);
    return *end == '_';
}

static List *
files_found(void)
{
    DIR *directory = AllocateDir(DIRECTORY);
    List *files = NIL;
    struct dirent *entry;

    if (!directory && errno == ENOENT)
        return NIL;
    while ((entry = ReadDirExtended(directory, DIRECTORY, LOG)) != NULL) {
        Found found, *copy;
        struct stat st;

        if (!parse(entry->d_name, &found) || stat(found.path.name, &st) != 0)
            continue;
        found.bytes = (uint64)st.st_size;
        found.used = (int64)st.st_atime;
        copy = palloc(sizeof(*copy));
        *copy = found;
        files = lappend(files, copy);
    }
    if (directory)
        FreeDir(directory);
    return files;
}

/* The paths (char *) of images of versions that serve by a snapshot, in the caller's context. */
static List *
paths_in(Snapshot snapshot, CommandId before)
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
        Path path = path_of(DatumGetUUIDP(metasd_statement_value(i, 1, &isnull)));
        MemoryContext spi = MemoryContextSwitchTo(caller);

        paths = lappend(paths, pstrdup(path.name));
        MemoryContextSwitchTo(spi);
    }
    SPI_finish();
    return paths;
}

/*
 * As the newest snapshot has it, and as it has it without what this transaction has done: until it
 * ends others ask what served before.
 */
static List *
paths_serving(void)
{
    Snapshot newest = GetLatestSnapshot();

    return list_concat(paths_in(newest, newest->curcid), paths_in(newest, FirstCommandId));
}

static bool
has_path(const List *paths, const Path *path)
{
    ListCell *cell;

    foreach (cell, paths)
        if (strcmp(lfirst(cell), path->name) == 0)
            return true;
    return false;
}

static void
remove_file(const Found *found)
{
    if (unlink(found->path.name) != 0 && errno != ENOENT)
        ereport(LOG, (errcode_for_file_access(),
                      errmsg("could not remove file \"%s\": %m", found->path.name)));
}

/* The version of a complete file of this database, by its name. */
static bool
has_uuid(const Found *found, pg_uuid_t *uuid)
{
    const char *text = strrchr(found->path.name, '_') + 1;

    for (int i = 0; i < UUID_LEN; i++) {
        unsigned int byte;

        text += *text == '-';
        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
            sscanf(text, "%2x", &byte) != 1)
            return false;
        uuid->data[i] = (unsigned char)byte;
        text += 2;
    }
    return *text == '\0';
}

/* Whether nobody can want a file any more. */
static bool
is_useless(const Found *found, const List *serving)
{
    pg_uuid_t uuid;

    if (found->database != MyDatabaseId)
        return !SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(found->database));
    if (found->writer != 0) /* this process writes none now */
        return found->writer == MyProcPid || BackendPidGetProc(found->writer) == NULL;
    return !has_path(serving, &found->path) &&
           !(has_uuid(found, &uuid) && is_locked(&uuid, KEEP_LOCK));
}

static int
by_use(const ListCell *a, const ListCell *b)
{
    int64 x = ((const Found *)lfirst(a))->used, y = ((const Found *)lfirst(b))->used;

    return x < y ? -1 : x > y;
}

/*
 * The directory is read before the snapshot is taken: a version whose image was there was served
 * by then, and if it does not serve now it has been replaced, unless the transaction that makes it
 * serve has not ended, which keeps it. One that ends between the two leaves an image to be built
 * again, nothing worse.
 */
void
metasd_image_file_collect(const pg_uuid_t *uuid, size_t bytes, List *mine, int cache_size)
{
    List *files, *serving, *stay = NIL, *others = NIL;
    Path path = path_of(uuid);
    uint64 total = sizeof(Frame) + bytes;
    ListCell *cell;

    if (IsInParallelMode()) /* takes no newest snapshot; a later build will do */
        return;
    files = files_found();
    serving = paths_serving();
    foreach (cell, mine) {
        Path own = path_of(lfirst(cell));

        stay = lappend(stay, pstrdup(own.name));
    }
    foreach (cell, files) {
        Found *found = lfirst(cell);

        if (is_useless(found, serving))
            remove_file(found);
        else if (found->database == MyDatabaseId && found->writer == 0 &&
                 strcmp(found->path.name, path.name) != 0) {
            others = lappend(others, found);
            total += found->bytes;
        }
    }
    list_sort(others, by_use);
    foreach (cell, others) {
        Found *found = lfirst(cell);

        if (total > (uint64)cache_size * 1024 && !has_path(stay, &found->path)) {
            remove_file(found);
            total -= found->bytes;
        }
    }
}
