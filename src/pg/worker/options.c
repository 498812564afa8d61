#include "pg/worker/options.h"

/*
 * Constants of the method, as published: the rates of the student's trial step and of what the full
 * model learns from a quiz, the temperature of both divergences, and their weights in the losses of
 * mutual learning. A quiz has a fifth of the examples of a batch, of a part of the triples that is
 * kept for quizzes.
 */
#define STUDENT_RATE 0.1f
#define QUIZ_RATE 1e-4f
#define QUIZ_FRACTION 0.02
#define TEMPERATURE 3
#define KL_FORWARD 3
#define KL_REVERSE 1
#define QUIZZES_PER_BATCH 5

/*
 * The highest weight of the relation loss in fine-tuning: a model with fewer weights wants less of
 * it. With a tenth of the weights of rank 1000, weight 2 is behind 0.5; of rank 4000 it is ahead of
 * 1, by .003 of validation MRR and .004 of Hits@1.
 */
static const float finetune_relation_weights[] = {
    [METASD_FAST] = 0.5f, [METASD_BALANCED] = 1, [METASD_BEST] = 2};

/*
 * Besides its magnitude, two things count for a weight, each with a power (see MetasdPruneOptions):
 * how much the loss has depended on the weight, and how large its column is. The third member says
 * whether the reals of a component are kept or pruned together.
 *
 * Two rows have a score only through columns that both keep, and in a large graph any two rows may
 * need one. Small graphs lose with alignment: UMLS .01 at a power of 4. With whole components a row
 * takes a sixth fewer bytes: WN18RR loses nothing, UMLS .007; Kinship wins .003.
 */
static const struct {
    double salience, alignment;
    bool by_component;
} prunings[] = {
    [METASD_MAGNITUDE] = {0, 0, false},
    [METASD_SALIENCE] = {0.5, 0, false},
    [METASD_ALIGNED] = {0.5, 16, true},
};

/*
 * Which kinds of storage the last epochs are aware of. int8 is near enough to the weights without.
 */
static const bool rounds[METASD_STORAGES] = {[METASD_INT6] = true, [METASD_INT4] = true};

/*
 * Entities from which on a training by samples is lean (lean.h). Fewer take a gigabyte at most, and
 * then the start of an epoch is kept, which a loss that is not finite goes back to.
 */
#define LEAN_FROM 100000

/* The most validation examples that are ranked after an epoch. */
#define MOST_VALIDATION 20000

void
metasd_options_set(const MetasdParams *params, MetasdTrainOptions *options, MetasdSplit *split)
{
    const double *x = params->value;
    int pruning = (int)x[METASD_P_PRUNING];
    MetasdStorage storage = (MetasdStorage)x[METASD_P_STORAGE];

    *split = (MetasdSplit){.seed = (uint64_t)x[METASD_P_SEED],
                           .validation_fraction = x[METASD_P_VALIDATION_FRACTION],
                           .quiz_fraction = x[METASD_P_QUIZ] ? QUIZ_FRACTION : 0};
    *options = (MetasdTrainOptions){
        .seed = (uint64_t)x[METASD_P_SEED],
        .family = metasd_params_family(params),
        .rank = (size_t)x[METASD_P_RANK],
        .sparsity = x[METASD_P_SPARSITY],
        .epochs = (int)x[METASD_P_EPOCHS],
        .warmup = (int)x[METASD_P_WARMUP],
        .ramp = (int)x[METASD_P_RAMP],
        .finetune = (int)x[METASD_P_FINETUNE],
        .finetune_relation_weight = finetune_relation_weights[(int)x[METASD_P_PRESET]],
        .storage = rounds[storage] ? storage : METASD_FLOAT32,
        .pruning = {.salience = prunings[pruning].salience,
                    .alignment = prunings[pruning].alignment,
                    .by_component = prunings[pruning].by_component},
        .patience = (int)x[METASD_P_PATIENCE],
        .batch = (size_t)x[METASD_P_BATCH],
        .quiz_batch = Max(1, (size_t)x[METASD_P_BATCH] / QUIZZES_PER_BATCH),
        .negatives = (size_t)x[METASD_P_NEGATIVES],
        .lean_from = LEAN_FROM,
        .validation_most = MOST_VALIDATION,
        .class_weights = x[METASD_P_CLASS_WEIGHTS] != 0,
        .step = {.lr = (float)x[METASD_P_LR],
                 .student_lr = STUDENT_RATE,
                 .quiz_lr = QUIZ_RATE,
                 .reg = (float)x[METASD_P_REG],
                 .relation_weight = (float)x[METASD_P_RELATION_WEIGHT],
                 .tau = TEMPERATURE,
                 .kl_forward = KL_FORWARD,
                 .kl_reverse = KL_REVERSE,
                 .regularizer = (MetasdRegularizer)x[METASD_P_REGULARIZER],
                 .quiz = x[METASD_P_QUIZ] != 0,
                 .mutual = x[METASD_P_MUTUAL] != 0}};
}
