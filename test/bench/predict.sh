#!/usr/bin/env bash
# predict.sh FOLDER [SECONDS [RANK...]] - what a prediction takes, from SQL, on a throwaway server.
#
# Trains FOLDER (train.tsv, valid.tsv, test.tsv) for an epoch on few negatives at each rank (600 and 1000),
# half pruned, which says nothing of quality but gives images as a trained model has them. Then asks for
# the best ten tails that are no known facts: in a session's first question, beside that of one that asks
# what PostgreSQL itself has; by queries of test.tsv at random, prepared, the image there, one client of
# pgbench for SECONDS (10), with median and 99th percentile of its latency and the processor time a
# question; the same image without SQL, beside a scan of its dense rows; and by 64 clients as long: answers
# a second, errors, and by how much the memory of all processes (Pss) grew meanwhile.
set -eu
. "$(dirname "$0")/bench.sh"
folder=$(folder_of "${1:-}")
seconds=${2:-10}
shift $(($# < 2 ? $# : 2))
start_server
psql+=(-A -t)
load_triples "$folder"
make -s build/bench/latency
"${psql[@]}" <<SQL
CREATE TABLE asked AS SELECT row_number() OVER () AS id, head, relation
                      FROM (SELECT DISTINCT head, relation FROM test) t;
ALTER TABLE asked ADD PRIMARY KEY (id);
ANALYZE;
SQL
count=$("${psql[@]}" -c 'SELECT count(*) FROM asked')
head=$("${psql[@]}" -c 'SELECT head FROM asked WHERE id = 1')
relation=$("${psql[@]}" -c 'SELECT relation FROM asked WHERE id = 1')

# total: kB of memory of the server's processes
total() {
    pgrep -P "$(head -n 1 "$work/data/postmaster.pid")" | sed 's|.*|/proc/&/smaps_rollup|' |
        xargs cat 2>/dev/null | awk '/^Pss:/ { n += $2 } END { print n + 0 }'
}

# first [SQL]: milliseconds of a session's first question
first() {
    "${psql[@]}" -c '\timing on' -c "${1:-SELECT FROM kg_predict('$head', '$relation', 10, 'm$rank')}" |
        awk '/^Time:/ { print $2 }'
}

# median of 21 lines
median() {
    sort -n | sed -n 11p
}

# ask CLIENTS: by pgbench; its report in $work/report
ask() {
    (cd "$work" && rm -f latency.* && "$bindir/pgbench" -n -M prepared -c "$1" -j 2 -T "$seconds" \
        -l --log-prefix=latency -f question.sql >report 2>&1)
}

for rank in "${@:-600}" $([ $# -gt 0 ] || echo 1000); do
    "${psql[@]}" -v name="m$rank" -v rank="$rank" <<'SQL'
SET client_min_messages = warning;
SELECT kg_train(:'name', 'facts', params => format('{"rank": %s, "sparsity": 0.5, "epochs": 1, "warmup": 0,
    "ramp": 0, "negatives": 200, "batch": 1000, "quiz": false, "mutual": false,
    "validation_fraction": 0, "patience": 0, "pruning": "aligned"}', :rank)::jsonb) AS run \gset
CALL kg_wait(:run);
SQL
    cat >"$work/question.sql" <<SQL
\\set i random(1, $count)
SELECT p.* FROM asked a, kg_predict(a.head, a.relation, 10, 'm$rank') p WHERE a.id = :i;
SQL
    rm -f "$work"/data/base/pgsql_tmp/pgsql_tmp_metasd_*
    echo "rank $rank:"
    echo "first question of a session, which builds the image: $(first) ms"
    echo "of 21 others, that find it there: median $(for i in $(seq 21); do first; done | median) ms; of 21" \
        "that ask pg_stats instead: $(for i in $(seq 21); do first "SELECT FROM pg_stats LIMIT 1"; done | median) ms"
    ask 1
    cat "$work"/latency.* | awk '{ print $3 }' | sort -n | awk '{ a[NR] = $1 } END {
        printf "one client: median %.3f ms, 99 %% within %.3f ms, %d questions\n",
            a[int((NR + 1) / 2)] / 1000, a[int(NR * 0.99)] / 1000, NR }'
    {
        echo "SET client_min_messages = warning;"
        echo "PREPARE q AS SELECT p.* FROM asked a, kg_predict(a.head, a.relation, 10, 'm$rank') p WHERE a.id = \$1;"
        for i in $(seq 1 3000); do
            # the first ones warm up; then the session says what processor time it has had, twice
            [ "$i" != 1001 ] && [ "$i" != 3000 ] ||
                echo "SELECT 'ns ' || split_part(pg_read_file('/proc/' || pg_backend_pid() || '/schedstat'), ' ', 1);"
            echo "EXECUTE q($((i * 7919 % count + 1)));"
        done
    } | "${psql[@]}" | awk '/^ns / {
        if (first)
            printf "processor: %.3f ms a question\n", ($2 - first) / 1999 / 1e6
        first = $2
    }'
    build/bench/latency "$(ls "$work"/data/base/pgsql_tmp/pgsql_tmp_metasd_*)"
    ask 64 &
    pid=$!
    # processes and their memory, every now and then; what counts is the most of it once all are there
    while kill -0 "$pid" 2>/dev/null; do
        echo "$(pgrep -c -P "$(head -n 1 "$work/data/postmaster.pid")") $(total)"
        sleep 0.5
    done >"$work/memory"
    wait "$pid"
    awk '/^tps/ || /failed/ || /ERROR|WARNING/' "$work/report"
    awk '$1 > most { most = $1; first = high = $2 } $1 == most && $2 > high { high = $2 } END {
        print "64 clients: memory from", first, "to", high, "kB at most" }' "$work/memory"
done
