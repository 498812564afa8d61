/*
 * cancel.c - kg_cancel, kg_drop.
 */
#include "pg/control/launch.h"

#include <signal.h>

#include "catalog/pg_type.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pg/access/access.h"
#include "pg/catalog/run.h"
#include "pg/control/schedule.h"

#define WAIT_FOR_END_MS 500 /* kg_cancel, for the training it has told to end */

PG_FUNCTION_INFO_V1(metasd_kg_cancel);
PG_FUNCTION_INFO_V1(metasd_kg_drop);

/*
 * So that the next statement may train the model again. Not for long: a worker may be waiting for
 * this very transaction.
 */
static void
wait_until_ended(int64 run)
{
    TimestampTz begun = GetCurrentTimestamp();

    while (metasd_run_is_alive(run) &&
           !TimestampDifferenceExceeds(begun, GetCurrentTimestamp(), WAIT_FOR_END_MS))
        metasd_run_sleep(5);
}

/* kg_cancel(run bigint) returns boolean: was there a worker to tell? */
Datum
metasd_kg_cancel(PG_FUNCTION_ARGS)
{
    int64 run = PG_GETARG_INT64(0);
    char *status;
    int pid;

    metasd_access_check_primary("kg_cancel()");
    (void)metasd_launch_own(run, &status);
    pid = metasd_run_pid(run);
    /* A signal to a process of the same user fails only if that has ended just now. */
    if (pid == 0 || !BackendPidGetProc(pid) || kill(pid, SIGINT) != 0) {
        status = pstrdup(metasd_run_status(run, status));
        if (strcmp(status, "queued") == 0 || strcmp(status, "running") == 0)
            metasd_run_check_here();
        ereport(NOTICE,
                (errmsg("run " INT64_FORMAT " is not running: its status is \"%s\"", run, status)));
        PG_RETURN_BOOL(false);
    }
    wait_until_ended(run);
    PG_RETURN_BOOL(true);
}

/*
 * kg_drop(model text): the worker of a run of it leaves once it sees the row gone. It writes
 * epochs while it holds that row, which therefore is locked before they are deleted.
 */
Datum
metasd_kg_drop(PG_FUNCTION_ARGS)
{
    static MetasdStatement statements[] = {
        {"SELECT FROM metasd.run WHERE model = $1 FOR UPDATE", 1, {TEXTOID}, NULL},
        {"DELETE FROM metasd.epoch e USING metasd.run r WHERE e.run = r.id AND r.model = $1",
         1,
         {TEXTOID},
         NULL},
        {"DELETE FROM metasd.checkpoint e USING metasd.run r WHERE e.run = r.id AND r.model = $1",
         1,
         {TEXTOID},
         NULL},
        {"DELETE FROM metasd.entity e USING metasd.run r WHERE e.run = r.id AND r.model = $1",
         1,
         {TEXTOID},
         NULL},
        {"DELETE FROM metasd.relation e USING metasd.run r WHERE e.run = r.id AND r.model = $1",
         1,
         {TEXTOID},
         NULL},
        {"DELETE FROM metasd.run WHERE model = $1", 1, {TEXTOID}, NULL},
        {"DELETE FROM metasd.model WHERE name = $1", 1, {TEXTOID}, NULL}};
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    Datum value = CStringGetTextDatum(name);

    metasd_access_check_writable("kg_drop()");
    (void)metasd_extension_hold(metasd_extension());
    (void)metasd_access_model_to_change(name, NULL);
    metasd_schedule_drop(name);
    SPI_connect();
    for (int i = 0; i < (int)lengthof(statements); i++)
        metasd_statement_execute(&statements[i], &value, NULL, false);
    SPI_finish();
    PG_RETURN_VOID();
}
