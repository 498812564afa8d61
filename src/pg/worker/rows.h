/*
 * rows.h - the best embeddings as rows of metasd.entity and metasd.relation.
 */
#ifndef METASD_PG_WORKER_ROWS_H
#define METASD_PG_WORKER_ROWS_H

#include "pg/base/compat.h"

#include "core/codec/row_codec.h"
#include "core/train/holdout.h"
#include "pg/worker/input.h"
#include "pg/worker/training.h"

/*
 * Writes all rows of the version that RUN has trained, and returns the bytes of their embeddings.
 * In a transaction with SPI.
 */
extern size_t metasd_rows_write(int64 run, MetasdStorage storage, const MetasdInput *input,
                                const MetasdTraining *training, const MetasdHoldout *holdout);

#endif
