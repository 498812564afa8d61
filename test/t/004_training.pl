# A training under way: what it holds and what it does not, how it is seen, how it is stopped.

use strict;
use warnings;

use Cwd qw(abs_path);
use Time::HiRes qw(time);

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('training');

# Threads of a process, and whether it has a library mapped.
sub threads
{
	my ($pid) = @_;
	my @threads = glob "/proc/$pid/task/*";
	return scalar @threads;
}

sub mapped
{
	my ($pid, $pattern) = @_;
	my @maps = grep { /$pattern/ } split /\n/, slurp_file("/proc/$pid/maps");
	return @maps;
}

# The library of matrix products that the server log names.
sub library_of
{
	my ($run) = @_;
	my ($library) = slurp_file($node->logfile) =~
	  /metasd run $run of .* started\n.*DETAIL:  Matrix products come from (.*?)(?:, kernels for processors of type \w+)?\.\n/;
	return $library // 'none';
}

load_graph($node, 'postgres', 'large', entities => 2000, relations => 20, triples => 20000);
my $first = train($node, 'm', $QUICK);
my $before = answers($node, 'm');

my $run = start_training($node, 'm', source => 'large');
my $pid = worker_of($node, $run);

# Looks at the worker in pg_stat_activity; a look clears what the session remembers of the last.
$node->safe_psql('postgres', q{
	CREATE PROCEDURE look(process int, looks int, INOUT free int, INOUT idle int, INOUT longest float8)
	LANGUAGE plpgsql AS $$
	DECLARE a record;
	BEGIN
		free := 0;
		idle := 0;
		longest := 0;
		FOR i IN 1 .. looks LOOP
			PERFORM pg_stat_clear_snapshot();
			SELECT backend_xmin, clock_timestamp() - xact_start AS age INTO STRICT a
			FROM pg_stat_activity WHERE pid = process;
			free := free + (a.backend_xmin IS NULL)::int;
			idle := idle + (a.backend_xmin IS NULL AND a.age IS NULL)::int;
			longest := greatest(longest, extract(epoch FROM a.age));
			PERFORM pg_sleep(0.05);
		END LOOP;
	END $$});

# The rule: a training holds a snapshot, or has a transaction open, for the moment it takes to
# write where it is, and that is never as long as the second between two such writes.
my ($free, $idle, $longest) =
  split /\|/, $node->safe_psql('postgres', "CALL look($pid, 50, NULL, NULL, NULL)");
cmp_ok($idle, '>=', 40, "no transaction and no xmin in nearly all of 50 looks ($idle)");
cmp_ok($longest, '<', 1, "a transaction never lasts as long as a heartbeat ($longest s)");

# What that is for: rows that died meanwhile can be removed.
$node->safe_psql('postgres', 'CREATE TABLE busy AS SELECT generate_series(1, 1000) AS n');
$node->safe_psql('postgres', 'DELETE FROM busy');
my $kept = -1;
for (1 .. 20)
{
	my ($rc, $out, $err) = $node->psql('postgres', 'VACUUM (VERBOSE) busy');
	($kept) = $err =~ /(\d+) (?:are dead but not yet removable|dead row versions cannot be removed yet)/;
	last if defined $kept && $kept == 0;
}
is($kept, 0, 'VACUUM removes rows that died during the training');

is(threads($pid), 1, 'the worker has one thread');
my ($trains) = map { m{(/\S*/metasd_train\.so)} } mapped($pid, 'metasd_train');
my $library = library_of($run);
ok(mapped($pid, quotemeta $library), "the server log says which BLAS it has: $library");
my @other = grep { !/\Q$library\E/ } mapped($pid, 'blas|blis');
is("@other", '', 'and it has no other');

my $predicting = session($node);
my $predicting_pid = $predicting->query_safe('SELECT pg_backend_pid()');
$predicting->query_safe("SELECT count(*) FROM kg_predict('e1', 'r1', model => 'm')");
ok(mapped($predicting_pid, 'metasd\.so'), 'a session that predicts has the extension');
is(threads($predicting_pid), 1, 'it has one thread');
is(scalar(mapped($predicting_pid, 'openblas|metasd_train')), 0, 'and no BLAS');
$predicting->quit;

# How it is seen.
is($node->safe_psql('postgres', "SELECT backend_type FROM pg_stat_activity WHERE pid = $pid"),
	'metasd training', 'pg_stat_activity names what it is');
ok(wait_until($node, "SELECT query ~ 'model \"m\", training, epoch \\d+ of 100000, "
	  . "batch \\d+ of \\d+' FROM pg_stat_activity WHERE pid = $pid"),
	'and model, epoch and batch');
ok(wait_until($node, "SELECT status = 'running' AND phase = 'training' "
	  . "AND epoch >= 1 AND epochs = 100000 AND done BETWEEN 1 AND total AND loss > 0 "
	  . "AND elapsed > '0' AND remaining > '1 minute' AND pid = $pid "
	  . "FROM metasd.progress WHERE model = 'm'"),
	'metasd.progress tells where it is');
is($node->safe_psql('postgres', "SELECT last_run, last_status, serving FROM metasd.models"),
	"$run|running|$first", 'metasd.models knows of it, and what serves');
is(answers($node, 'm'), $before, 'what serves goes on serving');

# A wait holds no snapshot either, and ends its transaction at every look.
my $waiting = session($node);
my $waiting_pid = $waiting->query_safe('SELECT pg_backend_pid()');
$waiting->query_until(qr/waiting/, "\\echo waiting\nCALL kg_wait($run);\n");
ok(wait_until($node, "SELECT query ~ '^CALL' AND wait_event_type = 'Extension' FROM pg_stat_activity "
	  . "WHERE pid = $waiting_pid"), 'kg_wait waits');
($free, $idle, $longest) =
  split /\|/, $node->safe_psql('postgres', "CALL look($waiting_pid, 20, NULL, NULL, NULL)");
cmp_ok($free, '>=', 15, "and holds no xmin in nearly all of 20 looks ($free)");
cmp_ok($longest, '<', 1, "nor a transaction for long ($longest s)");

# Cancelling; the time is for people to read, the deadline only finds what hangs.
my $asking = session($node);
my $begun = time;
is($asking->query_safe("SELECT kg_cancel($run)"), 't', 'kg_cancel finds the worker');
ok(defined wait_until_gone($pid, 5), 'the worker leaves');
note sprintf('kg_cancel to the end of the worker: %.0f ms', 1000 * (time - $begun));
is(status_of($node, $run), 'cancelled', 'the run is cancelled');
is($asking->query("SELECT kg_cancel($run)"), 'f', 'cancelling again finds nothing to do');
like($asking->{stderr}, qr/run $run is not running: its status is "cancelled"/, 'and says so');
$asking->{stderr} = '';

my ($out, $failed) = $waiting->query('');
like($waiting->{stderr}, qr/ERROR:  run $run of model "m" was cancelled/, 'kg_wait says it');
$waiting->quit;
is(answers($node, 'm'), $before, 'what served before still serves');
is($node->safe_psql('postgres', 'SELECT count(*) FROM metasd.progress'), '0', 'nothing goes on');

for my $again (1 .. 2)
{
	my $run = start_training($node, 'm');
	my $pid = worker_of($node, $run);
	my $begun = time;
	$asking->query_safe("SELECT kg_cancel($run)");
	ok(defined wait_until_gone($pid, 5), "the worker leaves, again ($again)");
	note sprintf('kg_cancel to the end of the worker: %.0f ms', 1000 * (time - $begun));
}
$asking->quit;

is(stray_rows($node), '0', 'no rows are left behind');

# Whichever BLAS is found when a worker starts, it gets one thread and computes the same. METASD_BLAS names folders
# of others than those that are installed.
sub losses
{
	my ($run) = @_;
	return $node->safe_psql('postgres',
		"SELECT sum(coalesce(loss_full, 0) + coalesce(loss_pruned, 0)) FROM metasd.learning_curve WHERE run = $run");
}

my ($needed) = `readelf -d $trains` =~ /NEEDED.*\[(lib\S*bl[ai]s\S*)\]/;
my @flavours = grep { defined } map { (grep { -e } glob("$_/libopenblas.so.0 $_/libblis.so.[0-9] $_/libblas.so.3"))[0] }
  glob('/usr/lib/*/openblas-* /usr/lib/*/blis-* /usr/lib/*/blas'), split /:/, $ENV{METASD_BLAS} // '';
for my $flavour (@flavours)
{
	my $folder = PostgreSQL::Test::Utils::tempdir();

	symlink($flavour, "$folder/$needed") or die "cannot link $flavour: $!\n";
	local $ENV{LD_LIBRARY_PATH} = $folder;
	$node->restart;
	my $same = train($node, 'flavour', $QUICK);
	cmp_ok(abs(losses($same) / losses($first) - 1), '<', 0.01, "$flavour: the same, to rounding");
	my $run = start_training($node, 'm', source => 'large');
	is(library_of($run), abs_path($flavour), 'the log names it');
	is(threads(worker_of($node, $run)), 1, 'the worker has one thread');
	$node->safe_psql('postgres', "SELECT kg_cancel($run)");
	wait_for_no_worker($node);
}
note('no BLAS but the own one was found') if @flavours < 2;
$node->stop;
done_testing();
