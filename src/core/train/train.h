/*
 * train.h - epochs: masks, batches, quizzes, validation, the best model kept.
 *
 * All members of the team call metasd_train, each with a trainer over the same shared memory.
 * What a member can compute as fast as it could wait for it (orders, batches) each computes for
 * itself. The caller learns of epochs through callbacks, which run in member 0 only.
 */
#ifndef METASD_CORE_TRAIN_TRAIN_H
#define METASD_CORE_TRAIN_TRAIN_H

#include "core/train/validate.h"

typedef struct MetasdTrainOptions {
    uint64_t seed;
    const MetasdFamily *family;
    size_t rank;       /* of the factorisation */
    double sparsity;   /* part of the weights that is pruned, 0 .. 1 */
    int epochs;        /* at most */
    int warmup;        /* epochs of the source alone, unpruned, before the first mask, */
    float warmup_lr;   /* at a rate that falls from this one towards 0; 0: at lr */
    int ramp;          /* epochs in which the sparsity rises to its full value, */
                       /* which the last epoch has in any case */
    int finetune;      /* last epochs, in which the student learns alone, at a rate that falls */
                       /* towards 0; after the ramp its mask stays */
    float finetune_lr; /* from this rate; 0: from lr */
    float finetune_relation_weight; /* with at most this weight of the relation loss */
    double salience;        /* how much a weight's sum in Adagrad counts when it is pruned, and */
    double alignment;       /* how much rows are made to keep the same columns; see MetasdState */
    bool by_component;      /* whether the reals of a component are pruned together; likewise */
    int patience;           /* epochs without a better pruned MRR before stopping; 0 = never */
    size_t batch;           /* examples a batch */
    size_t quiz_batch;      /* examples a quiz */
    size_t negatives;       /* entities a batch is scored against besides its targets; 0: all */
    size_t validation_most; /* examples ranked an epoch at most */
    bool class_weights;     /* tail loss weighted by 0.1 + 0.9 count(t) / max count */
    MetasdStepOptions step;
} MetasdTrainOptions;

/*
 * Scores a block may hold: with three blocks, 768 MB at most. Beyond a million entities, all of
 * them scored, a block is as large as the 64 queries of a tile make it.
 */
#define METASD_SCORE_FLOATS ((size_t)64 << 20)

/* Standard deviation of the initial weights (ALGORITHM.md, section 1). */
#define METASD_INITIAL_SCALE 1e-3f

/* Times an epoch may be repeated at half the learning rate after a loss that is not finite. */
#define METASD_REPEATS 3

typedef struct MetasdEpoch {
    int epoch;                   /* from 1 */
    bool pruned;                 /* the student is: false in the warm-up */
    bool alone;                  /* the student learns alone: of the losses there is but its own, */
                                 /* mutual_student */
    MetasdLosses losses;         /* means over the examples */
    MetasdRanks source, student; /* on validation; n = 0 without one */
    double sparsity;             /* of the mask in force */
    double cut;                  /* smallest magnitude kept */
    size_t came, went;           /* weights that this epoch's mask kept anew, and that it dropped */
    double lr;
    bool best; /* the best so far */
} MetasdEpoch;

/*
 * Where a training is between two epochs. With the tables, all that it takes to go on from there.
 */
typedef struct MetasdProgress {
    int epoch;            /* over; 0: the training begins */
    bool warm;            /* where it began the tables were filled (warm_start.h) */
    int repeats;          /* of epochs, so far: each has halved the rates */
    bool masked;          /* a mask has been taken before an epoch, with: */
    double sparsity, cut; /* as the last one has them */
    MetasdRanks source;   /* as last ranked */
    uint64_t quiz_rounds; /* rounds of quizzes begun */
    size_t quiz_next;     /* place in the last one */
    MetasdEpoch best;     /* epoch 0: none yet */
} MetasdProgress;

typedef struct MetasdTrainEvents {
    void *context;
    /*
     * A status other than METASD_OK ends the training with it. Until `epoch` returns, no member
     * changes what checkpoints hold: all wait for member 0 before they do.
     */
    MetasdStatus (*epoch)(void *context, const MetasdEpoch *epoch);
    /* `loss` is the source's, or that of the student that learns alone */
    MetasdStatus (*batch)(void *context, int epoch, size_t done, size_t total, double loss);
    /* a loss was not finite: the epoch starts again at `lr`, or fails where `again` is false */
    MetasdStatus (*repeat)(void *context, int epoch, size_t batch, double lr, bool again);
} MetasdTrainEvents;

typedef struct MetasdTrainer {
    /* this member's own */
    MetasdBatcher batches, quizzes, validation;
    float *class_weights; /* N */
    MetasdNegatives sampler;
    MetasdProgress progress; /* the same in all members */

    /* shared by the team */
    MetasdState step;
    MetasdValidator ranker;
    float *saved[3];  /* weights, sums, quiz_sums at the start of the epoch */
    float *best;      /* the pruned weights of the best epoch: (N + P) x width */
    uint64_t *bins;   /* members x METASD_PRUNE_BINS */
    uint64_t *broken; /* members: weights that are not finite */
} MetasdTrainer;

/*
 * Takes all memory of a training of `graph` by a team of `members`: every member calls it for a
 * trainer of its own, with `shared` over the same memory in all of them (at whatever address)
 * and `own` over memory of that member alone. On measuring arenas the graph needs only
 * entities, relations and the examples of its parts.
 */
extern void metasd_trainer_take(MetasdTrainer *trainer, MetasdArena *shared, MetasdArena *own,
                                const MetasdGraph *graph, const MetasdTrainOptions *options,
                                int members);

/*
 * Trains from where trainer->progress is: from random weights, or from filled tables: as
 * another training left them (warm_start.h), or, where epochs are over, a checkpoint
 * (checkpoint.h). All members have the same progress.
 *
 * trainer->best then holds the pruned weights of *best. Options out of range:
 * METASD_INVALID. A loss or weight that is not finite makes the epoch start again from where
 * it began, at half the rates; METASD_NON_FINITE once that was done METASD_REPEATS times.
 */
extern MetasdStatus metasd_train(MetasdTrainer *trainer, MetasdTeam *team, const MetasdGraph *graph,
                                 const MetasdTrainOptions *options, const MetasdTrainEvents *events,
                                 MetasdEpoch *best);

#endif
