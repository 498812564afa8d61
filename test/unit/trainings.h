/* trainings.h - small graphs, and trainings of them that listen, fail and stop as a test asks. */
#ifndef METASD_UNIT_TRAININGS_H
#define METASD_UNIT_TRAININGS_H

#include "core/train/checkpoint.h"
#include "core/train/train.h"

#define TRAININGS_MOST_EPOCHS 64
#define TRAININGS_MOST_TEAM 3
#define TRAININGS_GRAPH 7777 /* what checkpoints take for the hash of the graph */

typedef struct World {
    MetasdGraph graph;
    void *memory; /* to be freed */
} World;

/* The graph of n triples, which are reordered. */
extern World trainings_world(MetasdTriple *triples, size_t n, uint32_t entities, uint32_t relations,
                             double validation, double quiz);

/*
 * 60 entities in a ring of 6 clubs: relation 0 joins the members of a club, relation 1 all
 * of them to all of the next club. Validation triples follow from the others.
 */
extern World trainings_clubs(void);

/* Nothing to be learnt, but three slices of entities, so that a team has work to share. */
extern World trainings_noise(void);

/* Options that teach the clubs; and short ones, with class weights, for the noise. */
extern MetasdTrainOptions trainings_options(void);
extern MetasdTrainOptions trainings_short_options(void);

typedef struct Failure {
    int epoch;
    size_t batch;
    double lr;
    bool again;
} Failure;

/* One training, the calls of its callbacks, and its faults. */
typedef struct Training {
    const World *world;
    MetasdTrainOptions options;
    MetasdTrainer trainer[TRAININGS_MOST_TEAM]; /* of each member */
    void *memory, *own[TRAININGS_MOST_TEAM];

    MetasdEpoch best;
    MetasdEpoch epoch[TRAININGS_MOST_EPOCHS];
    int epochs;
    size_t batches; /* of all epochs */
    Failure failure[METASD_REPEATS + 2];
    int failures;
    float *model; /* the student of the last epoch that was the best */

    /* a weight becomes no number behind this batch (0: the last) of this epoch, once */
    int poison_epoch;
    size_t poison_batch;
    /* the weights of both models become 0 after every batch from this epoch on (0: never) */
    int forget_epoch;
    /* a team of one is interrupted at its poll or barrier of this number, from 1 */
    size_t stop_poll, stop_barrier, polls, barriers;
    /* a callback answers METASD_INTERRUPTED */
    size_t stop_after_batches;
    int stop_after_epochs;

    int save_epoch; /* a checkpoint is saved behind it; 0: never */
    char *saved;
    size_t saved_bytes;
} Training;

/* A training with its memory, for a team of up to TRAININGS_MOST_TEAM. */
extern Training *trainings_make(const World *world, MetasdTrainOptions options);

extern void trainings_unmake(Training *training);

/* Trains, by a team of threads; or by one member whose polls and barriers are counted. */
extern MetasdStatus trainings_run(Training *training, int members);
extern MetasdStatus trainings_run_alone(Training *training);

/* A training that must succeed, by one member. */
extern Training *trainings_done(const World *world, MetasdTrainOptions options);

extern size_t trainings_floats(const Training *training);

extern double trainings_mrr(const MetasdRanks *ranks);

/* Both end with the same bits. */
extern void trainings_assert_same(const Training *a, const Training *b);

#endif
