# Memory of a session does not grow with the number of calls, in one statement or in many: of every function that a select
# list may call for every row of a table.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

# Bytes a call; what is kept once shows as a part of one.
my $BAR = 8;

# The server keeps the names of what a parallel query's workers run until the transaction ends.
my $node = new_node('growth', max_parallel_workers_per_gather => 0);
my $params = $QUICK =~ s/"rank": 64/"rank": 16/r;

$node->safe_psql('postgres', q{
	CREATE TABLE numbers AS SELECT substr(head, 2)::int AS head, substr(relation, 2)::int AS relation, substr(tail, 2)::int AS tail FROM facts;
	CREATE INDEX ON numbers (head, relation);
	CREATE INDEX ON numbers (tail, relation);
	CREATE TABLE questions AS SELECT 'e' || i AS head, 'r1' AS relation FROM generate_series(1, 3) i;
	CREATE TABLE a_few AS SELECT 'e' || i AS entity FROM generate_series(1, 9) i;

	CREATE FUNCTION used() RETURNS bigint LANGUAGE sql AS
		'SELECT sum(used_bytes)::bigint FROM pg_backend_memory_contexts';

	-- Bytes a call of a query's rows, after as many, at most a thousand. To measure takes memory, too, the first time.
	CREATE FUNCTION growth(query text, calls integer) RETURNS float8 LANGUAGE plpgsql AS $$
	DECLARE
		rows refcursor;
		n integer;
		mark bigint[];
	BEGIN
		OPEN rows NO SCROLL FOR EXECUTE query;
		FOREACH n IN ARRAY ARRAY[least(1000, calls), 1, calls] LOOP
			MOVE FORWARD n FROM rows;
			mark := mark || used();
		END LOOP;
		CLOSE rows;
		RETURN round((mark[3] - mark[2])::numeric / calls, 1);
	END $$;

	-- The same of statements.
	CREATE FUNCTION growth_of_statements(query text, calls integer) RETURNS float8 LANGUAGE plpgsql AS $$
	DECLARE
		n integer;
		mark bigint[];
	BEGIN
		FOREACH n IN ARRAY ARRAY[20, 1, calls] LOOP
			FOR i IN 1 .. n LOOP
				EXECUTE query USING i;
			END LOOP;
			mark := mark || used();
		END LOOP;
		RETURN round((mark[3] - mark[2])::numeric / calls, 1);
	END $$});
$node->safe_psql('postgres', "SELECT kg_train('$_', 'facts', params => '$params') AS run \\gset\nCALL kg_wait(:run)")
  for 'm', 'm0' .. 'm5';
$node->safe_psql('postgres', "SELECT kg_train('n', 'numbers', params => '$params') AS run \\gset\nCALL kg_wait(:run)");

# What is called, for row i, and how often: 200,000 times and more in all, the cheap ones most.
my @calls = (
	[ q{kg_score('e' || i % 59, 'r1', 'e2', 'm')}, 100000 ],
	[ q{kg_score(i % 59, 'r1'::text, 2, 'n')}, 5000 ],
	[ q{kg_score(i % 59, 1, '2', 'n')}, 5000 ],
	[ q{kg_score(i % 59, 1, 2, 'n')}, 20000 ],
	[ q{kg_score('nobody' || i, 'r1', 'e2', 'm')}, 5000 ],
	[ q{kg_score('e' || i % 59, 'r1', 'e2', 'm' || i % 6)}, 5000 ],
	[ q{kg_rank('e' || i % 59, 'r1', 'e2', 'm')}, 3000 ],
	[ q{kg_rank(i % 59, '1', 2, 'n')}, 3000 ],
	[ q{kg_rank('1', i % 3, '2', 'n')}, 3000 ],
	[ q{kg_rank(i % 59, i % 3, 2, 'n')}, 3000 ],
	[ q{kg_explain('e' || i % 59, 'r1', 'e2', 3, 'm')}, 3000 ],
	[ q{kg_explain(i % 59, i % 3, 2, 3, 'n')}, 3000 ],
	[ q{kg_explain('e' || i % 59, 'r1', 'e2', 3, 'm' || i % 6)}, 3000 ],
	[ q{kg_predict('e' || i % 59, 'r1', 1, 'm')}, 5000 ],
	[ q{kg_predict('e' || i % 59, 'r1', 1, 'm', 'mark')}, 3000 ],
	[ q{kg_predict(i % 59, 1, 1, 'n')}, 5000 ],
	[ q{(SELECT count(*) FROM kg_predict('nobody' || i, 'r1', 1, 'm'))}, 3000 ],
	[ q{kg_predict('e' || i % 59, 'r1', 1, 'm', candidate_ids => ARRAY['e' || i % 7, 'e' || i % 11, 'e12'])}, 3000 ],
	[ q{kg_predict('e' || i % 59, 'r1', 1, 'm', candidates => (CASE i % 2 WHEN 0 THEN 'a_few' ELSE 'facts' END)::regclass)}, 2000 ],
	[ q{kg_predict('e' || i % 59, 'r1', 1, 'm' || i % 6, min_probability => 0.01)}, 3000 ],
	[ q{kg_predict_heads('r1', 'e' || i % 59, 1, 'm')}, 5000 ],
	[ q{kg_predict_heads(1, i % 59, 1, 'n')}, 5000 ],
	[ q{kg_predict_relations('e' || i % 59, 'e5', 1, 'm')}, 5000 ],
	[ q{kg_predict_relations(i % 59, 5, 1, 'n')}, 5000 ],
	[ q{kg_predict_many(ARRAY['e1', 'e' || i % 59], ARRAY['r1'], 1, 'm')}, 2000 ],
	[ q{kg_predict_many(ARRAY[1, i % 59], ARRAY[1], 1, 'n', side => 'head')}, 2000 ],
	[ q{kg_predict_many('questions', 1, 'm')}, 2000 ],
	[ q{kg_predict_many('questions', 1, identifiers => NULL::varchar, model => 'm')}, 2000 ],
	[ q{kg_similar('e' || i % 59, 1, 'm')}, 5000 ],
	[ q{kg_similar(i % 59, 1, 'n')}, 5000 ],
	[ q{kg_embedding('e' || i % 59, 'm')}, 10000 ],
	[ q{kg_embedding_sparse('e' || i % 59, 'm')}, 10000 ],
	[ q{kg_relation_embedding('r1', 'm', i % 2 = 0)}, 10000 ],
	[ q{kg_entity_embeddings('m')}, 3000 ],
	[ q{kg_relation_embeddings('m')}, 3000 ],
	[ q{metasd.entity_number('m', 'e' || i % 99)}, 10000 ],
	[ q{metasd.relation_number('m' || i % 6, 'r' || i % 9)}, 3000 ],
	[ q{metasd.occurrences('m', i % 2 = 0, i % 3)}, 10000 ],
	[ q{metasd.rank_answers('m', 'tail', i % 59, 1, ARRAY[1, 2, i % 59]::bigint[], ARRAY[3]::bigint[])}, 3000 ],
	[ q{metasd.run_status(1, CASE i % 2 WHEN 0 THEN 'running' ELSE 'succeeded' END)}, 10000 ],
	[ q{metasd.may_ask(metasd.role_ref(10), metasd.relation_ref('facts'::regclass), 'head', 'relation', 'tail')}, 10000 ],
	[ q{metasd.role_ref(10)}, 10000 ],
	[ q{metasd.relation_ref('facts'::regclass)}, 10000 ],
	[ q{metasd.oid_of(CASE i % 2 WHEN 0 THEN 'facts' ELSE '-facts' END::metasd.relation_ref)}, 10000 ],
	[ q{kg_estimate('facts')}, 200 ],
	[ q{kg_evaluate('m', 'questions_and_answers')}, 60 ],
	[ q{kg_discover('m', 1, head => 'e' || i % 59)}, 60 ],
	[ q{kg_discover('m', 1, relation => 'r' || i % 3, subjects => 'like')}, 60 ],
	[ q{kg_suspects('m', 3)}, 60 ],
	[ q{kg_report('m')}, 20 ],
	[ q{metasd.discoveries('m', 1, NULL, 'e' || i % 59, NULL, NULL, NULL, 'known')}, 60 ],
	[ q{metasd.suspects('m', 3, NULL)}, 60 ],
	[ q{metasd.reasons('e' || i % 59, 'r1', 'e2', 3, 'm')}, 3000 ],
	[ q{metasd.answers(ARRAY['e' || i % 59], ARRAY['r1'], 2, 'm', 'exclude', 'tail', NULL, NULL, NULL)}, 3000 ],
);
$node->safe_psql('postgres', q{CREATE TABLE questions_and_answers AS SELECT * FROM facts LIMIT 3});

my $calls = 0;
for my $call (@calls)
{
	my ($what, $times) = @$call;
	my $quoted = "\$q\$SELECT $what FROM generate_series(1, 10000000) g (i)\$q\$";
	my $growth = $node->safe_psql('postgres', "SET client_min_messages = error; SELECT growth($quoted, $times)");

	ok($growth < $BAR, "$what: $growth bytes a call");
	$calls += $times;
}
cmp_ok($calls, '>=', 200_000, 'calls');

# From a lateral join, too, where the executor takes the rows itself.
for my $what ("kg_predict('e' || i % 59, 'r1', 2, 'm')", "kg_rank('e' || i % 59, 'r1', 'e2', 'm')", 'kg_similar(i % 59, 2, \'n\')')
{
	my $growth = $node->safe_psql('postgres',
		"SELECT growth(\$q\$SELECT p.* FROM generate_series(1, 1000000) g (i), LATERAL $what p\$q\$, 3000)");

	ok($growth < $BAR, "LATERAL $what: $growth bytes a row");
}

# Statements: what a session keeps of a model, a plan or an image is bounded.
for my $what (
	q{SELECT kg_score('e' || $1 % 59, 'r1', 'e2', 'm' || $1 % 6)},
	q{SELECT count(*) FROM kg_predict('e' || $1 % 59, 'r1', 2, 'm' || $1 % 6)},
	q{SELECT count(*) FROM kg_predict_heads('r1', 'e' || $1 % 59, 2, 'm' || $1 % 6, candidates => 'a_few')},
	q{SELECT count(*) FROM kg_predict_many('questions', 2, 'm' || $1 % 6)},
	q{SELECT count(*) FROM kg_evaluate('m', 'questions_and_answers') WHERE $1 > 0},
	q{SELECT count(*) FROM kg_estimate('facts') WHERE $1 > 0},
	q{SELECT count(*) FROM metasd.models WHERE $1 > 0},
	q{SELECT kg_promote('m', (SELECT serving FROM metasd.models WHERE name = 'm')) WHERE $1 > 0})
{
	my $growth = $node->safe_psql('postgres', "SET client_min_messages = error; SELECT growth_of_statements(\$q\$$what\$q\$, 150)");

	ok($growth < 4 * $BAR, "$what: $growth bytes a statement");
}

# Those that are not measured are no functions of a row: they start something, or are the planner's.
my @left = grep { my $name = $_ =~ s/\(.*//sr; !grep { $_->[0] =~ /^\Q$name\E\(/ } @calls } split /\n/, $node->safe_psql('postgres', q{
	SELECT DISTINCT CASE pronamespace WHEN 'metasd'::regnamespace THEN 'metasd.' ELSE '' END || proname FROM pg_proc p
	JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'metasd'
	WHERE p.prokind = 'f' AND proname !~
		'^(kg_(train|import|cancel|resume|drop|promote|rollback|schedule|unschedule|owner)|train_scheduled|(role|relation)_ref_(in|out|recv|send)|predict_support|predict_many_support)$'});
is("@left", '', 'all functions that a row may call are measured');

$node->stop;
done_testing();
