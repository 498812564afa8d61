#!/usr/bin/env python3
"""Writes the golden files of test/unit/golden, or compares them with the oracle."""
import argparse
import pathlib
import sys

from derivatives import check_derivatives
from metasd_reference import golden_file

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "unit" / "golden"
FILES = {
    "default": "--steps 3",
    "sizes": "--steps 3 --seed 2 --entities 11 --relations 2 --rank 3 --batch 9 --quiz 7",
    "n3": "--steps 3 --seed 3 --regularizer n3",
    "class_weights": "--steps 3 --seed 4 --class-weights",
    "class_weights_n3": "--steps 3 --seed 5 --class-weights --regularizer n3 --batch 12",
    "no_quiz": "--steps 3 --seed 6 --no-quiz",
    "no_mutual": "--steps 3 --seed 7 --no-mutual",
    "source_only": "--steps 3 --seed 8 --no-quiz --no-mutual",
    "sparsity_0": "--steps 3 --seed 9 --sparsity 0",
    "sparsity_0.9": "--steps 3 --seed 10 --sparsity 0.9",
    "tau_1": "--steps 3 --seed 11 --tau 1 --kl-forward 1 --kl-reverse 2",
    "no_relation": "--steps 3 --seed 12 --rel-weight 0",
    "no_reg": "--steps 3 --seed 13 --reg 0",
    "large_scores": "--steps 3 --seed 14 --scale 2",
    "crowded": "--steps 3 --seed 17 --entities 3 --relations 1 --rank 5 --batch 20 --quiz 10",
    "one_example": "--steps 3 --seed 15 --batch 1 --quiz 1",
    "larger": "--steps 3 --seed 16 --entities 40 --rank 8 --batch 30 --quiz 20",
    "blocks": "--steps 1 --seed 18 --entities 200 --relations 3 --rank 3 --batch 150 --quiz 70",
}

# Another processor or C library may round the last of the nine digits otherwise.
LAST_DIGIT = 1.1e-8
ROUNDING = 1e-12  # where sums cancel, of the largest entry of the matrix


def read_matrices(text):
    """Name and size of each matrix, and its values."""
    lines = iter(text.splitlines()[1:])
    matrices = {}
    for line in lines:
        rows = int(line.split()[1])
        matrices[line] = [float(value) for _ in range(rows) for value in next(lines).split()]
    return matrices


def compare(found, expected):
    """The largest relative difference and its matrix, and whether all are within the last digit."""
    worst, where, good = 0.0, "", True
    for name, values in expected.items():
        largest = max(map(abs, values))
        for ours, theirs in zip(found[name], values):
            difference = abs(ours - theirs)
            good = good and difference <= LAST_DIGIT * abs(theirs) + ROUNDING * largest
            if difference > worst * largest:
                worst, where = difference / largest if largest else float("inf"), name
    return worst, where, good


def judge(found, expected):
    """Whether the results of the oracle are those of a golden file, and a description."""
    if found == expected:
        return True, "identical"
    if found.splitlines()[0] != expected.splitlines()[0]:
        return False, "made with other options"
    ours, theirs = read_matrices(found), read_matrices(expected)
    if list(ours) != list(theirs) or any(len(ours[m]) != len(theirs[m]) for m in ours):
        return False, "other matrices"
    worst, where, good = compare(ours, theirs)
    return good, f"differs by {worst:.2g} of the largest entry of {where}"


# ---- the two commands ----


def write_files(names):
    """A file that differs in rounding alone stays: another processor changes nothing."""
    for name in names:
        path, text = FOLDER / f"{name}.txt", golden_file(FILES[name].split())
        good, description = judge(text, path.read_text()) if path.exists() else (False, "new")
        if not good:
            path.write_text(text)
        print(f"{name}: {description}, {'kept' if good else 'written'}")
    return 0


def check_files(names):
    """Prints a line for each file, listed or stray; returns how many failed."""
    failed = 0
    for name in sorted({path.stem for path in FOLDER.glob("*.txt")} - set(FILES)):
        print(f"not ok {name}: golden.py does not list it")
        failed += 1
    for name in names:
        path = FOLDER / f"{name}.txt"
        good, description = False, "there is no such file"
        if path.exists():
            good, description = judge(golden_file(FILES[name].split()), path.read_text())
        print(f"{'ok' if good else 'not ok'} {name}: {description}", flush=True)
        failed += not good
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and change no file")
    parser.add_argument("names", nargs="*", metavar="NAME", help="golden files, else all")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(FILES)
    if unknown:
        parser.error("golden.py does not list " + ", ".join(sorted(unknown)))
    names = arguments.names or list(FILES)
    if arguments.check:
        return min(check_derivatives() + check_files(names), 1)
    return write_files(names)


if __name__ == "__main__":
    sys.exit(main())
