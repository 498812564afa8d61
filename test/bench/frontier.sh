#!/usr/bin/env bash
# frontier.sh FOLDER [MINUTES [PARAMS [SEEDS [COLUMNS [RANKS]]]]] - is the default dominated by something simpler?
#
# Trains FOLDER through SQL, on a throwaway server, one training after the other: first the default, then
# dense rivals ("sparsity": 0, one model that learns alone, at a rate that falls from the start) of three
# ranks, for as long as the default took. MINUTES, unless it is 0, is the time of all of them: the default
# then gets as many epochs as take so long. A rival's number of epochs follows from a short training that is
# timed, and is at most 100. More win nothing, and would hide how soon it is there: dense UMLS of rank 75
# ended at .980, .980, .979, .977 and .977 after 30, 60, 100, 200 and 400 epochs (means of two seeds). A
# rival has the regulariser, the relation weight, the class weights, the batch and the storage that the
# default has chosen. RANKS are by default what needs half of the default's stored bytes, all of them and
# twice as many.
#
# PARAMS, a JSON object, is added to the default ('{"preset": "fast"}' asks the same of that preset). SEEDS
# (by default "1") are trained one by one, and figures are means over them. test/bench/bench.sh tells of
# FOLDER and COLUMNS. METASD_FRONTIER_WORKERS limits the workers of every training.
#
# Prints a Markdown table: test MRR of the stored model filtered by all three files, where an entity is no
# answer about itself if the relation is irreflexive, and without that rule; seconds of the training; stored
# bytes; and the median time of a question through SQL (ten tails that are no known facts, prepared, one
# client, the image there). A model is dominated by another that is worse in none of MRR, seconds and bytes
# and better in one: .002 of MRR, 5 % of the time and, for "better", 5 % of the bytes are a tie.
set -eu
. "$(dirname "$0")/bench.sh"
folder=$(folder_of "${1:-}")
minutes=${2:-0}
params=${3:-{\}}
read -r -a seeds <<<"${4:-1}"
columns=${5:-}
read -r -a ranks <<<"${6:-}"
most_epochs=100
start_server
psql+=(-A -t)
load_triples "$folder" "$columns"
"${psql[@]}" <<SQL
CREATE TABLE tested AS SELECT * FROM test UNION ALL SELECT * FROM valid WHERE NOT EXISTS (SELECT FROM test);
CREATE TABLE asked AS SELECT row_number() OVER () AS id, head, relation
                      FROM (SELECT DISTINCT head, relation FROM tested) t;
ALTER TABLE asked ADD PRIMARY KEY (id);
ANALYZE;
ALTER DATABASE postgres SET metasd.train_mem = 0;
ALTER DATABASE postgres SET metasd.nice = 0;
${METASD_FRONTIER_WORKERS:+ALTER DATABASE postgres SET metasd.max_workers = $METASD_FRONTIER_WORKERS;}
SQL
asked=$("${psql[@]}" -c 'SELECT count(*) FROM asked')

# ask_server [psql's arguments]: what a query says; where it fails, its messages, too.
ask_server() {
    "${psql[@]}" "$@" 2>"$work/messages" || { grep -v '^INFO:' "$work/messages" >&2; return 1; }
}

# number EXPRESSION: by awk.
number() {
    awk "BEGIN { printf \"%.10g\", ($1) }"
}

# train MODEL PARAMS SEED: trains it anew.
train() {
    ask_server -v model="$1" -v params="$2" -v seed="$3" <<'SQL'
SELECT FROM metasd.models m, kg_drop(m.name) WHERE m.name = :'model';
SELECT kg_train(:'model', 'facts', validation => 'valid',
                params => :'params'::jsonb || jsonb_build_object('seed', :seed)) AS run \gset
CALL kg_wait(:run);
SQL
}

# about MODEL EXPRESSION: of its version.
about() {
    ask_server -v model="$1" <<<"SELECT $2 FROM metasd.versions WHERE model = :'model'"
}

# time_epochs MODEL PARAMS EPOCHS: "seconds of an epoch" and "seconds besides", of a short training.
time_epochs() {
    train "$1" "$2" "${seeds[0]}"
    about "$1" "(SELECT sum(seconds) / count(*) FROM metasd.learning_curve c WHERE c.run = versions.run),
        seconds - (SELECT sum(seconds) FROM metasd.learning_curve c WHERE c.run = versions.run)" | tr '|' ' '
}

# epochs_in SECONDS EPOCH BESIDES: how many epochs fit, at least 1.
epochs_in() {
    number "int(($1 - $3) / $2 + 0.5) < 1 ? 1 : int(($1 - $3) / $2 + 0.5)"
}

# rival RANK EPOCHS: its parameters.
rival() {
    ask_server -v rank="$1" -v epochs="$2" <<'SQL'
SELECT jsonb_object_agg(key, value) || jsonb_build_object('rank', :rank, 'sparsity', 0, 'epochs', :epochs,
           'warmup', 0, 'ramp', 0, 'finetune', :epochs, 'mutual', false, 'quiz', false)
       || CASE WHEN entities <= 50000 THEN '{"negatives": 0}' ELSE '{}' END::jsonb
FROM metasd.versions, jsonb_each(params)
WHERE model = 'default' AND key IN ('reg', 'regularizer', 'relation_weight', 'class_weights', 'batch', 'storage',
                                    'negatives', 'family', 'lr')
GROUP BY entities;
SQL
}

# allow_loops MODEL: from now on its answers are without the rule on irreflexive relations.
allow_loops() {
    about "$1" run | sed 's/.*/UPDATE metasd.relation SET irreflexive = false WHERE run = &/' | ask_server
    rm -f "$work"/data/base/pgsql_tmp/pgsql_tmp_metasd_*
}

# latency MODEL: the median time of a question, in ms.
latency() {
    cat >"$work/question.sql" <<SQL
\\set i random(1, $asked)
SELECT p.* FROM asked a, kg_predict(a.head, a.relation, 10, '$1') p WHERE a.id = :i;
SQL
    (
        cd "$work"
        rm -f latency.*
        if ! "$bindir/pgbench" -n -M prepared -c 1 -T 5 -l --log-prefix=latency -f question.sql >report 2>&1; then
            cat report >&2
            exit 1
        fi
        cat latency.* | awk '{ print $3 }' | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] / 1000 }'
    )
}

# measure MODEL SEED: "name|rank|sparsity|epochs|mrr|mrr with loops|seconds|bytes|ms", to $work/figures.
measure() {
    local mrr="SELECT mrr FROM kg_evaluate('$1', 'tested', filters => '{valid,test}')" figures
    figures="$(about "$1" "params ->> 'rank', params ->> 'sparsity', params ->> 'epochs'")"
    figures+="|$(ask_server -c "$mrr")|$(latency "$1")|$(about "$1" 'seconds, bytes')"
    allow_loops "$1"
    figures+="|$(ask_server -c "$mrr")"
    echo "$1|$figures" | awk -F '|' -v OFS='|' '{ print $1, $2, $3, $4, $5, $9, $7, $8, $6 }' >>"$work/figures"
    tail -n 1 "$work/figures" | sed "s/^/seed $2: /" >&2
}

# mean MODEL COLUMN: over the seeds.
mean() {
    awk -F '|' -v name="$1" -v column="$2" '$1 == name { sum += $column; n++ } END { printf "%.10g", sum / n }' \
        "$work/figures"
}

if [ "$(number "$minutes > 0")" = 1 ]; then
    # A fifth of the epochs, in the same parts.
    some=$(ask_server -v params="$params" <<<"SELECT ceil(epochs / 5.0) FROM kg_estimate('facts', params => :'params')")
    times=$(time_epochs default "$(ask_server -v params="$params" -v some="$some" \
        <<<"SELECT :'params'::jsonb || jsonb_build_object('epochs', :some)")")
    # shellcheck disable=SC2086
    epochs=$(epochs_in "$(number "60 * $minutes")" $times)
    params=$(ask_server -v params="$params" -v epochs="$epochs" \
        <<<"SELECT :'params'::jsonb || jsonb_build_object('epochs', :epochs)")
fi
for seed in "${seeds[@]}"; do
    train default "$params" "$seed"
    measure default "$seed"
done
seconds=$(mean default 7)
[ "$(number "$minutes > 0")" = 0 ] || seconds=$(number "60 * $minutes")
bytes=$(mean default 8)

if [ ${#ranks[@]} -eq 0 ]; then
    # Bytes are nearly in proportion to the rank: those of a trial tell which rank needs as many.
    trial=$(about default "ceil((params ->> 'rank')::float8 * (1 - (params ->> 'sparsity')::float8))")
    train trial "$(rival "$trial" 2)" "${seeds[0]}"
    each=$(number "$(about trial bytes) / $trial")
    for part in 0.5 1 2; do
        ranks+=("$(number "int($part * $bytes / $each) < 1 ? 1 : int($part * $bytes / $each)")")
    done
fi
for rank in "${ranks[@]}"; do
    some=2
    read -r each besides <<<"$(time_epochs trial "$(rival "$rank" $some)")"
    # A short time is measured again, with epochs that take about two seconds.
    [ "$(number "$each < 0.5")" = 0 ] || some=$(number "int(2 / $each) + 1 < $most_epochs ? int(2 / $each) + 1 : $most_epochs")
    [ "$some" -eq 2 ] || read -r each besides <<<"$(time_epochs trial "$(rival "$rank" "$some")")"
    epochs=$(epochs_in "$seconds" "$each" "$besides")
    [ "$epochs" -le "$most_epochs" ] || epochs=$most_epochs
    for seed in "${seeds[@]}"; do
        train "dense_$rank" "$(rival "$rank" "$epochs")" "$seed"
        measure "dense_$rank" "$seed"
    done
done

echo '| model | rank | sparsity | epochs | MRR | MRR, loops allowed | s | stored bytes | p50, ms | dominated by |'
echo '|---|---|---|---|---|---|---|---|---|---|'
awk -F '|' '
    !($1 in n) { order[++models] = $1 }
    {
        n[$1]++
        for (i = 2; i <= 9; i++)
            sum[$1, i] += $i
    }
    function of(m, i) { return sum[m, i] / n[m] }
    function dominates(a, b) {
        return of(a, 5) >= of(b, 5) - 0.002 && of(a, 7) <= 1.05 * of(b, 7) && of(a, 8) <= of(b, 8) &&
               (of(a, 5) > of(b, 5) + 0.002 || 1.05 * of(a, 7) < of(b, 7) || 1.05 * of(a, 8) < of(b, 8))
    }
    END {
        for (i = 1; i <= models; i++) {
            m = order[i]
            by = ""
            for (j = 1; j <= models; j++)
                if (j != i && dominates(order[j], m))
                    by = by (by == "" ? "" : ", ") order[j]
            printf "| %s | %d | %g | %d | %.4f | %.4f | %.1f | %d | %.3f | %s |\n", m, of(m, 2), of(m, 3), of(m, 4),
                of(m, 5), of(m, 6), of(m, 7), of(m, 8), of(m, 9), by == "" ? "none" : by
        }
    }' "$work/figures"
