/*
 * compare.h - the version about to be stored beside the one that serves: both rank the same facts.
 *
 * Their embeddings differ in shape and in numbers, so both are asked through their serving images,
 * entities and relations matched by label. Ranks are among the entities of the new version, its
 * known facts left out. Where the old version does not know something it counts as in kg_evaluate:
 * an unknown answer comes after all known ones, and for an unknown query all candidates tie. So a
 * version that has learnt more is the better one.
 *
 * Neither may have been trained on a fact that counts: held_out.h says which facts the old version
 * held out, too. Where that is not known nothing counts, and the new version is promoted.
 *
 * The worker reads the old version in one short transaction and compares outside any. If another
 * version is promoted meanwhile, the worker compares again (store.h).
 */
#ifndef METASD_PG_WORKER_COMPARE_H
#define METASD_PG_WORKER_COMPARE_H

#include "pg/base/compat.h"

#include "pg/base/json.h"
#include "pg/worker/input.h"
#include "pg/worker/process.h"
#include "pg/worker/progress.h"
#include "pg/worker/training.h"

typedef struct MetasdComparison {
    int64 serving;  /* the version that serves; 0: there is none */
    bool promoted;  /* the new one may serve */
    char *note;     /* why not, or why there was no comparison; or NULL */
    size_t queries; /* answers that both ranked */
    double mrr_before, mrr;
    double overlap; /* of the best answers of both, or NaN */
} MetasdComparison;

/*
 * Shares the image of the version that serves, unless it is shared, before the training has memory:
 * the comparison then reads it from its file.
 */
extern void metasd_compare_prepare(MetasdProcess *process, MetasdReporter *reporter);

/*
 * Bytes that the comparison takes beside the trainer, of which the leader keeps its part: scores;
 * the image of the new version, but after a lean training; and that of the old one, which is like
 * the new one, if it is too large to be shared. VALIDATION: the examples of that part. SIZE_MAX if
 * too many to count.
 */
extern size_t metasd_compare_bytes(const MetasdInput *input, const MetasdTrainOptions *options,
                                   MetasdStorage storage, size_t validation, bool lean);

/*
 * Compares trainer.best, as it will be read back, with the version that serves. It may serve
 * instead if its MRR is no more than TOLERANCE below.
 */
extern MetasdComparison metasd_compare(MetasdProcess *process, MetasdReporter *reporter,
                                       const MetasdInput *input, const MetasdTraining *training,
                                       double tolerance);

/* Appends members to a JSON object: whether the version may serve, and how it differs. */
extern void metasd_compare_append(MetasdJson *json, const MetasdComparison *comparison);

#endif
