/*
 * objective.h - what the stages of a step are made of; only the step and the ranking include it.
 *
 * Members write to their own rows of the tables and to their own share of a batch's
 * queries; whatever another member reads next is behind a barrier.
 */
#ifndef METASD_CORE_TRAIN_OBJECTIVE_H
#define METASD_CORE_TRAIN_OBJECTIVE_H

#include "core/train/step.h"

/* One batch that is taught, or asked as a quiz: everything a stage needs. */
typedef struct MetasdObjective {
    MetasdState *step;
    MetasdTeam *team;
    const MetasdStepOptions *options;
    const MetasdBatch *batch;
    const MetasdSample *sample; /* what it is scored against; NULL: all entities */
    MetasdGuide *guides;        /* of its groups */
    float *weights;             /* class weights of its examples, or NULL */
    double scale;               /* 1 / their sum, or 1 / n: the tail loss is a mean */
    MetasdSpan own[2];          /* this member's part of the tables */
    const MetasdSpan *touched;  /* what of it the step touches */
    int ntouched;
} MetasdObjective;

/* ---- the stages, in order (step.h) ---- */

extern MetasdStatus metasd_step_full(const MetasdObjective *lesson, MetasdLosses *losses);

/* masked_gradient = the student's gradient; trial = the student one plain step on. */
extern MetasdStatus metasd_quiz_trial(const MetasdObjective *lesson, MetasdLosses *losses);

/* masked_gradient = the quiz loss's gradient by the trial student. */
extern MetasdStatus metasd_quiz_loss(const MetasdObjective *quiz, MetasdLosses *losses);

/* Corrects the source by what the quiz showed; after trial and quiz of the same lesson. */
extern MetasdStatus metasd_stage_quiz_source(const MetasdObjective *lesson);

extern MetasdStatus metasd_mutual_step(const MetasdObjective *lesson, MetasdLosses *losses);

/* Instead of them all: the student by itself. Defined in finetune.c. */
extern MetasdStatus metasd_finetune_step(MetasdObjective *lesson, MetasdLosses *losses);

/* ---- what several of them do ---- */

/* Prepares a lesson of a batch that is not empty; a quiz may be prepared beside its batch. */
extern MetasdStatus metasd_objective_prepare(MetasdObjective *lesson, MetasdState *step,
                                             MetasdTeam *team, const MetasdStepOptions *options,
                                             const MetasdBatch *batch, bool quiz);

/* Lets the observer, if there is one, look at a stage; all members wait for it. */
extern MetasdStatus metasd_objective_observe(const MetasdObjective *lesson, MetasdStage stage);

/* METASD_NON_FINITE unless the loss is finite. */
extern MetasdStatus metasd_objective_check(double loss);

/* The relations' part of a table. */
extern const float *metasd_objective_relations_of(const MetasdState *step, const float *table);

/* A table = 0, where this member's part is touched. */
extern MetasdStatus metasd_objective_clear(const MetasdObjective *lesson, float *table);

/* A table's entities, or relations, for products; `pruned`: its weights are 0 where the mask is. */
extern MetasdTable metasd_objective_entities(const MetasdObjective *lesson, const float *table,
                                             bool pruned);
extern MetasdTable metasd_objective_relations(const MetasdState *step, const float *table,
                                              bool pruned);

/*
 * query[which] = the queries of all groups, from a table; where it is pruned, their tiles too.
 * With a barrier behind.
 */
extern MetasdStatus metasd_objective_compose(const MetasdObjective *lesson, const float *table,
                                             bool pruned, int which);

/* The block of groups that starts with group `first`, as a pass over the entities. */
extern MetasdPass metasd_objective_block(const MetasdObjective *lesson, size_t first);

/* The targets of that block's groups. */
extern MetasdTargets metasd_objective_block_targets(const MetasdObjective *lesson, size_t first);

/* Its queries, from query[which] and what is made of them. */
extern MetasdQueries metasd_objective_block_queries(const MetasdObjective *lesson, size_t first,
                                                    int which);

/*
 * Queries from number `first` on: those in `rows`, and what metasd_objective_tile_queries has made
 * of them.
 */
extern MetasdQueries metasd_objective_queries_from(const MetasdState *step,
                                                   const MetasdPattern *pattern, const float *rows,
                                                   int which, size_t first);

/* tiles[which] and whole[which] = this member's share of n queries, for products with a pattern. */
extern MetasdStatus metasd_objective_tile_queries(const MetasdState *step, MetasdTeam *team,
                                                  const MetasdPattern *pattern, size_t n,
                                                  const float *rows, int which);

/*
 * The tail loss without a guide, and its gradient, which is added; uses query[0] and block[b].
 * Where the entities' weights are held, what they learn as answers goes to step->held.gradient.
 */
extern MetasdStatus metasd_objective_tail_loss(const MetasdObjective *lesson, const float *table,
                                               bool pruned, float *gradient, int b, double *loss);

/* The relation loss, before its weight; its gradient times the weight is added. */
extern MetasdStatus metasd_relation_loss(const MetasdObjective *lesson, const float *table,
                                         bool pruned, float *gradient, double *loss);

/* The regulariser's loss, with its weight; its gradient is added. */
extern MetasdStatus metasd_objective_reg_loss(const MetasdObjective *lesson, const float *table,
                                              float *gradient, double *loss);

/* Carries dquery of all groups back to heads and relations: adds to the gradient of a table. */
extern MetasdStatus metasd_objective_queries_back(const MetasdObjective *lesson, const float *table,
                                                  const float *dquery, float *gradient);

/* An Adagrad step of the source, and the student follows; with a barrier on each side. */
extern MetasdStatus metasd_objective_descend(const MetasdObjective *lesson, float *sums,
                                             const float *gradient, const float *masked_gradient,
                                             float lr);

/* ---- source and student side by side: block[0] and block[1] ---- */

/* query[0] of the source and query[1] of the student. */
extern MetasdStatus metasd_objective_guided_compose(const MetasdObjective *lesson);

/* The scores of both in slice s of a block. */
extern MetasdStatus metasd_objective_guided_scores(const MetasdObjective *lesson,
                                                   const MetasdPass *pass, size_t first, int s);

/* Scores of all own slices, their targets kept and their sums joined: what guides each other. */
extern MetasdStatus metasd_objective_guided_sums(const MetasdObjective *lesson,
                                                 const MetasdPass *pass, size_t first);

/* Sets the weights of both divergences in the gradients of this member's share of the groups. */
extern MetasdStatus metasd_objective_guided_weights(const MetasdObjective *lesson, double forward,
                                                    double reverse);

/*
 * The student's tail loss, and `forward` times KL(source || student) and `reverse` times the
 * other, at temperature tau; the gradient is added to masked_gradient. Blocks 0 and 1 keep the
 * scores where there is one block.
 */
extern MetasdStatus metasd_objective_distil_tails(const MetasdObjective *lesson, float forward,
                                                  float reverse, double *loss);

/* Mean divergence of the batch: KL(source || student), or KL(student || source). */
extern double metasd_objective_guided_divergence(const MetasdObjective *lesson, bool of_student);

#endif
