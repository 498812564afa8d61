# kg_discover finds the same with and without parallel workers, on a standby too; it can be cancelled, leaves nothing
# behind, tells its progress, and outlives a worker that is killed.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use MetasdTest;

my $node = new_node('discover', streaming => 1, max_worker_processes => 16, max_parallel_workers => 8);

train($node, 'm', $QUICK);
my $run = $node->safe_psql('postgres', qq{SELECT kg_train('large', 'slow', params => '$MEDIUM')});
$node->safe_psql('postgres', "CALL kg_wait($run)");

my $serial = 'SET max_parallel_workers_per_gather = 0';
my $parallel = 'SET max_parallel_workers_per_gather = 3; SET parallel_setup_cost = 0; SET cpu_operator_cost = 1';
my $all = "SELECT * FROM kg_discover('large', 100000000, subjects => 'all')"; # takes many seconds
my $roomy = "SET work_mem = '2GB'";

# What a call finds, and how many workers took part: each writes a file of its triples in each pass.
sub discover
{
	my ($settings, $call, $server) = @_;
	my ($out, $err);

	($server || $node)->psql('postgres', "SET log_temp_files = 0; SET client_min_messages = log; $settings; SELECT * FROM $call",
		stdout => \$out, stderr => \$err);
	my %files = map { $_ => 1 } $err =~ /(best\.\d+\.\d+)/g;
	return ($out, scalar keys %files);
}

for my $call ("kg_discover('m', 50)", "kg_discover('large', 300)", "kg_discover('large', 300, relation => 'r3')",
	"kg_discover('large', 20, head => 'e5')", "kg_discover('large', 20, tail => 'e5', subjects => 'like')",
	"kg_discover('large', 20, min_probability => 0.01)")
{
	my ($found, $none) = discover($serial, $call);
	my ($others, $workers) = discover($parallel, $call);

	like($found, qr/^1\|e\d+\|r\d/, "$call finds something");
	is($none, 0, 'alone');
	cmp_ok($workers, '>', 0, 'workers take part where they may');
	is($others, $found, 'and the same is found');
}
my (undef, $dear) = discover('SET max_parallel_workers_per_gather = 3; SET parallel_setup_cost = 1e12', "kg_discover('large', 300)");
is($dear, 0, 'no workers where they are dear');
my ($found) = discover($serial, "kg_discover('large', 300)");
my ($few) = discover("$parallel; SET max_parallel_workers = 1", "kg_discover('large', 300)");
is($few, $found, 'the same with fewer workers than wanted');

# A standby.
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('discover_standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
my ($there, $workers) = discover($parallel, "kg_discover('large', 300)", $standby);
cmp_ok($workers, '>', 0, 'a standby has workers');
is($there, $found, 'and finds the same');
($there) = discover($serial, "kg_discover('large', 300)", $standby);
is($there, $found, 'alone, too');
$standby->stop;

# Interrupts are served; nothing is left behind.
for my $settings ($serial, $parallel)
{
	my $before = time;

	psql_fails($node, "$roomy; $settings; SET statement_timeout = '1s'; $all",
		qr/canceling statement due to statement timeout/, 'it can be cancelled');
	cmp_ok(time - $before, '<', 10, 'soon');
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'}),
	'0', 'no worker is left');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_ls_tmpdir() WHERE name !~ 'metasd'}), '0', 'and no file');

# Progress, every five seconds.
my ($rc, $out, $err) = $node->psql('postgres', "$roomy; $serial; SET statement_timeout = '60s'; SELECT count(*) FROM ($all) d");
SKIP:
{
	skip 'all questions were asked before a NOTICE was due', 1 if $rc == 0 && $err eq '';
	like($err, qr/NOTICE:  \d+ of \d+ questions have been asked$/m, 'a NOTICE tells progress');
}

# A worker that ends ends the statement with an error.
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_until(qr/started/, "$roomy; $parallel;\n\\echo started\n$all;\n");
my $killed = $node->poll_query_until('postgres', q{
	SELECT coalesce(bool_or(pg_terminate_backend(pid)), false) FROM pg_stat_activity WHERE backend_type = 'parallel worker'});
ok($killed, 'a worker is terminated');
ok($node->poll_query_until('postgres', q{
	SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker' OR query ~ '^SELECT \* FROM kg_discover' AND state = 'active'}),
	'the statement ends, and its workers');
$session->{timeout}->reset() if $session->{timeout};
eval { $session->quit };
($there) = discover($parallel, "kg_discover('large', 300)");
is($there, $found, 'the next one finds the same again');

$node->stop;
done_testing();
