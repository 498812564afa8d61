/*
 * halving.h - successive halving: which probes are run, for how long, and which choice wins.
 *
 * All pairs of regulariser and weight are tried briefly, the best third of them for longer, then
 * larger weights than the best, and the weight of the relation loss and class weights with the best
 * pair. Short probes end with the best weight and the next larger one for as many times longer
 * again. Only what is open is tried.
 */
#ifndef METASD_CORE_TRAIN_HALVING_H
#define METASD_CORE_TRAIN_HALVING_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/status.h"
#include "core/train/regularizer.h"

/* Probes after the first stage should be so many times longer. */
#define METASD_HALVING_LONGER 3

/* Probes that are shorter than so many epochs are short: what pays late is not seen in them. */
#define METASD_HALVING_LATE 20

/* Probes of all stages together, at most. */
#define METASD_MOST_PROBES 36

typedef enum MetasdProbed {
    METASD_PROBED_REG,
    METASD_PROBED_REGULARIZER,
    METASD_PROBED_RELATION_WEIGHT,
    METASD_PROBED_CLASS_WEIGHTS,
    METASD_PROBED
} MetasdProbed;

typedef struct MetasdProbeChoice {
    MetasdRegularizer regularizer;
    double reg, relation_weight;
    bool class_weights;
} MetasdProbeChoice;

/* One probe: what it tried, for how long, and what came of it. */
typedef struct MetasdProbe {
    MetasdProbeChoice choice;
    double epochs;
    double mrr;     /* mean of its seeds; 0 where its loss was not finite */
    size_t answers; /* that were ranked */
} MetasdProbe;

/* How long probes are, in epochs: those of the first stage, and the others; 0: there are none. */
typedef struct MetasdProbeLengths {
    double brief, full;
    int seeds; /* trainings of each probe, whose mean counts */
} MetasdProbeLengths;

typedef struct MetasdProbing {
    /* set by the caller */
    MetasdProbeChoice chosen;   /* given values, and defaults of the others; then the choice */
    bool open[METASD_PROBED];   /* what is to be chosen */
    MetasdProbeLengths lengths; /* metasd_probe_plan sets them */

    MetasdProbe probe[METASD_MOST_PROBES]; /* in the order in which they ran */
    int count;
} MetasdProbing;

/* Numbers of probes, as a rule. */
typedef struct MetasdProbeCounts {
    int brief;   /* of the first stage */
    int full;    /* of the others together; 0: nothing is open */
    int longest; /* as many times longer again; only where the others are short */
} MetasdProbeCounts;

extern MetasdProbeCounts metasd_halving_count(const MetasdProbing *probing);

/*
 * Chooses: `run` fills in the MRR and the answers of a probe whose choice and epochs are set, and
 * may end the halving with a status. Of equal MRRs the earlier wins.
 */
extern MetasdStatus metasd_halving(MetasdProbing *probing,
                                   MetasdStatus (*run)(void *context, MetasdProbe *probe),
                                   void *context);

#endif
