/*
 * build_worker.c - the background worker that builds an image.
 */
#include "pg/image/builder.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"

#include "pg/image/image_cache.h"
#include "pg/catalog/catalog.h"
#include "pg/image/image_file.h"

extern PGDLLEXPORT void metasd_builder_main(Datum argument);

/* Whether that version is there, of which the session may have seen what has not been committed. */
static bool
has_version(const MetasdBuildOrder *order)
{
    static MetasdStatement look = {
        "SELECT FROM metasd.run WHERE id = $1 AND uuid = $2 AND kept", 2, {INT8OID, UUIDOID}, NULL};
    Datum values[2] = {Int64GetDatum(order->run), UUIDPGetDatum(&order->uuid)};
    bool found;

    if (metasd_extension() != order->extension)
        return false;
    SPI_connect();
    found = metasd_statement_execute(&look, values, NULL, true) > 0;
    SPI_finish();
    return found;
}

void
metasd_builder_main(Datum argument)
{
    MetasdBuildOrder order;

    (void)argument;
    memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
    pqsignal(SIGTERM, die);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    /* As nobody: the catalog is read as its owner, who need not have LOGIN. */
    BackgroundWorkerInitializeConnectionByOid(order.database, InvalidOid, 0);
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    pgstat_report_activity(STATE_RUNNING, MyBgworkerEntry->bgw_name);
    metasd_image_file_begin_building(&order.uuid);
    if (has_version(&order))
        metasd_image_cache_build(&order.uuid, order.run, order.cache_size);
    PopActiveSnapshot();
    CommitTransactionCommand();
    pgstat_report_stat(true);
    proc_exit(0);
}
