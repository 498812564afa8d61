# Processes killed at random moments of trainings and promotions. METASD_TRIALS says how often, METASD_SEED
# repeats what a seed has drawn.
#
# A seed of a training has one result, which an undisturbed run has shown before: what serves after a
# kill, and what is trained after it, must be that.

use strict;
use warnings;

use List::Util qw(min);
use Time::HiRes qw(time usleep);

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $trials = $ENV{METASD_TRIALS} || 10;
my $random = $ENV{METASD_SEED} || 1 + int(rand(1e9));
my @victims = qw(leader follower asking postmaster immediate);

diag("METASD_SEED=$random METASD_TRIALS=$trials") if $ENV{METASD_TRIALS};
note("METASD_SEED=$random METASD_TRIALS=$trials");
srand($random);

my $node = new_node('kills', 'metasd.max_workers' => 3, 'metasd.nice' => 0, max_worker_processes => 10);

# Every seed trains from random weights, and each epoch has a checkpoint.
sub start_run
{
	my ($seed) = @_;
	my $params = qq{{"checkpoint_every": 0, "warm_start": false, "rank": 64, "epochs": 6, "warmup": 1, "ramp": 2, "patience": 0, "batch": 500,
		"workers": 3, "promote_tolerance": 1, "seed": $seed}};

	return $node->safe_psql('postgres', "SELECT kg_train('m', 'slow', params => '$params')");
}

# What a run has stored.
sub digest
{
	my ($run) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT md5(string_agg(label || degree || encode(embedding, 'hex'), ',' ORDER BY id)),
			   (SELECT md5(string_agg(label || encode(embedding, 'hex') || encode(reciprocal, 'hex'),
									  ',' ORDER BY id)) FROM metasd.relation WHERE run = $run)
		FROM metasd.entity WHERE run = $run});
}

# The workers of trainings, the leader first.
sub workers
{
	my ($run) = @_;

	return split /\n/, $node->safe_psql('postgres', qq{
		SELECT a.pid FROM pg_stat_activity a
		WHERE a.backend_type = 'metasd training'
		ORDER BY a.pid <> coalesce((SELECT pid FROM metasd.run WHERE id = $run), 0)});
}

# Waits until none of them is there; a postmaster that its parent has not seen off keeps others from starting.
sub wait_for_all
{
	my @pids = @_;

	wait_until_gone($_) for @pids;
	return;
}

# ---- what undisturbed runs make ----

my (%digest_of, %answers_of);
my $seconds = 1e9;
for my $seed (1 .. 3)
{
	my $started = time;
	my $run = start_run($seed);
	$node->safe_psql('postgres', "CALL kg_wait($run)");
	$seconds = min($seconds, time - $started);
	$digest_of{$seed} = digest($run);
	$answers_of{$seed} = answers($node, 'm');
}
is(scalar(keys %{ { reverse %digest_of } }), 3, 'seeds make different versions');
is(scalar(keys %{ { reverse %answers_of } }), 3, 'which answer differently');

# One session promotes and asks. What it has promoted is written down in the same transaction.
$node->safe_psql('postgres', q{
	CREATE TABLE promoted (n bigserial PRIMARY KEY, run bigint);
	INSERT INTO promoted (run) SELECT serving FROM metasd.models;
	CREATE PROCEDURE churn() LANGUAGE plpgsql AS $$
	DECLARE
		version bigint;
	BEGIN
		LOOP
			SELECT run INTO version FROM metasd.versions
			WHERE kept AND status = 'succeeded' ORDER BY random() LIMIT 1;
			BEGIN
				PERFORM kg_promote('m', version);
				INSERT INTO promoted (run) VALUES (version);
			EXCEPTION WHEN OTHERS THEN
				IF SQLERRM !~ 'not kept' THEN
					RAISE;
				END IF;
			END;
			COMMIT;
			PERFORM p.* FROM generate_series(1, 20) i, LATERAL kg_predict('e' || i, 'r1', 5) p;
			COMMIT;
		END LOOP;
	END $$});

# ---- one trial ----

# Does it to whoever is there at that moment, and returns what was done.
sub strike
{
	my ($victim, $run, $asking) = @_;

	note_segments($node);
	if ($victim eq 'immediate')
	{
		$node->stop('immediate');
		$node->start;
		return $victim;
	}
	if ($victim eq 'postmaster')
	{
		my $postmaster = $node->{_pid};
		my @children = grep { $_ != $asking } children_of($node);
		my $killed = time;
		$node->kill9;
		wait_for_all($postmaster, @children);
		note sprintf('all had left after %.1f s', time - $killed);
		# PostgreSQL's sessions notice it when they wait for something, and this one never does.
		kill('KILL', $asking);
		wait_for_all($asking);
		$node->start;
		return $victim;
	}

	my @workers = workers($run);
	my $pid = $asking;
	if ($victim eq 'follower' && @workers > 1)
	{
		$pid = $workers[1 + int(rand(@workers - 1))];
	}
	elsif ($victim ne 'asking' && @workers)
	{
		($victim, $pid) = ('leader', $workers[0]);
	}
	else
	{
		$victim = 'asking';
	}
	# It may have ended since; then the server goes on, which is as good.
	kill('KILL', $pid);
	wait_for_all($pid);
	wait_for_server($node);
	return $victim;
}

my (%struck, %ended);

sub trial
{
	my ($number) = @_;
	my $victim = $victims[$number % @victims];
	my $moment = rand(1.1 * $seconds);
	my $seed = 1 + int(rand(3));
	my $asking = session($node);
	my $pid = $asking->query_safe('SELECT pg_backend_pid()');
	my $name = sprintf('trial %d: %s after %.3f s, seed %d', $number, $victim, $moment, $seed);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$asking->query_until(qr/begun/, "\\echo begun\nCALL churn();\n");
	my $run = start_run($seed);
	usleep(1e6 * $moment);
	$struck{ strike($victim, $run, $pid) }++;
	$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $pid");
	eval { $asking->{run}->finish };
	unlike($asking->{stderr}, qr/ERROR:/, "$name: who asked had no error before");

	my $status = status_of($node, $run);
	# If the process was gone before it was killed the training goes on to its end.
	$node->psql('postgres', "CALL kg_wait($run)") if $status eq 'running';
	$status = status_of($node, $run);
	$ended{$status}++;
	like($status, qr/^(interrupted|succeeded)$/, "$name: the run is $status");
	is(digest($run), $digest_of{$seed}, "$name: and whole") if $status eq 'succeeded';

	my ($serving, $as, $promoted) = split /\|/, $node->safe_psql('postgres', q{
		SELECT m.serving, r.params ->> 'seed', (SELECT run FROM promoted ORDER BY n DESC LIMIT 1)
		FROM metasd.models m JOIN metasd.run r ON r.id = m.serving});
	ok($serving == $promoted || $serving == $run && $status eq 'succeeded',
		"$name: what was promoted serves")
	  or diag("$serving serves, promoted was $promoted, the run is $run");
	is(answers($node, 'm'), $answers_of{$as}, "$name: and answers as before");

	if ($status eq 'interrupted')
	{
		my ($rc, $out, $err) = $node->psql('postgres', "SELECT kg_resume($run)");
		if ($rc == 0)
		{
			$ended{resumed}++;
			$node->psql('postgres', "CALL kg_wait($run)");
			is(digest($run), $digest_of{$seed}, "$name: resumed it makes the same embeddings");
		}
		else
		{
			like($err, qr/ERROR:  run $run has no checkpoint to resume from/, "$name: or there is none to resume from");
		}
	}
	my $again = start_run($seed);
	$node->psql('postgres', "CALL kg_wait($again)");
	is(digest($again), $digest_of{$seed}, "$name: training works again");
	$node->safe_psql('postgres', 'INSERT INTO promoted (run) SELECT serving FROM metasd.models');

	ok(wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'metasd training'"),
		"$name: no worker is left");
	is(join(' ', orphaned_segments($node)), '', "$name: no shared memory is left");
	is(join(' ', stray_images($node)), '', "$name: no image is left");
	return;
}

for my $number (1 .. $trials)
{
	trial($number);
	last unless Test::More->builder->is_passing;
}
Test::More->builder->is_passing or diag("METASD_SEED=$random METASD_TRIALS=$trials repeats this");
note 'killed: ', join(', ', map { "$_ $struck{$_}" } sort keys %struck), '; runs: ',
  join(', ', map { "$_ $ended{$_}" } sort keys %ended);
is(stray_rows($node), '0', 'no rows are left behind');
$node->stop;
done_testing();
