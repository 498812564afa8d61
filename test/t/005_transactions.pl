# A training belongs to the transaction that starts it: it counts if that commits, and only then.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('transactions', max_prepared_transactions => 2, max_worker_processes => 4,
	'metasd.max_workers' => 1);
my $start = "SELECT kg_train('m', 'slow', params => '$LONG')";
my $session = session($node);

# Everything that could be left behind: models, runs, workers.
sub left
{
	return $node->safe_psql('postgres', q{
		SELECT (SELECT count(*) FROM metasd.model), (SELECT count(*) FROM metasd.run),
			   (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'metasd training')});
}

sub nothing_left
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_for_no_worker($node);
	is(left(), '0|0|0', $name);
	return;
}

# The worker waits for a transaction that is open, and holds no snapshot while it does.
$session->query_safe('BEGIN');
my $run = $session->query_safe($start);
is(left(), '0|0|1', 'a worker waits for the transaction');
ok(wait_until($node, q{
	SELECT backend_xmin IS NULL AND query = 'metasd: waiting for the transaction that started it'
	FROM pg_stat_activity WHERE backend_type = 'metasd training'}), 'and says so');
$session->query("CALL kg_wait($run)");
like($session->{stderr}, qr/ERROR:  kg_wait cannot run inside a transaction block/,
	'kg_wait refuses to wait for itself');
$session->{stderr} = '';
$session->query_safe('ROLLBACK');
nothing_left('ROLLBACK leaves nothing');

$session->query_safe('BEGIN');
$session->query_safe($start);
$session->quit;
nothing_left('nor does a session that ends without COMMIT');

$session = session($node);
$session->query_safe('BEGIN');
$session->query_safe('SAVEPOINT s');
$session->query_safe($start);
$session->query_safe('ROLLBACK TO s');
$session->query_safe('COMMIT');
nothing_left('nor does a savepoint rolled back in a transaction that commits');

$session->query_safe("DO \$\$ BEGIN PERFORM kg_train('m', 'facts'); RAISE 'no'; "
	  . 'EXCEPTION WHEN OTHERS THEN NULL; END $$');
nothing_left('nor does a block whose exception is caught');

# After a savepoint the same transaction may start the training again.
$session->query_safe('BEGIN');
$session->query_safe('SAVEPOINT s');
$session->query_safe($start);
$session->query_safe('ROLLBACK TO s');
$run = $session->query_safe($start);
$session->query_safe('COMMIT');
wait_for_status($node, $run, 'running', 'a second attempt in the same transaction trains');
$session->query_safe("SELECT kg_drop('m')");
nothing_left('kg_drop ends it');

# Released, the savepoint is the transaction's.
$session->query_safe('BEGIN');
$session->query_safe('SAVEPOINT s');
$run = $session->query_safe($start);
$session->query_safe('RELEASE s');
$session->query_safe('COMMIT');
wait_for_status($node, $run, 'running', 'a savepoint released trains');

# Dropped and trained anew in one transaction: the old worker goes, the new one trains.
my $old = worker_of($node, $run);
$session->query_safe('BEGIN');
$session->query_safe("SELECT kg_drop('m')");
my $next = $session->query_safe("SELECT kg_train('m', 'facts', params => '$QUICK')");
$session->query_safe('COMMIT');
ok(defined wait_until_gone($old), 'the worker of a model that was dropped leaves');
wait_for_status($node, $next, 'succeeded', 'the one that took its place trains');
is($node->safe_psql('postgres', 'SELECT run FROM metasd.versions'), $next, 'the old run is gone');
$session->query_safe("SELECT kg_drop('m')");

# A wait that its user ends: the training goes on.
$run = start_training($node, 'm');
my $pid = worker_of($node, $run);
my ($rc, $out, $err) = $node->psql('postgres', "SET statement_timeout = '500ms'; CALL kg_wait($run)");
like($err, qr/ERROR:  canceling statement due to statement timeout/, 'statement_timeout ends a wait');
($rc, $out, $err) = $node->psql('postgres', "CALL kg_wait($run, '500ms')");
like($err, qr/WARNING:  run $run is still running/, 'so does its own timeout');

my $waiting = session($node);
my $waiting_pid = $waiting->query_safe('SELECT pg_backend_pid()');
$waiting->query_until(qr/waiting/, "\\echo waiting\nCALL kg_wait($run);\n");
wait_until($node, "SELECT query ~ '^CALL' AND wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $waiting_pid");
$node->safe_psql('postgres', "SELECT pg_cancel_backend($waiting_pid)");
$waiting->query('');
like($waiting->{stderr}, qr/ERROR:  canceling statement due to user request/, 'and pg_cancel_backend');
$waiting->{stderr} = '';
$waiting->query_until(qr/waiting/, "\\echo waiting\nCALL kg_wait($run);\n");
wait_until($node, "SELECT query ~ '^CALL' AND wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $waiting_pid");
$node->safe_psql('postgres', "SELECT pg_terminate_backend($waiting_pid)");
ok(defined wait_until_gone($waiting_pid), 'a session that waits can be ended');
eval { $waiting->quit };
is(status_of($node, $run), 'running', 'none of that ends the run');
is(worker_of($node, $run), $pid, 'which has its worker');

# The statement that starts a training is cut short: nothing is left.
$session->query_safe("SELECT kg_drop('m')");
nothing_left('kg_drop ends a training that others waited for');
$session->query_safe('BEGIN');
$session->query_safe($start);
my $launcher = $session->query_safe('SELECT pg_backend_pid()');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
nothing_left('a session that is terminated leaves no worker');
eval { $session->quit };

# PREPARE TRANSACTION: the worker goes on waiting.
$session = session($node);
$session->query_safe('BEGIN');
$run = $session->query_safe($start);
$session->query_safe("PREPARE TRANSACTION 'p'");
is(left(), '0|0|1', 'a worker waits for a prepared transaction');
$session->query_safe("ROLLBACK PREPARED 'p'");
nothing_left('ROLLBACK PREPARED leaves nothing');

$session->query_safe('BEGIN');
$run = $session->query_safe($start);
$session->query_safe("PREPARE TRANSACTION 'p'");
$session->query_safe("COMMIT PREPARED 'p'");
wait_for_status($node, $run, 'running', 'COMMIT PREPARED starts the training');
$session->query_safe("SELECT kg_drop('m')");
nothing_left('kg_drop ends it');

# The worker does not live through a restart, the prepared transaction does.
$session->query_safe('BEGIN');
$run = $session->query_safe($start);
$session->query_safe("PREPARE TRANSACTION 'p'");
$session->quit;
$node->restart;
$session = session($node);
$session->query_safe("COMMIT PREPARED 'p'");
is(status_of($node, $run), 'interrupted', 'committed without a worker, the run is interrupted');
psql_fails($node, "CALL kg_wait($run)", qr/ERROR:  run $run of model "m" was interrupted/,
	'and kg_wait says so');
$run = train($node, 'm', $QUICK);
is(status_of($node, $run), 'succeeded', 'kg_train starts anew');
$session->query_safe("SELECT kg_drop('m')");

# Cancelled before it is committed; the worker is told by whoever sees it.
$session->query_safe('BEGIN');
$run = $session->query_safe($start);
$session->query_safe("SELECT kg_cancel($run)");
is(left(), '0|0|1', 'a worker that is cancelled waits for the run to be committed');
$session->query_safe('COMMIT');
wait_for_status($node, $run, 'cancelled', 'a training cancelled in its own transaction');
$session->query_safe("SELECT kg_drop('m')");

# Settings of the role are the worker's too, but none of them may end a training.
$node->safe_psql('postgres', q{
	CREATE ROLE strict LOGIN;
	GRANT SELECT ON facts TO strict;
	ALTER ROLE strict SET lock_timeout = '10ms';
	ALTER ROLE strict SET statement_timeout = '10s';
	ALTER ROLE strict SET idle_in_transaction_session_timeout = '10s';
	ALTER ROLE strict SET default_transaction_read_only = on;
	ALTER ROLE strict SET default_transaction_isolation = 'serializable';
	ALTER ROLE strict SET default_transaction_deferrable = on;
	ALTER ROLE strict SET search_path = 'nowhere'});
$session->query_safe('SET ROLE strict');
$session->query_safe('BEGIN');
$run = $session->query_safe("SELECT kg_train('m', 'facts', params => '$QUICK')");
wait_until($node, q{
	SELECT wait_event_type = 'Lock' AND clock_timestamp() - xact_start > '100ms'
	FROM pg_stat_activity WHERE backend_type = 'metasd training'});
$session->query_safe('COMMIT');
wait_for_status($node, $run, 'succeeded', 'a role with strict settings trains');
$session->query_safe('RESET ROLE');
$session->query_safe("SELECT kg_drop('m')");

# All places are taken. A training that has been told to end still has its place for a moment,
# until its process has given back its memory: the next one waits for that.
$node->safe_psql('postgres', "SELECT kg_train('m$_', 'slow', params => '$LONG')") for 1 .. 3;
($rc, $out, $err) = $node->psql('postgres', qq{
	SELECT kg_cancel(run) FROM metasd.progress WHERE model = 'm1';
	SELECT kg_train('m', 'facts', params => '$QUICK') AS run \\gset
	CALL kg_wait(:run)});
is($rc, 0, 'a training takes the place of one that was cancelled') or diag($err);
$node->safe_psql('postgres', 'SELECT kg_drop(name) FROM metasd.models');
nothing_left('all of them can be dropped');

# No worker to be had.
my @runs;
for (1 .. 8)
{
	my ($rc, $out, $err) =
	  $node->psql('postgres', "SELECT kg_train('m$_', 'slow', params => '$LONG')");
	if ($rc != 0)
	{
		like($err, qr/ERROR:  there is no free background worker to train with\nHINT:.*max_worker_processes/,
			'no worker is free: an error that says what to raise');
		last;
	}
	push @runs, $out;
}
my $n = @runs;
is(left(), "$n|$n|$n", "nothing is left of the one that was refused, $n others train");
$node->safe_psql('postgres', 'SELECT kg_drop(name) FROM metasd.models');
nothing_left('and can be dropped');

$session->quit;
is(stray_rows($node), '0', 'no rows are left behind');
$node->stop;
done_testing();
