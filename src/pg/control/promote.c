/*
 * promote.c - kg_promote, kg_rollback: which version of a model serves.
 *
 * A function that changes a model's versions locks the model's row first: these functions, kg_drop,
 * and the worker that stores a version. They lock the version's row next and read it after that. A
 * snapshot of before the lock may still show embeddings that have been pruned since.
 *
 * The version's image is built before other sessions see the version serve, so no question waits
 * for it.
 */
#include "pg/base/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "pg/access/access.h"
#include "pg/base/settings.h"
#include "pg/catalog/model.h"
#include "pg/catalog/run.h"
#include "pg/catalog/statement.h"
#include "pg/image/image_cache.h"

PG_FUNCTION_INFO_V1(metasd_kg_promote);
PG_FUNCTION_INFO_V1(metasd_kg_rollback);

/* Locks the row of a run. An error unless the run can serve. */
static void
check_version(const MetasdModel *model, int64 run)
{
    static MetasdStatement look = {
        "SELECT status, kept FROM metasd.run WHERE id = $2 AND model = $1 FOR UPDATE",
        2,
        {TEXTOID, INT8OID},
        NULL};
    Datum values[2] = {CStringGetTextDatum(model->name), Int64GetDatum(run)};
    char *status;
    bool isnull;

    if (metasd_statement_execute(&look, values, NULL, false) == 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model \"%s\" has no version " INT64_FORMAT, model->name, run),
                        errhint("Look at metasd.versions.")));
    status = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
    if (strcmp(status, "succeeded") != 0)
        ereport(
            ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("run " INT64_FORMAT " of model \"%s\" has no embeddings: its status is \"%s\"",
                    run, model->name, metasd_run_status(run, status)),
             errhint("Only a run that has succeeded can serve; look at metasd.versions.")));
    if (!DatumGetBool(metasd_statement_value(0, 2, &isnull)))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the embeddings of version " INT64_FORMAT
                               " of model \"%s\" are not kept any more",
                               run, model->name),
                        errdetail("Parameter keep_versions says how many versions are kept."),
                        errhint("Look at column \"kept\" of metasd.versions.")));
}

/* kg_promote(model text, version bigint) returns void */
Datum
metasd_kg_promote(PG_FUNCTION_ARGS)
{
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    int64 run = PG_GETARG_INT64(1);
    MetasdModel *model = metasd_access_model_to_change("kg_promote()", name, NULL);

    metasd_run_check_here();
    SPI_connect();
    check_version(model, run);
    if (run == model->serving)
        ereport(NOTICE, (errmsg("version " INT64_FORMAT " of model \"%s\" serves already", run,
                                model->name)));
    else
        metasd_model_serve(model->name, run);
    SPI_finish();
    metasd_image_cache_check(model->name, metasd_image_cache_size);
    PG_RETURN_VOID();
}

/* Locks and returns the version that served last before the present one, of those that are kept. */
static int64
find_former_version(const MetasdModel *model)
{
    static MetasdStatement look = {
        "SELECT r.id FROM metasd.model m JOIN metasd.run r ON r.id = ANY (m.history) "
        "WHERE m.name = $1 AND r.kept ORDER BY array_position(m.history, r.id) DESC LIMIT 1 FOR "
        "UPDATE OF r",
        1,
        {TEXTOID},
        NULL};
    Datum value = CStringGetTextDatum(model->name);
    bool isnull;

    if (metasd_statement_execute(&look, &value, NULL, false) == 0)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("there is no version of model \"%s\" to go back to", model->name),
                 errdetail("No version that served before the present one is kept."),
                 errhint("Use kg_promote with a version that column \"kept\" of metasd.versions "
                         "shows as kept.")));
    return DatumGetInt64(metasd_statement_value(0, 1, &isnull));
}

/* kg_rollback(model text) returns bigint: the version that serves from now on */
Datum
metasd_kg_rollback(PG_FUNCTION_ARGS)
{
    static MetasdStatement serve = {
        "UPDATE metasd.model SET serving = $2, history = history[1:array_position(history, "
        "$2) - 1] WHERE name = $1",
        2,
        {TEXTOID, INT8OID},
        NULL};
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    MetasdModel *model = metasd_access_model_to_change("kg_rollback()", name, NULL);
    Datum values[2] = {CStringGetTextDatum(model->name)};
    int64 run;

    metasd_run_check_here();
    SPI_connect();
    run = find_former_version(model);
    values[1] = Int64GetDatum(run);
    metasd_statement_execute(&serve, values, NULL, false);
    SPI_finish();
    metasd_image_cache_check(model->name, metasd_image_cache_size);
    PG_RETURN_INT64(run);
}
