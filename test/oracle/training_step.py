"""One training step of MetaSD by its definition, without any closed form.

The definition is in doc/method.md, from "The model" to "Mutual learning".

Losses are functions of whole tables; every gradient comes from autodiff.py. The gradient of the
quiz is that of the quiz loss after the trial step, with respect to the full model that guided the
step.

In the names of results, "source" is the full model and "student" the pruned model.
"""
import math
from typing import NamedTuple

from autodiff import Matrix, exp, gradients, log, power, repeated, row_products, row_sums
from autodiff import rows_at, total


class Model(NamedTuple):
    """ComplEx: complex rows of entities and of relations, real and imaginary parts apart."""

    entity_re: Matrix
    entity_im: Matrix
    relation_re: Matrix
    relation_im: Matrix

    def map(self, function, *others):
        return Model(*map(function, self, *others))

    def detached(self):
        return self.map(Matrix.detached)

    def masked(self, mask):
        return self.map(lambda weights, kept: weights * kept, mask)


class Triples(NamedTuple):
    heads: list
    relations: list
    tails: list


# ---- the score of a triple is the real part of the sum of head * relation * conjugate(tail) ----


def tail_scores(model, triples):
    """Of each head and relation with every entity as the tail."""
    h_re, h_im = rows_at(model.entity_re, triples.heads), rows_at(model.entity_im, triples.heads)
    r_re = rows_at(model.relation_re, triples.relations)
    r_im = rows_at(model.relation_im, triples.relations)
    return row_products(h_re * r_re - h_im * r_im, model.entity_re) + row_products(
        h_re * r_im + h_im * r_re, model.entity_im
    )


def relation_scores(model, triples):
    """Of each head and tail with every relation between them."""
    h_re, h_im = rows_at(model.entity_re, triples.heads), rows_at(model.entity_im, triples.heads)
    t_re, t_im = rows_at(model.entity_re, triples.tails), rows_at(model.entity_im, triples.tails)
    return row_products(h_re * t_re + h_im * t_im, model.relation_re) + row_products(
        h_re * t_im - h_im * t_re, model.relation_im
    )


# ---- losses ----


def log_softmax(scores):
    """Of each row. The subtracted maximum is a constant: the result does not depend on it."""
    most = Matrix(scores.rows, 1, (max(scores.row(i)) for i in range(scores.rows)))
    shifted = scores - repeated(most, scores.columns)
    return shifted - repeated(log(row_sums(exp(shifted))), scores.columns)


def cross_entropy(scores, targets, class_weights=None):
    """The mean over rows; with class weights, each row counts with the weight of its target."""
    weights = [class_weights[target] if class_weights else 1.0 for target in targets]
    share = [weight / math.fsum(weights) for weight in weights]
    chosen = [
        share[i] if j == target else 0.0
        for i, target in enumerate(targets)
        for j in range(scores.columns)
    ]
    return -1.0 * total(log_softmax(scores) * Matrix(scores.rows, scores.columns, chosen))


def divergence(scores, from_scores, tau):
    """KL(softmax(scores / tau) || softmax(from_scores / tau)), the mean over rows."""
    ours, theirs = log_softmax(scores * (1.0 / tau)), log_softmax(from_scores * (1.0 / tau))
    return (1.0 / scores.rows) * total(exp(ours) * (ours - theirs))


def regularizer(model, triples, options):
    """DURA or N3, the mean over triples."""

    def squares(re, im, indices):
        re, im = rows_at(re, indices), rows_at(im, indices)
        return re * re + im * im

    head = squares(model.entity_re, model.entity_im, triples.heads)
    relation = squares(model.relation_re, model.relation_im, triples.relations)
    tail = squares(model.entity_re, model.entity_im, triples.tails)
    if options.regularizer == "n3":
        sums = power(head, 1.5) + power(relation, 1.5) + power(tail, 1.5)
    else:
        ends = head + tail
        sums = 0.5 * ends + 1.5 * (ends * relation)
    return (options.reg / len(triples.heads)) * total(sums)


def tail_loss(model, triples, options):
    return cross_entropy(tail_scores(model, triples), triples.tails, options.class_weights)


def task_loss(model, triples, options):
    """The loss of a model alone, and its parts."""
    parts = {
        "tail": tail_loss(model, triples, options),
        "relation": cross_entropy(relation_scores(model, triples), triples.relations),
        "reg": regularizer(model, triples, options),
    }
    return parts["tail"] + options.rel_weight * parts["relation"] + parts["reg"], parts


def trial_loss(pruned, full, triples, options):
    """The pruned model minimizes this in the trial step. The full model guides it."""
    ours, theirs = tail_scores(pruned, triples), tail_scores(full, triples)
    return (
        cross_entropy(ours, triples.tails, options.class_weights)
        + regularizer(pruned, triples, options)
        + options.kl_forward * divergence(theirs, ours, options.tau)
        + options.kl_reverse * divergence(ours, theirs, options.tau)
    )


def mutual_loss(model, guide, triples, options):
    """A model minimizes this in mutual learning. Its guide, the other model, is a constant."""
    ours, theirs = tail_scores(model, triples), tail_scores(guide, triples)
    return (
        task_loss(model, triples, options)[0]
        + options.kl_forward * divergence(ours, theirs, options.tau)
        + options.kl_reverse * divergence(theirs, ours, options.tau)
    )


# ---- optimization ----


class Adagrad:
    EPSILON = 1e-10

    def __init__(self, model, lr):
        self.lr = lr
        self.squares = model.map(lambda weights: [0.0] * len(weights.values))

    def step(self, model, gradient):
        def move(weights, slopes, squares):
            for i, slope in enumerate(slopes.values):
                squares[i] += slope * slope
            return weights.like(
                weight - self.lr * slope / (math.sqrt(square) + self.EPSILON)
                for weight, slope, square in zip(weights.values, slopes.values, squares)
            )

        return model.map(move, gradient, self.squares)


def magnitude_mask(model, sparsity):
    """1 for the largest weights, 0 for the others; the smallest absolute value that stays."""
    ascending = sorted(abs(weight) for weights in model for weight in weights.values)
    cut = ascending[min(math.ceil(sparsity * len(ascending)), len(ascending) - 1)]
    keep = lambda weights: weights.like(float(abs(weight) >= cut) for weight in weights.values)
    return model.map(keep), cut


# ---- the stages ----


def train_full(full, batch, options):
    loss, parts = task_loss(full, batch, options)
    return {"loss": loss, "grad_": Model(*gradients(loss, full)), **parts}


class Quiz(NamedTuple):
    trial_loss: Matrix
    trial_gradient: Model
    moved: Model  # the copy after its trial step
    loss: Matrix


def take_quiz(full, copy, mask, batch, quiz, options):
    """A copy of the weights takes the trial step, then the quiz.

    Gradients are taken through this step: the quiz loss depends on the full model through it alone.
    """
    loss = trial_loss(copy.masked(mask), full, batch, options)
    gradient = Model(*gradients(loss, copy))
    moved = copy.map(lambda weights, slope: weights - options.student_lr * slope, gradient)
    return Quiz(loss, gradient, moved, tail_loss(moved.masked(mask), quiz, options))


def quiz_results(full, mask, batch, quiz, options):
    taken = take_quiz(full, full.detached(), mask, batch, quiz, options)
    return {"loss": taken.trial_loss, "grad_": taken.trial_gradient}, {
        "loss": taken.loss,
        "grad_": Model(*gradients(taken.loss, taken.moved)),
        "meta_grad_": Model(*gradients(taken.loss, full)),
    }


def mutual_losses(full, constant, mask, batch, options):
    """Those of the full and of the pruned model. The guides are made of the constant weights."""
    return (
        mutual_loss(full, constant.masked(mask), batch, options),
        mutual_loss(full.masked(mask), constant, batch, options),
    )


def train_mutually(full, mask, batch, options):
    of_full, of_pruned = mutual_losses(full, full.detached(), mask, batch, options)
    gradient = Model(*gradients(of_full + of_pruned, full))
    return {"loss_source": of_full, "loss_student": of_pruned, "grad_": gradient}


class Training:
    """A model in training; the mask is taken once."""

    def __init__(self, model, options):
        self.model, self.options = model, options
        self.mask, self.cut = magnitude_mask(model, options.sparsity)
        self.optimizer = Adagrad(model, options.lr)
        self.quiz_optimizer = Adagrad(model, options.meta_lr)

    def move(self, optimizer, gradient):
        self.model = optimizer.step(self.model, gradient)
        return {"": self.model}

    def step(self, batch, quiz):
        """The results of each stage, in order; a result is a Matrix of one, or a Model."""
        results, options = {}, self.options
        results["source"] = train_full(self.model, batch, options)
        results["after_source"] = self.move(self.optimizer, results["source"]["grad_"])
        if options.quiz_step:
            results["trial"], results["quiz"] = quiz_results(
                self.model, self.mask, batch, quiz, options
            )
            results["after_meta"] = self.move(self.quiz_optimizer, results["quiz"]["meta_grad_"])
        if options.mutual_step:
            results["mutual"] = train_mutually(self.model, self.mask, batch, options)
            self.move(self.optimizer, results["mutual"]["grad_"])
        results["after"] = {"": self.model}
        return results
