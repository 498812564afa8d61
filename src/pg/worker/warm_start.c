/*
 * warm_start.c - the version that serves as what the next training of its model starts from.
 *
 * The worker reads its rows right after the source, in one transaction, and keeps them as they are
 * stored: which version it is, and whether it will do, settles the parameters. Later the rows fill
 * the trainer's tables, entities and relations matched by label (src/core/warm.h does the rest).
 * Deleted meanwhile, they are still there for the transaction that began before. A version that
 * will not do is no failure: the training starts anew, and the log and the run's metrics say why.
 *
 * A run that is resumed has its checkpoint, and needs no version; it says what it said before.
 */
#include "pg/worker/job.h"

#include <math.h>

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pg/catalog/catalog.h"
#include "core/codec/row_codec.h"
#include "core/train/warm_start.h"

#define ROWS_PER_LOOK 1000

/*
 * How much the default of `rank` may be off that of the version: it follows the size of the graph
 * by small steps, and a source that grows must not start anew at each of them.
 */
#define NEAR_RANK 0.25

/* Part of the entities that the version must know. */
#define LEAST_KNOWN 0.5

/* ---- whether the version will do ---- */

/* What its row says of the version. */
typedef struct Old {
    int64 run; /* 0: none serves */
    char *family;
    double rank;
    int64 entities, relations;
} Old;

static Old
look_at_serving(const MetasdJob *job)
{
    static MetasdStatement look = {
        "SELECT r.id, r.params ->> 'family', (r.params ->> 'rank')::float8, r.entities, "
        "r.relations FROM metasd.model m JOIN metasd.run r ON r.id = m.serving WHERE m.name = $1",
        1,
        {TEXTOID},
        NULL};
    Datum value = CStringGetTextDatum(job->model);
    Old old = {0};
    bool isnull;

    if (metasd_statement_execute(&look, &value, NULL, true) == 0)
        return old;
    old.run = DatumGetInt64(metasd_statement_value(0, 1, &isnull));
    old.family = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
    old.rank = DatumGetFloat8(metasd_statement_value(0, 3, &isnull));
    old.entities = DatumGetInt64(metasd_statement_value(0, 4, &isnull));
    old.relations = DatumGetInt64(metasd_statement_value(0, 5, &isnull));
    return old;
}

/* Takes over the version's rank where the training would have nearly the same by default. */
static void
keep_rank(MetasdJob *job, const Old *old, MetasdParams *params)
{
    double *rank = &params->value[METASD_P_RANK];

    if (params->given[METASD_P_RANK] || fabs(*rank - old->rank) > NEAR_RANK * old->rank)
        return;
    job->params.value[METASD_P_RANK] = *rank = old->rank;
    job->params.given[METASD_P_RANK] = true;
}

/*
 * Why a training by these parameters cannot start from it, or NULL. What it was trained on must not
 * be held out now: validation would be of what the model has seen.
 */
static char *
objection(const MetasdJob *job, const Old *old, const MetasdParams *params)
{
    MetasdHeldOut old_held = metasd_held_out_of(old->run), new_held;
    MetasdTrainOptions options;
    MetasdSplit split;

    metasd_params_options(params, &options, &split);
    new_held = metasd_held_out(job, split.validation_fraction);
    if (strcmp(old->family ? old->family : metasd_family_complex.name, options.family->name) != 0)
        return psprintf("Its family is %s, not %s.",
                        old->family ? old->family : metasd_family_complex.name,
                        options.family->name);
    if (old->rank != (double)options.rank)
        return psprintf("Its rank is %.0f, not %zu.", old->rank, options.rank);
    if (!metasd_held_all(&old_held, &new_held))
        return OidIsValid(old_held.validation)
                   ? pstrdup("It may have been trained on facts that are held out now.")
                   : pstrdup("It was trained on facts that are held out now.");
    return NULL;
}

/* ---- its rows ---- */

typedef struct Reading {
    MetasdJob *job;
    MetasdWarmStart *warm;
    size_t width;
    float *row; /* width */
} Reading;

/* Keeps a stored row as number `to`; false if it is none. */
static bool
keep_row(Reading *reading, uint64 row, int column, size_t to)
{
    MetasdWarmStart *warm = reading->warm;
    bool isnull;
    Datum stored = metasd_statement_value(row, column, &isnull);
    bytea *bytes = MemoryContextAlloc(warm->context, toast_raw_datum_size(stored));
    struct varlena *value = PG_DETOAST_DATUM_PACKED(stored);

    SET_VARSIZE(bytes, VARHDRSZ + VARSIZE_ANY_EXHDR(value));
    memcpy(VARDATA(bytes), VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
    if ((Pointer)value != DatumGetPointer(stored))
        pfree(value);
    warm->row[to] = bytes;
    return metasd_row_decode_dense((const uint8_t *)VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ,
                                   reading->width, reading->row) == METASD_OK;
}

/* Keeps those of the entities, or relations, that there still are. */
static char *
keep_rows(Reading *reading, bool entities, int64 expected)
{
    static MetasdStatement look[2] = {
        {"SELECT label, embedding FROM metasd.entity WHERE run = $1 AND id >= $2 AND id < $3",
         3,
         {INT8OID, INT4OID, INT4OID},
         NULL},
        {"SELECT label, embedding, reciprocal FROM metasd.relation WHERE run = $1 AND id >= $2 "
         "AND id < $3",
         3,
         {INT8OID, INT4OID, INT4OID},
         NULL}};
    const MetasdInput *input = &reading->job->input;
    const MetasdLabelSet *labels = entities ? input->entities : input->relations;
    uint32 all = metasd_labelset_count(input->entities);
    uint32 relations = metasd_labelset_count(input->relations), number;

    for (int64 first = 0; first < expected; first += ROWS_PER_LOOK) {
        Datum values[3] = {Int64GetDatum(reading->warm->version), Int32GetDatum((int32)first),
                           Int32GetDatum((int32)Min(first + ROWS_PER_LOOK, expected))};
        uint64 n = metasd_statement_execute(&look[entities ? 0 : 1], values, NULL, true);

        if (n < (uint64)Min(ROWS_PER_LOOK, expected - first))
            return pstrdup("Its embeddings are not kept any more.");
        for (uint64 i = 0; i < n; i++) {
            bool isnull, whole;
            Datum stored = metasd_statement_value(i, 1, &isnull);
            text *label = DatumGetTextPP(stored);
            bool known =
                metasd_labelset_find(labels, VARDATA_ANY(label), VARSIZE_ANY_EXHDR(label), &number);

            if (PointerGetDatum(label) != stored)
                pfree(label);
            if (!known)
                continue;
            whole = keep_row(reading, i, 2, entities ? number : all + number);
            if (!entities)
                whole &= keep_row(reading, i, 3, all + relations + number);
            if (!whole)
                return pstrdup("One of its embeddings is damaged.");
            ++*(entities ? &reading->warm->entities : &reading->warm->relations);
        }
        SPI_freetuptable(SPI_tuptable);
        CHECK_FOR_INTERRUPTS();
    }
    return NULL;
}

static char *
keep_version(MetasdJob *job, const Old *old, const MetasdParams *params)
{
    MetasdWarmStart *warm = &job->warm;
    uint32 entities = metasd_labelset_count(job->input.entities);
    Size rows = (Size)entities + 2 * metasd_labelset_count(job->input.relations);
    MetasdTrainOptions options;
    MetasdSplit split;
    Reading reading = {.job = job, .warm = warm};
    char *why;

    metasd_params_options(params, &options, &split);
    reading.width = options.rank * options.family->reals_per_rank;
    reading.row = palloc_extended(reading.width * sizeof(float), MCXT_ALLOC_HUGE);
    warm->context =
        AllocSetContextCreate(job->context, "metasd warm start", ALLOCSET_DEFAULT_SIZES);
    warm->row = MemoryContextAllocExtended(warm->context, rows * sizeof(*warm->row),
                                           MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    why = keep_rows(&reading, true, old->entities);
    if (!why && warm->entities < LEAST_KNOWN * entities)
        why =
            psprintf(ngettext("It knows %u of %u entity.", "It knows %u of %u entities.", entities),
                     warm->entities, entities);
    if (!why)
        why = keep_rows(&reading, false, old->relations);
    return why;
}

/* ---- the start ---- */

static void
start_anew(MetasdJob *job, const char *why)
{
    MetasdWarmStart *warm = &job->warm;
    MetasdJson *json;

    ereport(LOG, (errmsg("metasd run " INT64_FORMAT " does not start from version " INT64_FORMAT,
                         job->launch.run, warm->version),
                  errdetail_internal("%s", why)));
    if (warm->context)
        MemoryContextDelete(warm->context);
    json = metasd_json_begin();
    metasd_json_whole(json, "not_from", warm->version);
    metasd_json_string(json, "reason", why);
    *warm = (MetasdWarmStart){.said = metasd_json_end(json)};
}

/* What the run's metrics say of a start from a version. */
static Jsonb *
start_said(const MetasdWarmStart *warm, uint32 entities, uint32 relations)
{
    MetasdJson *json = metasd_json_begin();

    metasd_json_whole(json, "version", warm->version);
    metasd_json_whole(json, "entities", warm->entities);
    metasd_json_whole(json, "new_entities", entities - warm->entities);
    metasd_json_whole(json, "relations", warm->relations);
    metasd_json_whole(json, "new_relations", relations - warm->relations);
    return metasd_json_end(json);
}

void
metasd_warm_start_read(MetasdJob *job)
{
    MetasdWarmStart *warm = &job->warm;
    MetasdParams params = job->params;
    const MetasdInput *input = &job->input;
    MemoryContext spi;
    char *why;
    Old old;

    if (job->launch.resume)
        return;
    metasd_plan(input, job->launch.max_workers, (size_t)job->launch.train_mem * 1024, &params);
    if (params.value[METASD_P_WARM_START] == 0)
        return;
    old = look_at_serving(job);
    if (old.run == 0)
        return;
    warm->version = old.run;
    keep_rank(job, &old, &params);
    why = objection(job, &old, &params);
    if (!why)
        why = keep_version(job, &old, &params);
    spi = MemoryContextSwitchTo(job->context);
    if (why)
        start_anew(job, why);
    else
        warm->said = start_said(warm, metasd_labelset_count(input->entities),
                                metasd_labelset_count(input->relations));
    MemoryContextSwitchTo(spi);
    job->params.warm = warm->version != 0;
}

size_t
metasd_warm_start_bytes(const MetasdJob *job)
{
    return job->warm.context ? MemoryContextMemAllocated(job->warm.context, true) : 0;
}

void
metasd_warm_start_fill(MetasdJob *job)
{
    MetasdWarmStart *warm = &job->warm;
    MetasdState *step = &job->trainer.state;
    size_t rows = (size_t)step->entities + step->relation_rows;
    uint8_t *known;

    if (warm->version == 0)
        return;
    known = MemoryContextAllocExtended(warm->context, rows, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    for (size_t i = 0; i < rows; i++) {
        const bytea *bytes = warm->row[i];

        known[i] = bytes != NULL;
        if (bytes &&
            metasd_row_decode_dense((const uint8_t *)VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ,
                                    step->width, step->weights + i * step->width) != METASD_OK)
            elog(ERROR, "an embedding that could be read cannot be read again");
        metasd_process_check_status(job,
                                    metasd_team_work(&job->team, METASD_FAR_WORK + step->width));
    }
    metasd_process_check_status(
        job, metasd_warm_start(step, &job->team, &job->graph, known, job->options.seed));
    job->trainer.progress.warm = true;
    MemoryContextDelete(warm->context);
    warm->context = NULL;
    ereport(LOG, (errmsg("metasd run " INT64_FORMAT " starts from version " INT64_FORMAT,
                         job->launch.run, warm->version),
                  errdetail("It knows %u of %u entities and %u of %u relations.", warm->entities,
                            step->entities, warm->relations, step->relation_rows / 2)));
}
