/*
 * train.h - epochs: masks, batches, quizzes, validation, the best model kept.
 *
 * All members of the team call metasd_train, each with a trainer over the same shared memory. Each
 * computes orders and batches for itself: waiting for them would take the same time. Callbacks,
 * which run in member 0 only, tell the caller of epochs.
 */
#ifndef METASD_CORE_TRAIN_TRAIN_H
#define METASD_CORE_TRAIN_TRAIN_H

#include "core/train/excerpt.h"
#include "core/train/best_weights.h"
#include "core/train/validate.h"

/*
 * Scores a block may hold: with three blocks, 768 MB at most. Beyond a million entities, all of
 * them scored, a block has room for the 64 queries of a tile.
 */
#define METASD_SCORE_FLOATS ((size_t)64 << 20)

/* Times an epoch may be repeated at half the learning rate after a loss that is not finite. */
#define METASD_REPEATS 3

typedef struct MetasdEpoch {
    int epoch;                 /* from 1 */
    bool pruned;               /* the student is: false in the warm-up */
    bool finetunes;            /* only the student is trained: of losses there is `finetune` */
    MetasdLosses losses;       /* means over the examples */
    MetasdRanks full, student; /* on validation; n = 0 without one, or without a full model */
    double sparsity;           /* of the mask in force */
    double threshold;          /* its least salience */
    size_t regrown, dropped;   /* weights that this epoch's mask keeps again, and no longer */
    double lr;
    bool best; /* kept so far: no earlier one is better by more than chance */
} MetasdEpoch;

/* The place of a training between two epochs. Together with the tables it is enough to go on. */
typedef struct MetasdProgress {
    int epoch;                  /* the last that is over; 0: the training begins */
    bool warm;                  /* the tables were filled before it began (warm_start.h) */
    int repeats;                /* of epochs, so far: each has halved the rates */
    bool masked;                /* a mask has been taken before an epoch, with */
    double sparsity, threshold; /* those of the last one */
    MetasdRanks full;           /* as last ranked */
    uint64_t quiz_rounds;       /* rounds of quizzes begun */
    size_t quiz_next;           /* place in the last one */
    MetasdEpoch best;           /* the one that is kept; epoch 0: none yet */
    double top;                 /* the highest pruned MRR, and its epoch; 0: none yet */
    int top_epoch;
} MetasdProgress;

typedef struct MetasdTrainEvents {
    void *context;
    /*
     * A status other than METASD_OK ends the training with it. Until `epoch` returns, no member
     * changes what checkpoints hold: all wait for member 0 before they do.
     */
    MetasdStatus (*epoch)(void *context, const MetasdEpoch *epoch);
    /* `loss` is the full model's, or that of fine-tuning */
    MetasdStatus (*batch)(void *context, int epoch, size_t done, size_t total, double loss);
    /* a loss was not finite: the epoch starts again at `lr`, or fails where `again` is false */
    MetasdStatus (*repeat)(void *context, int epoch, size_t batch, double lr, bool again);
} MetasdTrainEvents;

typedef struct MetasdTrainer {
    /* this member's own */
    MetasdBatcher batches, quizzes, validation;
    float *class_weights;  /* N */
    MetasdExcerpt excerpt; /* only where batches are scored against samples; partly shared */
    MetasdStepContext context;
    MetasdProgress progress; /* the same in all members */

    /* shared by the team */
    MetasdState state;
    MetasdValidator validator;
    MetasdPruner pruner;
    float *saved[3]; /* weights, sums, quiz_sums at the start of the epoch; not of a lean state */
    float *best;     /* the pruned weights of the best epoch: (N + P) x width, */
    MetasdBestWeights lean_best; /* where those of a lean state are until the training is over */
    uint64_t *broken;            /* members: weights that are not finite */
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
 * Trains from the place of trainer->progress: from random weights, or from tables filled with an
 * earlier version (warm_start.h), or, where epochs are over, with a checkpoint (checkpoint.h). All
 * members have the same progress.
 *
 * trainer->best then holds the pruned weights of *best. Options out of range:
 * METASD_INVALID. After a loss or weight that is not finite the epoch starts again, at half the
 * rates; METASD_NON_FINITE once that was done METASD_REPEATS times.
 */
extern MetasdStatus metasd_train(MetasdTrainer *trainer, MetasdTeam *team, const MetasdGraph *graph,
                                 const MetasdTrainOptions *options, const MetasdTrainEvents *events,
                                 MetasdEpoch *best);

/*
 * Trains nothing: trainer->best becomes what trainer->state.weights are, pruned. The caller has
 * filled them with a model that was trained elsewhere. *best, whose epoch is 0, ranks it before and
 * after the pruning. Saliences are magnitudes, as no sums tell more. Without fine-tuning among the
 * options this needs least memory.
 */
extern MetasdStatus metasd_train_adopt(MetasdTrainer *trainer, MetasdTeam *team,
                                       const MetasdGraph *graph, const MetasdTrainOptions *options,
                                       MetasdEpoch *best);

#endif
