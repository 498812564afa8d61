/*
 * options.h - the options of the core that parameters stand for.
 */
#ifndef METASD_PG_WORKER_OPTIONS_H
#define METASD_PG_WORKER_OPTIONS_H

#include "core/train/train.h"
#include "pg/params/params.h"

/* Sets all of both but the split's keys. Each parameter has a value. */
extern void metasd_options_set(const MetasdParams *params, MetasdTrainOptions *options,
                               MetasdSplit *split);

#endif
