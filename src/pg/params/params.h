/*
 * params.h - training parameters: their names, the values that they may have, and their JSON.
 */
#ifndef METASD_PG_PARAMS_PARAMS_H
#define METASD_PG_PARAMS_PARAMS_H

#include "pg/base/compat.h"

#include "utils/jsonb.h"

#include "core/model/family.h"

/* The highest rank: components of an embedding. */
#define METASD_MOST_RANK 10000

typedef enum MetasdParam {
    METASD_P_BATCH,
    METASD_P_CHECKPOINT_EVERY,
    METASD_P_CLASS_WEIGHTS,
    METASD_P_EPOCHS,
    METASD_P_FAMILY,
    METASD_P_FINETUNE,
    METASD_P_KEEP_VERSIONS,
    METASD_P_LR,
    METASD_P_MAX_BYTES,
    METASD_P_MUTUAL,
    METASD_P_NEGATIVES,
    METASD_P_PATIENCE,
    METASD_P_PRESET,
    METASD_P_PROMOTE_TOLERANCE,
    METASD_P_PRUNING,
    METASD_P_QUIZ,
    METASD_P_RAMP,
    METASD_P_RANK,
    METASD_P_REG,
    METASD_P_REGULARIZER,
    METASD_P_RELATION_WEIGHT,
    METASD_P_SEED,
    METASD_P_SPARSITY,
    METASD_P_STORAGE,
    METASD_P_VALIDATION_FRACTION,
    METASD_P_WARM_START,
    METASD_P_WARMUP,
    METASD_P_WORKERS,
    METASD_PARAMS
} MetasdParam;

/* A number is itself; true is 1, false 0; a word is its index in the list of allowed words. */
typedef struct MetasdParams {
    double value[METASD_PARAMS];
    bool given[METASD_PARAMS]; /* by the user; the others take defaults */
} MetasdParams;

/* Reads and checks a jsonb object; an error names the parameter and what it may be. */
extern void metasd_params_read(MetasdParams *params, Jsonb *json);

/* How much time a training may take: the defaults of the others are chosen for that. */
typedef enum MetasdPreset { METASD_FAST = 0, METASD_BALANCED, METASD_BEST } MetasdPreset;

/* How weights are chosen for pruning: */
typedef enum MetasdPruning {
    METASD_MAGNITUDE = 0, /* the smallest, as published */
    METASD_SALIENCE,      /* also those on which the loss has depended little */
    METASD_ALIGNED        /* also those of columns that other rows prune */
} MetasdPruning;

/* Makes every value equal to that which its text in a jsonb object is read to. */
extern void metasd_params_settle(MetasdParams *params);

/* All of them as a jsonb object. */
extern Jsonb *metasd_params_json(const MetasdParams *params);

/* The word that a parameter of words has as its value. */
extern const char *metasd_params_word(const MetasdParams *params, MetasdParam parameter);

/* The family of scores. */
extern const MetasdFamily *metasd_params_family(const MetasdParams *params);

#endif
