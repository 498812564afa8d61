/*
 * best_triples.h - the k triples of the highest keys, of many that are offered.
 *
 * A key may be any number: a probability, a rank. Triples of the same key compete by the numbers of
 * head, relation and tail, which are in the order of the labels' bytes. So the k best are the same
 * in whatever order triples are offered, and in however many heaps by however many processes.
 * A triple is offered once. Memory grows with the triples kept; an error if work_mem has no room.
 */
#ifndef METASD_PG_SURVEY_BEST_TRIPLES_H
#define METASD_PG_SURVEY_BEST_TRIPLES_H

#include "pg/base/compat.h"

#include "port/atomics.h"

#define METASD_TRIPLE_VALUES 4

typedef struct MetasdScoredTriple {
    uint32 id[3]; /* head, relation, tail */
    float key;    /* no NaN */
    union {       /* what else the caller wants to know of it */
        float value[METASD_TRIPLE_VALUES];
        uint32 number[METASD_TRIPLE_VALUES];
    };
} MetasdScoredTriple;

/* The best of all processes: no triple of a lower key is among the k best. */
typedef struct MetasdSharedLeast {
    pg_atomic_uint32 bits; /* of a float */
} MetasdSharedLeast;

extern void metasd_best_triples_init_shared(MetasdSharedLeast *shared, float least);

typedef struct MetasdBestTriples {
    uint32 k, count, capacity;
    MetasdScoredTriple *heap; /* the worst first, once there are k */
    MetasdSharedLeast *shared;
    float least; /* a triple of a lower key is of no use */
    MemoryContext context;
} MetasdBestTriples;

/* Starts without triples. Triples of lower keys than LEAST are of no use. */
extern void metasd_best_triples_start(MetasdBestTriples *best, uint32 k, MetasdSharedLeast *shared,
                                      float least);

/* A lower key is of no use any more; reads what other processes have found. */
extern float metasd_best_triples_least(MetasdBestTriples *best);

/* Keeps a triple if it is among the k best so far. */
extern void metasd_best_triples_offer(MetasdBestTriples *best, const MetasdScoredTriple *triple);

/* Sorts the triples kept, the best first. Nothing is offered afterwards. */
extern void metasd_best_triples_sort(MetasdBestTriples *best);

#endif
