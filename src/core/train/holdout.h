/*
 * holdout.h - evaluates a table on validation facts: their ranks, in all, per relation and by the
 * degree of the answer, and the calibration of probabilities, of questions for entities and for
 * relations.
 */
#ifndef METASD_CORE_TRAIN_HOLDOUT_H
#define METASD_CORE_TRAIN_HOLDOUT_H

#include "core/train/calibrate.h"
#include "core/train/validate.h"

/* Questions of the calibration at most. */
#define METASD_HOLDOUT_QUESTIONS 20000

/* Ranges of degrees: 0, 1, 2 to 3, 4 to 7 and so on. */
#define METASD_HOLDOUT_DEGREES 33

typedef struct MetasdHoldout {
    float *scores;      /* N or R, whichever is more: of one question */
    uint32_t *ids;      /* likewise: scratch of their order */
    uint32_t *joined;   /* N: tails known for a query */
    uint32_t *known;    /* R: relations that hold between a head and a tail, */
    uint32_t *missing;  /* R: those of them that are validation facts */
    size_t *ranked;     /* R: true tails ranked, of both directions */
    double *reciprocal; /* R: sums of 1 / rank */
    uint32_t *degree;   /* N: triples that the training had of each entity; a self-loop is two */
    size_t degree_ranked[METASD_HOLDOUT_DEGREES];     /* true tails ranked, by the range of their */
    double degree_reciprocal[METASD_HOLDOUT_DEGREES]; /* degree, and sums of 1 / rank */
    MetasdCalibration calibration;
    MetasdCalibration relation_calibration; /* of questions for relations: one row */
} MetasdHoldout;

/* Takes the memory; of the graph only its numbers count. */
extern void metasd_holdout_take(MetasdHoldout *holdout, MetasdArena *arena,
                                const MetasdGraph *graph);

/*
 * Ranks tails of the graph's validation triples, at least `most` or all, by the weights of `table`
 * (of the state's shape), like metasd_validate_batch: adds to *ranks. Then calibrates, with all
 * that is known but the validation triples. Uses the workspace's memory of queries and scores.
 * `batches` is over the validation groups. A team of one.
 */
extern MetasdStatus metasd_holdout(MetasdHoldout *holdout, MetasdState *state, MetasdTeam *team,
                                   const float *table, MetasdBatcher *batches,
                                   const MetasdGraph *graph, size_t most, MetasdRanks *ranks);

#endif
