/*
 * promote.c - what becomes of a version once its rows are written: it serves or it does not, and the
 * embeddings of the oldest others go. Part of the transaction that stores it.
 *
 * Rows of old versions are deleted like any others: a transaction that still sees them serve goes on
 * reading them, also to build an image.
 */
#include "job.h"

#include <math.h>
#include <sys/resource.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "catalog.h"

/* ---- figures ---- */

static void
append_ranks(StringInfo json, const char *name, const MetasdRanks *ranks)
{
    double n = (double)ranks->n;

    if (ranks->n == 0)
        return;
    appendStringInfo(json,
                     ", \"%s\": {\"queries\": %zu, \"mrr\": %.6f, \"hits_1\": %.6f, \"hits_3\": "
                     "%.6f, \"hits_10\": %.6f, \"mean_rank\": %.2f}",
                     name, ranks->n, ranks->reciprocal / n, (double)ranks->hits[0] / n,
                     (double)ranks->hits[1] / n, (double)ranks->hits[2] / n, ranks->rank / n);
}

/* How the version differs from the one that served. */
static void
append_drift(StringInfo json, const MetasdComparison *comparison)
{
    if (comparison->queries == 0 && isnan(comparison->overlap))
        return;
    appendStringInfo(json, ", \"drift\": {\"version\": " INT64_FORMAT ", \"queries\": %zu",
                     comparison->serving, comparison->queries);
    if (comparison->queries > 0)
        appendStringInfo(json, ", \"mrr_before\": %.6f, \"mrr\": %.6f", comparison->mrr_before,
                         comparison->mrr);
    if (!isnan(comparison->overlap))
        appendStringInfo(json, ", \"top10_overlap\": %.6f", comparison->overlap);
    appendStringInfoChar(json, '}');
}

static Datum
metrics_json(const MetasdJob *job, const MetasdStored *stored)
{
    StringInfoData json;
    struct rusage usage;
    const MetasdStep *step = &job->trainer.step;

    getrusage(RUSAGE_SELF, &usage);
    initStringInfo(&json);
    appendStringInfo(
        &json,
        "{\"workers\": %d, \"skipped_rows\": " UINT64_FORMAT ", \"unknown_rows\": " UINT64_FORMAT
        ", \"epoch\": %d, \"sparsity\": %.6f, "
        "\"threshold\": %.9g, \"seconds\": %.1f, \"dense_bytes\": %zu, \"peak_memory\": %ld, "
        "\"promoted\": %s",
        job->team.size, job->input.skipped, job->input.unknown, job->best.epoch, job->best.sparsity,
        job->best.cut, (double)(GetCurrentTimestamp() - job->started) / 1e6,
        ((size_t)step->entities + step->relation_rows) * step->width * sizeof(float),
        usage.ru_maxrss * 1024L, stored->comparison.promoted ? "true" : "false");
    if (!job->validation) /* compare.c wants to know */
        appendStringInfo(&json, ", \"held_out\": %.9g", job->split.validation_fraction);
    append_ranks(&json, "validation", &job->best.student);
    append_ranks(&json, "source", &job->best.source);
    append_ranks(&json, "stored", &stored->ranks);
    append_drift(&json, &stored->comparison);
    appendStringInfoChar(&json, '}');
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

/* ---- pruning ---- */

/*
 * Of all versions but the one that serves the newest stay, so that there are `keep_versions` in all.
 * Rows of metasd.run stay, too, with their figures.
 */
static void
prune_versions(const MetasdJob *job)
{
    static MetasdStatement mark = {
        "UPDATE metasd.run SET kept = false WHERE id OPERATOR(pg_catalog.=) ANY (ARRAY("
        "SELECT r.id FROM metasd.run r JOIN metasd.model m ON m.name OPERATOR(pg_catalog.=) r.model"
        " WHERE m.name OPERATOR(pg_catalog.=) $1 AND r.kept"
        " AND r.id OPERATOR(pg_catalog.<>) m.serving"
        " ORDER BY r.id DESC OFFSET $2)) RETURNING id",
        2,
        {TEXTOID, INT8OID},
        NULL};
    static MetasdStatement statements[] = {
        {"DELETE FROM metasd.entity WHERE run OPERATOR(pg_catalog.=) $1", 1, {INT8OID}, NULL},
        {"DELETE FROM metasd.relation WHERE run OPERATOR(pg_catalog.=) $1", 1, {INT8OID}, NULL},
        {"UPDATE metasd.model SET history = pg_catalog.array_remove(history, $1) "
         "WHERE $1 OPERATOR(pg_catalog.=) ANY (history)",
         1,
         {INT8OID},
         NULL}};
    double keep = job->params.value[METASD_P_KEEP_VERSIONS];
    Datum values[2] = {CStringGetTextDatum(job->model), Int64GetDatum((int64)keep - 1)};
    uint64 n = metasd_execute(&mark, values, NULL, false);
    SPITupleTable *rows = SPI_tuptable;

    for (uint64 i = 0; i < n; i++) {
        bool isnull;
        Datum run = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull);

        for (int s = 0; s < (int)lengthof(statements); s++)
            metasd_execute(&statements[s], &run, NULL, false);
    }
}

/* ---- the version ---- */

void
metasd_finish_version(MetasdJob *job, const MetasdStored *stored)
{
    static MetasdStatement finish = {
        "UPDATE metasd.run SET status = 'succeeded', finished = pg_catalog.clock_timestamp(), "
        "phase = NULL, pid = NULL, metrics = $2, bytes = $3, note = $4, kept = true "
        "WHERE id OPERATOR(pg_catalog.=) $1",
        4,
        {INT8OID, JSONBOID, INT8OID, TEXTOID},
        NULL};
    const char *note = stored->comparison.note;
    Datum values[4] = {Int64GetDatum(job->launch.run), metrics_json(job, stored),
                       Int64GetDatum((int64)stored->bytes),
                       note ? CStringGetTextDatum(note) : (Datum)0};

    if (metasd_execute(&finish, values, note ? NULL : "   n", false) == 0) {
        job->gone = true;
        return;
    }
    if (stored->comparison.promoted)
        metasd_model_serve(job->model, job->launch.run);
    prune_versions(job);
}
