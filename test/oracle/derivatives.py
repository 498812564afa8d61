"""Checks that the gradients of every stage agree with differences of the losses.

Each weight of a small model is moved a little, up and down. For the second-order gradient of the
quiz, the weights of the full model are moved before the trial step; the copy that takes the step
stays the same.
"""
import argparse

from autodiff import Matrix, gradients
from inputs import Generator, class_weights, draw_model, draw_triples
from metasd_reference import parse_options
from training_step import Model, magnitude_mask, mutual_losses, tail_loss, take_quiz, task_loss
from training_step import trial_loss

STEP = 1e-3
TOLERANCE = 1e-7  # of the largest entry; differences are of the fourth order
SMALL = "--entities 5 --relations 2 --rank 2 --batch 5 --quiz 4"
CASES = (
    "--seed 21",
    "--seed 22 --regularizer n3 --tau 1.5",
    "--seed 23 --class-weights --sparsity 0.4",
)


def moved(model, part, i, by):
    """The model with one weight moved."""
    weights = model[part]
    values = weights.values[:]
    values[i] += by
    changed = list(model)
    changed[part] = Matrix(weights.rows, weights.columns, values)
    return Model(*changed)


def differences(loss, model):
    """The derivative of a function of a model with respect to each weight."""

    def slope(part, i):
        near = [loss(moved(model, part, i, sign * STEP)).number() for sign in (1, -1)]
        far = [loss(moved(model, part, i, sign * 2 * STEP)).number() for sign in (1, -1)]
        return (8 * (near[0] - near[1]) - (far[0] - far[1])) / (12 * STEP)

    return [slope(part, i) for part in range(len(model)) for i in range(len(model[part].values))]


def relative_error(loss, model):
    expected = differences(loss, model)
    found = [value for part in gradients(loss(model), model) for value in part.values]
    largest = max(map(abs, expected))
    error = max(abs(a - b) for a, b in zip(found, expected))
    return error / largest if largest else float("inf")


def check_case(arguments):
    """The relative error of each stage's gradient, by stage."""
    options = argparse.Namespace(**vars(parse_options((SMALL + " " + arguments).split())))
    generator = Generator(options.seed)
    full = draw_model(generator, options)
    batch = draw_triples(generator, options.batch, options)
    quiz = draw_triples(generator, options.quiz, options)
    weighted = options.class_weights
    options.class_weights = class_weights(batch, options.entities) if weighted else None
    mask, _ = magnitude_mask(full, options.sparsity)
    copy = draw_model(generator, options)
    after_trial = take_quiz(full, copy, mask, batch, quiz, options).moved.detached()

    def loss_after_trial(model):
        return take_quiz(model, copy, mask, batch, quiz, options).loss

    def sum_of_mutual(model):
        of_full, of_pruned = mutual_losses(model, copy, mask, batch, options)
        return of_full + of_pruned

    stages = {
        "source": (lambda model: task_loss(model, batch, options)[0], full),
        "trial": (lambda model: trial_loss(model.masked(mask), full, batch, options), copy),
        "quiz": (lambda model: tail_loss(model.masked(mask), quiz, options), after_trial),
        "quiz through the trial step": (loss_after_trial, full),
        "mutual": (sum_of_mutual, full),
    }
    return {stage: relative_error(loss, model) for stage, (loss, model) in stages.items()}


def check_derivatives():
    """Prints a line for each case; returns how many failed."""
    failed = 0
    for case in CASES:
        errors = check_case(case)
        stage = max(errors, key=errors.get)
        good = errors[stage] <= TOLERANCE
        failed += not good
        verdict = "ok" if good else "not ok"
        print(f"{verdict} derivatives {case}: error {errors[stage]:.1g} ({stage})", flush=True)
    return failed
