#!/usr/bin/env bash
# ablation.sh FOLDER RARE [PARAMS [SEEDS [COLUMNS]]] - what each part of the method is worth.
#
# Trains a folder of triples through SQL once with everything and once without each part, for every seed
# (by default "1"), and prints a Markdown table: validation and test MRR of the pruned model as stored,
# filtered by all triples, as means over seeds; test MRR of the long tail, the triples whose relation
# occurs less than RARE times in training; and seconds of a training. PARAMS, a JSON object, says what
# trainings have in common; test/bench/bench.sh tells of FOLDER and COLUMNS.
set -eu
. "$(dirname "$0")/bench.sh"
folder=$(folder_of "${1:-}")
rare=${2:?}
params=${3:-{\}}
seeds=${4:-1}
start_server
load_triples "$folder" "${5:-}"

# try NAME PARAMS: a line of the table.
try() {
    local seed
    for seed in $seeds; do
        "${psql[@]}" -A -t -v params="$params" -v own="$2" -v seed="$seed" -v rare="$rare" <<'SQL'
SET client_min_messages = error;
SET metasd.train_mem = 0;
SET metasd.nice = 0;
SELECT kg_train('bench', 'facts', validation => 'valid',
                params => :'params'::jsonb || :'own'::jsonb || jsonb_build_object('seed', :seed)) AS run \gset
CALL kg_wait(:run);
SELECT (SELECT mrr FROM kg_evaluate('bench', 'valid', filters => '{test}')),
       (SELECT mrr FROM kg_evaluate('bench', 'test')),
       (SELECT sum(mrr * triples) / sum(triples) FROM kg_evaluate('bench', 'test', by => 'frequency')
        WHERE substring(bucket FROM '[0-9]+')::bigint < :rare),
       (SELECT seconds FROM metasd.versions WHERE run = :run);
SELECT kg_drop('bench');
SQL
    done | awk -F '|' -v name="$1" 'NF == 4 { for (i = 1; i <= 4; i++) sum[i] += $i; n++ }
        END { printf "| %s | %.4f | %.4f | %.4f | %.0f |\n", name, sum[1] / n, sum[2] / n, sum[3] / n, sum[4] / n }'
}

echo "| | validation MRR | test MRR | test MRR, relations in fewer than $rare triples | s |"
echo '|---|---|---|---|---|'
all='"mutual": true, "quiz": true, "relation_weight": 0.5'
try everything "{$all}"
try 'without the quiz' "{$all, \"quiz\": false}"
try 'without mutual learning' "{$all, \"mutual\": false}"
try 'without the relation loss' "{$all, \"relation_weight\": 0}"
try 'no distillation: pruned, then trained alone' "{$all, \"quiz\": false, \"mutual\": false}"
try 'no distillation: pruned at the end' "{$all, \"quiz\": false, \"mutual\": false, \"ramp\": 0, \"finetune\": 0}"
try 'as published: one magnitude, no training alone' "{$all, \"pruning\": \"magnitude\", \"finetune\": 0}"
try defaults '{}'
