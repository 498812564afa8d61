/*
 * estimate.c - kg_estimate: what training a source would take.
 */
#include "pg/worker/job.h"

#include <math.h>

#include "access/htup_details.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/train/checkpoint.h"
#include "core/codec/row_codec.h"
#include "pg/catalog/quota.h"

PG_FUNCTION_INFO_V1(metasd_kg_estimate);

/* Bits that a value takes, as measured, and bytes of its row's scale. */
static const struct {
    double bits, scale;
} stored_as[METASD_STORAGES] = {
    [METASD_FLOAT32] = {32, 0},
    [METASD_INT8] = {7.7, 5},
    [METASD_INT6] = {5.7, 5},
};

/* Version, kind, checksum, and half a byte of bits that fill. */
#define ROW_BYTES 6.5

/* Bytes of a number of a row's weights. */
static double
count_bytes(double n)
{
    return n < 128 ? 1 : n < 16384 ? 2 : 3;
}

/* Bits a weight to tell whether it is kept, where a part p is. */
static double
entropy(double p)
{
    return p <= 0 || p >= 1 ? 0 : -(p * log2(p) + (1 - p) * log2(1 - p));
}

static double
stored_bytes(const MetasdInput *input, const MetasdTrainOptions *options, MetasdStorage storage)
{
    const MetasdFamily *family = options->family;
    double width = (double)options->rank * (double)family->reals_per_rank;
    double relations = 2.0 * (double)metasd_labelset_count(input->relations);
    double rows = (double)metasd_labelset_count(input->entities) + relations;
    double weights = rows * width;
    double kept = weights * (1 - options->sparsity);
    double row =
        ROW_BYTES + count_bytes(width) + count_bytes(kept / rows) + stored_as[storage].scale;
    /* which are kept is told once of the reals of a component */
    double told =
        options->pruning.by_component ? weights / (double)family->reals_per_rank : weights;

    return rows * row + (told * entropy(kept / weights) + kept * stored_as[storage].bits) / 8;
}

/* Bytes of a checkpoint; of the graph only the size counts. */
static size_t
checkpoint_bytes(const MetasdInput *input, const MetasdTrainOptions *options)
{
    MetasdGraph graph = {.entities = metasd_labelset_count(input->entities),
                         .relations = metasd_labelset_count(input->relations)};
    MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure();
    MetasdTrainer trainer;

    metasd_trainer_take(&trainer, &shared, &own, &graph, options, 1);
    return metasd_arena_ok(&shared) ? metasd_checkpoint_most(&trainer, options) : 0;
}

/* A number that this session has set, in the unit of the library that starts trainings. */
static int
setting(const char *name, int unit)
{
    int value;

    load_file("metasd", false);
    if (!parse_int(GetConfigOption(name, false, false), &value, unit, NULL))
        elog(ERROR, "unexpected value of %s", name);
    return value;
}

/* What a training that this session launched might have. */
static MetasdLaunch
launch_settings(void)
{
    MetasdLaunch launch = {.owner = GetUserId(),
                           .train_mem = setting("metasd.train_mem", GUC_UNIT_KB)};

    metasd_quota_limit_memory(&launch.train_mem, setting("metasd.train_mem_limit", GUC_UNIT_KB),
                              &launch.limited);
    launch.max_workers =
        Min(setting("metasd.max_workers", 0),
            metasd_quota_workers(setting("metasd.max_workers_per_role", 0), launch.owner));
    return launch;
}

/* kg_estimate(source regclass, head, relation, tail text, params jsonb) */
Datum
metasd_kg_estimate(PG_FUNCTION_ARGS)
{
    MetasdParams params;
    MetasdInput input;
    MetasdLaunch launch;
    MetasdPlan plan;
    MetasdSource *source;
    char *column[3];
    TupleDesc desc;
    Datum values[10];
    bool nulls[10] = {false};
    double stored;

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
    launch = launch_settings();
    /* Any statement of a session may have work_mem. */
    metasd_input_read(&input, source, NULL, GetUserId(),
                      launch.train_mem ? Max(launch.train_mem, work_mem) : 0,
                      metasd_limits_memory_setting(&launch));
    plan = metasd_plan(&input, launch.max_workers, (size_t)launch.train_mem * 1024, &params);
    stored = stored_bytes(&input, &plan.options, (MetasdStorage)params.value[METASD_P_STORAGE]);
    /* It may start from a version as large as the one that it makes. */
    if (params.value[METASD_P_WARM_START] &&
        __builtin_add_overflow(plan.bytes, (size_t)stored, &plan.bytes))
        plan.bytes = SIZE_MAX;
    values[0] = Int64GetDatum((int64)input.count);
    values[1] = Int64GetDatum((int64)metasd_labelset_count(input.entities));
    values[2] = Int64GetDatum((int64)metasd_labelset_count(input.relations));
    values[3] = Int64GetDatum((int64)input.skipped);
    values[4] = Int32GetDatum((int32)plan.options.rank);
    values[5] = Int32GetDatum((int32)plan.options.epochs);
    values[6] = Int64GetDatum(plan.bytes > INT64_MAX ? INT64_MAX : (int64)plan.bytes);
    values[7] = Int64GetDatum((int64)stored);
    SPI_finish();
    values[8] = Int64GetDatum((int64)checkpoint_bytes(&input, &plan.options));
    values[9] = JsonbPGetDatum(metasd_params_json(&params));
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
