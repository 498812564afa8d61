#!/bin/sh
# Writes the golden files of test_golden anew:  test/unit/golden/make.sh REFERENCE
# REFERENCE is the float64 implementation of a training step, metasd_reference.py; it needs
# python3-torch. Set PYTHON where that belongs to another interpreter than /usr/bin/python3.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 path/to/metasd_reference.py" >&2; exit 2; }
reference=$1
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-/usr/bin/python3}
json=$(mktemp)
trap 'rm -f "$json"' EXIT

# golden NAME OPTIONS...: three steps of the reference, unless told otherwise, as NAME.txt
golden() {
    name=$1
    shift
    set -- --steps 3 "$@"
    "$python" "$reference" "$@" >"$json"
    "$python" "$here/convert.py" "$*" <"$json" >"$here/$name.txt"
    echo "$name: $(wc -c <"$here/$name.txt") bytes"
}

golden default
golden sizes --seed 2 --entities 11 --relations 2 --rank 3 --batch 9 --quiz 7
golden n3 --seed 3 --regularizer n3
golden class_weights --seed 4 --class-weights
golden class_weights_n3 --seed 5 --class-weights --regularizer n3 --batch 12
golden no_quiz --seed 6 --no-quiz
golden no_mutual --seed 7 --no-mutual
golden source_only --seed 8 --no-quiz --no-mutual
golden sparsity_0 --seed 9 --sparsity 0
golden sparsity_0.9 --seed 10 --sparsity 0.9
golden tau_1 --seed 11 --tau 1 --kl-forward 1 --kl-reverse 2
golden no_relation --seed 12 --rel-weight 0
golden no_reg --seed 13 --reg 0
golden large_scores --seed 14 --scale 2
golden crowded --seed 17 --entities 3 --relations 1 --rank 5 --batch 20 --quiz 10
golden one_example --seed 15 --batch 1 --quiz 1
golden larger --seed 16 --entities 40 --rank 8 --batch 30 --quiz 20
golden blocks --steps 1 --seed 18 --entities 200 --relations 3 --rank 3 --batch 150 --quiz 70
