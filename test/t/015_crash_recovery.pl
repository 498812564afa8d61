# Servers and workers that end in mid-training: what served goes on serving, the run says what
# became of it, and training works again.

use strict;
use warnings;

use Time::HiRes qw(time usleep);

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('crash');
my $first = train($node, 'm', $QUICK);
my $before = answers($node, 'm');

# After whatever happened to a run: it is interrupted, nothing else has changed, training works.
sub check_interrupted
{
	my ($run, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(status_of($node, $run), 'interrupted', "$what: the run is interrupted");
	is(answers($node, 'm'), $before, "$what: the version before answers as before");
	is($node->safe_psql('postgres', "SELECT serving, last_run, last_status FROM metasd.models"),
		"$first|$run|interrupted", "$what: metasd.models says both");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM metasd.progress'), '0',
		"$what: nothing is under way");
	psql_fails($node, "CALL kg_wait($run)", qr/ERROR:  run $run of model "m" was interrupted/,
		"$what: kg_wait says so");
	return;
}

# The worker is killed: the server restarts, as it does for every process of its own.
my $run = start_training($node, 'm');
my $pid = worker_of($node, $run);
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
kill 'KILL', $pid;
ok(defined wait_until_gone($pid), 'a worker is killed');
ok(wait_for_server($node), 'the server comes back');
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'by itself');
check_interrupted($run, 'kill -9');
my $next = start_training($node, 'm');
is($node->safe_psql('postgres', "SELECT status, error FROM metasd.run WHERE id = $run"),
	'interrupted|the training worker is gone', 'the next training writes down what happened');

# The worker is told to end.
$pid = worker_of($node, $next);
is($node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)"), 't', 'a worker is terminated');
ok(defined wait_until_gone($pid, 10), 'it leaves');
is($node->safe_psql('postgres', "SELECT status, error, pid IS NULL FROM metasd.run WHERE id = $next"),
	'interrupted|the training worker was told to terminate|t', 'and writes down why');
check_interrupted($next, 'SIGTERM');

# Signals that must not end it.
$run = start_training($node, 'm');
$pid = worker_of($node, $run);
$node->reload;
kill 'USR1', $pid;
kill 'HUP', $pid;
my $heartbeat = $node->safe_psql('postgres', "SELECT heartbeat FROM metasd.run WHERE id = $run");
ok(wait_until($node, "SELECT heartbeat > '$heartbeat' FROM metasd.run WHERE id = $run"),
	'SIGHUP and SIGUSR1 do not end a training');

# A training must not keep others from dropping their databases.
$node->safe_psql('postgres', 'CREATE DATABASE other TEMPLATE template0');
my $begun = time;
$node->safe_psql('postgres', 'DROP DATABASE other');
cmp_ok(time - $begun, '<', 5, 'another database is dropped meanwhile');

# The server stops; fast is what systemd and pg_ctl do.
$begun = time;
$node->stop('fast');
cmp_ok(time - $begun, '<', 20, 'a fast shutdown does not wait for the training');
ok(!kill(0, $pid), 'the worker is gone');
$node->start;
is($node->safe_psql('postgres', "SELECT status, error FROM metasd.run WHERE id = $run"),
	'interrupted|the training worker was told to terminate', 'the run says why it ended');
check_interrupted($run, 'fast shutdown');

$run = start_training($node, 'm');
$pid = worker_of($node, $run);
$node->stop('immediate');
ok(defined wait_until_gone($pid, 10), 'nor does an immediate one');
$node->start;
check_interrupted($run, 'immediate shutdown');

# A smart shutdown waits for clients, and a worker is none.
$run = start_training($node, 'm');
$pid = worker_of($node, $run);
$begun = time;
$node->stop('smart');
cmp_ok(time - $begun, '<', 20, 'nor does a smart one');
$node->start;
check_interrupted($run, 'smart shutdown');

# Without its postmaster a worker must leave: no server could start in its place.
$run = start_training($node, 'm');
$pid = worker_of($node, $run);
$node->kill9;
ok(defined wait_until_gone($pid, 10), 'a worker notices that the postmaster is dead');
kill 'KILL', $pid;
ok(defined wait_until_gone($pid, 10), 'the worker is gone');
ok(start_again($node), 'a server starts in its place');
check_interrupted($run, 'death of the postmaster');

# A stop in every moment of short trainings: the run succeeds or does not, and nothing is between.
my $short = $QUICK =~ s/8/60/r;
my $whole = train($node, 'n', $short);
my $seconds = $node->safe_psql('postgres', "SELECT seconds FROM metasd.versions WHERE run = $whole");
my %ended;
for my $moment (0 .. 6)
{
	my $run = $node->safe_psql('postgres', "SELECT kg_train('n', 'facts', params => '$short')");
	usleep(1e6 * $seconds * $moment / 5);
	$node->stop($moment % 2 ? 'immediate' : 'fast');
	$node->start;
	my $state = $node->safe_psql('postgres', "SELECT status FROM metasd.versions WHERE run = $run");
	my $rows = $node->safe_psql('postgres', "SELECT count(*) FROM metasd.entity WHERE run = $run");
	my $consistent =
		$state eq 'succeeded'
	  ? $rows == 60 && $node->safe_psql('postgres', "SELECT serving FROM metasd.models WHERE name = 'n'") eq $run
	  : $state eq 'interrupted' && $rows == 0;
	$ended{$state}++;
	ok($consistent, "stopped at moment $moment the run is whole or not there ($state, $rows rows)");
}
note join ', ', map { "$_ $ended{$_}" } sort keys %ended;

$run = train($node, 'm', $QUICK);
is(status_of($node, $run), 'succeeded', 'in the end a training succeeds');
is($node->safe_psql('postgres', 'SELECT serving FROM metasd.models WHERE name = \'m\''), $run,
	'and serves');
is(stray_rows($node), '0', 'no rows are left behind');
$node->stop;
done_testing();
