#!/usr/bin/env python3
"""Turns the JSON of metasd_reference.py into text that C reads with fscanf.

A file is a list of matrices: a line `name rows columns`, then the values, a row
a line; a number is a matrix of one. Comments start with #. Names are those of
the JSON, joined by dots, such as step0.quiz.meta_grad_E. Where a file would be
too large, only its last step keeps the matrices of its stages; the argument,
the options used, goes into the header.
"""
import json
import sys

MOST_BYTES = 100_000


def number(value):
    text = repr(int(value)) if value == int(value) else f"{value:.9g}"
    return text.replace("e-0", "e-")


def lines(name, value):
    rows = value if isinstance(value, list) else [value]
    rows = [row if isinstance(row, list) else [row] for row in rows]
    yield f"{name} {len(rows)} {len(rows[0])}"
    for row in rows:
        yield " ".join(number(entry) for entry in row)


def step_lines(name, step, brief):
    for key, value in step.items():
        if not isinstance(value, dict):
            yield from lines(f"{name}.{key}", value)
            continue
        for part, inner in value.items():
            if not (brief and isinstance(inner, list)):
                yield from lines(f"{name}.{key}.{part}", inner)


def text(doc, brief):
    options = dict(doc["options"])
    options["n3"] = options.pop("regularizer") == "n3"
    out = [f"# metasd_reference.py {sys.argv[1]}"]
    for name, value in options.items():
        out += lines(name, value)
    for name in ("E", "W", "mask_E", "mask_W", "threshold"):
        out += lines(name, doc[name])
    for i, step in enumerate(doc["steps"]):
        out += step_lines(f"step{i}", step, brief and i + 1 < len(doc["steps"]))
    return "\n".join(out) + "\n"


document = json.load(sys.stdin)
whole = text(document, False)
sys.stdout.write(whole if len(whole) <= MOST_BYTES else text(document, True))
