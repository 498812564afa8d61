/*
 * warm_start.h - a training that starts from the version that serves.
 *
 * The worker reads the version's rows right after the source, in the same transaction, and keeps
 * them as they are stored: the version settles some parameters. Later the rows fill the trainer's
 * tables, entities and relations matched by label (core/train/warm_start.h does the rest). Rows
 * that are deleted meanwhile are still visible to the transaction, which began before. A version
 * from which the training cannot start is no failure: the training starts anew, and the log and the
 * run's metrics say why.
 *
 * A run that is resumed has its checkpoint, and needs no version; its metrics stay as they were.
 */
#ifndef METASD_PG_WORKER_WARM_START_H
#define METASD_PG_WORKER_WARM_START_H

#include "pg/base/compat.h"

#include "utils/jsonb.h"

#include "pg/params/params.h"
#include "pg/worker/input.h"
#include "pg/worker/process.h"
#include "pg/worker/training.h"

typedef struct MetasdWarmStart {
    int64 version;              /* 0: the training starts anew */
    Jsonb *metrics;             /* for the run's metrics, or NULL */
    MemoryContext context;      /* of the rows; NULL once they are used */
    char *piece;                /* room for more of them */
    Size left;                  /* bytes of it */
    bytea **row;                /* N + 2 R, as stored; NULL: the version does not know it */
    uint32 entities, relations; /* that it knows */
} MetasdWarmStart;

/*
 * After the triples: reads the version of the model that serves, if the training can start from it.
 * PARAMS have their defaults, of which the rank may become the version's, and so do those that
 * probes choose if the training starts from it. HELD_OUT: the facts that the training is to hold
 * out. True if there is a version to consider. In a transaction.
 */
extern bool metasd_warm_start_read(MetasdWarmStart *warm, const MetasdLaunch *launch,
                                   const char *model, const MetasdInput *input,
                                   const MetasdHeldOut *held_out, MetasdParams *params);

/* About how many bytes the rows of a version take while they are kept, which has STORED. */
extern double metasd_warm_start_expect(double stored, double rows);

/* Bytes of the rows that it keeps. */
extern size_t metasd_warm_start_bytes(const MetasdWarmStart *warm);

/* Fills the trainer, whose memory has been taken, from the version if there is one. */
extern void metasd_warm_start_fill(MetasdWarmStart *warm, MetasdProcess *process,
                                   MetasdTraining *training);

#endif
