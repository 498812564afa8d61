/*
 * drop.c - kg_drop: removes a model with all its versions.
 */
#include "pg/base/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "pg/access/access.h"
#include "pg/catalog/run.h"
#include "pg/catalog/statement.h"
#include "pg/control/schedule.h"

/* Deletes the rows that the runs of a model have in another table. */
#define DELETE_OF_RUNS(table)                                                                      \
    {                                                                                              \
        "DELETE FROM metasd." table " x USING metasd.run r WHERE x.run = r.id AND r.model = $1",   \
            1, {TEXTOID}, NULL                                                                     \
    }

PG_FUNCTION_INFO_V1(metasd_kg_drop);

/*
 * kg_drop(model text) returns void. A worker that trains the model ends when it sees that its run's
 * row is gone. Workers lock that row while they write epochs, so the rows of runs are locked before
 * anything is deleted.
 */
Datum
metasd_kg_drop(PG_FUNCTION_ARGS)
{
    static MetasdStatement statements[] = {
        {"SELECT FROM metasd.run WHERE model = $1 FOR UPDATE", 1, {TEXTOID}, NULL},
        DELETE_OF_RUNS("epoch"),
        DELETE_OF_RUNS("checkpoint"),
        DELETE_OF_RUNS("entity"),
        DELETE_OF_RUNS("relation"),
        {"DELETE FROM metasd.run WHERE model = $1", 1, {TEXTOID}, NULL},
        {"DELETE FROM metasd.model WHERE name = $1", 1, {TEXTOID}, NULL}};
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    Datum value = CStringGetTextDatum(name);

    (void)metasd_access_model_to_change("kg_drop()", name, NULL);
    metasd_run_check_here();
    metasd_schedule_drop(name);
    SPI_connect();
    for (int i = 0; i < (int)lengthof(statements); i++)
        metasd_statement_execute(&statements[i], &value, NULL, false);
    SPI_finish();
    PG_RETURN_VOID();
}
