/*
 * label_number.c - functions of kg_evaluate's query: labels as numbers, and how often they occur.
 */
#include "pg/evaluate/label_number.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/memutils.h"

#include "pg/evaluate/asked_model.h"
#include "pg/catalog/statement.h"
#include "pg/catalog/subscription.h"

PG_FUNCTION_INFO_V1(metasd_entity_number_sql);
PG_FUNCTION_INFO_V1(metasd_relation_number_sql);
PG_FUNCTION_INFO_V1(metasd_occurrences_sql);

#define COUNTS_PER_FETCH 100000

int64
metasd_label_number(const MetasdLabelTable *labels, const char *label, size_t len)
{
    uint32 id;

    if (metasd_label_find(labels, label, len, &id))
        return id;
    return -1 - (int64)(hash_bytes_extended((const unsigned char *)label, (int)len, 0) >> 1);
}

static Datum
find_number(FunctionCallInfo fcinfo, bool relation)
{
    const MetasdImage *image = metasd_asked_model(fcinfo)->image;
    text *label = PG_GETARG_TEXT_PP(1);

    return Int64GetDatum(
        metasd_label_number(relation ? &image->relation_labels : &image->entity_labels,
                            VARDATA_ANY(label), VARSIZE_ANY_EXHDR(label)));
}

/* metasd.entity_number(model text, label text) returns bigint; strict */
Datum
metasd_entity_number_sql(PG_FUNCTION_ARGS)
{
    return find_number(fcinfo, false);
}

/* metasd.relation_number(model text, label text) returns bigint; strict */
Datum
metasd_relation_number_sql(PG_FUNCTION_ARGS)
{
    return find_number(fcinfo, true);
}

/* ---- occurrences in training ---- */

/* Fills counts[N] from the rows of a run, some at a time. */
static void
read_counts(const MetasdAskedModel *asked, bool relation, int64 *counts, uint32 n)
{
    static MetasdStatement select_degrees = {
        "SELECT id, degree FROM metasd.entity WHERE run = $1 AND id >= $2 AND id < $3",
        3,
        {INT8OID, INT8OID, INT8OID},
        NULL};
    static MetasdStatement select_relation_counts = {
        "SELECT id, count FROM metasd.relation WHERE run = $1 AND id >= $2 AND id < $3",
        3,
        {INT8OID, INT8OID, INT8OID},
        NULL};

    for (int64 first = 0; first < n; first += COUNTS_PER_FETCH) {
        Datum values[3] = {Int64GetDatum(asked->model->serving), Int64GetDatum(first),
                           Int64GetDatum(Min(first + COUNTS_PER_FETCH, (int64)n))};
        uint64 rows;

        SPI_connect();
        rows = metasd_statement_execute(relation ? &select_relation_counts : &select_degrees,
                                        values, NULL, true);
        for (uint64 i = 0; i < rows; i++) {
            bool isnull;

            counts[DatumGetInt32(metasd_statement_value(i, 1, &isnull))] =
                DatumGetInt64(metasd_statement_value(i, 2, &isnull));
        }
        SPI_finish();
        CHECK_FOR_INTERRUPTS();
    }
}

/* metasd.occurrences(model text, relation boolean, number bigint) returns bigint; strict */
Datum
metasd_occurrences_sql(PG_FUNCTION_ARGS)
{
    MetasdAskedModel *asked = metasd_asked_model(fcinfo);
    bool relation = PG_GETARG_BOOL(1);
    int64 number = PG_GETARG_INT64(2);
    const MetasdImagePlan *plan = &asked->image->plan;
    uint32 n = relation ? plan->relations : plan->entities;

    if (number < 0 || number >= n)
        PG_RETURN_INT64(0);
    if (!asked->counts[relation]) {
        int64 *counts;

        metasd_subscription_check_copied(asked->model->serving);
        counts = MemoryContextAllocExtended(asked->context, (size_t)n * sizeof(*counts),
                                            MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

        read_counts(asked, relation, counts, n);
        asked->counts[relation] = counts;
    }
    PG_RETURN_INT64(asked->counts[relation][number]);
}
