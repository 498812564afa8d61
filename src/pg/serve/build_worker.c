/*
 * build_worker.c - the background worker that builds an image.
 */
#include "pg/image/build_request.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"

#include "pg/image/image_cache.h"
#include "pg/catalog/extension.h"
#include "pg/catalog/statement.h"
#include "pg/image/image_lock.h"

extern PGDLLEXPORT void metasd_build_worker_main(Datum argument);

/* Does the version exist? The session may have seen one that is not committed. */
static bool
has_version(const MetasdBuildRequest *request)
{
    static MetasdStatement select_version = {
        "SELECT FROM metasd.run WHERE id = $1 AND uuid = $2 AND kept", 2, {INT8OID, UUIDOID}, NULL};
    Datum values[2] = {Int64GetDatum(request->run), UUIDPGetDatum(&request->uuid)};
    bool found;

    if (metasd_extension() != request->extension)
        return false;
    SPI_connect();
    found = metasd_statement_execute(&select_version, values, NULL, true) > 0;
    SPI_finish();
    return found;
}

void
metasd_build_worker_main(Datum argument)
{
    MetasdBuildRequest request;

    (void)argument;
    memcpy(&request, MyBgworkerEntry->bgw_extra, sizeof(request));
    pqsignal(SIGTERM, die);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    /* Without a role: the catalog is read with the rights of its owner, who need not have LOGIN. */
    BackgroundWorkerInitializeConnectionByOid(request.database, InvalidOid, 0);
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    pgstat_report_activity(STATE_RUNNING, MyBgworkerEntry->bgw_name);
    metasd_image_lock_worker(&request.uuid);
    if (has_version(&request))
        metasd_image_cache_build(&request.uuid, request.run, request.cache_size);
    PopActiveSnapshot();
    CommitTransactionCommand();
    pgstat_report_stat(true);
    proc_exit(0);
}
