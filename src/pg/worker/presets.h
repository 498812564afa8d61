/*
 * presets.h - the defaults of training parameters, which follow from preset and size of the graph.
 *
 * A preset bounds the time of a training: `balanced` to about a quarter of an hour for graphs of up
 * to some hundred thousand triples, on two cores; `fast` to a seventh of that, `best` to eight
 * times as much. They were chosen on Kinship, UMLS, WN18RR, FB15k-237, a part of it, and the demo's
 * world.
 */
#ifndef METASD_PG_WORKER_PRESETS_H
#define METASD_PG_WORKER_PRESETS_H

#include "pg/params/params.h"
#include "pg/worker/input.h"

/* The lowest default rank. A lower one is for the user to choose. */
#define METASD_LEAST_RANK 100

/*
 * Sets all that was not given. What probes choose (probing.h) has the value of a training without
 * them then. WARM: the training starts from another version, so its default phases are shorter.
 * PRUNED: even where nothing is pruned by default, weights are.
 */
extern void metasd_presets_apply(MetasdParams *params, const MetasdInput *input, bool warm,
                                 bool pruned);

#endif
