#include "core/train/step.h"

#include "core/train/finetune.h"
#include "core/train/mutual.h"
#include "core/train/quiz.h"
#include "core/train/relation_loss.h"

/* Stage 0. */
static MetasdStatus
train_full_model(const MetasdObjective *objective, MetasdLosses *losses)
{
    MetasdState *state = objective->state;
    const MetasdStepOptions *options = objective->options;

    METASD_TRY(metasd_objective_clear(objective, state->gradient));
    METASD_TRY(metasd_objective_tail_loss(objective, state->weights, false, state->gradient, 0,
                                          &losses->tail));
    METASD_TRY(
        metasd_relation_loss(objective, state->weights, false, state->gradient, &losses->relation));
    METASD_TRY(metasd_objective_reg_loss(objective, state->weights, state->gradient, &losses->reg));
    losses->full = losses->tail + options->relation_weight * losses->relation + losses->reg;
    METASD_TRY(metasd_objective_check(losses->full));
    METASD_TRY(metasd_objective_observe(objective, METASD_FULL_GRADIENT));
    METASD_TRY(
        metasd_objective_descend(objective, state->sums, state->gradient, NULL, options->lr));
    return metasd_objective_observe(objective, METASD_FULL_DONE);
}

MetasdStatus
metasd_step(MetasdState *state, MetasdTeam *team, const MetasdStepOptions *options,
            const MetasdStepContext *context, const MetasdBatch *batch, const MetasdBatch *quiz,
            MetasdLosses *losses)
{
    MetasdObjective objective, questions;

    *losses = (MetasdLosses){0};
    if (batch->n == 0)
        return METASD_OK;
    METASD_TRY(metasd_objective_prepare(&objective, state, team, options, context, batch, false));
    if (!metasd_step_has_quiz(options, quiz))
        quiz = NULL;
    if (quiz)
        METASD_TRY(metasd_objective_prepare(&questions, state, team, options, context, quiz, true));
    if (options->finetune)
        return metasd_finetune_step(&objective, &losses->finetune);
    METASD_TRY(train_full_model(&objective, losses));
    if (quiz) {
        METASD_TRY(metasd_quiz_trial(&objective, &losses->trial));
        METASD_TRY(metasd_quiz_loss(&questions, &losses->quiz));
        METASD_TRY(metasd_quiz_correct(&objective));
    }
    if (options->mutual)
        METASD_TRY(metasd_mutual_step(&objective, &losses->mutual_full, &losses->mutual_student));
    return METASD_OK;
}
