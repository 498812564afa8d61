/*
 * probe.h - cheap trainings that choose the regulariser, its weight, the weight of the relation
 * loss, and whether frequent tails weigh more: no formula of a graph's size knows them.
 *
 * Each probe trains a small model without pruning for part of the training's work, at a rate that
 * falls, and ranks validation triples. Successive halving: all pairs of regulariser and weight are
 * tried briefly, the best third of them for longer, and the other two parameters with the best.
 * What a probe costs is counted in flop, so that the same graph and seed give the same choice
 * everywhere.
 */
#ifndef METASD_CORE_TRAIN_PROBE_H
#define METASD_CORE_TRAIN_PROBE_H

#include "core/train/train.h"

/* Probes of all stages together, at most. */
#define METASD_MOST_PROBES 24

/* Answers without which ranks say too little. */
#define METASD_PROBE_LEAST_ANSWERS 100

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
    double mrr;     /* 0 where its loss was not finite */
    size_t answers; /* that were ranked */
} MetasdProbe;

/* How long probes are, in epochs: those of the first stage, and the others; 0: there are none. */
typedef struct MetasdProbeLengths {
    double brief, full;
} MetasdProbeLengths;

typedef struct MetasdProbing {
    /* set by the caller */
    MetasdProbeChoice chosen;   /* given values, and defaults of the others; then the choice */
    bool open[METASD_PROBED];   /* what is to be chosen */
    MetasdProbeLengths lengths; /* metasd_probe_lengths */

    MetasdProbe probe[METASD_MOST_PROBES]; /* in the order in which they ran */
    int count;
} MetasdProbing;

/* The most probes that the halving needs, for the caller's progress. */
extern int metasd_probe_most(const MetasdProbing *probing);

/*
 * Chooses: `run` fills in the MRR and the answers of a probe whose choice and epochs are set, and may end the
 * halving with a status. Of equal MRRs the earlier wins.
 */
extern MetasdStatus metasd_probe_halve(MetasdProbing *probing,
                                       MetasdStatus (*run)(void *context, MetasdProbe *probe),
                                       void *context);

/* The options of a probe's trainer, for its memory: those of the training, but small and dense. */
extern MetasdTrainOptions metasd_probe_options(const MetasdTrainOptions *training);

/*
 * How long probes may be beside that training. None are where the graph has too few validation
 * triples, or where the training is so short that probes could say nothing.
 */
extern MetasdProbeLengths metasd_probe_lengths(const MetasdProbing *probing,
                                               const MetasdGraph *graph,
                                               const MetasdTrainOptions *training);

/*
 * Probes with a trainer that was taken for metasd_probe_options(training). `events` may have a
 * batch's callback; its `epoch` is the number of the probe, from 1. A team of one.
 */
extern MetasdStatus metasd_probe(MetasdProbing *probing, MetasdTrainer *trainer, MetasdTeam *team,
                                 const MetasdGraph *graph, const MetasdTrainOptions *training,
                                 const MetasdTrainEvents *events);

#endif
