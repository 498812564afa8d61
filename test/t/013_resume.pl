# Trainings that end too early, in whatever way, and are resumed: they end with the bits of one that never
# stopped.

use strict;
use warnings;

use Time::HiRes qw(usleep);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('resume', 'metasd.max_workers' => 2);
my $params = '{"rank": 64, "epochs": 10, "warmup": 2, "ramp": 3, "finetune": 3, "batch": 1000, "patience": 0,'
  . ' "promote_tolerance": 1, "seed": 3, "checkpoint_every": 0, "workers": 1, "warm_start": false}';
my $team = $params =~ s/"workers": 1/"workers": 2/r;

# While the gate is closed a training waits as its sixth epoch ends.
gate($node, 6, 'false');

# All that is stored of a version, and all figures of its epochs but how long they took.
sub result_of
{
	my ($run, $database) = @_;

	return $node->safe_psql($database || 'postgres', qq{
		SELECT md5(string_agg(x, ' ' ORDER BY x)), count(*) FROM (
			SELECT concat_ws(' ', 'entity', id, label, degree, embedding) FROM metasd.entity WHERE run = $run
			UNION ALL
			SELECT concat_ws(' ', 'relation', id, label, count, embedding, reciprocal)
			FROM metasd.relation WHERE run = $run
			UNION ALL
			SELECT (to_jsonb(e) - 'run' - 'seconds')::text FROM metasd.epoch e WHERE run = $run) y (x)});
}

# Starts a training that gets to the gate: its checkpoint is that of the fifth epoch.
sub at_the_gate
{
	my ($params) = @_;

	$node->safe_psql('postgres', 'UPDATE gate SET closed = true');
	my $run = $node->safe_psql('postgres', "SELECT kg_train('m', 'slow', params => '$params')");
	wait_until($node, "SELECT checkpoint_epoch = 5 FROM metasd.versions WHERE run = $run");
	return $run;
}

# Lets the run, which has ended, go on, and compares what it makes.
sub check_resumed
{
	my ($run, $wanted, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->safe_psql('postgres', 'UPDATE gate SET closed = false');
	is($node->safe_psql('postgres', "SELECT kg_resume($run)"), $run, "$what: the run is resumed");
	my ($rc, $out, $err) = $node->psql('postgres', "CALL kg_wait($run)");
	my @shown = $err =~ /INFO:  (run $run was resumed from its checkpoint, after epoch \d+|epoch \d+) of 10/g;
	my ($after) = $shown[0] =~ /^run .* (\d+)$/;
	is(join(' ', @shown[ 1 .. $#shown ]), join(' ', map { "epoch $_" } $after + 1 .. 10),
		"$what: kg_wait says after which epoch it was resumed, and shows those that followed");
	is(result_of($run), $wanted, "$what: epochs and embeddings are those of a training that never stopped");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM metasd.checkpoint'), '0',
		"$what: its checkpoint is gone");
	return;
}

my $whole = $node->safe_psql('postgres', "SELECT kg_train('m', 'slow', params => '$params')");
$node->safe_psql('postgres', "CALL kg_wait($whole)");
my $wanted = result_of($whole);

# The worker is killed, alone and as the leader of two: the server restarts itself.
for my $workers (1, 2)
{
	my $run = at_the_gate($workers == 1 ? $params : $team);
	is($node->safe_psql('postgres', "SELECT metrics ->> 'workers' FROM metasd.run WHERE id = $run"),
		$workers, "workers: $workers");
	my $pid = worker_of($node, $run);
	kill 'KILL', $pid;
	ok(defined wait_until_gone($pid), 'kill -9: the worker is gone');
	ok(wait_for_server($node), 'the server comes back');
	is(status_of($node, $run), 'interrupted', 'the run is interrupted');
	check_resumed($run, $wanted, "kill -9 of $workers");
}

# Cancelled; resumed and cancelled again; two workers go on with what one began.
my $run = at_the_gate($params);
my $pid = worker_of($node, $run);
$node->safe_psql('postgres', "SELECT kg_cancel($run)");
ok(defined wait_until_gone($pid), 'kg_cancel: the worker is gone');
$node->safe_psql('postgres', "SELECT kg_resume($run)");
ok(wait_until($node, "SELECT phase = 'training' AND status = 'running' AND pid <> $pid FROM metasd.run WHERE id = $run"),
	'it trains again');
$pid = worker_of($node, $run);
$node->safe_psql('postgres', "SELECT kg_cancel($run)");
ok(defined wait_until_gone($pid), 'and is cancelled again');
$node->safe_psql('postgres', qq{UPDATE metasd.run SET params = params || '{"workers": 2}' WHERE id = $run});
check_resumed($run, $wanted, 'kg_cancel');

# Of a training that starts from another version: what it has of that is in its checkpoint.
my $warm = $params =~ s/"warm_start": false/"warm_start": true/r;
my $from = $node->safe_psql('postgres', "SELECT serving FROM metasd.models WHERE name = 'm'");
my $warm_whole = $node->safe_psql('postgres', "SELECT kg_train('m', 'slow', params => '$warm')");
$node->safe_psql('postgres', "CALL kg_wait($warm_whole)");
isnt(result_of($warm_whole), $wanted, 'a training that starts from another version is another training');
my $start = "SELECT metrics #>> '{warm_start,version}' FROM metasd.run WHERE id";
is($node->safe_psql('postgres', "$start = $warm_whole"), $from, 'it says which one');
for my $workers (1, 2)
{
	$node->safe_psql('postgres', "SELECT kg_promote('m', $from)");
	my $run = at_the_gate($workers == 1 ? $warm : $warm =~ s/"workers": 1/"workers": 2/r);
	my $pid = worker_of($node, $run);
	$node->safe_psql('postgres', "SELECT kg_cancel($run)");
	ok(defined wait_until_gone($pid), "warm: the worker of a team of $workers is gone");
	$node->safe_psql('postgres', "SELECT kg_promote('m', $warm_whole)");
	check_resumed($run, result_of($warm_whole), "warm, by $workers");
	is($node->safe_psql('postgres', "$start = $run"), $from, 'what it started from is still known');
}
$node->safe_psql('postgres', "UPDATE metasd.model SET params = params || '{\"warm_start\": false}'");

# The server stops at once.
$run = at_the_gate($team);
$node->stop('immediate');
$node->start;
is(status_of($node, $run), 'interrupted', 'immediate shutdown: the run is interrupted');

# A dump has no checkpoints, and what was restored from it says so.
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '--no-sync', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-d', $node->connstr('restored'), '-f', $dump ], 'restored');
is($node->safe_psql('restored', 'SELECT count(*) FROM metasd.checkpoint'), '0', 'without checkpoints');
psql_fails($node, "SELECT kg_resume($run)", qr/ERROR:  run $run has no checkpoint to resume from/,
	'kg_resume says so', 'restored');
check_resumed($run, $wanted, 'immediate shutdown');

# A source that has changed.
$run = at_the_gate($params);
$node->safe_psql('postgres', "SELECT kg_cancel($run)");
$node->safe_psql('postgres', q{INSERT INTO slow VALUES ('e0', 'r0', 'new'); UPDATE gate SET closed = false});
$node->safe_psql('postgres', "SELECT kg_resume($run)");
psql_fails($node, "CALL kg_wait($run)",
	qr/the triples have changed since run $run began.*kg_train\('m'\)/s, 'another source is refused');
$node->safe_psql('postgres', q{DELETE FROM slow WHERE tail = 'new'});
check_resumed($run, $wanted, 'the old source');

# A checkpoint that cannot be written does not end the training.
$node->safe_psql('postgres', q{
	CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE disk_full; END$$;
	CREATE TRIGGER full_disk BEFORE INSERT ON metasd.checkpoint
	FOR EACH ROW EXECUTE FUNCTION full_disk()});
$run = $node->safe_psql('postgres', "SELECT kg_train('m', params => '$params')");
$node->safe_psql('postgres', "CALL kg_wait($run)");
is(result_of($run), $wanted, 'without room for checkpoints a training ends as always');
like(slurp_file($node->logfile), qr/LOG:  metasd run $run: a checkpoint could not be written: disk_full/,
	'and the server log says what was wrong');
$node->safe_psql('postgres', 'DROP TRIGGER full_disk ON metasd.checkpoint');

# Killed at any moment while checkpoints, of two chunks each, are written at every epoch: the run
# resumes from a whole one, or says that there is none.
load_graph($node, 'postgres', 'wide', entities => 600, relations => 3, triples => 600);
my $wide = $params =~ s/"rank": 64/"rank": 600/r;
$whole = $node->safe_psql('postgres', "SELECT kg_train('w', 'wide', params => '$wide')");
$node->safe_psql('postgres', "CALL kg_wait($whole)");
$wanted = result_of($whole);
my $seconds = $node->safe_psql('postgres', "SELECT seconds FROM metasd.versions WHERE run = $whole");
my $seed = srand;
note "seed $seed, $seconds s";
my %ended;
for my $moment (1 .. 5)
{
	$run = $node->safe_psql('postgres', "SELECT kg_train('w', params => '$wide')");
	wait_until($node, "SELECT pid IS NOT NULL FROM metasd.run WHERE id = $run");
	$pid = worker_of($node, $run);
	usleep(1e6 * rand $seconds);
	kill 'KILL', $pid if $pid;
	wait_until_gone($pid) if $pid;
	ok(wait_for_server($node), "killed at moment $moment the server comes back");
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT kg_resume($run)");
	if ($rc == 0)
	{
		$node->safe_psql('postgres', "CALL kg_wait($run)");
		is(result_of($run), $wanted, 'the run resumes from a whole checkpoint');
		$ended{resumed}++;
	}
	else
	{
		like($err, qr/ERROR:  run $run has (?:no checkpoint to resume from|succeeded)/, 'or the run says why it does not');
		$ended{'not resumed'}++;
	}
}
note join ', ', map { "$_ $ended{$_}" } sort keys %ended;
is($node->safe_psql('postgres', "SELECT count(*) FROM metasd.checkpoint c LEFT JOIN metasd.run r ON r.id = c.run "
	  . "WHERE r.id IS NULL OR r.status = 'succeeded'"), '0', 'no checkpoints are left behind');

# A model dropped while a chunk is being written: the drop waits for it, and takes it along.
$node->safe_psql('postgres', q{
	CREATE FUNCTION wait_always() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		WHILE (SELECT closed FROM public.gate) LOOP
			PERFORM pg_sleep(0.01);
		END LOOP;
		RETURN NEW;
	END $$;
	CREATE TRIGGER wait_always BEFORE INSERT ON metasd.checkpoint
	FOR EACH ROW EXECUTE FUNCTION wait_always();
	UPDATE gate SET closed = true});
$run = $node->safe_psql('postgres', "SELECT kg_train('m', params => '$params')");
wait_until($node, "SELECT wait_event = 'PgSleep' FROM pg_stat_activity a "
	  . "JOIN metasd.run r ON r.pid = a.pid WHERE r.id = $run");
$pid = worker_of($node, $run);
my $dropping = session($node);
my $dropping_pid = $dropping->query_safe('SELECT pg_backend_pid()');
$dropping->query_until(qr/dropping/, "\\echo dropping\nSELECT kg_drop('m');\n");
ok(wait_until($node, "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $dropping_pid"),
	'kg_drop waits for a chunk being written');
$node->safe_psql('postgres', 'UPDATE gate SET closed = false');
$dropping->query('');
$dropping->quit;
ok(defined wait_until_gone($pid), 'the worker leaves');
is(stray_rows($node), '0', 'no rows are left behind');
$node->stop;
done_testing();
