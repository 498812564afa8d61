/*
 * graph.h - the groups of triples.
 *
 * N entities, R relations. Every triple (h, r, t) is also used as its reciprocal
 * (t, r + R, h), so a query is a pair (h, r) with r < P = 2 R and only tails are
 * predicted. All examples that share a query form one group: they share scores
 * and softmax, so batches are made of whole groups.
 */
#ifndef METASD_CORE_GRAPH_GRAPH_H
#define METASD_CORE_GRAPH_GRAPH_H

#include "core/graph/split.h"

/* Queries with the tails of each: tails[start[g]] .. tails[start[g + 1] - 1], ascending. */
typedef struct MetasdGroups {
    size_t count;    /* of groups */
    size_t examples; /* of tails in all */
    uint32_t *heads;
    uint32_t *relations;
    uint32_t *start; /* count + 1; examples are numbered with 32 bits */
    uint32_t *tails;
} MetasdGroups;

typedef struct MetasdGraph {
    uint32_t entities;  /* N */
    uint32_t relations; /* R */
    size_t triples;     /* distinct ones, all parts */
    size_t part_triples[METASD_PARTS];
    MetasdGroups part[METASD_PARTS]; /* the groups of each part, both directions */
    /*
     * What filtered ranking leaves out: the groups of all parts together and perhaps further facts.
     * Without any, metasd_graph_known looks in the parts.
     */
    MetasdGroups known;
    bool *irreflexive; /* R: hardly any training triple leads from an entity to itself */
} MetasdGraph;

/*
 * A relation is irreflexive while less than this part of its training triples lead from an entity
 * to itself. A model gives every triple (e, r, e) of a symmetric relation a high score, because r
 * makes products of like with like large; so the graph has to tell.
 */
#define METASD_REFLEXIVE 0.01

/* Is a tail impossible in this graph? `relation` is a row, below P. */
static inline bool
metasd_graph_rules_out(const MetasdGraph *graph, uint32_t head, uint32_t relation, uint32_t tail)
{
    return head == tail && graph->irreflexive[relation % graph->relations];
}

/*
 * Takes the arrays of a graph whose numbers are set, of just the size they need. Members that share
 * a graph each call this over the same memory.
 */
extern void metasd_graph_take(MetasdGraph *graph, MetasdArena *arena);

/* Copies the arrays of FROM, which has the same numbers. */
extern MetasdStatus metasd_graph_copy(MetasdGraph *to, MetasdTeam *team, const MetasdGraph *from);

/* The tails known for a query, or 0 of them: *tails points into the groups. */
extern size_t metasd_graph_find_group(const MetasdGroups *groups, uint32_t head, uint32_t relation,
                                      const uint32_t **tails);

/* The tails known for a query, as ascending lists that have no tail in common. */
typedef struct MetasdKnown {
    const uint32_t *tails[METASD_PARTS];
    size_t n[METASD_PARTS];
} MetasdKnown;

extern MetasdKnown metasd_graph_known(const MetasdGraph *graph, uint32_t head, uint32_t relation);

/* Is a tail among them? */
extern bool metasd_graph_is_known(const MetasdKnown *known, uint32_t tail);

/* The hash of a graph: its numbers, and the groups of every part. */
extern MetasdStatus metasd_graph_hash(MetasdTeam *team, const MetasdGraph *graph, uint64_t *hash);

#endif
