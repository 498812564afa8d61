/*
 * owner.c - kg_owner: gives a model to another role.
 */
#include "pg/base/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "pg/access/access.h"
#include "pg/catalog/run.h"
#include "pg/catalog/statement.h"
#include "pg/control/launch.h"
#include "pg/control/schedule.h"

PG_FUNCTION_INFO_V1(metasd_kg_owner);

/*
 * kg_owner(model text, role regrole) returns void. Whether the new owner may read the source is
 * checked when the model is trained or asked. The schedule is a job of the old owner, who may not
 * train the model any more, so it ends.
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
    MetasdModel *model = metasd_access_model_to_change("kg_owner()", name, NULL);
    Datum values[2] = {CStringGetTextDatum(model->name), ObjectIdGetDatum(role)};

    metasd_run_check_here();
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
