/*
 * transaction.h - the short transactions of a training worker, and errors that must not escape.
 *
 * No error jumps through the core. Its callbacks run under metasd_transaction_guard, which keeps an
 * error and returns METASD_INTERRUPTED; metasd_process_check_status raises the error
 * again once the core has returned.
 */
#ifndef METASD_PG_WORKER_TRANSACTION_H
#define METASD_PG_WORKER_TRANSACTION_H

#include "pg/base/compat.h"

#include "core/base/status.h"

typedef struct MetasdTransactions {
    Oid extension;         /* each transaction holds it */
    MemoryContext context; /* current between transactions; it lives as long as the worker */
    ErrorData *error;      /* kept by the guard, or NULL */
    bool gone;             /* the run's row is not there any more: the worker leaves quietly */
} MetasdTransactions;

typedef void (*MetasdWork)(void *context);

/*
 * Runs work(context) in a transaction of its own, with SPI connected. Where the run's row is gone,
 * after DROP EXTENSION or because work has set `gone`, the transaction is undone with an error.
 */
extern void metasd_transaction_run(MetasdTransactions *transactions, MetasdWork work,
                                   void *context);

/* Runs work(context) and keeps its error: METASD_INTERRUPTED. Aborts a transaction then. */
extern MetasdStatus metasd_transaction_guard(MetasdTransactions *transactions, MetasdWork work,
                                             void *context);

/* Message, detail and hint of an error, in one line. */
extern char *metasd_transaction_error_text(const ErrorData *error);

#endif
