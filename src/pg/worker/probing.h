/*
 * probing.h - the probes of a run: they choose the parameters reg, regularizer, relation_weight and
 * class_weights where these were not given.
 *
 * The leader probes alone, after it has built the graph and before it takes the memory of the
 * training. What it chose is a part of the run's parameters from then on, as if it had been given:
 * a run that is resumed has it, and so has a training that starts from the version.
 */
#ifndef METASD_PG_WORKER_PROBING_H
#define METASD_PG_WORKER_PROBING_H

#include "pg/base/compat.h"

#include "utils/jsonb.h"

#include "pg/params/params.h"
#include "pg/worker/process.h"
#include "pg/worker/progress.h"
#include "pg/worker/training.h"

/* Is any of the parameters open that probes choose? */
extern bool metasd_probing_is_wanted(const MetasdParams *params);

/*
 * Bytes of the probes beside the graph, of which only the numbers count; SIZE_MAX if too many to
 * count.
 */
extern size_t metasd_probing_bytes(const MetasdGraph *graph, const MetasdTrainOptions *options);

/*
 * Probes where that is wanted and possible: sets the parameters and the training's options. Returns
 * metrics of the probes, or NULL where there were none. Outside a transaction.
 */
extern Jsonb *metasd_probing_run(MetasdProcess *process, MetasdReporter *reporter,
                                 MetasdTraining *training, MetasdParams *params);

/* A version's values of these parameters, of a run with parameters OF, where none were given. */
extern void metasd_probing_inherit(MetasdParams *params, const MetasdParams *of);

/* Takes the values that these parameters have as if they had been given: nothing is probed. */
extern void metasd_probing_forgo(MetasdParams *params);

#endif
