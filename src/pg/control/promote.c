/*
 * promote.c - kg_promote, kg_rollback, kg_owner: which version of a model serves, and whose it is.
 *
 * All that changes a model's versions takes its row first: the owner here, kg_drop, and the worker
 * that stores a version. The version is locked, too, and read after that: a snapshot of before may
 * still show embeddings that have been pruned meanwhile.
 *
 * The version's image is there before others see it serve: no question waits for it.
 */
#include "pg/base/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "pg/access/access.h"
#include "pg/image/image_cache.h"
#include "pg/catalog/catalog.h"
#include "pg/control/launch.h"
#include "pg/catalog/run.h"
#include "pg/control/schedule.h"
#include "pg/base/settings.h"

PG_FUNCTION_INFO_V1(metasd_kg_promote);
PG_FUNCTION_INFO_V1(metasd_kg_rollback);
PG_FUNCTION_INFO_V1(metasd_kg_owner);

static MetasdModel *
lock_model(const char *function, const char *name)
{
    metasd_access_check_writable(function);
    (void)metasd_extension_hold(metasd_extension());
    return metasd_access_model_to_change(name, NULL);
}

/* Raises an error unless that run can serve. Locks its row. */
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
    MetasdModel *model = lock_model("kg_promote()", name);

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

/* The version that served before, of those that are kept; its row locked. */
static int64
version_before(const MetasdModel *model)
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

/* kg_rollback(model text) returns bigint: the version that serves then */
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
    MetasdModel *model = lock_model("kg_rollback()", name);
    Datum values[2] = {CStringGetTextDatum(model->name)};
    int64 run;

    SPI_connect();
    run = version_before(model);
    values[1] = Int64GetDatum(run);
    metasd_statement_execute(&serve, values, NULL, false);
    SPI_finish();
    metasd_image_cache_check(model->name, metasd_image_cache_size);
    PG_RETURN_INT64(run);
}

/*
 * kg_owner(model text, role regrole) returns void. What the new owner may not read is found out
 * when the model is trained or asked. A schedule is a job of the old owner's, who may train it no
 * more.
 */
Datum
metasd_kg_owner(PG_FUNCTION_ARGS)
{
    static MetasdStatement update = {
        "UPDATE metasd.model SET owner = metasd.role_ref($2) WHERE name = $1",
        2,
        {TEXTOID, OIDOID},
        NULL};
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    Oid role = PG_GETARG_OID(1);
    MetasdModel *model = lock_model("kg_owner()", name);
    Datum values[2] = {CStringGetTextDatum(model->name), ObjectIdGetDatum(role)};

    if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("role with OID %u does not exist", role),
                 errhint("Name a role that exists: SELECT kg_owner(%s, '...').",
                         quote_literal_cstr(name))));
    metasd_check_may_become(role);
    metasd_launch_alone(model);
    metasd_schedule_drop(name);
    SPI_connect();
    metasd_statement_execute(&update, values, NULL, false);
    SPI_finish();
    PG_RETURN_VOID();
}
