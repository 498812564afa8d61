/* options.h - what a training to be measured is told on the command line. */
#ifndef METASD_BENCH_OPTIONS_H
#define METASD_BENCH_OPTIONS_H

#include "core/train/train.h"

typedef struct BenchOptions {
    MetasdTrainOptions train;
    MetasdSplit split;
    int members;
    bool phases;    /* seconds by stage of the step */
    double seconds; /* of training within an epoch after which the run ends; 0 = never */
    double memory;  /* GB that a run may need */
} BenchOptions;

/* The defaults, changed by name=value arguments; ends the program where one is not understood. */
extern BenchOptions options_parse(int n, char **arguments);

#endif
