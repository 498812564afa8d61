/*
 * cancel.c - kg_cancel: tells the worker of a training to stop.
 */
#include "pg/base/compat.h"

#include <signal.h>

#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pg/access/access.h"
#include "pg/catalog/run.h"

#define WAIT_FOR_END_MS 500

PG_FUNCTION_INFO_V1(metasd_kg_cancel);

/*
 * Waits for the end of the training, so that the next statement may train the model again. The wait
 * is short, because the worker may itself wait for this transaction.
 */
static void
wait_until_ended(int64 run)
{
    TimestampTz begun = GetCurrentTimestamp();

    while (metasd_run_is_alive(run) &&
           !TimestampDifferenceExceeds(begun, GetCurrentTimestamp(), WAIT_FOR_END_MS))
        metasd_run_sleep(5);
}

/* kg_cancel(run bigint) returns boolean: true if a worker was told to stop */
Datum
metasd_kg_cancel(PG_FUNCTION_ARGS)
{
    int64 run = PG_GETARG_INT64(0);
    char *status;
    int pid;

    metasd_access_check_primary("kg_cancel()");
    (void)metasd_access_model_of_run(run, &status);
    pid = metasd_run_pid(run);
    /* A signal to a process of the same user fails only if the process has just ended. */
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
