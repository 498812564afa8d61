/*
 * hash.h - 64 bits that tell whether bytes are still the same. Against accidents, not attacks.
 */
#ifndef METASD_CORE_BASE_HASH_H
#define METASD_CORE_BASE_HASH_H

#include "core/graph/graph.h"

/*
 * The hash of n bytes that follow what `hash` is of; 0 to begin with. It depends on how bytes are
 * cut into calls, and on the byte order of the host.
 */
extern uint64_t metasd_hash(uint64_t hash, const void *bytes, size_t n);

/* The same of an array that may be large; polls. */
extern MetasdStatus metasd_hash_array(MetasdTeam *team, const void *bytes, size_t n,
                                      uint64_t *hash);

/* Likewise of a graph: its numbers, the groups of every part. */
extern MetasdStatus metasd_graph_hash(MetasdTeam *team, const MetasdGraph *graph, uint64_t *hash);

#endif
