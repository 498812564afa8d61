#include "pg/image/image_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "pg/image/image_path.h"

#define FILE_MODE (S_IRUSR | S_IWUSR)
#define CHUNK ((size_t)1 << 20) /* written or compared between two checks for interrupts */
#define LARGE ((size_t)4 << 20) /* an image from which on memory is released while it is written */

#define MAGIC "metasdIM"
#define VERSION 1

/* The start of a file; the image follows it. */
typedef struct Frame {
    char magic[8];
    uint32 version;
    uint32 reserved;
    pg_uuid_t uuid;
    uint64 bytes; /* of the whole file */
    int64 time;   /* its last modification, as its writer set it: seconds since 1970 */
    uint32 unused[3];
    pg_crc32c checksum; /* of the fields above */
} Frame;

StaticAssertDecl(sizeof(Frame) == METASD_IMAGE_FRAME,
                 "the image behind the frame has the alignment of the mapping");

/* ---- memory ---- */

typedef struct Mapping {
    MemoryContextCallback callback;
    void *memory; /* NULL after it was unmapped */
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

/* A mapping that ends with the current memory context; NULL and errno if it fails. */
static Mapping *
map_memory(size_t bytes, int protection, int flags, int fd)
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
 * Not from malloc, which keeps freed pieces of the size of an image: a session that has built an
 * image returns all of its memory.
 */
void *
metasd_image_file_memory(size_t bytes)
{
    Mapping *mapping = map_memory(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    if (!mapping)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
                        errdetail("Failed on %zu bytes for the image of a model.", bytes)));
    return mapping->memory;
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
 * Checks a mapped image; returns the damage, or NULL. A file that was written to since it was
 * published is read in full.
 */
static const char *
check_mapping(const Mapping *mapping, int fd, const struct stat *st, const pg_uuid_t *uuid,
              MetasdTeam *team, MetasdImage *view)
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
        return metasd_image_attach(image, bytes, view) == METASD_OK ? NULL
                                                                    : "Its header is damaged.";
    if (metasd_image_open(image, bytes, team, view) != METASD_OK)
        return "It has been written to.";
    (void)set_times(fd, frame.time);
    return NULL;
}

/* The lock makes sure that the name is still that of the checked file. */
bool
metasd_image_file_attach(const pg_uuid_t *uuid, bool locked, MetasdTeam *team, MetasdImage *view)
{
    MetasdImagePath path = metasd_image_path(uuid);
    int fd = OpenTransientFile(path.name, O_RDONLY | PG_BINARY);
    Mapping *mapping = NULL;
    const char *damage = NULL;
    struct stat st;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && (uint64)st.st_size <= SIZE_MAX) {
        if (st.st_size <= (off_t)sizeof(Frame))
            damage = "It does not have its size.";
        else if ((mapping = map_memory((size_t)st.st_size, PROT_READ, MAP_SHARED, fd)) != NULL)
            damage = check_mapping(mapping, fd, &st, uuid, team, view);
    }
    if (damage && mapping)
        unmap(mapping);
    if (damage && locked) {
        ereport(LOG, (errcode(ERRCODE_DATA_CORRUPTED),
                      errmsg("file \"%s\" is damaged and will be built again", path.name),
                      errdetail_internal("%s", damage)));
        (void)unlink(path.name); /* if no other can be written, no session reads this one again */
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
    MetasdImagePath path = metasd_image_path(uuid);

    (void)utimensat(AT_FDCWD, path.name, times, 0);
}

/* ---- publishing ---- */

/* A file that is being written; it is removed with its memory context if it was not renamed. */
typedef struct Draft {
    MemoryContextCallback callback;
    MetasdImagePath path;
    bool exists;
    bool released; /* the image that was written is no longer in memory */
    int fd;        /* it closes with the transaction */
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
create_draft(Draft *draft)
{
    int flags = O_RDWR | O_CREAT | O_EXCL | PG_BINARY;

    (void)unlink(draft->path.name); /* an earlier process with this id may have left one */
    draft->fd = OpenTransientFilePerm(draft->path.name, flags, FILE_MODE);
    if (draft->fd < 0 && errno == ENOENT) { /* the first temporary file of this server */
        if (MakePGDirectory(METASD_IMAGE_DIRECTORY) != 0 && errno != EEXIST)
            return false;
        draft->fd = OpenTransientFilePerm(draft->path.name, flags, FILE_MODE);
    }
    draft->exists = draft->fd >= 0;
    return draft->exists;
}

/* With write(): if the disk is full, a store to a mapped page would end the process. */
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

/*
 * Takes room on the disk, so that a full one is noticed before memory is released. False and errno
 * if there is none; ENOTSUP if the file system cannot tell.
 */
static bool
reserve(int fd, size_t bytes)
{
    errno = ENOTSUP;
#ifdef HAVE_POSIX_FALLOCATE
    do {
        CHECK_FOR_INTERRUPTS();
        errno = posix_fallocate(fd, 0, (off_t)bytes);
    } while (errno == EINTR);
#endif
    if (errno == EINVAL || errno == EOPNOTSUPP)
        errno = ENOTSUP;
    return errno == 0;
}

/* The file cannot be written, and the image is no longer in memory. */
static void
report_lost(const Draft *draft)
{
    ereport(ERROR,
            (errcode_for_file_access(), errmsg("could not write file \"%s\": %m", draft->path.name),
             errhint("The next question to the model builds its image again.")));
}

/*
 * Writes an image slice by slice into a file that has room for it. What the file has, memory need
 * not have, too: a slice is compared and then released.
 */
static void
write_slices(const Draft *draft, const char *written, const char *image, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += CHUNK) {
        size_t slice = Min(bytes - at, CHUNK);

        if (!write_all(draft->fd, image + at, slice))
            report_lost(draft);
        errno = EIO;
        if (!same_bytes(written + at, image + at, slice))
            report_lost(draft);
        (void)madvise((void *)(uintptr_t)(image + at), slice, MADV_DONTNEED);
    }
}

/* Fills a draft; false and errno if that fails, and then the image is still in memory. */
static bool
fill_draft(Draft *draft, const Mapping *mapping, const Frame *frame, const char *image,
           size_t bytes)
{
    const char *written = (const char *)mapping->memory + sizeof(*frame);
    bool large = bytes >= LARGE && reserve(draft->fd, (size_t)frame->bytes);

    if (bytes >= LARGE && !large && errno != ENOTSUP)
        return false;
    if (!write_all(draft->fd, frame, sizeof(*frame)))
        return false;
    draft->released = large;
    if (large) {
        write_slices(draft, written, image, bytes);
        return true;
    }
    if (!write_all(draft->fd, image, bytes))
        return false;
    errno = EIO;
    return same_bytes(written, image, bytes);
}

/* Writes, maps and renames the file; NULL and errno if that fails. CONTEXT gets the mapping. */
static Mapping *
write_image(Draft *draft, const MetasdImagePath *path, const pg_uuid_t *uuid, const void *image,
            size_t bytes, MemoryContext context)
{
    /*
     * One second ago, in whole seconds: any write to the file sets a later time, even where times
     * of files are whole seconds.
     */
    Frame frame = {.version = VERSION,
                   .uuid = *uuid,
                   .bytes = bytes + sizeof(frame),
                   .time = (int64)time(NULL) - 1};
    MemoryContext before = MemoryContextSwitchTo(context);
    Mapping *mapping = NULL;

    memcpy(frame.magic, MAGIC, sizeof(frame.magic));
    frame.checksum = frame_checksum(&frame);
    if (create_draft(draft)) /* beyond the end of the file until it is filled */
        mapping = map_memory((size_t)frame.bytes, PROT_READ, MAP_SHARED, draft->fd);
    MemoryContextSwitchTo(before);
    if (!mapping)
        return NULL;
    if (fill_draft(draft, mapping, &frame, image, bytes) && set_times(draft->fd, frame.time) &&
        rename(draft->path.name, path->name) == 0) {
        draft->exists = false;
        return mapping;
    }
    if (draft->released)
        report_lost(draft);
    unmap(mapping);
    return NULL;
}

static void
warn_once(const MetasdImagePath *path)
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
metasd_image_file_publish(const pg_uuid_t *uuid, const void *image, size_t bytes, MetasdImage *view)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "metasd draft", ALLOCSET_SMALL_SIZES);
    Draft *draft = MemoryContextAllocZero(context, sizeof(*draft));
    MetasdImagePath path = metasd_image_path(uuid);
    Mapping *mapping;

    draft->path = metasd_image_path_of_draft(&path);
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
    if (metasd_image_attach((const char *)mapping->memory + sizeof(Frame), bytes, view) !=
        METASD_OK)
        elog(ERROR, "could not attach an image that has just been built");
    ereport(DEBUG1, (errmsg_internal("built \"%s\"", path.name)));
    return true;
}

bool
metasd_image_file_may_share(size_t bytes, int cache_size)
{
    return bytes <= (uint64)cache_size * 1024 && cache_size > 0;
}
