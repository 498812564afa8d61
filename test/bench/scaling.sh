#!/usr/bin/env bash
# scaling.sh [SECONDS] - seconds and memory of an epoch by entities, rank and members, as Markdown.
#
# Graphs are made up: 10 triples an entity, 50 relations. Cells are measured for SECONDS (10) after
# their first batch, two batches at least, and extrapolated. So that this takes about 20 s a cell,
# batches and quizzes of large cells are smaller than by default. The last column tells how many
# processors other work took meanwhile: cells it disturbed are worth a second run. ENTITIES, RANKS, MEMBERS (lists)
# and MEMORY (GB, 20: what needs more is left out) may be set in the environment.
set -eu
cd "$(dirname "$0")/../.."
[ -x build/bench/epoch ] || { echo "make bench-programs first" >&2; exit 2; }
seconds=${1:-10}

# Beyond 100,000 entities a batch is scored against 10,000 of them, as by default.
negatives_for() {
    [ "$1" -gt 100000 ] && echo 10000 || echo 0
}

# The default batch up to 4 million scores' entities x rank, then fewer examples, as each costs more.
batch_for() {
    local scored=$(($1 > 100000 ? 15000 : $1))
    local batch=$((4500 * 4000000 / (scored * $2)))
    [ "$batch" -le 4500 ] || batch=4500
    [ "$batch" -ge 128 ] || batch=128
    echo "$batch"
}

# A row of the table from what epoch printed.
row() {
    awk -v entities="$1" -v rank="$2" -v members="$3" -v batch="$4" '
        /^skipped/ { skipped = $2 " GB"; }
        /^result/ { for (i = 2; i <= NF; i++) { split($i, pair, "="); r[pair[1]] = pair[2] } }
        END {
            printf "| %d | %d | %d | ", entities, rank, members
            if (skipped != "")
                printf "skipped: needs %s | | | | | | | | |\n", skipped
            else if (!("seconds" in r))
                printf "failed | | | | | | | | |\n"
            else
                printf "%d | %d of %d | %.3g | %.3g | %.2f | %.0f + %d x %.1f | %.0f | %.0f | %.2f |\n",
                    batch, r["batches"], r["of"], r["seconds"] / r["of"], r["seconds"],
                    r["seconds"] / r["ideal"], r["shared_mb"], members, r["own_mb"],
                    r["graph_mb"], r["peak_mb"], r["others"]
        }'
}

echo "| entities | rank | members | batch | batches measured | s a batch | s an epoch | x ideal | MB shared + own | MB graph | MB peak of a process | other work |"
echo "|---|---|---|---|---|---|---|---|---|---|---|---|"
for entities in ${ENTITIES:-10000 100000 1000000}; do
    for rank in ${RANKS:-50 200 1000}; do
        for members in ${MEMBERS:-1 2}; do
            batch=$(batch_for "$entities" "$rank")
            { build/bench/epoch "synthetic:$entities:$((10 * entities)):50" rank="$rank" \
                members="$members" batch="$batch" quiz_batch=$((batch * 2 / 9)) epochs=1 \
                negatives="$(negatives_for "$entities")" seconds="$seconds" memory="${MEMORY:-20}" || true; } |
                row "$entities" "$rank" "$members" "$batch"
        done
    done
done
