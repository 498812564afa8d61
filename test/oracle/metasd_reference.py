#!/usr/bin/env python3
"""Prints a golden file: training steps of MetaSD on a small random graph, in double precision.

A file is a list of matrices: a line `name rows columns`, then the values, one line for each row. A
number is a matrix of one. The first line is a comment, the command that makes the file. Where a
file would be too large, only its last step keeps the matrices of its stages.
"""
import argparse
import sys

from autodiff import Matrix
from inputs import Generator, class_weights, draw_model, draw_triples
from training_step import Training

MOST_CHARACTERS = 100_000


def parse_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("seed", 1),
        ("entities", 7),
        ("relations", 3),
        ("rank", 4),
        ("batch", 6),
        ("quiz", 5),
        ("scale", 0.5),
        ("sparsity", 0.6),
        ("reg", 0.05),
        ("rel-weight", 4.0),
        ("tau", 3.0),
        ("kl-forward", 3.0),
        ("kl-reverse", 1.0),
        ("lr", 0.1),
        ("student-lr", 0.1),
        ("meta-lr", 1e-4),
    ):
        parser.add_argument("--" + name, type=type(default), default=default, help="%(default)s")
    parser.add_argument("--class-weights", action="store_true")
    parser.add_argument("--no-quiz", dest="quiz_step", action="store_false")
    parser.add_argument("--no-mutual", dest="mutual_step", action="store_false")
    parser.add_argument("--steps", type=int, default=1, help="%(default)s")
    parser.add_argument("--regularizer", choices=["dura", "n3"], default="dura")
    options = parser.parse_args(arguments)
    if min(options.entities, options.relations, options.rank, options.batch, options.quiz) < 1:
        parser.error("sizes must be at least 1")
    if options.tau <= 0 or not 0 <= options.sparsity <= 1:
        parser.error("tau must be positive, sparsity from 0 to 1")
    return options


# ---- parts of a file ----


def number(value):
    text = str(int(value)) if value == int(value) else f"{value:.9g}"
    return text.replace("e-0", "e-")


def matrix_lines(name, rows):
    return [f"{name} {len(rows)} {len(rows[0])}"] + [" ".join(map(number, row)) for row in rows]


def model_lines(prefix, model):
    lines = []
    for letter, re, im in (
        ("E", model.entity_re, model.entity_im),
        ("W", model.relation_re, model.relation_im),
    ):
        rows = [re.row(i) + im.row(i) for i in range(re.rows)]
        lines += matrix_lines(prefix + letter, rows)
    return lines


def option_lines(options):
    values = dict(vars(options))
    values["n3"] = values.pop("regularizer") == "n3"
    return [line for name, value in values.items() for line in matrix_lines(name, [[value]])]


def stage_lines(prefix, results, brief):
    lines = []
    for name, result in results.items():
        if isinstance(result, Matrix):
            lines += matrix_lines(prefix + name, [[result.number()]])
        elif not brief:
            lines += model_lines(prefix + name, result)
    return lines


# ---- the whole file ----


def train(options):
    """Returns the model, mask and cut at the start, and inputs and results of each step."""
    run = argparse.Namespace(**vars(options))
    generator = Generator(options.seed)
    training = Training(draw_model(generator, options), run)
    start = training.model
    steps = []
    for _ in range(options.steps):
        batch = draw_triples(generator, options.batch, options)
        quiz = draw_triples(generator, options.quiz, options)
        weights = class_weights(batch, options.entities) if options.class_weights else None
        run.class_weights = weights
        steps.append((batch, quiz, weights, training.step(batch, quiz)))
    return start, training.mask, training.cut, steps


def golden_text(command, options, start, mask, cut, steps, brief):
    lines = [f"# {command}"] + option_lines(options)
    lines += model_lines("", start) + model_lines("mask_", mask)
    lines += matrix_lines("threshold", [[cut]])
    for i, (batch, quiz, weights, results) in enumerate(steps):
        lines += matrix_lines(f"step{i}.batch", list(zip(*batch)))
        lines += matrix_lines(f"step{i}.quiz_batch", list(zip(*quiz)))
        if weights:
            lines += matrix_lines(f"step{i}.class_weights", [[weight] for weight in weights])
        for stage, result in results.items():
            lines += stage_lines(f"step{i}.{stage}.", result, brief and i + 1 < len(steps))
    return "\n".join(lines) + "\n"


def golden_file(arguments):
    options = parse_options(arguments)
    command = " ".join(["metasd_reference.py"] + arguments)
    results = train(options)
    whole = golden_text(command, options, *results, brief=False)
    if len(whole) <= MOST_CHARACTERS:
        return whole
    return golden_text(command, options, *results, brief=True)


if __name__ == "__main__":
    sys.stdout.write(golden_file(sys.argv[1:]))
