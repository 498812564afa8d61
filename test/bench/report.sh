#!/usr/bin/env bash
# report.sh FOLDER [COLUMNS [PARAMS]] - how long kg_report takes, and how large its page is, on a throwaway server.
#
# Trains FOLDER (train.tsv, valid.tsv; COLUMNS as in bench.sh) with PARAMS (preset fast, rank 100), and asks for the
# page three times in one session: seconds, those of the processor beside them, and bytes, in all and compressed.
set -eu
. "$(dirname "$0")/bench.sh"
folder=$(folder_of "${1:-}")
start_server
psql+=(-A -t)
load_triples "$folder" "${2:-head,relation,tail}"
"${psql[@]}" -v params="${3:-{\"preset\": \"fast\", \"rank\": 100\}}" <<'SQL'
SET client_min_messages = warning;
SELECT kg_train('m', 'facts', validation => 'valid', params => :'params'::jsonb) AS run \gset
CALL kg_wait(:run);
SELECT entities || ' entities, ' || relations || ' relations, ' || triples || ' facts' FROM metasd.models;
SQL
page="SELECT kg_report('m')"
"${psql[@]}" -c 'SET client_min_messages = log' -c 'SET log_statement_stats = on' -o "$work/page.html" \
    -c "$page" -c "$page" -c "$page" 2>&1 >/dev/null |
    awk '/elapsed/ && !/SET/ { sub(/^.*!\t/, ""); print }' | tail -n 3
"${psql[@]}" -c "$page" >"$work/page.html"
echo "$(wc -c <"$work/page.html") bytes, $(gzip -9 <"$work/page.html" | wc -c) compressed," \
    "$(grep -o '<svg class="chart"' "$work/page.html" | wc -l) charts, $(grep -o 'class="mark ' "$work/page.html" | wc -l) marks"
[ -z "${METASD_PAGE_TO:-}" ] || cp "$work/page.html" "$METASD_PAGE_TO"
