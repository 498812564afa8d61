#include "pg/image/image_build.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/codec/row_codec.h"
#include "core/serve/clusters.h"
#include "pg/catalog/extension.h"
#include "pg/catalog/security.h"
#include "pg/catalog/statement.h"
#include "pg/catalog/subscription.h"
#include "pg/image/image_file.h"

#define ROWS_PER_FETCH 1000
#define BYTES_KEPT ((Size)1 << 20) /* of rows whose values are out of line */

/* ---- reading rows ---- */

/* Rows of one kind: id, label, one embedding or two, xmin; relations have more columns. */
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
    bool calibrated;  /* a relation with sigmoids of its own: */
    MetasdSigmoid sigmoid[2];
} Row;

/* An image under construction. */
typedef struct Build {
    int64 run;
    MemoryContext context; /* of what outlives a row */
    MetasdImagePlan plan;
    MetasdImageWriter writer;
    MetasdRowSpace space[2];        /* of `width` weights each, once the width is known */
    uint32 *counts;                 /* of the entities that keep each dimension */
    bool coded;                     /* the weights of all entities so far have codes */
    MetasdSigmoid sigmoid;          /* of relations without one of their own */
    MetasdSigmoid relation_sigmoid; /* of questions that ask for relations */
    bool uncommitted;               /* this transaction wrote a row */
} Build;

static void
report_damage(const Build *build, const RowKind *kind, int32 id)
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
visit_rows(Build *build, const RowKind *kind,
           void (*work)(Build *build, const RowKind *kind, const Row *row))
{
    Oid type = INT8OID;
    Datum run = Int64GetDatum(build->run);
    /* A fast plan uses the index, even if no statistics show yet that the table has its order. */
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

/* ---- two passes: the first counts the weights of the image, the second adds them ---- */

static void
allocate_space(Build *build, size_t width)
{
    MemoryContext before = MemoryContextSwitchTo(build->context);

    build->plan.width = (uint32)width;
    for (int e = 0; e < 2; e++)
        build->space[e] = (MetasdRowSpace){.capacity = width,
                                           .positions = palloc(width * sizeof(uint32_t)),
                                           .values = palloc(width * sizeof(float)),
                                           .codes = palloc(width * sizeof(int8_t))};
    build->counts = palloc0(width * sizeof(*build->counts));
    MemoryContextSwitchTo(before);
}

/* Counts the weights of an entity by dimensions: these decide which become columns. */
static MetasdStatus
count_dimensions(Build *build, const Row *row)
{
    MetasdSparseRow sparse;

    METASD_TRY(metasd_row_decode_positions(row->bytes[0], row->size[0], build->plan.width,
                                           build->space[0], &sparse));
    for (size_t i = 0; i < sparse.kept; i++)
        build->counts[sparse.positions[i]]++;
    build->coded &= sparse.kept == 0 || sparse.most_code != 0;
    return METASD_OK;
}

static void
count_row(Build *build, const RowKind *kind, const Row *row)
{
    MetasdImagePlan *plan = &build->plan;
    bool entity = kind == &entity_rows;

    for (int e = 0; e < kind->embeddings; e++) {
        size_t width, kept;

        if (metasd_row_decode_header(row->bytes[e], row->size[e], &width, &kept) != METASD_OK ||
            (plan->width != 0 && width != plan->width))
            report_damage(build, kind, row->id);
        if (plan->width == 0)
            allocate_space(build, width);
        *(entity ? &plan->entity_kept : &plan->relation_kept) += kept;
    }
    if (entity && count_dimensions(build, row) != METASD_OK)
        report_damage(build, kind, row->id);
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

    for (int e = 0; e < kind->embeddings; e++)
        if (metasd_row_decode_sparse(row->bytes[e], row->size[e], width, build->space[e],
                                     &sparse[e]) != METASD_OK)
            report_damage(build, kind, row->id);
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
        report_damage(build, kind, row->id);
}

/* The properties of an image that the run's row has. */
typedef struct Expected {
    const MetasdFamily *family;
    int64 entities, relations;
    MetasdSigmoid sigmoid, relation_sigmoid; /* of questions for entities, and for relations */
    bool uncommitted;                        /* this transaction wrote the row */
} Expected;

/* The sigmoid in columns N to N + 3 of the first row that SPI has found. */
static MetasdSigmoid
read_sigmoid(int n)
{
    bool no_slope, no_offset, no_base, no_steep;
    MetasdSigmoid sigmoid = {.slope = DatumGetFloat4(metasd_statement_value(0, n, &no_slope)),
                             .offset = DatumGetFloat4(metasd_statement_value(0, n + 1, &no_offset)),
                             .base = DatumGetFloat4(metasd_statement_value(0, n + 2, &no_base)),
                             .steep = DatumGetFloat4(metasd_statement_value(0, n + 3, &no_steep))};

    return no_slope || no_offset || no_base || no_steep ? metasd_uncalibrated : sigmoid;
}

static Expected
read_expected(int64 run)
{
    static MetasdStatement select_run = {
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

    if (metasd_statement_execute(&select_run, &value, NULL, true) > 0) {
        bool isnull;
        char *name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

        /* Without a name it is ComplEx, the default. */
        expected.family = name ? metasd_family(name) : &metasd_family_complex;
        expected.entities = DatumGetInt64(metasd_statement_value(0, 2, &isnull));
        expected.relations = DatumGetInt64(metasd_statement_value(0, 3, &isnull));
        expected.sigmoid = read_sigmoid(4);
        expected.relation_sigmoid = read_sigmoid(8);
        expected.uncommitted = TransactionIdIsCurrentTransactionId(
            DatumGetTransactionId(metasd_statement_value(0, 12, &isnull)));
    }
    if (!expected.family)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("run " INT64_FORMAT " has a model of an unknown family", run)));
    return expected;
}

/* Raises the error for a version whose rows are not those that the run's row tells of. */
static _Noreturn void
refuse_missing(const Build *build, const Expected *expected)
{
    char *detail = psprintf(_("There are embeddings of %u of " INT64_FORMAT
                              " entities and of %u of " INT64_FORMAT " relations."),
                            build->plan.entities, expected->entities, build->plan.relations,
                            expected->relations);

    metasd_subscription_check_whole(build->run, detail);
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                    errmsg("embeddings of run " INT64_FORMAT " are missing", build->run),
                    errdetail("%s", detail), errhint("Train the model again with kg_train.")));
}

/* Counts the rows; raises an error unless they are those of the run. */
static void
plan_image(Build *build)
{
    Expected expected = read_expected(build->run);
    MetasdSwitch saved;

    build->plan.family = expected.family;
    build->sigmoid = expected.sigmoid;
    build->relation_sigmoid = expected.relation_sigmoid;
    build->uncommitted = expected.uncommitted;
    metasd_security_switch_to(&saved, metasd_extension_owner(), false);
    visit_rows(build, &entity_rows, count_row);
    visit_rows(build, &relation_rows, count_row);
    metasd_security_switch_back(&saved);
    if (build->plan.width > 0)
        metasd_image_choose_columns(
            &build->plan, build->coded ? METASD_CODES_INT8 : METASD_CODES_FLOAT, build->counts);
    build->plan.clusters = metasd_clusters_default(build->plan.entities);
    if (build->plan.entities != expected.entities || build->plan.relations != expected.relations)
        refuse_missing(build, &expected);
    if (metasd_image_bytes(&build->plan) == SIZE_MAX)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("run " INT64_FORMAT " has no usable embeddings", build->run),
                        errhint("Train the model again with kg_train.")));
}

/* Starts the image in MEMORY, and adds all rows. */
static void
add_rows(Build *build, void *memory)
{
    MetasdSwitch saved;

    if (metasd_image_begin(&build->writer, &build->plan, build->counts, memory) != METASD_OK)
        elog(ERROR, "could not begin an image");
    metasd_security_switch_to(&saved, metasd_extension_owner(), false);
    visit_rows(build, &entity_rows, add_row);
    visit_rows(build, &relation_rows, add_row);
    metasd_security_switch_back(&saved);
    if (metasd_image_set_sigmoid(&build->writer, 2 * build->plan.relations,
                                 build->relation_sigmoid) != METASD_OK)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("calibration of run " INT64_FORMAT " is damaged", build->run),
                        errhint("Train the model again with kg_train.")));
}

/* Clusters the entities, in memory that is freed at once. */
static void
make_clusters(Build *build, MetasdTeam *team)
{
    MemoryContext own =
        AllocSetContextCreate(CurrentMemoryContext, "metasd clusters", ALLOCSET_SMALL_SIZES);
    MemoryContext before = MemoryContextSwitchTo(own);
    size_t bytes = metasd_clusters_bytes(&build->plan);

    if (bytes == SIZE_MAX ||
        metasd_clusters_make(&build->writer.image, metasd_image_file_memory(bytes), team) !=
            METASD_OK)
        elog(ERROR, "could not cluster the entities of an image");
    MemoryContextSwitchTo(before);
    MemoryContextDelete(own);
}

void *
metasd_image_build(int64 run, MetasdTeam *team, MetasdImage *view, bool *provisional)
{
    MemoryContext context = CurrentMemoryContext, spi;
    Build build = {.run = run, .coded = true};
    void *memory;

    SPI_connect();
    build.context = CurrentMemoryContext;
    plan_image(&build);
    spi = MemoryContextSwitchTo(context);
    memory = metasd_image_file_memory(metasd_image_bytes(&build.plan));
    MemoryContextSwitchTo(spi);
    add_rows(&build, memory);
    if (build.plan.clusters > 0)
        make_clusters(&build, team);
    if (metasd_image_finish(&build.writer, team) != METASD_OK)
        elog(ERROR, "could not finish an image");
    SPI_finish();
    *view = build.writer.image;
    *provisional = build.uncommitted;
    return memory;
}

void
metasd_image_build_check(int64 run)
{
    Build build = {.run = run, .coded = true};

    SPI_connect();
    build.context = CurrentMemoryContext;
    plan_image(&build);
    SPI_finish();
}
