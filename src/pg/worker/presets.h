/*
 * presets.h - the defaults of training parameters, which follow from preset and size of the graph.
 *
 * A preset bounds the time of a training: `balanced` to about a quarter of an hour for graphs of up
 * to some hundred thousand triples, on two cores; `fast` to a tenth of that, `best` to ten times as
 * much. They were chosen on validation triples of Nations, Kinship, UMLS, WN18RR and FB15k-237.
 */
#ifndef METASD_PG_WORKER_PRESETS_H
#define METASD_PG_WORKER_PRESETS_H

#include "pg/params/params.h"
#include "pg/worker/input.h"

/* The lowest default rank; below, one in ten weights is too little for a row. */
#define METASD_LEAST_RANK 100

/*
 * Sets all that was not given. What probes choose (probing.h) has the value of a training without
 * them then. WARM: the training starts from another version, so its default phases are shorter.
 */
extern void metasd_presets_apply(MetasdParams *params, const MetasdInput *input, bool warm);

#endif
