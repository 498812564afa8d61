/*
 * estimate.c - kg_estimate: the memory and the storage that training a source would take.
 */
#include "pg/base/compat.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "core/train/checkpoint.h"
#include "pg/catalog/launch_order.h"
#include "pg/catalog/quota.h"
#include "pg/params/params.h"
#include "pg/source/source.h"
#include "pg/worker/input.h"
#include "pg/worker/limits.h"
#include "pg/worker/plan.h"
#include "pg/worker/size.h"
#include "pg/worker/warm_start.h"

PG_FUNCTION_INFO_V1(metasd_kg_estimate);

/* It depends on the size of the graph only. */
static size_t
count_checkpoint_bytes(const MetasdInput *input, const MetasdTrainOptions *options)
{
    MetasdGraph graph = {.entities = metasd_labelset_count(input->entities),
                         .relations = metasd_labelset_count(input->relations)};
    MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure();
    MetasdTrainer trainer;

    metasd_trainer_take(&trainer, &shared, &own, &graph, options, 1);
    return metasd_arena_ok(&shared) ? metasd_checkpoint_most(&trainer, options) : 0;
}

/* A number that this session has set; the library that starts trainings knows its unit. */
static int
read_setting(const char *name, int unit)
{
    int value;

    load_file("metasd", false);
    if (!parse_int(GetConfigOption(name, false, false), &value, unit, NULL))
        elog(ERROR, "unexpected value of %s", name);
    return value;
}

/* The order of a training that this session would launch. */
static MetasdLaunch
make_order(void)
{
    MetasdLaunch launch = {.owner = GetUserId(),
                           .train_mem = read_setting("metasd.train_mem", GUC_UNIT_KB)};

    metasd_quota_limit_memory(&launch.train_mem,
                              read_setting("metasd.train_mem_limit", GUC_UNIT_KB), &launch.limited);
    launch.max_workers =
        Min(read_setting("metasd.max_workers", 0),
            metasd_quota_workers(read_setting("metasd.max_workers_per_role", 0), launch.owner));
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
    double stored, warm;

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
    launch = make_order();
    /* Every statement of a session may take work_mem. */
    metasd_input_read(&input, source, NULL, GetUserId(),
                      launch.train_mem ? Max(launch.train_mem, work_mem) : 0,
                      metasd_limits_memory_setting(&launch), NULL, NULL);
    plan = metasd_plan(&input, launch.max_workers, (size_t)launch.train_mem * 1024, &params);
    stored = metasd_size_stored(metasd_labelset_count(input.entities),
                                metasd_labelset_count(input.relations), &plan.options,
                                (MetasdStorage)params.value[METASD_P_STORAGE]);
    /* It may start from a version as large as the one that it makes. */
    warm = metasd_warm_start_expect(stored, (double)metasd_labelset_count(input.entities) +
                                                2.0 * metasd_labelset_count(input.relations));
    if (params.value[METASD_P_WARM_START] &&
        __builtin_add_overflow(plan.bytes, (size_t)warm, &plan.bytes))
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
    values[8] = Int64GetDatum((int64)count_checkpoint_bytes(&input, &plan.options));
    values[9] = JsonbPGetDatum(metasd_params_json(&params));
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
