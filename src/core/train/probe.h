/*
 * probe.h - cheap trainings that choose the regulariser, its weight, the weight of the relation
 * loss, and whether frequent tails weigh more: no formula of a graph's size knows them.
 *
 * Each probe trains a small model without pruning for part of the training's work, at a rate that
 * falls, and ranks validation triples; halving.h says which are run. What a probe costs is counted
 * in flop, so that the same graph and seed give the same choice everywhere.
 */
#ifndef METASD_CORE_TRAIN_PROBE_H
#define METASD_CORE_TRAIN_PROBE_H

#include "core/train/halving.h"
#include "core/train/train.h"

/* Answers without which ranks say too little. */
#define METASD_PROBE_LEAST_ANSWERS 100

/* The options of a probe's trainer, for its memory: those of the training, but small and dense. */
extern MetasdTrainOptions metasd_probe_options(const MetasdGraph *graph,
                                               const MetasdTrainOptions *training);

/*
 * Sets how long probes may be beside that training. Where its time is too short for all that is
 * open, the regulariser keeps its default, then class weights and the relation loss. There are no
 * probes where the graph has too few validation triples, or where the training is so short that
 * they could say nothing.
 */
extern void metasd_probe_plan(MetasdProbing *probing, const MetasdGraph *graph,
                              const MetasdTrainOptions *training);

/*
 * Probes with a trainer that was taken for metasd_probe_options(training). `events` may have a
 * batch's callback; its `epoch` is the number of the probe, from 1. A team of one.
 */
extern MetasdStatus metasd_probe(MetasdProbing *probing, MetasdTrainer *trainer, MetasdTeam *team,
                                 const MetasdGraph *graph, const MetasdTrainOptions *training,
                                 const MetasdTrainEvents *events);

#endif
