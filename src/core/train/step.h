/*
 * step.h - one training step of MetaSD (doc/method.md, "A training step").
 *
 * Stage 0 trains the full model, 1 takes a trial step of the student with the full model's
 * guidance, 2 sets the student a quiz and corrects the full model by the student's mistakes (second
 * order, in closed form), 3 lets full model and student learn from each other. Every member of the
 * team calls metasd_step with the same batch.
 */
#ifndef METASD_CORE_TRAIN_STEP_H
#define METASD_CORE_TRAIN_STEP_H

#include "core/train/objective.h"

typedef struct MetasdLosses {
    double tail, relation, reg;         /* of the full model, stage 0; relation before its weight */
    double full;                        /* tail + relation_weight x relation + reg */
    double trial;                       /* of the student, stage 1 */
    double quiz;                        /* stage 2 */
    double mutual_full, mutual_student; /* stage 3 */
    double finetune;                    /* of the student, fine-tuning */
} MetasdLosses;

/* Has a step stages 1 and 2, with that quiz, which may be NULL? */
static inline bool
metasd_step_has_quiz(const MetasdStepOptions *options, const MetasdBatch *quiz)
{
    return options->quiz && !options->finetune && quiz && quiz->n > 0;
}

/*
 * One step on a batch, and on a quiz where options->quiz (NULL or an empty one leaves stages 1 and
 * 2 out). METASD_NON_FINITE where a loss is not finite: the weights are then those of some stage
 * before.
 */
extern MetasdStatus metasd_step(MetasdState *state, MetasdTeam *team,
                                const MetasdStepOptions *options, const MetasdStepContext *context,
                                const MetasdBatch *batch, const MetasdBatch *quiz,
                                MetasdLosses *losses);

#endif
