/*
 * estimate.c - kg_estimate: what training a source would take.
 */
#include "job.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(metasd_kg_estimate);

/* Bytes of a stored row that keeps one weight in 1 / (1 - sparsity): value, position, header. */
#define ROW_BYTES 14
#define WEIGHT_BYTES 5

static double
stored_bytes(const MetasdTriples *input, const MetasdTrainOptions *options)
{
    const MetasdFamily *family = options->family;
    double rank = (double)options->rank;
    double entities = (double)metasd_labelset_count(input->entities);
    double relations = 2.0 * (double)metasd_labelset_count(input->relations);
    double weights = (entities + relations) * rank * (double)family->reals_per_rank;
    /* What a family leaves unused in the rows of relations is pruned first. */
    double unused = relations * rank * (double)(family->reals_per_rank - family->reals);
    double kept = Min(weights * (1 - options->sparsity), weights - unused);

    return (entities + relations) * ROW_BYTES + WEIGHT_BYTES * kept;
}

/* metasd.max_workers of this session, a setting of the library that starts trainings. */
static int
max_workers(void)
{
    load_file("metasd", false);
    return atoi(GetConfigOption("metasd.max_workers", false, false));
}

/* kg_estimate(source regclass, head, relation, tail text, params jsonb) */
Datum
metasd_kg_estimate(PG_FUNCTION_ARGS)
{
    MetasdParams params;
    MetasdTriples input;
    MetasdTrainOptions options;
    MetasdSplit split;
    MetasdSource *source;
    char *column[3];
    TupleDesc desc;
    Datum values[9];
    bool nulls[9] = {false};
    size_t bytes;

    for (int i = 0; i < 5; i++)
        if (PG_ARGISNULL(i))
            PG_RETURN_NULL();
    for (int i = 0; i < 3; i++)
        column[i] = text_to_cstring(PG_GETARG_TEXT_PP(1 + i));
    if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    metasd_params_read(&params, PG_GETARG_JSONB_P(4));
    source = metasd_source_open(PG_GETARG_OID(0), column, GetUserId());
    SPI_connect();
    metasd_triples_read(&input, source, NULL, GetUserId(), 0);
    metasd_params_default(&params, metasd_labelset_count(input.entities),
                          metasd_labelset_count(input.relations), input.count);
    metasd_params_options(&params, &options, &split);
    bytes = metasd_train_bytes(&input, &options, &split,
                               metasd_train_members(&input, &params, &options, max_workers()));
    values[0] = Int64GetDatum((int64)input.count);
    values[1] = Int64GetDatum((int64)metasd_labelset_count(input.entities));
    values[2] = Int64GetDatum((int64)metasd_labelset_count(input.relations));
    values[3] = Int64GetDatum((int64)input.skipped);
    values[4] = Int32GetDatum((int32)options.rank);
    values[5] = Int32GetDatum((int32)options.epochs);
    values[6] = Int64GetDatum(bytes > INT64_MAX ? INT64_MAX : (int64)bytes);
    values[7] = Int64GetDatum((int64)stored_bytes(&input, &options));
    SPI_finish();
    values[8] = JsonbPGetDatum(metasd_params_json(&params));
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
