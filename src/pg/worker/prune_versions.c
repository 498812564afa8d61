/*
 * prune_versions.c - the embeddings of old versions go.
 *
 * Their rows are deleted like any others: a transaction that still sees them serve goes on reading
 * them, also to build an image.
 */
#include "pg/worker/job.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "pg/catalog/catalog.h"

/*
 * Of all versions but the one that serves the newest stay, so that there are `keep_versions` in
 * all. Rows of metasd.run stay, too, with their figures.
 */
void
metasd_prune_versions(const MetasdJob *job)
{
    static MetasdStatement mark = {
        "UPDATE metasd.run SET kept = false WHERE id = ANY (ARRAY(SELECT r.id FROM metasd.run r "
        "JOIN metasd.model m ON m.name = r.model WHERE m.name = $1 AND r.kept "
        "AND r.id <> m.serving ORDER BY r.id DESC OFFSET $2)) RETURNING id",
        2,
        {TEXTOID, INT8OID},
        NULL};
    static MetasdStatement statements[] = {
        {"DELETE FROM metasd.entity WHERE run = $1", 1, {INT8OID}, NULL},
        {"DELETE FROM metasd.relation WHERE run = $1", 1, {INT8OID}, NULL},
        {"UPDATE metasd.model SET history = array_remove(history, $1) WHERE $1 = ANY (history)",
         1,
         {INT8OID},
         NULL}};
    double keep = job->params.value[METASD_P_KEEP_VERSIONS];
    Datum values[2] = {CStringGetTextDatum(job->model), Int64GetDatum((int64)keep - 1)};
    uint64 n = metasd_statement_execute(&mark, values, NULL, false);
    SPITupleTable *rows = SPI_tuptable;

    for (uint64 i = 0; i < n; i++) {
        bool isnull;
        Datum run = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull);

        for (int s = 0; s < (int)lengthof(statements); s++)
            metasd_statement_execute(&statements[s], &run, NULL, false);
    }
}
