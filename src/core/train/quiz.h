/*
 * quiz.h - stages 1 and 2 of a step: the trial step of the student, its quiz, and the correction of
 * the full model (doc/method.md, "The quiz and its second order").
 */
#ifndef METASD_CORE_TRAIN_QUIZ_H
#define METASD_CORE_TRAIN_QUIZ_H

#include "core/train/objective.h"

/* masked_gradient = the student's gradient; trial = the student after one plain step. */
extern MetasdStatus metasd_quiz_trial(const MetasdObjective *objective, double *loss);

/* masked_gradient = the gradient of the quiz's loss by the trial student. */
extern MetasdStatus metasd_quiz_loss(const MetasdObjective *quiz, double *loss);

/* Corrects the full model, after trial and quiz, with the objective of the trial. */
extern MetasdStatus metasd_quiz_correct(const MetasdObjective *objective);

#endif
