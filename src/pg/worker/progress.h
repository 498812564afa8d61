/*
 * progress.h - reports of a training's progress: to the run's row, to metasd.epoch, and to
 * pg_stat_activity.
 */
#ifndef METASD_PG_WORKER_PROGRESS_H
#define METASD_PG_WORKER_PROGRESS_H

#include "pg/base/compat.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "pg/worker/training.h"
#include "pg/worker/transaction.h"

/* The state of a training under way, for the run's row. */
typedef struct MetasdHeartbeat {
    const char *phase;
    int epoch;         /* 0: it probes */
    int64 done, total; /* batches of the epoch, or probes; total 0: neither */
    double loss;       /* of the full model, or of the one that is fine-tuned; last batch */
} MetasdHeartbeat;

typedef struct MetasdReporter {
    MetasdTransactions *transactions;
    int64 run;
    const char *model;
    int epochs;                /* of the training, once it is planned */
    MetasdHeartbeat heartbeat; /* the last one */
    TimestampTz sent;          /* when the run's row got it */
    TimestampTz epoch_started;
} MetasdReporter;

/* Reports that a phase begins; in a transaction of its own, like all of these. */
extern void metasd_progress_phase(MetasdReporter *reporter, const char *phase);

/* Reports a heartbeat, once a second at most. For callbacks of the core. */
extern MetasdStatus metasd_progress_heartbeat(MetasdReporter *reporter,
                                              const MetasdHeartbeat *heartbeat);

/* Writes the sizes of the graph, the parameters in force, and metrics known before it trains. */
extern void metasd_progress_graph(MetasdReporter *reporter, const MetasdGraph *graph, Jsonb *params,
                                  Jsonb *metrics);

/* Writes a row for an epoch that has ended. For callbacks of the core. */
extern MetasdStatus metasd_progress_epoch(MetasdReporter *reporter, const MetasdTraining *training,
                                          const MetasdEpoch *epoch);

/* Writes how the run ended; raises no error, whatever has become of the catalog. */
extern void metasd_progress_end(MetasdReporter *reporter, const char *status, const char *error);

#endif
