/*
 * step.h - one training step of MetaSD (ALGORITHM.md, section 4).
 *
 * Stage 0 teaches the source, 1 takes a trial step of the student under the
 * source's guidance, 2 sets the student a quiz and corrects the source by what
 * it got wrong (second order, in closed form), 3 lets source and student teach
 * each other. Every member of the team calls metasd_step with the same batch.
 *
 * The student is the source's weights times a 0/1 mask. A weight table holds the
 * N entity rows, then the P relation rows, of `width` floats each.
 */
#ifndef METASD_CORE_TRAIN_STEP_H
#define METASD_CORE_TRAIN_STEP_H

#include "core/graph/batch.h"
#include "core/model/family.h"
#include "core/train/prune.h"
#include "core/graph/negatives.h"
#include "core/train/pass.h"

typedef enum MetasdRegularizer { METASD_DURA = 0, METASD_N3 } MetasdRegularizer;

typedef struct MetasdStepOptions {
    float lr;              /* of the source, Adagrad */
    float student_lr;      /* of the trial step, plain gradient descent */
    float quiz_lr;         /* of the quiz's correction, Adagrad */
    float reg;             /* weight of the regulariser */
    float relation_weight; /* weight of the relation loss; 0 leaves it out */
    float tau;             /* temperature of both divergences */
    float kl_forward;      /* weight of KL(teacher || learner) */
    float kl_reverse;      /* weight of KL(learner || teacher) */
    MetasdRegularizer regularizer;
    bool quiz;   /* stages 1 and 2 */
    bool mutual; /* stage 3 */
    bool alone;  /* instead of all stages: the student learns by itself, at the kept weights */
} MetasdStepOptions;

typedef struct MetasdLosses {
    double tail, relation, reg;           /* of the source, stage 0; relation before its weight */
    double source;                        /* tail + relation_weight x relation + reg */
    double trial;                         /* of the student, stage 1 */
    double quiz;                          /* stage 2 */
    double mutual_source, mutual_student; /* stage 3; or mutual_student of the student alone */
} MetasdLosses;

/* What an observer may look at; for tests. */
typedef enum MetasdStage {
    METASD_SOURCE_GRADIENT,      /* gradient = of the source */
    METASD_SOURCE_DONE,          /* weights after it */
    METASD_TRIAL_GRADIENT,       /* masked_gradient = of the student (before the mask) */
    METASD_QUIZ_GRADIENT,        /* masked_gradient = of the trial student, masked */
    METASD_QUIZ_SOURCE_GRADIENT, /* gradient = of the source by the quiz */
    METASD_QUIZ_DONE,            /* weights after it */
    METASD_MUTUAL_GRADIENT,      /* gradient + mask x masked_gradient */
    METASD_MUTUAL_DONE           /* weights after it */
} MetasdStage;

/*
 * The kept weights of all entities, packed as patterns[0] says, while the student learns alone. The
 * tables of weights and sums are then out of date for entities, and the student's but for the rows
 * that a batch names.
 */
typedef struct MetasdPackedWeights {
    float *values; /* NULL: none are held */
    float *sums;   /* Adagrad's */
    float *gradient;
} MetasdPackedWeights;

/* size x 2^exponent: powers of the columns' norms may be less than any float. */
typedef struct MetasdFactor {
    float size;
    int exponent;
} MetasdFactor;

typedef struct MetasdState {
    /* set by the caller before metasd_state_take */
    uint32_t entities;      /* N */
    uint32_t relation_rows; /* P */
    size_t width;           /* floats a row */
    size_t batch;           /* examples a batch has at most, training or quiz */
    size_t queries; /* groups that blocks of scores have room for; a batch with more takes */
                    /* several blocks */
    const MetasdFamily *family;
    bool guided;  /* a student is kept: for quiz, mutual learning or fine-tuning */
    bool quizzed; /* the quiz will be used */
    /*
     * Part of a table's weights up to which the student's products with it are sparse, by a pattern
     * of the mask; 0: never. metasd_sparse_kernels()->most_density where it is fastest.
     */
    double most_density;
    /*
     * Part of the entities' weights that the masks prune at the least: there is memory for a
     * pattern of the others only. Where a mask prunes less, the products are dense.
     */
    double pruned;
    /*
     * Part of a table's rows that keep a column from which it is multiplied whole (pattern.h); 0:
     * none is. Where dense products are faster, column by column, so most_density.
     */
    double whole_from;
    /*
     * The mask keeps the most salient weights: those of the largest |w| x s^(salience / 2) x
     * c^alignment, where s is the weight's sum in Adagrad and c the norm of its column over all
     * entities. As published both powers are 0. The sums know how much the loss cares for a weight:
     * with power 1 this is optimal brain damage (LeCun et al. 1990) by the empirical Fisher
     * information. A score is a sum over the columns that both its factors keep: the higher
     * `alignment`, the more rows keep the same ones.
     */
    double salience;
    double alignment;
    /*
     * The reals of a component (of a complex number both) are kept or pruned together, by the root
     * of the sum of the squares of their saliences. A component of which head, relation and tail
     * each keep one real adds one product to a score; one of which they keep both adds four.
     */
    bool by_component;
    /*
     * Weights, or components, that every mask keeps of a row, and of its part as a head and as a
     * tail: the most salient ones. A row without any has a score of 0 with everything. As
     * published: 0.
     */
    int floor;

    size_t negatives; /* entities that a batch is scored against, besides its targets; 0: all */

    /* set by the caller before metasd_step */
    const float *class_weights; /* of the targets: N, or NULL */
    MetasdNegatives *sampler;   /* this member's; NULL where negatives is 0 */
    uint64_t seed, round;       /* of the sampler: every step has a round of its own */
    void (*observe)(void *context, MetasdStage stage); /* NULL, or called by member 0 */
    void *observer;

    /* tables of (N + P) x width */
    float *weights;   /* the source */
    float *sums;      /* Adagrad's, stages 0 and 3 */
    float *quiz_sums; /* Adagrad's, stage 2; only if `quizzed` */
    float *student;   /* mask x weights, kept so by every step */
    float *trial;     /* the student after its trial step, or what is held; only if `quizzed`, or */
                      /* where `gradient` may have no room for that */
    float *gradient;
    float *masked_gradient;
    uint8_t *mask;

    MetasdSlices entity_slices, relation_slices;
    MetasdPattern patterns[2];  /* of the mask: entities, relations */
    bool sparse[2];             /* whether they are used; set with the mask */
    MetasdPackedWeights held;   /* between metasd_finetune_begin and metasd_finetune_end */
    MetasdScores scores;        /* score blocks and partial sums */
    float *query[2];            /* batch x width: of the source, of the student */
    float *query_dot;           /* batch x width: derivative along masked_gradient */
    float *tiles[2];            /* in whole tiles: of other queries, of query[1] */
    float *whole[2];            /* batch x whole columns: of the same */
    float *dquery[2];           /* batch x width: gradients by the queries */
    MetasdGuide *guides;        /* 3 x batch: of the batch, of the quiz, of the relation loss */
    float *target_weights[2];   /* batch: class weights of the examples of a batch, of a quiz */
    double *row_loss;           /* batch: parts of a loss, summed in order */
    size_t *each;               /* batch + 1: 0, 1, 2 ...: every example is a query of its own */
    uint32_t *example_relation; /* batch: its target */
    float *scratch;             /* team size x 2 x width */
    double *column_sums;        /* parts of the entities x width: of squares */
    MetasdFactor *factors;      /* width: of salience, by column */
} MetasdState;

/* Takes all memory of a step for a team of `members`; measures on a measuring arena. */
extern void metasd_state_take(MetasdState *step, MetasdArena *arena, int members,
                              size_t score_floats);

/* This member's rows of a weight table, as runs of floats: entities, then relations. */
extern void metasd_state_own(const MetasdState *step, const MetasdTeam *team, MetasdSpan runs[2]);

/*
 * Fills weights with normal numbers of deviation `scale`, sums with 0, the mask with 1; what a
 * family leaves unused in a relation's row is 0.
 */
extern MetasdStatus metasd_state_init(MetasdState *step, MetasdTeam *team, uint64_t seed,
                                      float scale);

/*
 * Of runs of the tables: weights that are 0 get normal numbers of deviation `scale`, but for those
 * that a family leaves unused, sums begin at `sum` (those of the quiz at 0), and the mask keeps
 * all.
 */
extern MetasdStatus metasd_state_fill(MetasdState *step, MetasdTeam *team, const MetasdSpan *runs,
                                      int nruns, uint64_t seed, float scale, float sum);

/* What a new mask is like. */
typedef struct MetasdMasked {
    double cut;          /* the salience that weights are kept from */
    uint64_t kept;       /* weights of both tables */
    uint64_t came, went; /* kept now and not before, and the other way round */
} MetasdMasked;

/*
 * Takes a new mask that prunes `sparsity` of all weights, or less where more of them must be kept;
 * `bins` are those of metasd_prune_cut. What is 0 is never kept. `gradient` is
 * overwritten. Every member gets the same *masked. Defined in mask.c.
 */
extern MetasdStatus metasd_mask_take(MetasdState *step, MetasdTeam *team, double sparsity,
                                     uint64_t *bins, MetasdMasked *masked);

/*
 * One step on `batch`, with `quiz` where options->quiz (NULL leaves stages 1 and 2
 * out). METASD_NON_FINITE where a loss is not finite: the weights are then those
 * of some stage before.
 */
extern MetasdStatus metasd_step(MetasdState *step, MetasdTeam *team,
                                const MetasdStepOptions *options, const MetasdBatch *batch,
                                const MetasdBatch *quiz, MetasdLosses *losses);

/*
 * Before the first and after the last of the steps that the student takes alone: holds its
 * entities' weights packed, where their products are sparse and all entities are scored; lays them
 * out again. Steps in between have options->alone. `gradient` is used for it, `trial` where that is
 * too small. Whoever ends the steps by METASD_NON_FINITE and fills weights and sums anew begins
 * again. Defined in finetune.c.
 */
extern MetasdStatus metasd_finetune_begin(MetasdState *step, MetasdTeam *team);
extern MetasdStatus metasd_finetune_end(MetasdState *step, MetasdTeam *team);

/* Has `gradient` room for what will be held, whichever weights are kept? */
extern bool metasd_finetune_fits(const MetasdState *step);

#endif
