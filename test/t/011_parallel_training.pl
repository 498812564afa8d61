# Training by several workers: what it makes, how its workers are seen, and that all of them end
# whatever happens to one.

use strict;
use warnings;

use Time::HiRes qw(time);

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

# Three workers a training, more than this machine may have processors.
my $node = new_node('team', 'metasd.max_workers' => 3, 'metasd.nice' => 7);
load_graph($node, 'postgres', 'large', entities => 1000, relations => 10, triples => 10000);

my $long = $LONG =~ s/}/, "workers": 3}/r;
my $told = 'the training worker was told to terminate';

# Trains from table large to the end, with parameters and SQL to run before; returns the run.
sub train_large
{
	my ($model, $params, $before) = @_;
	my $all = $QUICK =~ s/}/, "batch": 500, $params}/r;
	my $run = $node->safe_psql('postgres',
		($before || '') . "SELECT kg_train('$model', 'large', params => '$all')");

	$node->safe_psql('postgres', "CALL kg_wait($run)");
	return $run;
}

sub start_team
{
	return start_training($node, 'm', source => 'large', params => $long);
}

# The training workers there are, but for one.
sub workers_but
{
	my ($pid) = @_;
	return split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity '
		  . "WHERE backend_type = 'metasd training' AND pid <> $pid ORDER BY pid");
}

sub workers_of
{
	my ($run) = @_;
	return $node->safe_psql('postgres', "SELECT metrics ->> 'workers' FROM metasd.run WHERE id = $run");
}

sub reason_of
{
	my ($run) = @_;
	return $node->safe_psql('postgres', "SELECT status, error FROM metasd.run WHERE id = $run");
}

# Waits for all these processes to end; returns the milliseconds that took.
sub all_gone
{
	my @pids = @_;
	my $begun = time;

	wait_until_gone($_, 20) for @pids;
	return 1000 * (time - $begun);
}

# What the log has said since; the place to go on from is kept.
my $read = 0;

sub new_log
{
	my $log = slurp_file($node->logfile, $read);
	$read += length $log;
	return $log;
}

# ---- the same seed, the same bits ----

my %checksum;
for my $workers (1 .. 3)
{
	my $run = train_large("by$workers", "\"workers\": $workers");

	is(workers_of($run), $workers, "$workers of $workers wished for have trained");
	$checksum{$workers} = $node->safe_psql('postgres', qq{
		SELECT md5(string_agg(label || encode(embedding, 'hex'), ',' ORDER BY id)),
			   (SELECT md5(string_agg(label || encode(embedding, 'hex') || encode(reciprocal, 'hex'),
									  ',' ORDER BY id)) FROM metasd.relation WHERE run = $run),
			   count(*)
		FROM metasd.entity WHERE run = $run});
}
like($checksum{1}, qr/\|1000$/, 'all entities are stored');
is($checksum{2}, $checksum{1}, 'a team of two makes the same bits as one worker');
is($checksum{3}, $checksum{1}, 'and so does a team of three');

# ---- how many ----

is(workers_of(train_large('n', '"workers": 0')), 3, 'by default as many as metasd.max_workers');
is(workers_of(train_large('n', '"workers": 9')), 3, 'no more than that');
is(workers_of(train_large('n', '"workers": 3', 'SET metasd.max_workers = 1;')), 1, 'which may be 1');
is(workers_of(train_large('n', '"workers": 0, "rank": 1')), 1, 'one where there is little to do');
is(workers_of(train($node, 'small', $QUICK =~ s/}/, "workers": 3}/r)), 1,
	'and where there are few entities');
unlike(new_log(), qr/trains with/, 'nothing was missing');

# ---- how they are seen ----

my $first = train_large('m', '"workers": 3');
my $run = start_team();
my $leader = worker_of($node, $run);
my @followers = workers_but($leader);

is(scalar @followers, 2, 'two workers beside the one that leads');
is($node->safe_psql('postgres', qq{
		SELECT count(*), count(DISTINCT usename), count(backend_xmin), count(xact_start)
		FROM pg_stat_activity WHERE pid IN ($followers[0], $followers[1])
		  AND query ~ '^metasd: training model "m", run $run, worker [23] of 3\$'}),
	'2|1|0|0', 'the followers say what they do, and hold no transaction');

for my $pid ($leader, @followers)
{
	my @threads = glob "/proc/$pid/task/*";
	# What follows the name in parentheses: the state, which is field 3, then the others.
	my @stat = split / /, slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr;

	is(scalar @threads, 1, 'a worker has one thread');
	is($stat[19 - 3], 7, 'and the priority that metasd.nice says');
}

# ---- the end of one is the end of all ----

# Cancelling; the time is for people to read, the deadline only finds what hangs.
my $session = session($node);
for my $again (1 .. 3)
{
	my $begun = time;
	is($session->query_safe("SELECT kg_cancel($run)"), 't', 'kg_cancel finds the training');
	ok(defined all_gone($leader, @followers), 'all workers leave');
	my $took = 1000 * (time - $begun);
	cmp_ok($took, '<', 2000, 'soon');
	note sprintf('kg_cancel to the end of all workers: %.0f ms', $took);
	is(reason_of($run), 'cancelled|canceling statement due to user request', 'the run is cancelled');
	last if $again == 3;
	$run = start_team();
	$leader = worker_of($node, $run);
	@followers = workers_but($leader);
}
$session->quit;

# Something happens to one of the workers: a name, what it is, and how the run then ends.
for my $case (
	[ 'a follower is terminated', sub { kill 'TERM', $followers[0] }, "interrupted|$told" ],
	[ 'a follower is cancelled', sub { kill 'INT', $followers[1] },
		'cancelled|canceling statement due to user request' ],
	[ 'the leader is terminated', sub { kill 'TERM', $leader }, "interrupted|$told" ],
	[ 'all are terminated', sub { kill 'TERM', $followers[0], $leader, $followers[1] },
		"interrupted|$told" ])
{
	my ($name, $happens, $reason) = @$case;

	$run = start_team();
	$leader = worker_of($node, $run);
	@followers = workers_but($leader);
	$happens->();
	ok(defined all_gone($leader, @followers), "$name: all leave");
	is(reason_of($run), $reason, "$name: the run says why");
}
is($node->safe_psql('postgres', "SELECT serving FROM metasd.models WHERE name = 'm'"), $first,
	'what served goes on serving');

# A follower that neither trains nor leaves: the others wait for it, but not for ever.
new_log();
$run = start_team();
$leader = worker_of($node, $run);
@followers = workers_but($leader);
kill 'STOP', $followers[0];
is($node->safe_psql('postgres', "SELECT kg_cancel($run)"), 't', 'a team with a stopped follower');
ok(defined all_gone($leader, $followers[1]), 'its other workers can be cancelled');
is(reason_of($run), 'cancelled|canceling statement due to user request', 'the run says so');
like(new_log(), qr/metasd run $run: a training worker has not ended yet/, 'and so does the log');
kill 'CONT', $followers[0];
ok(defined all_gone($followers[0]), 'the follower leaves once it can');

# Who owns the model may end its workers.
$node->safe_psql('postgres', 'CREATE ROLE trainer LOGIN; GRANT SELECT ON large TO trainer');
$run = start_training($node, 'o', source => 'large', params => $long, before => 'SET ROLE trainer;');
$leader = worker_of($node, $run);
@followers = workers_but($leader);
is($node->safe_psql('postgres', "SET ROLE trainer; SELECT pg_terminate_backend($followers[0])"), 't',
	'the owner of a model terminates a follower');
ok(defined all_gone($leader, @followers), 'all leave');
is(reason_of($run), "interrupted|$told", 'the run says why');

# A run that is dropped, which the leader finds when it reports.
$run = start_team();
$leader = worker_of($node, $run);
@followers = workers_but($leader);
$node->safe_psql('postgres', "SELECT kg_drop('m')");
ok(defined all_gone($leader, @followers), 'the model is dropped: all leave');

# A follower is killed: the server restarts, as it does for every process of its own.
$first = train_large('m', '"workers": 3');
my $before = answers($node, 'm');
$run = start_team();
$leader = worker_of($node, $run);
@followers = workers_but($leader);
kill 'KILL', $followers[0];
ok(defined all_gone($leader, @followers), 'a follower is killed: all are gone');
ok(wait_for_server($node), 'the server comes back');
is(status_of($node, $run), 'interrupted', 'the run is interrupted');
is(answers($node, 'm'), $before, 'the version before answers as before');

# The server stops.
$run = start_team();
$leader = worker_of($node, $run);
@followers = workers_but($leader);
$node->stop('fast');
ok(defined all_gone($leader, @followers), 'the server stops: all are gone');
$node->start;
is(reason_of($run), "interrupted|$told", 'the run says why it ended');

$run = start_team();
$leader = worker_of($node, $run);
@followers = workers_but($leader);
$node->kill9;
my $took = all_gone($leader, @followers);
ok(defined $took, 'the postmaster is killed: all leave');
note sprintf('after %.0f ms', $took);
start_again($node);
is(status_of($node, $run), 'interrupted', 'the run is interrupted');

# ---- memory ----

my $wanted = '{"rank": 64, "workers": 3, "warm_start": false}';
my $alone = '{"rank": 64, "workers": 1, "warm_start": false}';
my ($three, $one) = split /\|/, $node->safe_psql('postgres', qq{
	SELECT a.train_bytes, b.train_bytes FROM kg_estimate('large', params => '$wanted') a,
		   kg_estimate('large', params => '$alone') b});
cmp_ok($three, '>', $one, "kg_estimate knows that a team takes more ($three, not $one bytes)");

my $kb = int(($three - 1) / 1024);
$run = $node->safe_psql('postgres',
	"SET metasd.train_mem = $kb; SELECT kg_train('memory', 'large', params => '$wanted')");
wait_for_status($node, $run, 'failed', 'a kilobyte less than it says is too little');
like(reason_of($run), qr/training needs \d+ MB of memory, metasd.train_mem allows \d+ MB - Entities: 1000,.* workers: 3\. - .*or lower the parameters rank, batch or workers/,
	'and the error says what can be done');
$kb++;
$run = $node->safe_psql('postgres', "SET metasd.train_mem = $kb; SELECT kg_train('memory', 'large', "
	  . q{params => '{"rank": 64, "workers": 3, "epochs": 1}')});
wait_for_status($node, $run, 'succeeded', 'a kilobyte more is enough');

# Whoever gives no rank gets one that fits, and is told.
my $few = '{"preset": "best", "workers": 1, "epochs": 1, "warm_start": false}';
$kb = int($node->safe_psql('postgres',
	qq{SELECT train_bytes FROM kg_estimate('large', params => '{"rank": 300}' || '$few'::jsonb)}) / 1024);
my ($rc, $out, $err) = $node->psql('postgres', "SET metasd.train_mem = $kb; "
	  . "SELECT kg_train('lowered', 'large', params => '$few') AS run \\gset\nCALL kg_wait(:run)");
is($rc, 0, 'without a rank it trains');
like($err, qr/NOTICE:  the default rank was lowered from \d+ to 2\d0\nDETAIL:  metasd.train_mem allows .*\nHINT:  Raise/,
	'at one that memory allows, and kg_wait says so');

# Sets a limit of the processes that the server starts from now on; returns what it was before.
sub limit
{
	my ($resource, $most) = @_;
	my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	my $before = `prlimit --pid $postmaster --$resource --output SOFT --noheadings`;

	die "prlimit says nothing about $resource\n" if $? != 0;
	limit_process($postmaster, "$resource=$most:");
	return $before =~ s/\s//gr;
}

# No file, and so no segment either, may be larger than what the write-ahead log needs.
new_log();
{
	my $before = limit('fsize', 17 << 20);
	$run = train_large('n', '"workers": 3, "rank": 500, "epochs": 2, "warmup": 0, "ramp": 0');
	is(workers_of($run), 1, 'too little shared memory: one worker trains');
	like(new_log(), qr/LOG:  metasd run $run trains with one worker instead of 3: could not .*
.*DETAIL:  A team needs \d+ MB of dynamic shared memory\.
.*HINT:  .*shm-size/, 'the log says why, and what can be done');
	is($node->safe_psql('postgres', q{
		SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'metasd training'}), '0',
		'nobody is left');
	limit('fsize', $before);
	is(workers_of(train_large('n', '"workers": 3')), 3, 'later there is enough');
	unlike(new_log(), qr/trains with/, 'and nothing is missing');
}

# ---- too few workers ----

# Trainings from this view wait for the lock, with their leader started and no follower yet.
$node->safe_psql('postgres', q{
	CREATE FUNCTION held() RETURNS bool LANGUAGE sql VOLATILE AS
	$$SELECT pg_catalog.pg_advisory_xact_lock_shared(7) IS NOT NULL$$;
	CREATE VIEW waiting AS SELECT f.* FROM (SELECT public.held() OFFSET 0) h, public.large f});

# A run in which followers are started under a limit, which is made of the leader's process id.
sub train_with_limited_followers
{
	my ($resource, $most, $params) = @_;
	my $session = session($node);
	my $all = $QUICK =~ s/}/, "batch": 500, "workers": 3, $params}/r;

	$session->query_safe('SELECT pg_advisory_lock(7)');
	my $run = $session->query_safe("SELECT kg_train('n', 'waiting', params => '$all')");
	wait_until($node, "SELECT phase = 'reading' FROM metasd.run WHERE id = $run");
	my $leader = worker_of($node, $run);
	my $before = limit($resource, $most->($leader));
	$session->query_safe('SELECT pg_advisory_unlock(7)');
	wait_until_gone($leader);
	limit($resource, $before);
	$session->quit;
	return $run;
}

$run = train_with_limited_followers('nproc', sub { 1 }, '"seed": 2');
is(status_of($node, $run), 'succeeded', 'no follower can be started: the training succeeds');
is(workers_of($run), 1, 'by one worker');
like(new_log(), qr/metasd run $run trains with 1 of 3 workers/, 'and the log says so');

# Followers are as large as their leader, but for the 150 MB of the training.
$run = train_with_limited_followers('as', sub {
		my ($kb) = slurp_file("/proc/$_[0]/status") =~ /^VmSize:\s+(\d+) kB/m;
		return 1024 * $kb + (60 << 20);
	}, '"rank": 1500');
like(reason_of($run), qr/^failed\|could not map shared memory segment .*Cannot allocate memory/,
	'followers fail: the run fails with their reason');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'metasd training'}), '0',
	'nobody is left');

# The launcher of logical replication takes one of three places.
$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
$node->restart;
new_log();
$run = train_large('n', '"workers": 3');
is(workers_of($run), 2, 'too few places: two workers train');
like(new_log(), qr/LOG:  metasd run $run trains with 2 of 3 workers
.*DETAIL:  .*
.*HINT:  Raise max_worker_processes, which is 3, or lower metasd.max_workers\./,
	'the log says why, and what can be done');
$run = start_training($node, 'm', source => 'large', params => $LONG =~ s/}/, "workers": 2}/r);
$leader = worker_of($node, $run);
$node->safe_psql('postgres', "SELECT kg_cancel($run)");
ok(defined all_gone($leader), 'a training of two in two places is cancelled');
is(workers_of(train_large('m', '"workers": 2')), 2, 'both places are free at once');
unlike(new_log(), qr/trains with/, 'nothing was missing');

is(stray_rows($node), '0', 'no rows are left behind');
$node->stop;
done_testing();
