#include "pg/image/image_cache.h"

#include "access/xact.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pg/base/interruptible.h"
#include "pg/image/build_request.h"
#include "pg/image/image_build.h"
#include "pg/image/image_collect.h"
#include "pg/image/image_file.h"
#include "pg/image/image_lock.h"

#define MOST_IMAGES 4              /* unless one transaction asks more models */
#define TOUCH_INTERVAL (60 * 1000) /* ms; the last use of a file is known to a minute */

typedef struct Image {
    pg_uuid_t uuid; /* of the run: ids of runs start again after DROP EXTENSION */
    MemoryContext context;
    MetasdImage view;
    bool shared;         /* a mapping of a file; else memory of this session alone */
    bool provisional;    /* of rows that the transaction which built it may yet roll back */
    bool kept;           /* share it nevertheless: after a rollback no session asks for it */
    bool outdated;       /* they may be rolled back: the next question gets another image */
    uint64 used_in;      /* the number of the transaction that used it last */
    TimestampTz touched; /* the last metasd_image_file_touch */
    struct Image *next;
} Image;

static Image *images;
static int image_count;

/* ---- transactions ---- */

/* Numbered here: two transactions of one string of statements have the same start time. */
static uint64 transaction = 1;
static uint64 generation = 1;

uint64
metasd_image_cache_generation(void)
{
    return generation;
}

/*
 * Rows of this transaction were rolled back or committed. Images of such rows stay, because a
 * running query may use them, but answer no other question.
 */
static void
outdate_images(void)
{
    generation++;
    for (Image *image = images; image; image = image->next)
        image->outdated |= image->provisional;
}

static void
end_transaction(XactEvent event, void *context)
{
    (void)context;
    if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PARALLEL_PRE_COMMIT ||
        event == XACT_EVENT_PRE_PREPARE)
        return;
    transaction++;
    outdate_images();
}

static void
end_subtransaction(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *context)
{
    (void)id;
    (void)parent;
    (void)context;
    if (event == SUBXACT_EVENT_ABORT_SUB)
        outdate_images();
}

static void
watch_transactions(void)
{
    static bool watching;

    if (watching)
        return;
    RegisterXactCallback(end_transaction, NULL);
    RegisterSubXactCallback(end_subtransaction, NULL);
    watching = true;
}

/* ---- the images kept ---- */

static bool
same_uuid(const pg_uuid_t *a, const pg_uuid_t *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* The link to the least recently used image that this transaction has not used; or NULL. */
static Image **
find_oldest_image(void)
{
    Image **oldest = NULL;

    for (Image **link = &images; *link; link = &(*link)->next)
        if ((*link)->used_in != transaction && (!oldest || (*link)->used_in < (*oldest)->used_in))
            oldest = link;
    return oldest;
}

static void
drop_image(Image **link)
{
    Image *image = *link;

    *link = image->next;
    image_count--;
    MemoryContextDelete(image->context);
}

/* Drops the outdated images that no query uses any more. */
static void
drop_outdated_images(void)
{
    for (Image **link = &images; *link;)
        if ((*link)->outdated && (*link)->used_in != transaction)
            drop_image(link);
        else
            link = &(*link)->next;
}

/*
 * Drops images until there is room for another. All images that this transaction has used stay: a
 * function of a view may ask a model while another model is being asked.
 */
static void
drop_oldest_images(void)
{
    Image **link;

    while (image_count >= MOST_IMAGES && (link = find_oldest_image()) != NULL)
        drop_image(link);
}

/* The uuids of the images that this session has mapped. */
static List *
list_mapped_uuids(void)
{
    List *uuids = NIL;

    for (Image *image = images; image; image = image->next)
        if (image->shared)
            uuids = lappend(uuids, &image->uuid);
    return uuids;
}

/* Builds an image in memory of its context, and shares it if that is possible. */
static void
build_image(Image *image, int64 run, MetasdTeam *team, int cache_size)
{
    MemoryContext own = AllocSetContextCreate(image->context, "metasd own", ALLOCSET_SMALL_SIZES);
    MemoryContext before = MemoryContextSwitchTo(own);
    void *memory = metasd_image_build(run, team, &image->view, &image->provisional);
    size_t bytes = metasd_image_bytes(&image->view.plan);

    if ((!image->provisional || image->kept) && metasd_image_file_may_share(bytes, cache_size)) {
        metasd_image_collect(&image->uuid, bytes, list_mapped_uuids(), cache_size);
        MemoryContextSwitchTo(image->context);
        image->shared = metasd_image_file_publish(&image->uuid, memory, bytes, &image->view);
    }
    MemoryContextSwitchTo(before);
    if (image->shared)
        MemoryContextDelete(own);
}

/* Attaches the shared image, or builds it: one session builds while the others wait. */
static void
get_image(Image *image, int64 run, int cache_size)
{
    MetasdTeam team = metasd_interruptible_team();

    if (!metasd_image_file_may_share(0, cache_size)) {
        build_image(image, run, &team, cache_size);
        return;
    }
    image->shared = metasd_image_file_attach(&image->uuid, false, &team, &image->view);
    if (image->shared)
        return;
    metasd_image_lock_build(&image->uuid);
    image->shared = metasd_image_file_attach(&image->uuid, true, &team, &image->view);
    if (!image->shared && !(image->kept && MyBgworkerEntry) && metasd_build_request_is_wanted())
        image->shared =
            metasd_build_request_wait(&image->uuid, run, cache_size, &team, &image->view);
    if (!image->shared)
        build_image(image, run, &team, cache_size);
    metasd_image_lock_release_build(&image->uuid);
}

static void
note_use(Image *image)
{
    TimestampTz now = GetCurrentTransactionStartTimestamp();

    image->used_in = transaction;
    if (image->shared && TimestampDifferenceExceeds(image->touched, now, TOUCH_INTERVAL)) {
        image->touched = now;
        metasd_image_file_touch(&image->uuid);
    }
}

const MetasdImage *
metasd_image_cache_get(const MetasdModel *model, int cache_size)
{
    MemoryContext context, before;
    Image *image;

    watch_transactions();
    drop_outdated_images();
    for (image = images; image; image = image->next)
        if (!image->outdated && same_uuid(&image->uuid, &model->uuid)) {
            note_use(image);
            return &image->view;
        }
    drop_oldest_images();
    /* An incomplete image belongs to the transaction: an error frees it. */
    context = AllocSetContextCreate(CurTransactionContext, "metasd image", ALLOCSET_SMALL_SIZES);
    before = MemoryContextSwitchTo(context);
    image = palloc0(sizeof(*image));
    image->uuid = model->uuid;
    image->context = context;
    image->used_in = transaction;
    image->touched = GetCurrentTransactionStartTimestamp();
    get_image(image, model->serving, cache_size);
    MemoryContextSwitchTo(before);
    MemoryContextSetParent(context, TopMemoryContext);
    image->next = images;
    images = image;
    image_count++;
    return &image->view;
}

/* Shares an image that does not stay in this process. */
static void
share_image(const pg_uuid_t *uuid, int64 run, int cache_size, bool locked)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "metasd image", ALLOCSET_SMALL_SIZES);
    MemoryContext before = MemoryContextSwitchTo(context);
    Image image = {.uuid = *uuid, .context = context, .kept = true};
    MetasdTeam team = metasd_interruptible_team();

    if (!locked)
        get_image(&image, run, cache_size);
    else if (!metasd_image_file_attach(uuid, false, &team, &image.view))
        build_image(&image, run, &team, cache_size);
    MemoryContextSwitchTo(before);
    MemoryContextDelete(context); /* the file stays */
}

void
metasd_image_cache_publish(const char *name, int cache_size)
{
    MetasdModel *model;

    if (!metasd_image_file_may_share(0, cache_size))
        return;
    CommandCounterIncrement();
    PushActiveSnapshot(GetLatestSnapshot());
    model = metasd_model_find(name, false);
    if (model && model->serving != 0) {
        metasd_image_lock_keep(&model->uuid);
        share_image(&model->uuid, model->serving, cache_size, false);
    }
    PopActiveSnapshot();
}

void
metasd_image_cache_check(const char *name, int cache_size)
{
    MetasdModel *model;

    if (metasd_image_file_may_share(0, cache_size)) {
        metasd_image_cache_publish(name, cache_size);
        return;
    }
    CommandCounterIncrement();
    PushActiveSnapshot(GetLatestSnapshot());
    model = metasd_model_find(name, false);
    if (model && model->serving != 0)
        (void)metasd_image_cache_get(model, cache_size);
    PopActiveSnapshot();
}

void
metasd_image_cache_build(const pg_uuid_t *uuid, int64 run, int cache_size)
{
    if (metasd_image_file_may_share(0, cache_size))
        share_image(uuid, run, cache_size, true);
}

void
metasd_image_cache_forget(void)
{
    Image **link;

    while ((link = find_oldest_image()) != NULL)
        drop_image(link);
}
