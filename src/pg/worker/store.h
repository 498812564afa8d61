/*
 * store.h - the best embeddings as rows, and the promotion of their version.
 *
 * Stored weights are rounded, and a version's figures are those of its stored weights. So the
 * weights are rounded, and rank the validation triples, before they are stored: that gives the
 * version's ranks, those of each relation, and the functions that make probabilities of scores.
 *
 * All rows are written in one transaction: a crash at any moment leaves the version that served, or
 * the new one, whole.
 */
#ifndef METASD_PG_WORKER_STORE_H
#define METASD_PG_WORKER_STORE_H

#include "pg/params/params.h"
#include "pg/worker/input.h"
#include "pg/worker/process.h"
#include "pg/worker/progress.h"
#include "pg/worker/training.h"

/*
 * Rounds and stores the weights of training->best, and lets them serve unless the ones that do are
 * better.
 */
extern void metasd_store(MetasdProcess *process, MetasdReporter *reporter, const MetasdInput *input,
                         MetasdTraining *training, const MetasdParams *params);

#endif
