#include "pg/control/run_state.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "pg/catalog/run.h"
#include "pg/catalog/statement.h"

/* Values of the first row by the names of their columns; NULL is 0, false or a NULL pointer. */
static Datum
value_of(const char *column)
{
    bool isnull;

    return metasd_statement_value(0, metasd_statement_column(column), &isnull);
}

static char *
text_of(const char *column)
{
    return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
                        metasd_statement_column(column));
}

static MetasdRunStart
read_start(void)
{
    return (MetasdRunStart){.version = text_of("start_version"),
                            .new_entities = text_of("new_entities"),
                            .entities = text_of("entities"),
                            .new_relations = text_of("new_relations"),
                            .relations = text_of("relations"),
                            .not_from = text_of("not_from"),
                            .reason = text_of("reason")};
}

static MetasdRunChoice
read_choice(void)
{
    return (MetasdRunChoice){.probes = text_of("probes"),
                             .regularizer = text_of("chosen_regularizer"),
                             .reg = text_of("chosen_reg"),
                             .relation_weight = text_of("chosen_relation_weight"),
                             .class_weights = text_of("chosen_class_weights")};
}

static MetasdRunImport
read_import(void)
{
    return (MetasdRunImport){.given = DatumGetBool(value_of("import")),
                             .tunes = DatumGetBool(value_of("tunes")),
                             .entities = text_of("entities"),
                             .relations = text_of("relations"),
                             .sparsity = text_of("sparsity"),
                             .full = text_of("full_mrr"),
                             .stored = text_of("stored_mrr")};
}

/* The row as it is. */
static MetasdRunState
read_run(int64 run)
{
    static MetasdStatement statement = {
        "SELECT model, status, error, note, kept, xmin, resumed_epoch, entities, relations, "
        "EXISTS (SELECT FROM metasd.checkpoint c WHERE c.run = run.id AND c.part = run.checkpoint) "
        "AS resumable, "
        "EXISTS (SELECT FROM metasd.model m WHERE m.name = run.model AND m.serving IS NOT NULL) "
        "AS serves, "
        "(params ->> 'epochs')::int4 AS epochs, (params ->> 'rank')::int4 AS rank, "
        "(metrics ->> 'rank_by_default')::int4 AS default_rank, "
        "(metrics ->> 'promoted')::bool AS promoted, "
        "(metrics ->> 'skipped_rows')::int8 AS skipped, "
        "(metrics ->> 'unknown_rows')::int8 AS unknown, "
        "(metrics ->> 'empty_rows')::int8 - "
        "coalesce((metrics #>> '{import,zeros}')::int8, 0) AS empty, "
        "metrics #>> '{warm_start,version}' AS start_version, "
        "metrics #>> '{warm_start,new_entities}' AS new_entities, "
        "metrics #>> '{warm_start,new_relations}' AS new_relations, "
        "metrics #>> '{warm_start,not_from}' AS not_from, "
        "metrics #>> '{warm_start,reason}' AS reason, "
        "jsonb_array_length(metrics #> '{probes,tried}')::text AS probes, "
        "metrics #>> '{probes,chosen,regularizer}' AS chosen_regularizer, "
        "metrics #>> '{probes,chosen,reg}' AS chosen_reg, "
        "metrics #>> '{probes,chosen,relation_weight}' AS chosen_relation_weight, "
        "metrics #>> '{probes,chosen,class_weights}' AS chosen_class_weights, "
        "metrics ? 'import' AS import, (params ->> 'finetune')::int4 > 0 AS tunes, "
        "round((metrics ->> 'sparsity')::numeric, 2)::text AS sparsity, "
        "round((metrics #>> '{full,mrr}')::numeric, 3)::text AS full_mrr, "
        "round((metrics #>> '{stored,mrr}')::numeric, 3)::text AS stored_mrr FROM metasd.run "
        "WHERE id = $1",
        1,
        {INT8OID},
        NULL};
    Datum value = Int64GetDatum(run);

    if (metasd_statement_execute(&statement, &value, NULL, false) == 0)
        return (MetasdRunState){.exists = false};
    return (MetasdRunState){.exists = true,
                            .started_here = TransactionIdIsCurrentTransactionId(
                                DatumGetTransactionId(value_of("xmin"))),
                            .model = text_of("model"),
                            .status = text_of("status"),
                            .error = text_of("error"),
                            .note = text_of("note"),
                            .promoted = DatumGetBool(value_of("promoted")),
                            .kept = DatumGetBool(value_of("kept")),
                            .resumable = DatumGetBool(value_of("resumable")),
                            .serves = DatumGetBool(value_of("serves")),
                            .epochs = DatumGetInt32(value_of("epochs")),
                            .resumed = DatumGetInt32(value_of("resumed_epoch")),
                            .rank = DatumGetInt32(value_of("rank")),
                            .default_rank = DatumGetInt32(value_of("default_rank")),
                            .skipped = DatumGetInt64(value_of("skipped")),
                            .unknown = DatumGetInt64(value_of("unknown")),
                            .empty = DatumGetInt64(value_of("empty")),
                            .start = read_start(),
                            .choice = read_choice(),
                            .import = read_import()};
}

/*
 * The present state of a run. If its worker has ended since the row was read, the row is read again
 * for the error and the last epochs.
 */
MetasdRunState
metasd_run_state_find(int64 run)
{
    MetasdRunState state = read_run(run);
    const char *status;

    if (!state.exists)
        return state;
    status = metasd_run_status(run, state.status);
    if (strcmp(status, state.status) != 0) {
        state = read_run(run);
        state.status = status;
    }
    return state;
}
