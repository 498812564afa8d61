/*
 * objective.h - a batch with everything that a stage of a step needs, and what stages share:
 * losses, gradients and descent.
 *
 * Members write to their own rows of the tables and to their own share of a batch's
 * queries; a barrier follows before another member reads them.
 */
#ifndef METASD_CORE_TRAIN_OBJECTIVE_H
#define METASD_CORE_TRAIN_OBJECTIVE_H

#include "core/graph/negatives.h"
#include "core/train/options.h"
#include "core/train/state.h"

/* The points of a step at which an observer may look at the tables; for tests. */
typedef enum MetasdStage {
    METASD_FULL_GRADIENT,      /* gradient = of the full model */
    METASD_FULL_DONE,          /* weights after it */
    METASD_TRIAL_GRADIENT,     /* masked_gradient = of the student (before the mask) */
    METASD_QUIZ_GRADIENT,      /* masked_gradient = of the trial student, masked */
    METASD_QUIZ_FULL_GRADIENT, /* gradient = of the quiz by the full model */
    METASD_QUIZ_DONE,          /* weights after it */
    METASD_MUTUAL_GRADIENT,    /* gradient + mask x masked_gradient */
    METASD_MUTUAL_DONE         /* weights after it */
} MetasdStage;

/* The surroundings of a step. */
typedef struct MetasdStepContext {
    const float *class_weights;  /* of the targets: N, or NULL */
    const MetasdSample *samples; /* of batch and quiz; NULL where all entities are scored */
    uint64_t seed, round; /* of samples, and of rounding: every step has a round of its own */
    void (*observe)(void *observer, MetasdStage stage); /* NULL, or called by member 0 */
    void *observer;
} MetasdStepContext;

/* One batch, or one quiz. */
typedef struct MetasdObjective {
    MetasdState *state;
    MetasdTeam *team;
    const MetasdStepOptions *options;
    const MetasdStepContext *context;
    const MetasdBatch *batch;
    const MetasdSample *sample; /* the entities it is scored against; NULL: all of them */
    MetasdSoftmaxPair *pairs;   /* of its groups */
    float *weights;             /* class weights of its examples, or NULL */
    double scale;               /* 1 / their sum, or 1 / n: the tail loss is a mean */
    MetasdSpan own[2];          /* this member's part of the tables */
    const MetasdSpan *touched;  /* the spans of it that the step touches */
    int ntouched;
} MetasdObjective;

/* Prepares a batch that is not empty; a quiz may be prepared beside its batch. */
extern MetasdStatus metasd_objective_prepare(MetasdObjective *objective, MetasdState *state,
                                             MetasdTeam *team, const MetasdStepOptions *options,
                                             const MetasdStepContext *context,
                                             const MetasdBatch *batch, bool quiz);

/* Lets the observer, if there is one, look at a stage; all members wait for it. */
extern MetasdStatus metasd_objective_observe(const MetasdObjective *objective, MetasdStage stage);

/* METASD_NON_FINITE unless the loss is finite. */
extern MetasdStatus metasd_objective_check(double loss);

/* A table = 0, where this member's part is touched. */
extern MetasdStatus metasd_objective_clear(const MetasdObjective *objective, float *table);

/* A table's entities, or relations, for products; `pruned`: its weights are 0 where the mask is. */
extern MetasdTable metasd_objective_entities(const MetasdObjective *objective, const float *table,
                                             bool pruned);
extern MetasdTable metasd_objective_relations(const MetasdState *state, const float *table,
                                              bool pruned);

/*
 * query[which] = the queries of all groups, from a table; where it is pruned, their tiles too. A
 * barrier follows.
 */
extern MetasdStatus metasd_objective_compose(const MetasdObjective *objective, const float *table,
                                             bool pruned, int which);

/* The block of groups that starts with group `first`, as a pass over the entities. */
extern MetasdPass metasd_objective_block(const MetasdObjective *objective, size_t first);

/* The targets of that block's groups. */
extern MetasdTargets metasd_objective_block_targets(const MetasdObjective *objective, size_t first);

/* Its queries, with their tiles and whole columns. */
extern MetasdQueries metasd_objective_block_queries(const MetasdObjective *objective, size_t first,
                                                    int which);

/*
 * The tail loss of one model without the other, and its gradient, which is added; uses query[0] and
 * block[b]. Where the entities' weights are packed, their gradient as answers is added to
 * state->packed.gradient.
 */
extern MetasdStatus metasd_objective_tail_loss(const MetasdObjective *objective, const float *table,
                                               bool pruned, float *gradient, int b, double *loss);

/* The regulariser's loss, with its weight; its gradient is added. */
extern MetasdStatus metasd_objective_reg_loss(const MetasdObjective *objective, const float *table,
                                              float *gradient, double *loss);

/* Carries dquery of all groups back to heads and relations: adds to the gradient of a table. */
extern MetasdStatus metasd_objective_queries_back(const MetasdObjective *objective,
                                                  const float *table, const float *dquery,
                                                  float *gradient);

/* An Adagrad step of the full model, and the student follows; with a barrier on each side. */
extern MetasdStatus metasd_objective_descend(const MetasdObjective *objective, float *sums,
                                             const float *gradient, const float *masked_gradient,
                                             float lr);

/* ---- full model and student side by side: block[0] and block[1] ---- */

/* query[0] of the full model and query[1] of the student. */
extern MetasdStatus metasd_objective_compose_pair(const MetasdObjective *objective);

/* The scores of both in slice s of a block. */
extern MetasdStatus metasd_objective_pair_scores(const MetasdObjective *objective,
                                                 const MetasdPass *pass, size_t first, int s);

/* Scores of all own slices, with their targets kept and their sums joined in pairs. */
extern MetasdStatus metasd_objective_pair_sums(const MetasdObjective *objective,
                                               const MetasdPass *pass, size_t first);

/* Sets the weights of both divergences in the pairs of this member's share of the groups. */
extern MetasdStatus metasd_objective_weigh_pairs(const MetasdObjective *objective, double forward,
                                                 double reverse);

/*
 * The student's tail loss, and `forward` times KL(full model || student) and `reverse` times
 * KL(student || full model), at temperature tau; the gradient is added to masked_gradient. Blocks 0
 * and 1 keep the scores where there is one block.
 */
extern MetasdStatus metasd_objective_distil_tails(const MetasdObjective *objective, float forward,
                                                  float reverse, double *loss);

/* Mean divergence of the batch: KL(full model || student), or KL(student || full model). */
extern double metasd_objective_divergence(const MetasdObjective *objective, bool of_student);

#endif
