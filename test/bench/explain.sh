#!/usr/bin/env bash
# explain.sh FOLDER [COLUMNS [PARAMS]] - whether explanations name what an answer depends on, from SQL.
#
# test/bench/bench.sh tells of FOLDER and COLUMNS; PARAMS is a JSON object for kg_train. Trains the
# folder, and takes 200 test triples whose tails rank first. Then takes the first 1, and the first 4, facts
# of each of their explanations out of the source, trains again with the same seed and parameters, and
# prints by how much the filtered MRR of these 200 tails falls: beside as many facts of the same entities at
# random, and as many facts of any entities: so much is lost by any new training. It prints also what an
# explanation takes, and what the facts are.
set -eu
. "$(dirname "$0")/bench.sh"
folder=$(folder_of "${1:-}")
params=${3:-{\}}
start_server
psql+=(-A -t -F ' ')
load_triples "$folder" "${2:-}"

# train MODEL RELATION PARAMS: PARAMS is an SQL expression; what kg_wait tells is shown if it fails
train() {
    "${psql[@]}" 2>"$work/told" <<SQL || { cat "$work/told" >&2 && return 1; }
SET client_min_messages = warning;
SET metasd.train_mem = 0;
SELECT kg_train('$1', '$2', validation => 'valid', params => $3) AS run \gset
CALL kg_wait(:run);
SQL
}

# mrr MODEL: of the tails asked
mrr() {
    "${psql[@]}" -c "SELECT mrr FROM kg_evaluate('$1', 'asked', by => 'side', filters => '{facts,valid,test}')
                     WHERE bucket = 'tail'"
}

train base facts "'{\"seed\": 1}'::jsonb || '$params'"
"${psql[@]}" <<'SQL'
SET client_min_messages = warning;
CREATE TABLE chosen AS
    SELECT row_number() OVER (ORDER BY md5(t::text)) AS id, t.*
    FROM test t, kg_rank(t.head, t.relation, t.tail, 'base') r WHERE r.rank = 1
    ORDER BY md5(t::text) LIMIT 200;
CREATE TABLE asked AS SELECT head, relation, tail FROM chosen;
ANALYZE chosen;
CREATE TABLE took (ms float8);
DO $$
DECLARE
    c chosen;
    start timestamptz;
BEGIN
    FOR c IN SELECT * FROM chosen ORDER BY id LOOP
        start := clock_timestamp();
        PERFORM count(*) FROM kg_explain(c.head, c.relation, c.tail, 10, 'base');
        INSERT INTO took SELECT 1000 * extract(epoch FROM clock_timestamp() - start);
    END LOOP;
END $$;
SELECT format('%s triples ranked first; an explanation takes %s ms (median), %s ms (99 %%)', count(*),
              round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 2),
              round(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)::numeric, 2)) FROM took;
CREATE TABLE explained AS
    SELECT c.id, e.rank AS n, e.kind, e.head, e.relation, e.tail
    FROM chosen c, kg_explain(c.head, c.relation, c.tail, 4, 'base') e WHERE e.share > 0;
CREATE TABLE random AS
    SELECT c.id, f.n, f.head, f.relation, f.tail
    FROM chosen c, LATERAL (
        SELECT f.*, row_number() OVER (ORDER BY md5(f::text || c.id)) AS n FROM facts f
        WHERE (c.head IN (f.head, f.tail) OR c.tail IN (f.head, f.tail))
          AND (f.head, f.relation, f.tail) <> (c.head, c.relation, c.tail)) f
    WHERE EXISTS (SELECT FROM explained e WHERE e.id = c.id AND e.n = f.n);
CREATE TABLE anywhere AS
    SELECT r.n, f.head, f.relation, f.tail
    FROM (SELECT *, row_number() OVER (ORDER BY n, id) AS place FROM random) r
    JOIN (SELECT *, row_number() OVER (ORDER BY md5(facts::text)) AS place FROM facts) f USING (place);
SELECT format('first facts: %s', string_agg(kind || ' ' || count, ', ' ORDER BY kind))
FROM (SELECT kind, count(*) FROM explained GROUP BY 1) k;
SQL

base=$(mrr base)
for most in 1 4; do
    falls=
    for what in explained random anywhere; do
        "${psql[@]}" -c "CREATE TABLE less_$what$most AS SELECT * FROM facts f
            WHERE NOT EXISTS (SELECT FROM $what w WHERE w.n <= $most
                              AND (w.head, w.relation, w.tail) = (f.head, f.relation, f.tail))"
        train "$what$most" "less_$what$most" "(SELECT params FROM metasd.versions WHERE model = 'base')"
        falls="$falls $(mrr "$what$most") $("${psql[@]}" -c "SELECT (SELECT count(*) FROM facts) - (SELECT count(*) FROM less_$what$most)")"
    done
    echo "$most $base$falls" | awk '{
        e = $2 - $3
        r = $2 - $5
        times = (r > 0 ? sprintf("%.1f", e / r) : "infinitely many")
        printf "first %d: MRR falls from %.3f by %.3f (%d facts), at random by %.3f (%d facts): %s times; ",
            $1, $2, e, $4, r, $6, times
        printf "by %.3f (%d facts) of any entities\n", $2 - $7, $8 }'
done
