/*
 * graph_build.h - from triples to a graph: sorting them, drawing parts, and grouping by query.
 */
#ifndef METASD_CORE_GRAPH_GRAPH_BUILD_H
#define METASD_CORE_GRAPH_GRAPH_BUILD_H

#include "core/graph/graph.h"

/*
 * Sorts triples by head, relation, tail and drops repeated ones; *n becomes the
 * number left. `scratch` holds *n triples, `counts` max(entities, relations) + 1
 * numbers. Takes O(n + entities + relations) steps, and one pass over triples that are in order.
 */
extern MetasdStatus metasd_graph_sort_triples(MetasdTeam *team, MetasdTriple *triples, size_t *n,
                                              MetasdTriple *scratch, size_t *counts,
                                              uint32_t entities, uint32_t relations);

/*
 * The building of a graph. It sorts in memory of its own, which is free after that:
 *
 *     metasd_graph_begin(&building, &graph, team, &arena, triples, ...)   the numbers of the graph
 *     metasd_graph_take(&graph, &memory)                                  of just that size
 *     metasd_graph_fill(&building, &graph, team)
 */
typedef struct MetasdGraphBuilding {
    MetasdSplitter splitter; /* the distinct triples of all parts */
    uint32_t *examples;      /* both directions of the triples, sorted: see example_of */
    uint32_t *spare;         /* as many */
    size_t *counts;
} MetasdGraphBuilding;

/* Bytes that metasd_graph_begin takes from its arena; SIZE_MAX if too many. */
extern size_t metasd_graph_building_bytes(size_t triples, size_t validation, uint32_t entities,
                                          uint32_t relations);

/*
 * Begins with `n` triples in any order, with repeats (the array is reordered, and read until the
 * graph is filled). Where `validation_n` > 0, `validation` holds the validation triples (reordered
 * too; those also among the triples are left out of it); otherwise `split` draws them. The last
 * training triple of an entity or relation is never drawn. Ids out of range: METASD_INVALID.
 */
extern MetasdStatus metasd_graph_begin(MetasdGraphBuilding *building, MetasdGraph *graph,
                                       MetasdTeam *team, MetasdArena *arena, MetasdTriple *triples,
                                       size_t n, MetasdTriple *validation, size_t validation_n,
                                       uint32_t entities, uint32_t relations,
                                       const MetasdSplit *split);

/* Fills the arrays of the graph, which were taken since. */
extern MetasdStatus metasd_graph_fill(const MetasdGraphBuilding *building, MetasdGraph *graph,
                                      MetasdTeam *team);

/*
 * All of that in one arena, which has at least so many bytes; with graph->known. For graphs that
 * need not be small, and whose known facts others may add to: for tests and benchmarks.
 */
extern size_t metasd_graph_bytes(size_t triples, size_t validation, uint32_t entities,
                                 uint32_t relations);
/* For tests and benchmarks. */
extern MetasdStatus metasd_graph_build(MetasdGraph *graph, MetasdTeam *team, MetasdArena *arena,
                                       MetasdTriple *triples, size_t n, MetasdTriple *validation,
                                       size_t validation_n, uint32_t entities, uint32_t relations,
                                       const MetasdSplit *split);

#endif
