/*
 * options.h - the hyper-parameters of a training.
 */
#ifndef METASD_CORE_TRAIN_OPTIONS_H
#define METASD_CORE_TRAIN_OPTIONS_H

#include "core/codec/row_values.h"
#include "core/train/prune.h"
#include "core/train/regularizer.h"

/* Those of a step. */
typedef struct MetasdStepOptions {
    float lr;              /* of the full model, Adagrad */
    float student_lr;      /* of the trial step, plain gradient descent */
    float quiz_lr;         /* of the quiz's correction, Adagrad */
    float reg;             /* weight of the regulariser */
    float relation_weight; /* weight of the relation loss; 0 leaves it out */
    float tau;             /* temperature of both divergences */
    float kl_forward;      /* weight of KL(other || learner) */
    float kl_reverse;      /* weight of KL(learner || other) */
    MetasdRegularizer regularizer;
    bool quiz;     /* stages 1 and 2 */
    bool mutual;   /* stage 3 */
    bool finetune; /* instead of all stages: only the student is trained, at the kept weights */
} MetasdStepOptions;

typedef struct MetasdTrainOptions {
    uint64_t seed;
    const MetasdFamily *family;
    size_t rank;       /* of the factorisation */
    double sparsity;   /* part of the weights that is pruned, 0 .. 1 */
    int epochs;        /* at most */
    int warmup;        /* first epochs, in which only the full model is trained, */
    float warmup_lr;   /* at a rate that falls from this one towards 0; 0: at lr */
    int ramp;          /* epochs in which the sparsity rises to its full value, */
                       /* which the last epoch has in any case */
    int finetune;      /* last epochs, in which only the student is trained, at a rate that falls */
                       /* towards 0; after the ramp its mask stays */
    float finetune_lr; /* from this rate; 0: from lr */
    float finetune_relation_weight; /* with at most this weight of the relation loss */
    /*
     * As integers of this kind epochs rank the student, and the last ones of fine-tuning train it;
     * METASD_FLOAT32: as it is.
     */
    MetasdStorage storage;
    MetasdPruneOptions pruning;
    int patience;           /* epochs without a better pruned MRR before stopping; 0 = never */
    size_t batch;           /* examples per batch */
    size_t most_batches;    /* of an epoch, which ends after them; 0: all */
    size_t quiz_batch;      /* examples per quiz */
    size_t negatives;       /* entities a batch is scored against besides its targets; 0: all */
    uint32_t lean_from;     /* entities from which on a training by samples is lean; 0: never */
    size_t validation_most; /* examples ranked per epoch at most */
    bool class_weights;     /* tail loss weighted by 0.1 + 0.9 count(t) / max count */
    MetasdStepOptions step;
} MetasdTrainOptions;

#endif
