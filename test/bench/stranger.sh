#!/usr/bin/env bash
# stranger.sh [SECONDS [ROUNDS [NICE]]] - what a training loses to programs that are none of its server's.
#
# Beside a busy loop on each processor, of priority NICE (0), a training at metasd.nice = 10 and one at metasd.nice = 0 whose
# workers get the same priority from outside, which makes them ordinary programs; in turns. Prints the
# epochs of each and what the first has of the second's.
set -eu
. "$(dirname "$0")/bench.sh"
seconds=${1:-20}
rounds=${2:-3}
start_server
ask() {
    "${psql[@]}" -A -t -c "$1"
}

loops=()
trap 'kill "${loops[@]}" 2>/dev/null || true; server "$work" -m immediate stop || true; rm -rf "$work"' EXIT
for _ in $(seq "$(nproc)"); do
    nice -n "${3:-0}" bash -c 'while :; do :; done' &
    loops+=($!)
done

# epochs_at NICE: of a training in $seconds seconds, once it has done one.
epochs_at() {
    local run pid begun
    run=$(ask "SET metasd.nice = $1; SELECT kg_train('bench', 'facts', params => '{\"rank\": 200, \"epochs\": 100000, \"warmup\": 0,
        \"reg\": 0.05, \"regularizer\": \"dura\", \"relation_weight\": 0, \"class_weights\": false}')")
    until [ "$(ask "SELECT phase = 'training' FROM metasd.run WHERE id = $run")" = t ]; do
        ask "SELECT pg_sleep(0.2)" >/dev/null
    done
    for pid in $(ask "SELECT pid FROM pg_stat_activity WHERE backend_type = 'metasd training'"); do
        renice -n 10 -p "$pid" >/dev/null
    done
    until [ "$(ask "SELECT count(*) > 0 FROM metasd.epoch WHERE run = $run")" = t ]; do
        ask "SELECT pg_sleep(0.2)" >/dev/null
    done
    begun=$(ask "SELECT count(*) FROM metasd.epoch WHERE run = $run")
    sleep "$seconds"
    ask "SELECT count(*) - $begun FROM metasd.epoch WHERE run = $run"
    ask "SELECT kg_cancel($run)" >/dev/null
    ask "CALL kg_wait($run)" >/dev/null 2>&1 || true
}

ask "SELECT setseed(0.5);
     CREATE TABLE facts AS SELECT DISTINCT 'e' || (130 * random())::int AS head, 'r' || (45 * random())::int AS relation,
                                  'e' || (130 * random())::int AS tail FROM generate_series(1, 5000); ANALYZE;" >/dev/null
for round in $(seq "$rounds"); do
    yielding=$(epochs_at 10)
    ordinary=$(epochs_at 0)
    echo "$yielding $ordinary" | awk -v round="$round" '{
        printf "round %d: %d epochs, %d as an ordinary program: %.0f %%\n", round, $1, $2, 100 * $1 / $2 }'
done
