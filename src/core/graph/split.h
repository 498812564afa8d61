/*
 * split.h - triples as numbers, and which of them are for training, the quiz or validation.
 */
#ifndef METASD_CORE_GRAPH_SPLIT_H
#define METASD_CORE_GRAPH_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/team.h"

typedef struct MetasdTriple {
    uint32_t head, relation, tail;
} MetasdTriple;

/* The use of a triple; validation and quiz are out of training. */
typedef enum MetasdPart { METASD_TRAIN = 0, METASD_QUIZ, METASD_VALIDATION } MetasdPart;
#define METASD_PARTS 3

typedef struct MetasdSplit {
    uint64_t seed;
    double
        validation_fraction; /* of the distinct triples, 0 .. 0.5; ignored if validation is given */
    double quiz_fraction;    /* likewise */
    /*
     * Hashes of the labels of entities and relations, in the order of their ids, or NULL. With them
     * a triple is drawn for validation because of its labels, whatever the seed and the other
     * triples are: a triple that was held out from an earlier version is held out from a later one,
     * too, however the source has changed. The part drawn is then near the fraction, but not
     * exactly it.
     */
    const uint64_t *entity_keys, *relation_keys;
} MetasdSplit;

/* Distinct triples with their parts, and the memory that drawing needs. */
typedef struct MetasdSplitter {
    uint32_t entities, relations;
    size_t n;                 /* triples */
    MetasdTriple *triple;     /* n; set by the caller */
    uint8_t *part;            /* n: of each */
    uint32_t *order;          /* n: a random one */
    uint32_t *entity_degree;  /* entities: training triples of each */
    uint32_t *relation_count; /* relations: likewise */
} MetasdSplitter;

/* Takes the memory for up to `most` triples, besides these themselves. */
extern void metasd_split_take(MetasdSplitter *splitter, MetasdArena *arena, size_t most,
                              uint32_t entities, uint32_t relations);

/*
 * Moves training triples to validation, unless `validation_given`, and to the quiz. Fractions are
 * of `source_n` triples. The last training triple of an entity or relation is never moved.
 */
extern MetasdStatus metasd_split_triples(MetasdSplitter *splitter, MetasdTeam *team,
                                         const MetasdSplit *split, size_t source_n,
                                         bool validation_given);

/*
 * Whether `split`, which has keys, draws that triple for validation, unless it is the last training
 * triple of an entity or relation.
 */
extern bool metasd_split_draws(const MetasdSplit *split, const MetasdTriple *triple);

#endif
