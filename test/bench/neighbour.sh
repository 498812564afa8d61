#!/usr/bin/env bash
# neighbour.sh [SECONDS [ROUNDS]] - what a training costs the sessions of its server.
#
# pgbench (select-only, 2 clients) on a throwaway server, in turns: alone, with the workers of a training
# stopped by a signal, and beside them, as many as there are processors. Prints transactions a second and
# the 99th percentile of their latency, and in the end the median part that is left beside the training:
# turns that follow each other see the same machine, whatever else goes on there.
set -eu
. "$(dirname "$0")/bench.sh"
seconds=${1:-5}
rounds=${2:-7}
start_server
ask() {
    "${psql[@]}" -A -t -c "$1"
}

# measure NAME: a line of figures; $rate is left for who calls.
measure() {
    rm -f "$work"/latency.*
    rate=$(cd "$work" && "$bindir/pgbench" -n -S -M prepared -c 2 -j 2 -T "$seconds" \
        -l --log-prefix=latency 2>&1 | awk '/^tps/ { print $3 }')
    p99=$(cat "$work"/latency.* | awk '{ print $3 }' | sort -n |
        awk '{ a[NR] = $1 } END { printf "%.0f", a[int(NR * 0.99)] }')
    printf '%-22s %9.0f tps, 99 %% within %s us\n' "$1" "$rate" "$p99"
}

"$bindir/pgbench" -i -q -s 20 2>/dev/null
ask "SELECT setseed(0.5);
     CREATE TABLE facts AS SELECT 'e' || (8000 * random() ^ 2)::int AS head, 'r' || (random() * 20)::int AS relation,
                                  'e' || (8000 * random() ^ 2)::int AS tail FROM generate_series(1, 150000); ANALYZE;" >/dev/null
# What probes would choose is given: those of so many epochs would take minutes.
run=$(ask "SELECT kg_train('bench', 'facts', params => '{\"rank\": 200, \"epochs\": 1000, \"warmup\": 0, \"ramp\": 0,
    \"reg\": 0.05, \"regularizer\": \"dura\", \"relation_weight\": 0, \"class_weights\": false}')")
until [ "$(ask "SELECT phase = 'training' AND done > 0 FROM metasd.run WHERE id = $run")" = t ]; do
    ask "SELECT pg_sleep(0.2)" >/dev/null
done
mapfile -t workers < <(ask "SELECT pid FROM pg_stat_activity WHERE backend_type = 'metasd training'")
echo "a training by ${#workers[@]} workers:"
parts=()
for _ in $(seq "$rounds"); do
    kill -STOP "${workers[@]}"
    measure alone
    alone=$rate
    kill -CONT "${workers[@]}"
    measure "beside a training"
    parts+=("$(echo "$rate $alone" | awk '{ printf "%.0f", 100 * $1 / $2 }')")
done
printf '%s\n' "${parts[@]}" | sort -n | awk '{ a[NR] = $1 } END {
    printf "beside a training: %d %% (%d to %d)\n", a[int((NR + 1) / 2)], a[1], a[NR] }'
ask "SELECT kg_cancel($run)" >/dev/null
