#include "pg/worker/transaction.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "pg/catalog/extension.h"
#include "pg/catalog/quota.h"
#include "pg/catalog/run.h"

void
metasd_transaction_run(MetasdTransactions *transactions, MetasdWork work, void *context)
{
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    transactions->gone = !metasd_extension_hold(transactions->extension);
    if (!transactions->gone) {
        PushActiveSnapshot(GetTransactionSnapshot());
        SPI_connect();
        work(context);
    }
    if (transactions->gone)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the run is gone")));
    SPI_finish();
    PopActiveSnapshot();
    CommitTransactionCommand();
    metasd_run_keep_locks();
    MemoryContextSwitchTo(transactions->context);
    pgstat_report_stat(false); /* else autovacuum never learns of the rows written */
}

MetasdStatus
metasd_transaction_guard(MetasdTransactions *transactions, MetasdWork work, void *context)
{
    PG_TRY();
    {
        work(context);
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(transactions->context);
        transactions->error = CopyErrorData();
        FlushErrorState();
        AbortOutOfAnyTransaction();
        metasd_run_keep_locks();
        metasd_quota_hold_again();
        MemoryContextSwitchTo(transactions->context);
    }
    PG_END_TRY();
    return transactions->error ? METASD_INTERRUPTED : METASD_OK;
}

char *
metasd_transaction_error_text(const ErrorData *error)
{
    return psprintf("%s%s%s%s%s", error->message, error->detail ? " - " : "",
                    error->detail ? error->detail : "", error->hint ? " - " : "",
                    error->hint ? error->hint : "");
}
