#!/usr/bin/env bash
# neighbour.sh [SECONDS] - what a training costs the sessions of its server.
#
# pgbench (select-only, 2 clients) on a throwaway server: alone, beside a training by as many
# workers as there are processors, and alone again. Prints transactions a second and the 99th
# percentile of their latency.
set -eu
. "$(dirname "$0")/bench.sh"
seconds=${1:-20}
start_server
ask() {
    "${psql[@]}" -A -t -c "$1"
}

# measure NAME: a line of figures.
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
measure alone
run=$(ask "SELECT kg_train('bench', 'facts', params => '{\"rank\": 200, \"epochs\": 1000, \"warmup\": 0, \"ramp\": 0}')")
until [ "$(ask "SELECT phase = 'training' AND done > 0 FROM metasd.run WHERE id = $run")" = t ]; do
    ask "SELECT pg_sleep(0.2)" >/dev/null
done
echo "training by $(ask "SELECT metrics ->> 'workers' FROM metasd.run WHERE id = $run") workers:"
measure "beside a training"
ask "SELECT kg_cancel($run)" >/dev/null
measure "alone again"
