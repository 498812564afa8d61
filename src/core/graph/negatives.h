/*
 * negatives.h - softmax over a sample of the entities, where there are too many to score all.
 *
 * A batch is scored against its own targets, all of them, and `negatives` more entities that all
 * its queries share. An entity that was drawn with probability pi counts 1 / pi times in the
 * softmax, a target once: the expected value of every sum of exponentials is then the sum over
 * all entities (Horvitz and Thompson 1952). A step changes only rows that it touches, so it goes
 * through those only (excerpt.h). Drawing sorts what was drawn: its time and its memory do not
 * depend on the number of entities either.
 *
 * Each member of a team draws the same sample for itself: all memory here is its own.
 */
#ifndef METASD_CORE_GRAPH_NEGATIVES_H
#define METASD_CORE_GRAPH_NEGATIVES_H

#include "core/graph/batch.h"

/* The entities that a batch is scored against: the rows of a table of their own. */
typedef struct MetasdSample {
    MetasdSlices slices; /* in the parts of the entities */
    uint32_t *ids;       /* ascending */
    float *each;         /* how often each counts */
    uint32_t *cuts;      /* of the slices */
    uint32_t *targets;   /* of the batch's examples, as rows of this table */
} MetasdSample;

typedef struct MetasdNegatives {
    MetasdSlices slices;    /* of the entities */
    size_t negatives;       /* draws for a batch */
    uint32_t *drawn;        /* negatives: the draws, in order */
    uint32_t *sorted;       /* n: targets, or heads, in order */
    uint32_t *spare;        /* of the sort */
    MetasdSample sample[2]; /* of the batch, of the quiz */
    uint32_t *touched;      /* rows that a step touches, ascending */
    uint32_t ntouched;
} MetasdNegatives;

/* Rows of a sample of `entities`, at most, for a batch of n examples. */
extern size_t metasd_negatives_most(uint32_t entities, size_t negatives, size_t n);

/* Rows that a step touches at most, with a quiz or without. */
extern size_t metasd_negatives_most_touched(uint32_t entities, size_t negatives, size_t n,
                                            bool quiz);

/* Slices to size memory by: no sample of so many rows has more. */
extern MetasdSlices metasd_negatives_slices(const MetasdSlices *entities, size_t most);

/* Takes memory for batches of up to n examples, and for quizzes where there are any. */
extern void metasd_negatives_take(MetasdNegatives *sampler, MetasdArena *arena,
                                  const MetasdSlices *entities, size_t negatives, size_t n,
                                  bool quiz);

/* Draws sample[which] for a batch: the numbers of (seed, stream). */
extern MetasdStatus metasd_negatives_draw(MetasdNegatives *sampler, MetasdTeam *team, int which,
                                          uint64_t seed, uint64_t stream, const MetasdBatch *batch);

/*
 * touched = the rows of entities that a step on a batch, and a quiz unless that is NULL, touches:
 * heads and the samples.
 */
extern MetasdStatus metasd_negatives_touch(MetasdNegatives *sampler, MetasdTeam *team,
                                           const MetasdBatch *batch, const MetasdBatch *quiz);

/* The place of an id among n ascending ones, or where it would be. */
extern uint32_t metasd_negatives_place(const uint32_t *ids, uint32_t n, uint32_t id);

#endif
