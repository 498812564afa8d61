/* triples.h - the triples a benchmark trains: read from a folder, or made up. */
#ifndef METASD_BENCH_TRIPLES_H
#define METASD_BENCH_TRIPLES_H

#include "core/graph/graph.h"

typedef struct TripleList {
    MetasdTriple *triples;
    size_t n, room;
} TripleList;

typedef struct TripleSet {
    uint32_t entities, relations;
    TripleList train, validation;
    TripleList test; /* known to the filtered ranking, and to nothing else */
} TripleSet;

extern void triples_add(TripleList *list, MetasdTriple triple);

/*
 * Reads train.tsv, valid.tsv and test.tsv of a folder (head, relation, tail, separated by tabs),
 * of which the last may be missing; ends the program where that fails. Where `name` is
 * synthetic:ENTITIES:TRIPLES:RELATIONS[:SEED] makes up such a graph instead, all of it for
 * training.
 */
extern TripleSet triples_open(const char *name);

/*
 * A graph whose degrees follow a power law with an exponent of about 1: what has rank k among
 * the entities or relations is drawn in proportion to 1 / (k + some offset). Entities are
 * numbered in random order; each is the head of a triple if there are enough. The triples
 * differ from one another; there are fewer than asked for where those are too hard to find.
 */
extern TripleSet triples_make(uint32_t entities, size_t n, uint32_t relations, uint64_t seed);

extern void triples_free(TripleSet *set);

#endif
