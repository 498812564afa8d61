#!/usr/bin/env bash
# many.sh FOLDER [RANK [COLUMNS]] - kg_predict_many of all test triples, both sides, on a throwaway server.
#
# test/bench/bench.sh tells of FOLDER, which has a test.tsv too, and COLUMNS. The model is trained for
# one epoch: as large as any other of that rank (by default 200), and as fast to ask. Prints the
# processor's time and the clock's, in seconds, of both batches, and of a join of 2,000 questions beside them.
set -eu
. "$(dirname "$0")/bench.sh"
folder=$(folder_of "${1:-}")
rank=${2:-200}
start_server
load_triples "$folder" "${3:-}"
"${psql[@]}" -v params="{\"epochs\": 1, \"warmup\": 0, \"finish\": 0, \"negatives\": 500, \"rank\": $rank}" <<'SQL' 2>&1 |
SET metasd.train_mem = 0;
SET metasd.nice = 0;
SET client_min_messages = warning;
SELECT kg_train('bench', 'facts', validation => 'valid', params => :'params'::jsonb) AS run \gset
CALL kg_wait(:run);
CREATE TABLE some AS SELECT * FROM test LIMIT 2000;
SELECT count(*) FROM kg_predict_many('some', 10);
SET client_min_messages = log;
SET log_statement_stats = on;
SELECT count(*) AS "answers, all tails" FROM kg_predict_many('test', 10);
SELECT count(*) AS "answers, all heads" FROM kg_predict_many('test', 10, side => 'head');
SELECT count(*) AS "answers, some tails" FROM kg_predict_many('some', 10);
SELECT count(*) AS "answers, some tails, join" FROM some q, kg_predict(q.head, q.relation, 10) p;
SQL
    awk '/answers/ { name = $0; gsub(/^ *| *$/, "", name) }
        / elapsed/ { cpu = $2 + $5; clock = $8 }
        /^ *[0-9]+$/ && name { printf "%s: %d, processor %.2f s, clock %.2f s\n", name, $1, cpu, clock; name = "" }'
