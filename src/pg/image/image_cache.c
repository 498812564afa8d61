#include "pg/image/image_cache.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pg/image/builder.h"
#include "core/codec/row_codec.h"
#include "pg/image/image_file.h"

#define ROWS_PER_FETCH 1000
#define BYTES_KEPT ((Size)1 << 20) /* of rows whose values are out of line */
#define MOST_IMAGES 4              /* more only where one transaction asks more models */
#define TOUCH_INTERVAL (60 * 1000) /* ms; a file says to a minute when it was last used */

typedef struct Image {
    pg_uuid_t uuid; /* of the run: ids of runs may come again, after DROP EXTENSION */
    MemoryContext context;
    MetasdImage index;
    bool shared;         /* a mapping of a file; else memory of this session's own */
    bool provisional;    /* of rows that the transaction which built it may yet take back */
    bool kept;           /* to be shared nevertheless: nobody asks for it if it does */
    bool outdated;       /* it may have: who asks now gets another image */
    uint64 used_in;      /* the transaction that used it last */
    TimestampTz touched; /* when the file was last told so */
    struct Image *next;
} Image;

static Image *images;
static int image_count;

/* ---- transactions ---- */

/* Counted here: two of one string of statements begin at the same time. */
static uint64 transaction = 1;
static uint64 generation = 1;

uint64
metasd_image_cache_generation(void)
{
    return generation;
}

/*
 * Rows of this transaction are gone, or are everybody's. The images of such rows stay, as somebody
 * may be using them, but answer no more.
 */
static void
outdate(void)
{
    generation++;
    for (Image *image = images; image; image = image->next)
        image->outdated |= image->provisional;
}

static void
transaction_ends(XactEvent event, void *context)
{
    (void)context;
    if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PARALLEL_PRE_COMMIT ||
        event == XACT_EVENT_PRE_PREPARE)
        return;
    transaction++;
    outdate();
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *context)
{
    (void)id;
    (void)parent;
    (void)context;
    if (event == SUBXACT_EVENT_ABORT_SUB)
        outdate();
}

static void
watch_transactions(void)
{
    static bool watching;

    if (watching)
        return;
    RegisterXactCallback(transaction_ends, NULL);
    RegisterSubXactCallback(subtransaction_ends, NULL);
    watching = true;
}

/* ---- reading rows ---- */

/* Rows of one kind: id, label, one embedding or two, who wrote it; of relations there is more. */
typedef struct RowKind {
    const char *sql;
    const char *name;
    int embeddings;
} RowKind;

static const RowKind entity_rows = {"SELECT id, label, embedding, xmin FROM metasd.entity "
                                    "WHERE run = $1 ORDER BY id",
                                    "entity", 1};
static const RowKind relation_rows = {
    "SELECT id, label, embedding, reciprocal, xmin, tail_slope, tail_offset, head_slope, "
    "head_offset, irreflexive FROM metasd.relation WHERE run = $1 ORDER BY id",
    "relation", 2};

typedef struct Row {
    int32 id;
    const char *label;
    size_t label_len;
    const uint8_t *bytes[2];
    size_t size[2];
    TransactionId xmin;
    bool irreflexive; /* of a relation */
    bool calibrated;  /* a relation with sigmoids of its own, */
    MetasdSigmoid sigmoid[2];
} Row;

/* An image under construction. */
typedef struct Build {
    int64 run;
    MetasdImagePlan plan;
    MetasdImageWriter writer;
    uint32_t *positions;            /* 2 x width */
    float *values;                  /* 2 x width */
    MetasdSigmoid sigmoid;          /* of relations without one of their own */
    MetasdSigmoid relation_sigmoid; /* of questions for relations */
    bool uncommitted;               /* a row has been written by this transaction */
} Build;

static void
damaged(const Build *build, const RowKind *kind, int32 id)
{
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                    kind == &entity_rows
                        ? errmsg("embedding of entity %d in run " INT64_FORMAT " is damaged", id,
                                 build->run)
                        : errmsg("embedding of relation %d in run " INT64_FORMAT " is damaged", id,
                                 build->run),
                    errhint("Train the model again with kg_train.")));
}

static void
read_row(const RowKind *kind, uint64 i, Row *row)
{
    bool isnull;
    text *label;

    row->id = DatumGetInt32(metasd_statement_value(i, 1, &isnull));
    label = DatumGetTextPP(metasd_statement_value(i, 2, &isnull));
    row->label = VARDATA_ANY(label);
    row->label_len = VARSIZE_ANY_EXHDR(label);
    for (int e = 0; e < kind->embeddings; e++) {
        bytea *value = DatumGetByteaPP(metasd_statement_value(i, 3 + e, &isnull));

        row->bytes[e] = (const uint8_t *)VARDATA_ANY(value);
        row->size[e] = VARSIZE_ANY_EXHDR(value);
    }
    row->xmin = DatumGetTransactionId(metasd_statement_value(i, 3 + kind->embeddings, &isnull));
    row->calibrated = kind == &relation_rows;
    row->irreflexive = row->calibrated && DatumGetBool(metasd_statement_value(i, 10, &isnull));
    for (int side = 0; side < 2 && row->calibrated; side++) {
        row->sigmoid[side].slope = DatumGetFloat4(metasd_statement_value(i, 6 + 2 * side, &isnull));
        row->calibrated = !isnull;
        row->sigmoid[side].offset =
            DatumGetFloat4(metasd_statement_value(i, 7 + 2 * side, &isnull));
        row->calibrated &= !isnull;
    }
}

static void
for_each_row(Build *build, const RowKind *kind,
             void (*work)(Build *build, const RowKind *kind, const Row *row))
{
    Oid type = INT8OID;
    Datum run = Int64GetDatum(build->run);
    /* By the index, even where no statistics say yet that its order is that of the table. */
    SPIPlanPtr plan = SPI_prepare_cursor(kind->sql, 1, &type, CURSOR_OPT_FAST_PLAN);
    Portal portal;
    MemoryContext per_fetch =
        AllocSetContextCreate(CurrentMemoryContext, "metasd fetch", ALLOCSET_DEFAULT_SIZES);

    if (!plan)
        elog(ERROR, "could not prepare to read embeddings: %s", SPI_result_code_string(SPI_result));
    portal = SPI_cursor_open(NULL, plan, &run, NULL, true);
    for (;;) {
        MemoryContext before;

        SPI_cursor_fetch(portal, true, ROWS_PER_FETCH);
        if (SPI_processed == 0)
            break;
        before = MemoryContextSwitchTo(per_fetch);
        for (uint64 i = 0; i < SPI_processed; i++) {
            Row row;

            read_row(kind, i, &row);
            work(build, kind, &row);
            if (MemoryContextMemAllocated(per_fetch, true) > BYTES_KEPT)
                MemoryContextReset(per_fetch);
        }
        MemoryContextSwitchTo(before);
        MemoryContextReset(per_fetch);
        SPI_freetuptable(SPI_tuptable);
        CHECK_FOR_INTERRUPTS();
    }
    SPI_cursor_close(portal);
    SPI_freeplan(plan);
    MemoryContextDelete(per_fetch);
}

/* ---- two passes: one to size the rows of an image, one to add them ---- */

static void
count_row(Build *build, const RowKind *kind, const Row *row)
{
    MetasdImagePlan *plan = &build->plan;
    bool entity = kind == &entity_rows;

    for (int e = 0; e < kind->embeddings; e++) {
        size_t width, kept;

        if (metasd_row_decode_header(row->bytes[e], row->size[e], &width, &kept) != METASD_OK ||
            width > UINT32_MAX || (plan->width != 0 && width != plan->width))
            damaged(build, kind, row->id);
        plan->width = (uint32_t)width;
        *(entity ? &plan->entity_kept : &plan->relation_kept) += kept;
    }
    ++*(entity ? &plan->entities : &plan->relations);
    *(entity ? &plan->entity_label_bytes : &plan->relation_label_bytes) += row->label_len;
    build->uncommitted |= TransactionIdIsCurrentTransactionId(row->xmin);
}

static void
add_row(Build *build, const RowKind *kind, const Row *row)
{
    size_t width = build->plan.width;
    MetasdSparseRow sparse[2];
    MetasdStatus status;

    for (int e = 0; e < kind->embeddings; e++) {
        uint32_t *positions = build->positions + (size_t)e * width;
        float *values = build->values + (size_t)e * width;
        MetasdDecoded decoded;

        if (metasd_row_decode_sparse(row->bytes[e], row->size[e], width, positions, values, width,
                                     &decoded) != METASD_OK)
            damaged(build, kind, row->id);
        sparse[e] = (MetasdSparseRow){.positions = positions,
                                      .values = values,
                                      .kept = decoded.kept,
                                      .most_code = decoded.most_code,
                                      .step = decoded.step};
    }
    status = kind == &entity_rows
                 ? metasd_image_add_entity(&build->writer, (uint32_t)row->id, row->label,
                                           row->label_len, sparse[0])
                 : metasd_image_add_relation(&build->writer, (uint32_t)row->id, row->label,
                                             row->label_len, sparse[0], sparse[1]);
    for (uint32 side = 0; side < 2 && kind == &relation_rows && status == METASD_OK; side++) {
        MetasdSigmoid sigmoid = row->calibrated ? row->sigmoid[side] : build->sigmoid;

        sigmoid.base = build->sigmoid.base; /* the model's */
        sigmoid.steep = build->sigmoid.steep;
        status = metasd_image_set_sigmoid(&build->writer,
                                          (uint32)row->id + side * build->plan.relations, sigmoid);
    }
    if (row->irreflexive && status == METASD_OK)
        status = metasd_image_set_irreflexive(&build->writer, (uint32)row->id);
    if (status != METASD_OK)
        damaged(build, kind, row->id);
}

/* What the run's row says of its embeddings. */
typedef struct Expected {
    const MetasdFamily *family;
    int64 entities, relations;
    MetasdSigmoid sigmoid, relation_sigmoid; /* of entities, and of relations that are asked for */
    bool uncommitted;                        /* it has been written by this transaction */
} Expected;

/* Columns N to N + 3 of the row that SPI has found. */
static MetasdSigmoid
sigmoid_column(int n)
{
    bool no_slope, no_offset, no_base, no_steep;
    MetasdSigmoid sigmoid = {.slope = DatumGetFloat4(metasd_statement_value(0, n, &no_slope)),
                             .offset = DatumGetFloat4(metasd_statement_value(0, n + 1, &no_offset)),
                             .base = DatumGetFloat4(metasd_statement_value(0, n + 2, &no_base)),
                             .steep = DatumGetFloat4(metasd_statement_value(0, n + 3, &no_steep))};

    return no_slope || no_offset || no_base || no_steep ? metasd_uncalibrated : sigmoid;
}

static Expected
expected_of(int64 run)
{
    static MetasdStatement look = {
        "SELECT params ->> 'family', entities, relations, "
        "(metrics #>> '{calibration,slope}')::float4, "
        "(metrics #>> '{calibration,offset}')::float4, "
        "(metrics #>> '{calibration,base}')::float4, (metrics #>> '{calibration,steep}')::float4, "
        "(metrics #>> '{calibration,relations,slope}')::float4, "
        "(metrics #>> '{calibration,relations,offset}')::float4, "
        "(metrics #>> '{calibration,relations,base}')::float4, "
        "(metrics #>> '{calibration,relations,steep}')::float4, xmin FROM metasd.run "
        "WHERE id = $1",
        1,
        {INT8OID},
        NULL};
    Datum value = Int64GetDatum(run);
    Expected expected = {0};

    if (metasd_statement_execute(&look, &value, NULL, true) > 0) {
        bool isnull;
        char *name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

        /* Where nothing is said it is the family that was there before there were others. */
        expected.family = name ? metasd_family(name) : &metasd_family_complex;
        expected.entities = DatumGetInt64(metasd_statement_value(0, 2, &isnull));
        expected.relations = DatumGetInt64(metasd_statement_value(0, 3, &isnull));
        expected.sigmoid = sigmoid_column(4);
        expected.relation_sigmoid = sigmoid_column(8);
        expected.uncommitted = TransactionIdIsCurrentTransactionId(
            DatumGetTransactionId(metasd_statement_value(0, 12, &isnull)));
    }
    if (!expected.family)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("run " INT64_FORMAT " has a model of an unknown family", run)));
    return expected;
}

static MetasdStatus
poll_interrupts(MetasdTeam *team)
{
    (void)team;
    /* May jump: an image's memory belongs to a context, the core holds none. */
    CHECK_FOR_INTERRUPTS();
    return METASD_OK;
}

/* Counts rows; an error unless they are those of the run. */
static void
plan_image(Build *build)
{
    Expected expected = expected_of(build->run);
    MetasdSwitch saved;

    build->plan.family = expected.family;
    build->sigmoid = expected.sigmoid;
    build->relation_sigmoid = expected.relation_sigmoid;
    build->uncommitted = expected.uncommitted;
    metasd_security_switch_to(&saved, metasd_extension_owner(), false);
    for_each_row(build, &entity_rows, count_row);
    for_each_row(build, &relation_rows, count_row);
    metasd_security_switch_back(&saved);
    if (build->plan.entities != expected.entities || build->plan.relations != expected.relations)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("embeddings of run " INT64_FORMAT " are missing", build->run),
                        errdetail("There are embeddings of %u of " INT64_FORMAT
                                  " entities and of %u of " INT64_FORMAT " relations.",
                                  build->plan.entities, expected.entities, build->plan.relations,
                                  expected.relations),
                        errhint("Train the model again with kg_train.")));
    if (metasd_image_bytes(&build->plan) == SIZE_MAX)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("run " INT64_FORMAT " has no usable embeddings", build->run),
                        errhint("Train the model again with kg_train.")));
}

/* Starts the image in memory of DRAFT, with its rows and no more. */
static void
add_rows(Build *build, MemoryContext draft)
{
    MemoryContext before = MemoryContextSwitchTo(draft);
    void *memory = metasd_image_file_memory(metasd_image_row_bytes(&build->plan));
    MetasdSwitch saved;

    MemoryContextSwitchTo(before);
    if (metasd_image_begin(&build->writer, &build->plan, memory) != METASD_OK)
        elog(ERROR, "could not begin an image");
    metasd_security_switch_to(&saved, metasd_extension_owner(), false);
    for_each_row(build, &entity_rows, add_row);
    for_each_row(build, &relation_rows, add_row);
    metasd_security_switch_back(&saved);
    if (metasd_image_set_sigmoid(&build->writer, 2 * build->plan.relations,
                                 build->relation_sigmoid) != METASD_OK)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("calibration of run " INT64_FORMAT " is damaged", build->run),
                        errhint("Train the model again with kg_train.")));
}

/*
 * Builds the image in memory of the current context, reading as the extension's owner.
 * Provisional, and not for others, where a row is of this transaction, which may yet roll back.
 */
static void *
build_image(int64 run, MetasdTeam *team, MetasdImage *index, bool *provisional)
{
    MemoryContext context = CurrentMemoryContext, spi,
                  draft = AllocSetContextCreate(context, "metasd rows", ALLOCSET_SMALL_SIZES);
    Build build = {.run = run};
    void *memory;

    SPI_connect();
    plan_image(&build);
    build.positions = palloc(2 * (size_t)build.plan.width * sizeof(*build.positions));
    build.values = palloc(2 * (size_t)build.plan.width * sizeof(*build.values));
    add_rows(&build, draft);
    if (metasd_image_settle(&build.writer, build.positions, team) != METASD_OK)
        elog(ERROR, "could not settle an image");
    spi = MemoryContextSwitchTo(context);
    memory = metasd_image_file_memory(metasd_image_bytes(&build.writer.index.plan));
    MemoryContextSwitchTo(spi);
    metasd_image_move(&build.writer, memory);
    MemoryContextDelete(draft);
    if (metasd_image_finish(&build.writer, team) != METASD_OK)
        elog(ERROR, "could not finish an image");
    SPI_finish();
    *index = build.writer.index;
    *provisional = build.uncommitted;
    return memory;
}

/* ---- the images kept ---- */

static bool
same_uuid(const pg_uuid_t *a, const pg_uuid_t *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/*
 * The link to the image that has not been used for longest, and not by this transaction; or NULL.
 */
static Image **
oldest_image(void)
{
    Image **oldest = NULL;

    for (Image **link = &images; *link; link = &(*link)->next)
        if ((*link)->used_in != transaction && (!oldest || (*link)->used_in < (*oldest)->used_in))
            oldest = link;
    return oldest;
}

static void
drop(Image **link)
{
    Image *image = *link;

    *link = image->next;
    image_count--;
    MemoryContextDelete(image->context);
}

/* Those that no one can be using any more. */
static void
drop_outdated(void)
{
    for (Image **link = &images; *link;)
        if ((*link)->outdated && (*link)->used_in != transaction)
            drop(link);
        else
            link = &(*link)->next;
}

/*
 * Makes room for one more. What this transaction has used stays, however many they
 * are: a view's function may ask a model while another is being asked.
 */
static void
make_room(void)
{
    Image **link;

    while (image_count >= MOST_IMAGES && (link = oldest_image()) != NULL)
        drop(link);
}

/* The uuids of the images that this session has mapped. */
static List *
uuids_mapped(void)
{
    List *uuids = NIL;

    for (Image *image = images; image; image = image->next)
        if (image->shared)
            uuids = lappend(uuids, &image->uuid);
    return uuids;
}

/* Builds an image, for all if it can be shared; it belongs to the current memory context. */
static void
build(Image *image, int64 run, MetasdTeam *team, int cache_size)
{
    MemoryContext own = AllocSetContextCreate(image->context, "metasd own", ALLOCSET_SMALL_SIZES);
    MemoryContext before = MemoryContextSwitchTo(own);
    void *memory = build_image(run, team, &image->index, &image->provisional);
    size_t bytes = metasd_image_bytes(&image->index.plan);

    if ((!image->provisional || image->kept) && metasd_image_file_may_share(bytes, cache_size)) {
        metasd_image_file_collect(&image->uuid, bytes, uuids_mapped(), cache_size);
        MemoryContextSwitchTo(image->context);
        image->shared = metasd_image_file_publish(&image->uuid, memory, bytes, &image->index);
    }
    MemoryContextSwitchTo(before);
    if (image->shared)
        MemoryContextDelete(own);
}

/* Gets the image that all share, or builds it: one session, while others wait for it. */
static void
fill(Image *image, int64 run, int cache_size)
{
    MetasdTeam team = metasd_team_of_one();

    team.poll = poll_interrupts;
    if (!metasd_image_file_may_share(0, cache_size)) {
        build(image, run, &team, cache_size);
        return;
    }
    image->shared = metasd_image_file_attach(&image->uuid, false, &team, &image->index);
    if (image->shared)
        return;
    metasd_image_file_lock(&image->uuid);
    image->shared = metasd_image_file_attach(&image->uuid, true, &team, &image->index);
    if (!image->shared && !(image->kept && MyBgworkerEntry) && metasd_builder_is_wanted())
        image->shared = metasd_builder_build(&image->uuid, run, cache_size, &team, &image->index);
    if (!image->shared)
        build(image, run, &team, cache_size);
    metasd_image_file_unlock(&image->uuid);
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
    drop_outdated();
    for (image = images; image; image = image->next)
        if (!image->outdated && same_uuid(&image->uuid, &model->uuid)) {
            note_use(image);
            return &image->index;
        }
    make_room();
    /* Until it is whole an image belongs to the transaction: an error frees it. */
    context = AllocSetContextCreate(CurTransactionContext, "metasd image", ALLOCSET_SMALL_SIZES);
    before = MemoryContextSwitchTo(context);
    image = palloc0(sizeof(*image));
    image->uuid = model->uuid;
    image->context = context;
    image->used_in = transaction;
    image->touched = GetCurrentTransactionStartTimestamp();
    fill(image, model->serving, cache_size);
    MemoryContextSwitchTo(before);
    MemoryContextSetParent(context, TopMemoryContext);
    image->next = images;
    images = image;
    image_count++;
    return &image->index;
}

/* What makes an image by itself, which does not stay in this process. */
static void
share(const pg_uuid_t *uuid, int64 run, int cache_size, bool locked)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "metasd image", ALLOCSET_SMALL_SIZES);
    MemoryContext before = MemoryContextSwitchTo(context);
    Image image = {.uuid = *uuid, .context = context, .kept = true};
    MetasdTeam team = metasd_team_of_one();

    team.poll = poll_interrupts;
    if (!locked)
        fill(&image, run, cache_size);
    else if (!metasd_image_file_attach(uuid, false, &team, &image.index))
        build(&image, run, &team, cache_size);
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
        metasd_image_file_keep(&model->uuid);
        share(&model->uuid, model->serving, cache_size, false);
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

/* Who has asked for it holds the version's lock. */
void
metasd_image_cache_build(const pg_uuid_t *uuid, int64 run, int cache_size)
{
    if (metasd_image_file_may_share(0, cache_size))
        share(uuid, run, cache_size, true);
}

void
metasd_image_cache_forget(void)
{
    Image **link;

    while ((link = oldest_image()) != NULL)
        drop(link);
}
