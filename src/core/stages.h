/*
 * stages.h - what the stages of a step are made of; only the step includes it.
 *
 * Members write to their own rows of the tables and to their own share of a batch's
 * queries; whatever another member reads next is behind a barrier.
 */
#ifndef METASD_STAGES_H
#define METASD_STAGES_H

#include "step.h"

/* One batch that is taught, or asked as a quiz: everything a stage needs. */
typedef struct MetasdLesson {
    MetasdStep *step;
    MetasdTeam *team;
    const MetasdStepOptions *options;
    const MetasdBatch *batch;
    double scale;     /* 1 / the sum of the targets' class weights: the tail loss is a mean */
    MetasdRun own[2]; /* this member's part of the tables */
} MetasdLesson;

/* ---- the stages, in order (step.h) ---- */

extern MetasdStatus metasd_stage_source(const MetasdLesson *lesson, MetasdLosses *losses);

/* masked_gradient = the student's gradient; trial = the student one plain step on. */
extern MetasdStatus metasd_stage_trial(const MetasdLesson *lesson, MetasdLosses *losses);

/* masked_gradient = the quiz loss's gradient by the trial student. */
extern MetasdStatus metasd_stage_quiz(const MetasdLesson *quiz, MetasdLosses *losses);

/* Corrects the source by what the quiz showed; after trial and quiz of the same lesson. */
extern MetasdStatus metasd_stage_meta(const MetasdLesson *lesson);

extern MetasdStatus metasd_stage_mutual(const MetasdLesson *lesson, MetasdLosses *losses);

/* ---- what several of them do ---- */

/* Prepares a lesson of a batch that is not empty. */
extern MetasdStatus metasd_lesson(MetasdLesson *lesson, MetasdStep *step, MetasdTeam *team,
                                  const MetasdStepOptions *options, const MetasdBatch *batch);

/* Lets the observer, if there is one, look at a stage; all members wait for it. */
extern MetasdStatus metasd_observe(const MetasdLesson *lesson, MetasdStage stage);

/* METASD_NON_FINITE unless the loss is finite. */
extern MetasdStatus metasd_check_loss(double loss);

/* The relations' part of a table. */
extern const float *metasd_relations_of(const MetasdStep *step, const float *table);

/* A table = 0, this member's part. */
extern MetasdStatus metasd_clear(const MetasdLesson *lesson, float *table);

/* query[which] = the queries of all groups, from a table; with a barrier behind. */
extern MetasdStatus metasd_compose(const MetasdLesson *lesson, const float *table, int which);

/* The block of groups that starts with group `first`, as a pass over the entities. */
extern MetasdPass metasd_block(const MetasdLesson *lesson, size_t first);

/* The targets of that block's rows. */
extern MetasdTargets metasd_block_targets(const MetasdLesson *lesson, size_t first);

/* Sum of the class weights of targets first .. end - 1, or their number. */
extern double metasd_target_weight(const MetasdLesson *lesson, size_t first, size_t end);

/* The tail loss of a block, from its rows' sums (guides[g] of group g) and its targets' scores. */
extern double metasd_block_loss(const MetasdLesson *lesson, const MetasdPass *pass, size_t first,
                                const MetasdGuide *guides, bool of_student);

/* The tail loss without a guide, and its gradient, which is added; uses query[0] and block[b]. */
extern MetasdStatus metasd_tail_loss(const MetasdLesson *lesson, const float *table,
                                     float *gradient, int b, MetasdGuide *guides, double *loss);

/* The relation loss, before its weight; its gradient times the weight is added. */
extern MetasdStatus metasd_relation_loss(const MetasdLesson *lesson, const float *table,
                                         float *gradient, double *loss);

/* The regulariser's loss, with its weight; its gradient is added. */
extern MetasdStatus metasd_reg_loss(const MetasdLesson *lesson, const float *table, float *gradient,
                                    double *loss);

/* Carries dquery of all groups back to heads and relations: adds to the gradient of a table. */
extern MetasdStatus metasd_queries_back(const MetasdLesson *lesson, const float *table,
                                        const float *dquery, float *gradient);

/* An Adagrad step of the source, and the student follows; with a barrier on each side. */
extern MetasdStatus metasd_descend(const MetasdLesson *lesson, float *sums, const float *gradient,
                                   const float *masked_gradient, float lr);

/* ---- source and student side by side: block[0] and block[1] ---- */

/* The scores of both for a block, from query[0] and query[1]. */
extern MetasdStatus metasd_guided_scores(const MetasdLesson *lesson, const MetasdPass *pass,
                                         size_t first);

/* Keeps the targets' scores of both, and sums the rows: what guides each other. */
extern MetasdStatus metasd_guided_sums(const MetasdLesson *lesson, const MetasdPass *pass,
                                       size_t first);

/* Sets what the gradients of groups first .. first + n - 1 weigh. */
extern MetasdStatus metasd_guided_weights(const MetasdLesson *lesson, size_t first, size_t n,
                                          double forward, double reverse);

/* Mean divergence of the batch: KL(source || student), or KL(student || source). */
extern double metasd_guided_divergence(const MetasdLesson *lesson, bool of_student);

#endif
