#include "pg/image/image_lock.h"

#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/guc.h"

/* In the last field of a lock. SQL can set 1 or 2 there. */
#define BUILD_LOCK 0x6d74
#define KEEP_LOCK 0x6d75
#define WORKER_LOCK 0x6d76

static void
set_lock_tag(LOCKTAG *tag, const pg_uuid_t *uuid, uint16 kind)
{
    uint32 word[2];

    memcpy(word, uuid->data, sizeof(word));
    SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, word[0], word[1], kind);
}

/*
 * The deadlock detector sees this lock. lock_timeout does not apply: a session that waits gets the
 * image sooner than a session that builds it, and no such timeout would end the build.
 */
void
metasd_image_lock_build(const pg_uuid_t *uuid)
{
    int nest_level = NewGUCNestLevel();
    LOCKTAG tag;

    (void)set_config_option("lock_timeout", "0", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
                            0, false);
    set_lock_tag(&tag, uuid, BUILD_LOCK);
    (void)LockAcquire(&tag, ExclusiveLock, false, false);
    AtEOXact_GUC(false, nest_level);
}

void
metasd_image_lock_release_build(const pg_uuid_t *uuid)
{
    LOCKTAG tag;

    set_lock_tag(&tag, uuid, BUILD_LOCK);
    LockRelease(&tag, ExclusiveLock, false);
}

void
metasd_image_lock_worker(const pg_uuid_t *uuid)
{
    LOCKTAG tag;

    set_lock_tag(&tag, uuid, WORKER_LOCK);
    (void)LockAcquire(&tag, ExclusiveLock, false, false);
}

void
metasd_image_lock_keep(const pg_uuid_t *uuid)
{
    LOCKTAG tag;

    set_lock_tag(&tag, uuid, KEEP_LOCK);
    (void)LockAcquire(&tag, ShareLock, false, false);
}

/* Does another process hold a lock of that kind? */
static bool
is_locked(const pg_uuid_t *uuid, uint16 kind)
{
    LOCKTAG tag;

    set_lock_tag(&tag, uuid, kind);
    if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
        return true;
    LockRelease(&tag, ExclusiveLock, false);
    return false;
}

bool
metasd_image_lock_has_worker(const pg_uuid_t *uuid)
{
    return is_locked(uuid, WORKER_LOCK);
}

bool
metasd_image_lock_is_kept(const pg_uuid_t *uuid)
{
    return is_locked(uuid, KEEP_LOCK);
}
