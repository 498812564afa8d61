#include "pg/report/figures.h"

#include <math.h>

#include "catalog/pg_type.h"

#include "pg/catalog/statement.h"

double
metasd_figures_number(uint64 row, int column)
{
    bool isnull;
    Datum value = metasd_statement_value(row, column, &isnull);

    return isnull ? NAN : DatumGetFloat8(value);
}

void
metasd_figures_read(const MetasdModel *model, MetasdFigures *figures)
{
    static MetasdStatement look = {
        "SELECT to_char(started, 'YYYY-MM-DD HH24:MI TZ'), to_char(finished, 'YYYY-MM-DD HH24:MI "
        "TZ'), extract(epoch FROM finished - coalesce(resumed, started))::float8, "
        "entities::float8, relations::float8, triples::float8, bytes::float8, "
        "(metrics ->> 'dense_bytes')::float8, "
        "(coalesce(metrics -> 'stored', metrics -> 'validation') ->> 'mrr')::float8, "
        "(coalesce(metrics -> 'stored', metrics -> 'validation') ->> 'hits_10')::float8, "
        "(coalesce(metrics -> 'stored', metrics -> 'validation') ->> 'queries')::float8, "
        "(SELECT count(*) FROM metasd.epoch e WHERE e.run = r.id)::float8, "
        "(metrics ->> 'epoch')::float8, (metrics ->> 'sparsity')::float8, "
        "(params ->> 'rank')::float8, params ->> 'storage', note, "
        "metrics #>> '{warm_start,version}', (metrics ->> 'held_out')::float8, "
        "(metrics ->> 'skipped_rows')::float8, (metrics ->> 'peak_memory')::float8, "
        "(metrics ->> 'workers')::float8, "
        "metrics #>> '{import,entities}' || ' and ' || (metrics #>> '{import,relations}') "
        "FROM metasd.run r WHERE id = $1",
        1,
        {INT8OID},
        NULL};
    double *const numbers[] = {
        NULL,
        NULL,
        &figures->seconds,
        &figures->entities,
        &figures->relations,
        &figures->triples,
        &figures->bytes,
        &figures->dense_bytes,
        &figures->mrr,
        &figures->hits_10,
        &figures->queries,
        &figures->epochs,
        &figures->best_epoch,
        &figures->sparsity,
        &figures->rank,
        NULL,
        NULL,
        NULL,
        &figures->held_out,
        &figures->skipped,
        &figures->peak_memory,
        &figures->workers,
    };
    Datum value = Int64GetDatum(model->serving);

    if (metasd_statement_execute(&look, &value, NULL, true) != 1)
        elog(ERROR, "there is no run " INT64_FORMAT, model->serving);
    for (int i = 0; i < (int)lengthof(numbers); i++)
        if (numbers[i])
            *numbers[i] = metasd_figures_number(0, i + 1);
    figures->started = metasd_statement_text(0, 1);
    figures->finished = metasd_statement_text(0, 2);
    figures->storage = metasd_statement_text(0, 16);
    figures->note = metasd_statement_text(0, 17);
    figures->warm_start = metasd_statement_text(0, 18);
    figures->imported = metasd_statement_text(0, 23);
}
