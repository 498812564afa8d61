#include "pg/worker/warm_start.h"

#include <math.h>

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/codec/row_codec.h"
#include "core/train/warm_start.h"
#include "pg/base/json.h"
#include "pg/catalog/statement.h"
#include "pg/worker/probing.h"

#define ROWS_PER_LOOK 1000

#define PIECE ((Size)128 << 10) /* of memory for rows */

/*
 * How far the default rank may be from the version's rank, as a part of that: the default follows
 * the size of the graph in small steps, and a source that grows must not start anew at each step.
 */
#define NEAR_RANK 0.25

/* The part of the entities that the version must know. */
#define LEAST_KNOWN 0.5

/* ---- whether the training can start from the version ---- */

/* The version, according to its row. */
typedef struct Version {
    int64 run; /* 0: none serves */
    char *family;
    double rank;
    int64 entities, relations;
    MetasdParams params;
    bool untrained; /* an import as it was: nothing has been chosen for this graph */
} Version;

static Version
find_serving(const char *model)
{
    static MetasdStatement look = {
        "SELECT r.id, r.params ->> 'family', (r.params ->> 'rank')::float8, r.entities, "
        "r.relations, r.params, r.metrics ? 'import' AND r.params ->> 'finetune' = '0' FROM "
        "metasd.model m JOIN metasd.run r ON r.id = m.serving WHERE "
        "m.name = $1",
        1,
        {TEXTOID},
        NULL};
    Datum value = CStringGetTextDatum(model);
    Version old = {0};
    bool isnull;

    if (metasd_statement_execute(&look, &value, NULL, true) == 0)
        return old;
    old.run = DatumGetInt64(metasd_statement_value(0, 1, &isnull));
    old.family = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
    old.rank = DatumGetFloat8(metasd_statement_value(0, 3, &isnull));
    old.entities = DatumGetInt64(metasd_statement_value(0, 4, &isnull));
    old.relations = DatumGetInt64(metasd_statement_value(0, 5, &isnull));
    metasd_params_read(&old.params, DatumGetJsonbP(metasd_statement_value(0, 6, &isnull)));
    old.untrained = DatumGetBool(metasd_statement_value(0, 7, &isnull));
    return old;
}

/* Takes over the version's rank where the default is nearly the same. */
static void
keep_rank(const Version *old, MetasdParams *params)
{
    double *rank = &params->value[METASD_P_RANK];
    bool bounded = params->value[METASD_P_MAX_BYTES] > 0;

    if (params->given[METASD_P_RANK] || fabs(*rank - old->rank) > NEAR_RANK * old->rank ||
        (bounded && old->rank > *rank))
        return;
    *rank = old->rank;
    params->given[METASD_P_RANK] = true;
}

/*
 * Why a training with these parameters cannot start from it, or NULL. A fact that it was trained on
 * must not be held out now: the training would validate by facts that the model has seen.
 */
static char *
find_objection(const Version *old, const MetasdHeldOut *held_out, const MetasdParams *params)
{
    MetasdHeldOut old_held = metasd_held_out_of(old->run);
    const char *family = metasd_params_family(params)->name;
    const char *old_family = old->family ? old->family : metasd_family_complex.name;

    if (strcmp(old_family, family) != 0)
        return psprintf("Its family is %s, not %s.", old_family, family);
    if (old->rank != params->value[METASD_P_RANK])
        return psprintf("Its rank is %.0f, not %.0f.", old->rank, params->value[METASD_P_RANK]);
    if (!metasd_held_all(&old_held, held_out))
        return OidIsValid(old_held.validation)
                   ? pstrdup("It may have been trained on facts that are held out now.")
                   : pstrdup("It was trained on facts that are held out now.");
    return NULL;
}

/* ---- its rows ---- */

typedef struct Reading {
    const MetasdInput *input;
    MetasdWarmStart *warm;
    size_t width;
    float *row; /* width */
} Reading;

/* Room for a row in a piece of many: a row is short, and memory of its own has a header. */
static bytea *
take_room(MetasdWarmStart *warm, Size bytes)
{
    char *room;

    bytes = INTALIGN(bytes);
    if (bytes > PIECE)
        return MemoryContextAlloc(warm->context, bytes);
    if (bytes > warm->left) {
        warm->piece = MemoryContextAlloc(warm->context, PIECE);
        warm->left = PIECE;
    }
    room = warm->piece;
    warm->piece += bytes;
    warm->left -= bytes;
    return (bytea *)(void *)room;
}

/* Keeps a stored row as number TO; false if it is damaged. */
static bool
keep_row(Reading *reading, uint64 row, int column, size_t to)
{
    MetasdWarmStart *warm = reading->warm;
    bool isnull;
    Datum stored = metasd_statement_value(row, column, &isnull);
    bytea *bytes = take_room(warm, toast_raw_datum_size(stored));
    struct varlena *value = PG_DETOAST_DATUM_PACKED(stored);

    SET_VARSIZE(bytes, VARHDRSZ + VARSIZE_ANY_EXHDR(value));
    memcpy(VARDATA(bytes), VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
    if ((Pointer)value != DatumGetPointer(stored))
        pfree(value);
    warm->row[to] = bytes;
    return metasd_row_decode_dense((const uint8_t *)VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ,
                                   reading->width, reading->row) == METASD_OK;
}

/*
 * Keeps the rows of an entity, or relation, that the statement has found, if the source still has
 * it; false if one is damaged.
 */
static bool
keep_found(Reading *reading, bool entities, uint64 row)
{
    const MetasdInput *input = reading->input;
    uint32 all = metasd_labelset_count(input->entities);
    uint32 relations = metasd_labelset_count(input->relations), number;
    bool isnull, known;
    Datum stored = metasd_statement_value(row, 1, &isnull);
    text *label = DatumGetTextPP(stored);

    known = metasd_labelset_find(entities ? input->entities : input->relations, VARDATA_ANY(label),
                                 VARSIZE_ANY_EXHDR(label), &number);
    if (PointerGetDatum(label) != stored)
        pfree(label);
    if (!known)
        return true;
    if (entities) {
        reading->warm->entities++;
        return keep_row(reading, row, 2, number);
    }
    reading->warm->relations++;
    return keep_row(reading, row, 2, all + number) &&
           keep_row(reading, row, 3, all + relations + number);
}

/* Keeps the rows of all entities, or relations; NULL, or why that cannot be. */
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

    for (int64 first = 0; first < expected; first += ROWS_PER_LOOK) {
        Datum values[3] = {Int64GetDatum(reading->warm->version), Int32GetDatum((int32)first),
                           Int32GetDatum((int32)Min(first + ROWS_PER_LOOK, expected))};
        uint64 n = metasd_statement_execute(&look[entities ? 0 : 1], values, NULL, true);

        if (n < (uint64)Min(ROWS_PER_LOOK, expected - first))
            return pstrdup("Its embeddings are not kept any more.");
        for (uint64 i = 0; i < n; i++)
            if (!keep_found(reading, entities, i))
                return pstrdup("One of its embeddings is damaged.");
        SPI_freetuptable(SPI_tuptable);
        CHECK_FOR_INTERRUPTS();
    }
    return NULL;
}

static char *
keep_version(MetasdWarmStart *warm, const Version *old, const MetasdInput *input,
             const MetasdParams *params)
{
    uint32 entities = metasd_labelset_count(input->entities);
    Size rows = (Size)entities + 2 * metasd_labelset_count(input->relations);
    Reading reading = {.input = input, .warm = warm};
    char *why;

    reading.width =
        (size_t)params->value[METASD_P_RANK] * metasd_params_family(params)->reals_per_rank;
    reading.row = palloc_extended(reading.width * sizeof(float), MCXT_ALLOC_HUGE);
    warm->context =
        AllocSetContextCreate(TopMemoryContext, "metasd warm start", ALLOCSET_DEFAULT_SIZES);
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
start_anew(MetasdWarmStart *warm, int64 run, const char *why)
{
    MetasdJson *json;

    ereport(LOG, (errmsg("metasd run " INT64_FORMAT " does not start from version " INT64_FORMAT,
                         run, warm->version),
                  errdetail_internal("%s", why)));
    if (warm->context)
        MemoryContextDelete(warm->context);
    json = metasd_json_begin();
    metasd_json_whole(json, "not_from", warm->version);
    metasd_json_string(json, "reason", why);
    *warm = (MetasdWarmStart){.metrics = metasd_json_end(json)};
}

/* The run's metrics of a start from a version. */
static Jsonb *
start_metrics(const MetasdWarmStart *warm, uint32 entities, uint32 relations)
{
    MetasdJson *json = metasd_json_begin();

    metasd_json_whole(json, "version", warm->version);
    metasd_json_whole(json, "entities", warm->entities);
    metasd_json_whole(json, "new_entities", entities - warm->entities);
    metasd_json_whole(json, "relations", warm->relations);
    metasd_json_whole(json, "new_relations", relations - warm->relations);
    return metasd_json_end(json);
}

bool
metasd_warm_start_read(MetasdWarmStart *warm, const MetasdLaunch *launch, const char *model,
                       const MetasdInput *input, const MetasdHeldOut *held_out,
                       MetasdParams *params)
{
    MemoryContext spi;
    Version old;
    char *why;

    if (launch->resume || params->value[METASD_P_WARM_START] == 0)
        return false;
    old = find_serving(model);
    if (old.run == 0)
        return false;
    warm->version = old.run;
    keep_rank(&old, params);
    why = find_objection(&old, held_out, params);
    if (!why)
        why = keep_version(warm, &old, input, params);
    if (!why && !old.untrained)
        metasd_probing_inherit(params, &old.params);
    spi = MemoryContextSwitchTo(TopMemoryContext);
    if (why)
        start_anew(warm, launch->run, why);
    else
        warm->metrics = start_metrics(warm, metasd_labelset_count(input->entities),
                                      metasd_labelset_count(input->relations));
    MemoryContextSwitchTo(spi);
    return true;
}

double
metasd_warm_start_expect(double stored, double rows)
{
    return stored + rows * (sizeof(bytea *) + INTALIGN(VARHDRSZ + 2));
}

size_t
metasd_warm_start_bytes(const MetasdWarmStart *warm)
{
    return warm->context ? MemoryContextMemAllocated(warm->context, true) : 0;
}

void
metasd_warm_start_fill(MetasdWarmStart *warm, MetasdProcess *process, MetasdTraining *training)
{
    MetasdState *state = &training->trainer.state;
    size_t rows = (size_t)state->entities + state->relation_rows;
    uint8_t *known;

    if (warm->version == 0)
        return;
    known = MemoryContextAllocExtended(warm->context, rows, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    for (size_t i = 0; i < rows; i++) {
        const bytea *bytes = warm->row[i];

        known[i] = bytes != NULL;
        if (bytes &&
            metasd_row_decode_dense((const uint8_t *)VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ,
                                    state->width, state->weights + i * state->width) != METASD_OK)
            elog(ERROR, "an embedding that could be read cannot be read again");
        metasd_process_check_status(
            process, metasd_team_work(&process->team, METASD_FAR_WORK + state->width));
    }
    metasd_process_check_status(process, metasd_warm_start(state, &process->team, &training->graph,
                                                           known, training->options.seed));
    training->trainer.progress.warm = true;
    MemoryContextDelete(warm->context);
    warm->context = NULL;
    ereport(LOG, (errmsg("metasd run " INT64_FORMAT " starts from version " INT64_FORMAT,
                         process->launch.run, warm->version),
                  errdetail("It knows %u of %u entities and %u of %u relations.", warm->entities,
                            state->entities, warm->relations, state->relation_rows / 2)));
}
