# Tunings: what they find and what a model makes of it, how they are seen, and that whatever ends
# one before its time leaves the model as it was.

use strict;
use warnings;

use Time::HiRes qw(time usleep);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('tune');

# Starts a tuning; returns its run once it has got to its trials.
sub start_tuning
{
	my ($model, $budget) = @_;
	my $run = $node->safe_psql('postgres', "SELECT kg_tune('$model', '$budget')");

	wait_until($node, "SELECT count(*) > 0 FROM metasd.progress WHERE run = $run AND phase = 'tuning'");
	return $run;
}

# Tunes to the end; returns the run and what kg_wait had to say.
sub tune
{
	my ($model, $budget, $params) = @_;
	my $run = $node->safe_psql('postgres', "SELECT kg_tune('$model', '$budget', '$params')");
	my ($rc, $out, $err) = $node->psql('postgres', "CALL kg_wait($run)");

	return ($run, $err);
}

sub params_of
{
	my ($model) = @_;
	return $node->safe_psql('postgres', "SELECT params FROM metasd.models WHERE name = '$model'");
}

sub status_of_tuning
{
	my ($run, $database) = @_;
	return $node->safe_psql($database || 'postgres', "SELECT status FROM metasd.tunings WHERE run = $run");
}

# ---- what is found ----

# Each of them: the best is the best of those that were trained as long as it, the parameters from
# before among them; they are replaced where there was one that is clearly better, and only there.
my $measured = q{
	SELECT t.mrr >= t.mrr_before,
		   abs(t.mrr - CASE WHEN (t.metrics -> 'better')::boolean THEN max(r.mrr_pruned)
							ELSE t.mrr_before END) < 2e-6,
		   abs(t.mrr_before - max(r.mrr_pruned) FILTER (WHERE candidate = 0)) < 1e-6,
		   (t.metrics -> 'better')::boolean =
			   (max(r.mrr_pruned) - t.mrr_before >= (t.metrics -> 'margin')::float8 - 1e-6),
		   count(*) FILTER (WHERE candidate > 0) > 0
	FROM metasd.tunings t JOIN metasd.trials r ON r.run = t.run AND r.epochs = (t.metrics -> 'epochs')::int
	WHERE t.run = %d AND r.outcome = 'finished'
	GROUP BY t.run, t.mrr, t.mrr_before, t.metrics};
my $params = '{"rank": 32, "epochs": 9, "batch": 100, "reg": 0.2, "lr": 0.02, "validation_fraction": 0.2}';
my $first = train($node, 'm', $params);
my $before = answers($node, 'm');
my $better = 0;
my $best;
for my $seed (1 .. 3)
{
	my ($run, $told) = tune('m', '3 s', qq({"seed": $seed}));

	is(status_of_tuning($run), 'succeeded', "seed $seed: tuned");
	is($node->safe_psql('postgres', sprintf($measured, $run)), 't|t|t|t|t',
		"seed $seed: the best is remembered, and is not worse than what was there");
	like($told, qr/INFO:  trial 1 .*finished after 3 epochs: validation MRR [\d.]+ \(pruned [\d.]+\), [\d.]+ s, \{.*\}, best so far/,
		"seed $seed: kg_wait shows trials");
	my ($is_better, $text) = split /\|/,
	  $node->safe_psql('postgres', "SELECT metrics -> 'better', best FROM metasd.tunings WHERE run = $run");
	if ($is_better eq 'true')
	{
		$better++;
		$best = $text;
		is($node->safe_psql('postgres', "SELECT params @> '{\"seed\": $seed}' FROM metasd.models"),
			't', "seed $seed: the model remembers what the tuning was given");
		like($told, qr/INFO:  validation MRR of the pruned model [\d.]+, before [\d.]+: \Q$text\E/,
			"seed $seed: and the best of them");
	}
	else
	{
		like($told, qr/NOTICE:  no other parameters were clearly better/, "seed $seed: and that none was better");
	}
	is($node->safe_psql('postgres', "SELECT params @> '$best' FROM metasd.models"),
		't', "seed $seed: the model remembers the best so far");
}
cmp_ok($better, '>=', 1, 'better parameters than bad ones are found');
is($node->safe_psql('postgres', 'SELECT serving, last_run, last_status FROM metasd.models'),
	"$first|$first|succeeded", 'a tuning is no training, and does not serve');
is(answers($node, 'm'), $before, 'what serves goes on serving');
is($node->safe_psql('postgres', "SELECT count(*) FROM metasd.trials "
	  . "WHERE outcome = 'finished' AND epochs <> CASE rung WHEN 0 THEN 3 ELSE 9 END"),
	'0', 'trials of a rung have the same epochs');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM metasd.trials a
	WHERE rung = 1 AND candidate > 0
	  AND NOT EXISTS (SELECT FROM metasd.trials b WHERE b.run = a.run AND b.rung = 0 AND b.params = a.params)
	  AND EXISTS (SELECT FROM metasd.trials b WHERE b.run = a.run AND b.rung = 0 AND b.candidate > 0)}),
	'0', 'who climbs has been tried below');

# A training with what was found is the trial that found it.
my $tuned = $node->safe_psql('postgres',
	"SELECT max(run) FROM metasd.tunings WHERE (metrics -> 'better')::boolean AND (metrics -> 'epochs')::int = 9");
my $trained = $node->safe_psql('postgres', "SELECT kg_train('m', params => '{\"warm_start\": false}')");
$node->safe_psql('postgres', "CALL kg_wait($trained)");
is($node->safe_psql('postgres', "SELECT params @> '$best' FROM metasd.versions WHERE run = $trained"),
	't', 'the next training uses the parameters that were best');
is($node->safe_psql('postgres', "SELECT metrics #>> '{validation,mrr}' FROM metasd.versions WHERE run = $trained"),
	$node->safe_psql('postgres', "SELECT round(mrr::numeric, 6) FROM metasd.tunings WHERE run = $tuned"),
	'and comes to the same validation MRR');

# ---- the end of the budget ----

my $slow = start_training($node, 'slow');
$node->safe_psql('postgres', "SELECT kg_cancel($slow)");
my $as_given = params_of('slow');
my $begun = time;
my ($short, $told) = tune('slow', '2 s', '{}');
cmp_ok(time - $begun, '<', 12, 'a trial ends with the budget');
is(status_of_tuning($short), 'succeeded', 'the tuning then has ended');
is($node->safe_psql('postgres', "SELECT trial, candidate, outcome, mrr_pruned IS NULL FROM metasd.trials WHERE run = $short"),
	'1|0|stopped|t', 'the trial is recorded as stopped');
like($told, qr/NOTICE:  no other parameters could be compared within the budget/, 'kg_wait says so');
like(slurp_file($node->logfile), qr/run $short: no other/, 'and the log');
is(params_of('slow'), $as_given, 'and nothing changes');

# ---- while it goes on ----

my $run = start_tuning('slow', '1 hour');
my $pid = worker_of($node, $run);
ok(wait_until($node, "SELECT query ~ 'tuning model \"slow\", trial 1, epoch \\d+ of \\d+, batch \\d+ of \\d+' "
	  . "FROM pg_stat_activity WHERE pid = $pid"), 'pg_stat_activity shows trial, epoch and batch');
is($node->safe_psql('postgres', "SELECT status, done, total, epoch, epochs, remaining > '50 minutes' "
	  . "FROM metasd.progress WHERE model = 'slow' AND phase = 'tuning'"),
	'running|0||||t', 'metasd.progress that no trial has ended');
psql_fails($node, "SELECT kg_train('slow')", qr/model "slow" is already being tuned by run $run/,
	'the model is not trained meanwhile');

# Ctrl-C ends the waiting only.
my $waiting = session($node);
my $waiting_pid = $waiting->query_safe('SELECT pg_backend_pid()');
$waiting->query_until(qr/waiting/, "\\echo waiting\nCALL kg_wait($run);\n");
ok(wait_until($node, "SELECT query ~ '^CALL' AND wait_event_type = 'Extension' FROM pg_stat_activity "
	  . "WHERE pid = $waiting_pid"), 'kg_wait waits');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($waiting_pid)");
$waiting->query('');
like($waiting->{stderr}, qr/ERROR:  canceling statement due to user request/, 'and is cancelled');
$waiting->{stderr} = '';
is(status_of_tuning($run), 'running', 'the tuning goes on');

# kg_cancel ends it.
$waiting->query_until(qr/again/, "\\echo again\nCALL kg_wait($run);\n");
is($node->safe_psql('postgres', "SELECT kg_cancel($run)"), 't', 'kg_cancel finds the worker');
ok(defined wait_until_gone($pid, 5), 'which leaves');
is(status_of_tuning($run), 'cancelled', 'the tuning is cancelled');
$waiting->query('');
like($waiting->{stderr}, qr/ERROR:  run $run of model "slow" was cancelled.*parameters are as they were/s,
	'kg_wait says so');
$waiting->quit;
is(params_of('slow'), $as_given, 'nothing has changed');
is($node->safe_psql('postgres', 'SELECT count(*) FROM metasd.progress'), '0', 'nothing goes on');

# Trials are counted where there are several.
my $m = params_of('m');
$run = start_tuning('m', '1 hour');
ok(wait_until($node, "SELECT done BETWEEN 1 AND total FROM metasd.progress WHERE run = $run"),
	'metasd.progress counts trials');
$node->safe_psql('postgres', "SELECT kg_cancel($run)");
wait_until($node, "SELECT status = 'cancelled' FROM metasd.tunings WHERE run = $run");
is(params_of('m'), $m, 'a tuning that is cancelled after some trials changes nothing, either');

# ---- the worker ends ----

$run = start_tuning('slow', '1 hour');
$pid = worker_of($node, $run);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok(defined wait_until_gone($pid, 10), 'a worker that is told to terminate leaves');
is($node->safe_psql('postgres', "SELECT status, error FROM metasd.tunings WHERE run = $run"),
	'interrupted|the training worker was told to terminate', 'and says why');

$run = start_tuning('slow', '1 hour');
$pid = worker_of($node, $run);
kill 'KILL', $pid;
ok(defined wait_until_gone($pid), 'a worker is killed');
wait_for_server($node);
is(status_of_tuning($run), 'interrupted', 'its tuning is interrupted');
is(params_of('slow'), $as_given, 'nothing has changed');
$slow = start_training($node, 'slow');
is($node->safe_psql('postgres', "SELECT status, error FROM metasd.run WHERE id = $run"),
	'interrupted|the training worker is gone', 'the next training writes it down');
psql_fails($node, "SELECT kg_tune('slow')", qr/model "slow" is already being trained by run $slow/,
	'a model that is being trained is not tuned');
$node->safe_psql('postgres', "SELECT kg_cancel($slow)");

# ---- dumps ----

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
my $rows = q{
	SELECT (SELECT string_agg(t::text, ',' ORDER BY run) FROM metasd.tunings t WHERE status = 'succeeded'),
		   (SELECT string_agg(t::text, ',' ORDER BY run, trial) FROM metasd.trials t)};
$node->command_ok([ 'pg_dump', '--no-sync', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
$node->command_ok(
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ],
	'restored');
is($node->safe_psql('restored', $rows), $node->safe_psql('postgres', $rows), 'tunings and trials are the same');

$node->safe_psql('postgres', 'SELECT kg_drop(name) FROM metasd.models');
is($node->safe_psql('postgres', 'SELECT count(*) FROM metasd.trial'), '0', 'kg_drop takes trials along');
is(stray_rows($node), '0', 'no rows are left behind');
$node->stop;
done_testing();
