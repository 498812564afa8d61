/*
 * stages.h - what the stages of a step are made of; only the step and the ranking include it.
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
    const MetasdSample *sample; /* what it is scored against; NULL: all entities */
    MetasdGuide *guides;        /* of its groups */
    float *weights;             /* class weights of its examples, or NULL */
    double scale;               /* 1 / their sum, or 1 / n: the tail loss is a mean */
    MetasdRun own[2];           /* this member's part of the tables */
    const MetasdRun *touched;   /* what of it the step touches */
    int ntouched;
} MetasdLesson;

/* ---- the stages, in order (step.h) ---- */

extern MetasdStatus metasd_stage_source(const MetasdLesson *lesson, MetasdLosses *losses);

/* masked_gradient = the student's gradient; trial = the student one plain step on. */
extern MetasdStatus metasd_stage_trial(const MetasdLesson *lesson, MetasdLosses *losses);

/* masked_gradient = the quiz loss's gradient by the trial student. */
extern MetasdStatus metasd_stage_quiz(const MetasdLesson *quiz, MetasdLosses *losses);

/* Corrects the source by what the quiz showed; after trial and quiz of the same lesson. */
extern MetasdStatus metasd_stage_quiz_source(const MetasdLesson *lesson);

extern MetasdStatus metasd_stage_mutual(const MetasdLesson *lesson, MetasdLosses *losses);

/* Instead of them all: the student by itself. Defined in alone.c. */
extern MetasdStatus metasd_stage_alone(MetasdLesson *lesson, MetasdLosses *losses);

/* ---- what several of them do ---- */

/* Prepares a lesson of a batch that is not empty; a quiz may be prepared beside its batch. */
extern MetasdStatus metasd_lesson(MetasdLesson *lesson, MetasdStep *step, MetasdTeam *team,
                                  const MetasdStepOptions *options, const MetasdBatch *batch,
                                  bool quiz);

/* Lets the observer, if there is one, look at a stage; all members wait for it. */
extern MetasdStatus metasd_observe(const MetasdLesson *lesson, MetasdStage stage);

/* METASD_NON_FINITE unless the loss is finite. */
extern MetasdStatus metasd_check_loss(double loss);

/* The relations' part of a table. */
extern const float *metasd_relations_of(const MetasdStep *step, const float *table);

/* A table = 0, where this member's part is touched. */
extern MetasdStatus metasd_clear(const MetasdLesson *lesson, float *table);

/* A table's entities, or relations, for products; `pruned`: its weights are 0 where the mask is. */
extern MetasdTable metasd_entities(const MetasdLesson *lesson, const float *table, bool pruned);
extern MetasdTable metasd_relations(const MetasdStep *step, const float *table, bool pruned);

/*
 * query[which] = the queries of all groups, from a table; where it is pruned, their tiles too.
 * With a barrier behind.
 */
extern MetasdStatus metasd_compose(const MetasdLesson *lesson, const float *table, bool pruned,
                                   int which);

/* The block of groups that starts with group `first`, as a pass over the entities. */
extern MetasdPass metasd_block(const MetasdLesson *lesson, size_t first);

/* The targets of that block's groups. */
extern MetasdTargets metasd_block_targets(const MetasdLesson *lesson, size_t first);

/* Its queries, from query[which] and what is made of them. */
extern MetasdQueries metasd_block_queries(const MetasdLesson *lesson, size_t first, int which);

/*
 * Queries from number `first` on: those in `rows`, and what metasd_tile_queries has made of them.
 */
extern MetasdQueries metasd_queries_from(const MetasdStep *step, const MetasdPattern *pattern,
                                         const float *rows, int which, size_t first);

/* tiles[which] and whole[which] = this member's share of n queries, for products with a pattern. */
extern MetasdStatus metasd_tile_queries(const MetasdStep *step, MetasdTeam *team,
                                        const MetasdPattern *pattern, size_t n, const float *rows,
                                        int which);

/*
 * The tail loss without a guide, and its gradient, which is added; uses query[0] and block[b].
 * Where the entities' weights are held, what they learn as answers goes to step->held.gradient.
 */
extern MetasdStatus metasd_tail_loss(const MetasdLesson *lesson, const float *table, bool pruned,
                                     float *gradient, int b, double *loss);

/* The relation loss, before its weight; its gradient times the weight is added. */
extern MetasdStatus metasd_relation_loss(const MetasdLesson *lesson, const float *table,
                                         bool pruned, float *gradient, double *loss);

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

/* query[0] of the source and query[1] of the student. */
extern MetasdStatus metasd_guided_compose(const MetasdLesson *lesson);

/* The scores of both in slice s of a block. */
extern MetasdStatus metasd_guided_scores(const MetasdLesson *lesson, const MetasdPass *pass,
                                         size_t first, int s);

/* Scores of all own slices, their targets kept and their sums joined: what guides each other. */
extern MetasdStatus metasd_guided_sums(const MetasdLesson *lesson, const MetasdPass *pass,
                                       size_t first);

/* Sets the weights of both divergences in the gradients of this member's share of the groups. */
extern MetasdStatus metasd_guided_weights(const MetasdLesson *lesson, double forward,
                                          double reverse);

/*
 * The student's tail loss, and `forward` times KL(source || student) and `reverse` times the
 * other, at temperature tau; the gradient is added to masked_gradient. Blocks 0 and 1 keep the
 * scores where there is one block.
 */
extern MetasdStatus metasd_taught_tails(const MetasdLesson *lesson, float forward, float reverse,
                                        double *loss);

/* Mean divergence of the batch: KL(source || student), or KL(student || source). */
extern double metasd_guided_divergence(const MetasdLesson *lesson, bool of_student);

#endif
