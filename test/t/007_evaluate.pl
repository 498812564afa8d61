# Ranking by a parallel query gives the figures of a serial one, on a standby too, and can be cancelled.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('evaluate', streaming => 1, max_worker_processes => 16, max_parallel_workers => 8);

train($node, 'm', $QUICK);
$node->safe_psql('postgres', q{
	CREATE TABLE asked AS SELECT 'e' || i % 70 AS head, 'r' || i % 4 AS relation, 'e' || (i * 7) % 67 AS tail
	FROM generate_series(1, 3000) i;
	CREATE VIEW viewed AS TABLE facts;
	GRANT SELECT ON facts, asked TO PUBLIC;
	CREATE ROLE reader LOGIN});
my $run = $node->safe_psql('postgres', qq{SELECT kg_train('v', 'viewed', params => '$QUICK')});
$node->safe_psql('postgres', "CALL kg_wait($run)");

# What kg_evaluate says, and how many workers its query had: auto_explain tells.
sub evaluate
{
	my ($settings, $by, $model, $server) = @_;
	my ($out, $err);

	($server || $node)->psql('postgres', qq{
		LOAD 'auto_explain';
		SET auto_explain.log_min_duration = 0;
		SET auto_explain.log_nested_statements = on;
		SET auto_explain.log_analyze = on;
		SET client_min_messages = log;
		$settings;
		SELECT bucket, triples, unseen, round(mrr::numeric, 9), round(mrr_pessimistic::numeric, 9), hits_1, hits_3,
			   hits_10, round(mean_rank::numeric, 9), round(amri::numeric, 9)
		FROM kg_evaluate('$model', 'asked', $by)}, stdout => \$out, stderr => \$err);
	my $workers = 0;
	$workers += $1 while $err =~ /Workers Launched: (\d+)/g;
	my ($ranked) = $err =~ /(Parallel Append\b[^\n]*\n(?:[^\n]*\n){1,3}[^\n]*ProjectSet)/;
	return ($out, $workers, $ranked ? 1 : 0);
}

my $serial = 'SET max_parallel_workers_per_gather = 0';
my $parallel = 'SET max_parallel_workers_per_gather = 3; SET parallel_setup_cost = 0; SET min_parallel_table_scan_size = 0';
for my $by ('NULL', q{'side'}, q{'relation'}, q{'frequency'}, q{'degree'})
{
	my ($figures, $none) = evaluate($serial, $by, 'm');
	my ($others, $workers, $shared) = evaluate($parallel, $by, 'm');

	like($figures, qr/\|/, "by $by: there are figures");
	is($none, 0, 'of one process');
	cmp_ok($workers, '>', 0, 'workers take part where they may');
	ok($shared, 'in the ranking');
	is($others, $figures, 'with the same figures');
}

# Who may ask can do so with workers; a source that is read as the owner leaves it to one process.
my ($figures) = evaluate($serial, 'NULL', 'm');
my ($others, $workers, $shared) = evaluate("$parallel; SET SESSION AUTHORIZATION reader", 'NULL', 'm');
ok($shared, 'workers rank for a role that may ask');
is($others, $figures, 'with the same figures');
($others, $workers, $shared) = evaluate($parallel, 'NULL', 'v');
ok(!$shared, 'not where the source is a view');
($figures) = evaluate($serial, 'NULL', 'v');
is($others, $figures, 'and the same figures');

# A small one is not worth workers.
($others, $workers) = evaluate('SET max_parallel_workers_per_gather = 3; SET parallel_setup_cost = 1e9', 'NULL', 'm');
is($workers, 0, 'no workers where they are dear');

# A standby answers the same, in parallel too.
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('evaluate_standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
($figures) = evaluate($serial, q{'degree'}, 'm');
($others, $workers) = evaluate($parallel, q{'degree'}, 'm', $standby);
cmp_ok($workers, '>', 0, 'a standby has workers');
is($others, $figures, 'and the same figures');
$standby->stop;

# Interrupts are served while it ranks.
$node->safe_psql('postgres', q{
	CREATE TABLE many AS SELECT 'e' || i % 60 AS head, 'x' || i AS relation, 'e' || i % 59 AS tail
	FROM generate_series(1, 1000000) i});
for my $settings ($serial, $parallel)
{
	psql_fails($node, "$settings; SET statement_timeout = '300ms'; SELECT * FROM kg_evaluate('m', 'many')",
		qr/canceling statement due to statement timeout/, 'it can be cancelled');
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'}),
	'0', 'and leaves no worker');

$node->stop;
done_testing();
