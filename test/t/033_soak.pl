# Many sessions ask, promote, train, cancel and drop at random while a model is trained again and again.
# METASD_SECONDS says for how long, METASD_SEED repeats what the sessions have drawn.
#
# A training's seed has one result. So what is right is known beforehand: a statement asks a question
# and, by the same snapshot, which run serves, and must have the answer that the run's seed gives.

use strict;
use warnings;

use List::Util qw(first);
use POSIX qw(_exit WNOHANG);
use Time::HiRes qw(time usleep);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $seconds = $ENV{METASD_SECONDS} || 15;
my $random = $ENV{METASD_SEED} || 1 + int(rand(1e9));
my $sessions = 4;
my $seeds = 3;

diag("METASD_SEED=$random METASD_SECONDS=$seconds") if $ENV{METASD_SECONDS};
note("METASD_SEED=$random METASD_SECONDS=$seconds");
srand($random);

# The compiler of queries, which views come to want as runs grow in number, takes 13 MB of a session.
my $node = new_node('soak', 'metasd.nice' => 0, 'metasd.max_workers' => 1, max_worker_processes => 16,
	jit => 'off');
$node->safe_psql('postgres',
	"CREATE TABLE test AS SELECT * FROM facts WHERE head IN ('e1', 'e2', 'e3', 'e61')");

sub params
{
	my ($seed) = @_;
	return $QUICK =~ s/\{/{"seed": $seed, /r;
}

# ---- questions, and what each seed answers ----

sub any { return $_[int(rand(@_))]; }

sub entity   { return "'e" . int(rand(62)) . "'"; }    # two of them are not known
sub relation { return "'r" . int(rand(3)) . "'"; }

# Text for an expression; the model is put in for %s.
sub question
{
	my $k = any(1, 3, 10, 100);
	my $known = any('exclude', 'mark', 'include');
	my $all = "string_agg(p::text, ' ' ORDER BY p.rank) FROM";

	return any(
		"(SELECT $all kg_predict(@{[entity()]}, @{[relation()]}, $k, model => '%s', known => '$known') p)",
		"(SELECT $all kg_predict(@{[entity()]}, @{[relation()]}, $k, model => '%s', "
		  . "candidate_ids => ARRAY['e1', 'e2', 'e3', 'e4']) p)",
		"(SELECT $all kg_predict_heads(@{[relation()]}, @{[entity()]}, $k, model => '%s', known => '$known') p)",
		"(SELECT $all kg_predict_relations(@{[entity()]}, @{[entity()]}, $k, model => '%s', known => '$known') p)",
		"(SELECT $all kg_similar(@{[entity()]}, $k, model => '%s') p)",
		"(SELECT p::text FROM kg_rank(@{[entity()]}, @{[relation()]}, @{[entity()]}, model => '%s') p)",
		"(SELECT $all kg_explain(@{[entity()]}, @{[relation()]}, @{[entity()]}, $k, model => '%s') p)",
		"kg_score(@{[entity()]}, @{[relation()]}, @{[entity()]}, model => '%s')::text",
		"kg_embedding(@{[entity()]}, model => '%s')::text",
		"(SELECT round(p.mrr::numeric, 9)::text FROM kg_evaluate('%s', 'test') p)");
}

my @questions = map { question() } 1 .. 60;

# Statement that asks question number N, as a line of the number, the run that serves, its seed, and the answer.
sub asked
{
	my ($n, $model) = @_;
	my $answer = sprintf($questions[$n], $model);

	return "SELECT 'answer', $n, r.id, r.params ->> 'seed', md5(coalesce($answer, '')) FROM metasd.model m "
	  . "JOIN metasd.run r ON r.id = m.serving WHERE m.name = '$model';\n";
}

my %right;
for my $seed (1 .. $seeds)
{
	train($node, 'm', params($seed));
	for my $line (split /\n/, $node->safe_psql('postgres', "SET client_min_messages = error;\n"
			  . join('', map { asked($_, 'm') } 0 .. $#questions)))
	{
		my ($word, $n, $run, $its, $answer) = split /\|/, $line;
		$right{$seed}[$n] = $answer;
	}
}
my $differ = grep { $right{1}[$_] ne $right{2}[$_] } 0 .. $#questions;
cmp_ok($differ, '>', 20, "the seeds answer $differ of 60 questions differently");

# Room for two images and a half.
my ($image) = glob($node->data_dir . '/base/pgsql_tmp/pgsql_tmp_metasd_*');
my $room = int(2.5 * (-s $image) / 1024);
$node->append_conf('postgresql.conf', "metasd.image_cache_size = '${room}kB'");
$node->reload;

# ---- what sessions do ----

my $version = q{SELECT run FROM metasd.versions WHERE model = '%s' AND kept AND status = 'succeeded'
	ORDER BY random() LIMIT 1};

# A few statements of one session, and errors that they may have by what others do.
sub some_sql
{
	my ($others) = @_;
	my $ask = sub { return asked(int(rand(@questions)), rand() < 0.8 ? 'm' : any(@$others)) };
	my $m = sub { return asked(int(rand(@questions)), 'm') };
	my $o = any(@$others);
	my $chance = rand();

	return $m->() . $ask->() . $ask->() if $chance < 0.6;
	return "BEGIN ISOLATION LEVEL REPEATABLE READ;\n\\echo begin\n"
	  . $m->() . $m->() . "SELECT pg_sleep(0.05) AS slept \\gset\n" . $m->() . "COMMIT;\n\\echo end\n"
	  if $chance < 0.7;
	return "SELECT 'promoted', kg_promote('m', v.run) FROM ("
	  . sprintf($version, 'm') . ") v;\n" . $m->()
	  if $chance < 0.75;
	return "BEGIN;\nSELECT 'promoted', kg_promote('m', v.run) FROM ("
	  . sprintf($version, 'm') . ") v;\n" . $m->() . "ROLLBACK;\n" . $m->()
	  if $chance < 0.78;
	return "SELECT 'rolled back', kg_rollback('m');\n" . $m->() if $chance < 0.81;
	return "SELECT 'trains', kg_train('$o', 'facts', params => '@{[params(1 + int(rand($seeds)))]}');\n"
	  if $chance < 0.87;
	return "SELECT 'cancelled', kg_cancel(run) FROM metasd.progress WHERE model = '$o';\n" if $chance < 0.89;
	return "SELECT 'dropped', kg_drop('$o');\n" if $chance < 0.91;
	return "BEGIN;\nSELECT 'dropped', kg_drop('$o');\nROLLBACK;\n" if $chance < 0.92;
	return "SET statement_timeout = '2ms';\n" . $m->() . "RESET statement_timeout;\n" . $m->() if $chance < 0.95;
	return "DISCARD PLANS;\n" . $m->() if $chance < 0.97;
	return "SELECT 'views', (SELECT count(*) FROM metasd.models) + (SELECT count(*) FROM metasd.versions)"
	  . " + (SELECT count(*) FROM metasd.progress) + (SELECT count(*) FROM metasd.learning_curve);\n";
}

# Errors that such a session may have, by what others do at the same time or the session itself.
my @allowed = (
	qr/^55000: model "o\d" has not been trained yet$/,
	qr/^42704: model "o\d" does not exist$/,
	qr/^55000: the embeddings of version \d+ of model "m" are not kept any more$/,
	qr/^55000: there is no version of model "m" to go back to$/,
	qr/^55006: model "o\d" is already being trained by run \d+$/,
	qr/^53000: there is no free background worker to train with$/,
	qr/^57014: canceling statement due to statement timeout$/,
	qr/^25P02: current transaction is aborted/);

# ---- sessions, each of a process of its own ----

my $folder = PostgreSQL::Test::Utils::tempdir();
my $name_of = $node->connstr('postgres');

# Starts psql in this process; returns what runs a text and gives its output, errors among it.
sub psql_session
{
	my ($id) = @_;
	my ($file, $texts) = ('', 0);

	pipe(my $read, my $their_write) or die;
	pipe(my $their_read, my $write) or die;
	my $pid = fork // die;
	if ($pid == 0)
	{
		open(STDIN, '<&', $their_read) or _exit(1);
		open(STDOUT, '>&', $their_write) or _exit(1);
		open(STDERR, '>&', $their_write) or _exit(1);
		close $_ for $read, $write;
		exec('psql', '-XqAt', '-v', 'VERBOSITY=verbose', '-d', $name_of) or _exit(1);
	}
	close $_ for $their_read, $their_write;
	$write->autoflush(1);
	my $session = sub {
		my ($sql) = @_;
		my $output = '';

		# A new file each time: psql may not be done with the one before.
		unlink $file;
		$file = "$folder/$id." . $texts++ . '.sql';
		open(my $handle, '>', $file) or die "$file: $!";
		print $handle $sql, "\\echo done\n";
		close $handle;
		print $write "\\i $file\n";
		while (my $line = <$read>)
		{
			return $output if $line eq "done\n";
			$output .= $line;
		}
		die "a session has ended: $output";
	};
	$session->("SET client_min_messages = warning;\n");
	return $session;
}

# Reads what psql has said: wrong answers and errors that are not allowed go to the report.
sub judge
{
	my ($report, $count, $output) = @_;
	my $within;

	for my $line (split /\n/, $output)
	{
		if ($line =~ /^answer\|(\d+)\|(\d+)\|(\d+)\|(\w+)$/)
		{
			my ($n, $run, $seed, $answer) = ($1, $2, $3, $4);
			$count->{answers}++;
			print $report "wrong: question $n, run $run of seed $seed: $questions[$n]\n"
			  if $right{$seed}[$n] ne $answer;
			print $report "wrong: run $run after run $within->{run} by one snapshot\n"
			  if $within && ($within->{run} //= $run) != $run;
		}
		elsif ($line eq 'begin') { $within = {}; }
		elsif ($line eq 'end')   { $within = undef; }
		elsif ($line =~ /(?:ERROR|FATAL|PANIC|WARNING): +(.*)/)
		{
			my $error = $1;
			$count->{$error =~ s/\d+\b/N/gr}++;
			print $report "error: $error\n" unless grep { $error =~ $_ } @allowed;
		}
	}
	return;
}

# Runs the work in a process of its own, which writes a report; returns the process.
sub process
{
	my ($id, $work) = @_;
	my $pid = fork // die;

	return $pid if $pid;
	open(my $report, '>', "$folder/$id.report") or _exit(1);
	$report->autoflush(1);
	srand($random + $id);
	my %count;
	eval { $work->($report, \%count); 1 } or print $report "error: $@\n";
	print $report "count: $_: $count{$_}\n" for sort keys %count;
	print $report "complete\n";
	close $report;
	_exit(0);
}

my $deadline = time + $seconds;

# Private memory of a process in kB, and how many images it has mapped.
sub memory
{
	my ($pid) = @_;
	my ($anonymous) = slurp_file("/proc/$pid/smaps_rollup") =~ /^Anonymous:\s+(\d+) kB/m;
	my $images = () = slurp_file("/proc/$pid/maps") =~ /pgsql_tmp_metasd/g;

	return ($anonymous, $images);
}

sub random_session
{
	my ($id) = @_;

	return process($id, sub {
		my ($report, $count) = @_;
		my $session = psql_session($id);
		my ($pid) = $session->("SELECT pg_backend_pid();\n") =~ /(\d+)/;

		while (time < $deadline)
		{
			judge($report, $count, $session->(join '', map { some_sql(['o1', 'o2']) } 1 .. 50));
			my ($private, $images) = memory($pid);
			print $report "memory: $count->{answers} $private $images\n";
		}
	});
}

# All functions called with many arguments in one statement each: 1,000 calls.
my $many = join('', map {
		"SELECT count(p.*) FROM generate_series(1, 200) i, LATERAL $_ p;\n" }
	  q{kg_predict('e' || i % 62, 'r' || i % 3, i % 20, model => 'm')},
	q{kg_predict_heads('r' || i % 3, 'e' || i % 62, i % 20, model => 'm', known => 'mark')},
	q{kg_predict_relations('e' || i % 62, 'e' || i % 7, 2, model => 'm', known => 'include')},
	q{kg_similar('e' || i % 62, i % 20, model => 'm')},
	q{kg_rank('e' || i % 62, 'r' || i % 3, 'e' || i % 7, model => 'm')},
	q{kg_explain('e' || i % 62, 'r' || i % 3, 'e' || i % 7, 5, model => 'm')});

# Asks model m alone, 12,000 times at least and for as long as the others go on, and says what memory it
# had.
sub steady_session
{
	my ($id) = @_;

	return process($id, sub {
		my ($report, $count) = @_;
		my $session = psql_session($id);
		my ($pid) = $session->("SELECT pg_backend_pid();\n") =~ /(\d+)/;
		my $calls = 0;

		while (time < $deadline || $calls < 12_000)
		{
			judge($report, $count, $session->($many . join('', map { asked($_, 'm') } 0 .. $#questions)));
			$calls += 1000 + @questions;
			my ($private, $images) = memory($pid);
			print $report "memory: $calls $private $images\n";
		}
	});
}

# Retrains for as long as the others go on.
sub trainer
{
	my ($id) = @_;

	return process($id, sub {
		my ($report, $count) = @_;
		my $session = psql_session($id);

		while (time < $deadline)
		{
			my $params = params(1 + int(rand($seeds)));
			my ($run) = $session->("SELECT kg_train('m', params => '$params');\n") =~ /^(\d+)$/m;
			if (!defined $run)
			{
				usleep(100_000); # the others have all the workers
				next;
			}
			judge($report, $count, $session->("CALL kg_wait($run);\n"));
			$count->{trainings}++;
		}
	});
}

sub shared_memory
{
	return $node->safe_psql('postgres',
		"SELECT sum(size) FROM pg_shmem_allocations WHERE name IS NOT NULL");
}

my $shared = shared_memory();
my %who = (
	(map { random_session($_) => "session $_" } 1 .. $sessions),
	steady_session(8) => 'the steady session',
	trainer(9) => 'the training');
my $hangs = $deadline + 10 * $PostgreSQL::Test::Utils::timeout_default;
while (%who)
{
	note_segments($node);
	usleep(200_000);
	if (time > $hangs)
	{
		kill 'KILL', keys %who;
		die 'do not end: ' . join(', ', sort values %who) . "\n";
	}
	my $pid = first { waitpid($_, WNOHANG) == $_ } keys %who or next;
	my $name = delete $who{$pid};
	is($?, 0, "$name ends");
}

# ---- what they found ----

my %total;
for my $id (1 .. $sessions, 8, 9)
{
	my $report = slurp_file("$folder/$id.report");

	$total{$1} += $2 while $report =~ /^count: (.*): (\d+)$/mg;
	is(join('', grep { /^(wrong|error)/ } $report =~ /^.*\n/mg), '', "session $id: no wrong answer, no error");
	like($report, qr/^complete$/m, "session $id: its report is complete");

	my (@memory, $warm);
	push @memory, [ $1, $2, $3 ] while $report =~ /^memory: (\d+) (\d+) (\d+)$/mg;
	next unless ($warm) = grep { $_->[0] >= 2000 } @memory;
	my ($calls, $private) = @{ $memory[-1] };
	cmp_ok($private - $warm->[1], '<', 1024, sprintf('session %s: after %d calls %d kB more than after %d',
			$id, $calls, $private - $warm->[1], $warm->[0]));
	is(scalar(grep { $_->[2] > 4 } @memory), 0, 'and no more than four images mapped');
}
note "$total{$_}: $_" for sort keys %total;
cmp_ok($total{answers}, '>', 0, "$total{answers} answers were right");
cmp_ok($total{trainings} // 0, '>', 0, 'while a model was trained again and again');

cmp_ok(abs(shared_memory() - $shared), '<', 1 << 20, 'shared memory has not grown');

$node->safe_psql('postgres', 'SELECT kg_cancel(run) FROM metasd.progress');
ok(wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'metasd training'"),
	'no worker is left');
is(join(' ', orphaned_segments($node)), '', 'no segment of shared memory is left');
# A build removes what there is too much of, but for what its session has mapped, here nothing.
my $uuid = $node->safe_psql('postgres',
	"SELECT r.uuid FROM metasd.model m JOIN metasd.run r ON r.id = m.serving WHERE m.name = 'm'");
unlink glob($node->data_dir . "/base/pgsql_tmp/pgsql_tmp_metasd_*_$uuid");
$node->safe_psql('postgres', "SELECT * FROM kg_predict('e1', 'r1', model => 'm')");
is(join(' ', stray_images($node)), '', 'no image is left of what is not there');
my $bytes = 0;
$bytes += -s $_ for glob($node->data_dir . '/base/pgsql_tmp/pgsql_tmp_metasd_*');
cmp_ok($bytes, '<=', 1024 * $room, 'images take no more room than metasd.image_cache_size');
is(stray_rows($node), '0', 'no rows are left behind');
unlike(slurp_file($node->logfile), qr/leak|PANIC|was terminated by signal|could not unmap/,
	'nothing of that sort is in the log');
$node->stop;
done_testing();
