# What the tests of servers share: a node with the extension and a graph, trainings
# that go on for as long as a test needs them, and what became of their workers.
package MetasdTest;

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(dirname);
use File::Spec;
use Time::HiRes qw(time usleep);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  $LONG $MEDIUM $QUICK new_node load_graph gate train start_training worker_of session
  wait_until wait_until_gone wait_for_status wait_for_no_worker wait_for_server start_again limit_process
  status_of answers psql_fails stray_rows children_of note_segments orphaned_segments stray_images in_tree config_of
  parallel_setting
);

# The deadline of all that is waited for is that of PostgreSQL's own tests, PG_TEST_TIMEOUT_DEFAULT: only
# what hangs gets there, however busy the machine is.

# Parameters, with which every version is promoted, of a training that does not end by itself and of one that takes a second, of table
# slow, and of one that is soon over, of table facts.
# They give what probes would choose otherwise.
my $given =
  ', "reg": 0.05, "regularizer": "dura", "relation_weight": 0, "class_weights": false}';
our $LONG = '{"rank": 64, "epochs": 100000, "warmup": 0, "patience": 0' . $given;
our $MEDIUM =
  '{"rank": 64, "epochs": 4, "warmup": 0, "patience": 0, "promote_tolerance": 1' . $given;
our $QUICK =
  '{"rank": 64, "epochs": 8, "warmup": 4, "ramp": 2, "batch": 50, "sparsity": 0.5,'
  . ' "promote_tolerance": 1, "warm_start": false'
  . $given;

# A file of the source tree that the tests are a part of, by its path there.
my $tree = dirname(dirname(dirname(File::Spec->rel2abs(__FILE__))));

sub in_tree
{
	my ($path) = @_;

	return "$tree/$path";
}

# What pg_config says of a server's installation; before version 15 nodes cannot tell.
sub config_of
{
	my ($node, $option) = @_;

	return $node->config_data($option) if $node->can('config_data');
	chomp(my $value = `pg_config $option`);
	return $value;
}

# The setting that has any query run in parallel; 16 has renamed it.
sub parallel_setting
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q{SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')});
}

# A server, started, with the extension and two graphs in database postgres: facts is small, an
# epoch of slow takes a tenth of a second.
sub new_node
{
	my ($name, %settings) = @_;
	my $streaming = delete $settings{streaming};
	my $installation = delete $settings{install_path};
	my $node = PostgreSQL::Test::Cluster->new($name, $installation ? (install_path => $installation) : ());

	$node->init($streaming ? (allows_streaming => 1) : ());
	$node->append_conf('postgresql.conf', "restart_after_crash = on\nautovacuum = off\n");
	$node->append_conf('postgresql.conf', "$_ = $settings{$_}") for sort keys %settings;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION metasd');
	load_graph($node, 'postgres', 'facts');
	load_graph($node, 'postgres', 'slow', entities => 600, relations => 10, triples => 6000);
	return $node;
}

# A table `gate`: while its column `closed` is true a training waits as that epoch of it ends.
sub gate
{
	my ($node, $epoch, $closed) = @_;

	$node->safe_psql('postgres', qq{
		CREATE TABLE gate AS SELECT $closed AS closed;
		CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN
			WHILE NEW.epoch = $epoch AND (SELECT closed FROM public.gate) LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
			RETURN NEW;
		END \$\$;
		CREATE TRIGGER gate BEFORE INSERT ON metasd.epoch
		FOR EACH ROW EXECUTE FUNCTION wait_at_gate()});
	return;
}

# A table of triples: not random, so that each run of a test has the same.
sub load_graph
{
	my ($node, $database, $table, %size) = @_;
	my $entities = $size{entities} || 60;
	my $relations = $size{relations} || 3;
	my $triples = $size{triples} || 400;

	$node->safe_psql($database, qq{
		CREATE TABLE $table (head text, relation text, tail text,
							 PRIMARY KEY (head, relation, tail));
		CREATE INDEX ON $table (tail, relation);
		INSERT INTO $table
		SELECT 'e' || i % $entities, 'r' || i % $relations,
			   'e' || (i % $entities + i % $relations + (hashint4(i) & 3)) % $entities
		FROM generate_series(1, $triples) i
		ON CONFLICT DO NOTHING;
	});
	return;
}

# Trains to the end and returns the run.
sub train
{
	my ($node, $model, $params, $database) = @_;
	my $run = $node->safe_psql($database || 'postgres',
		"SELECT kg_train('$model', 'facts', params => '$params')");

	$node->safe_psql($database || 'postgres', "CALL kg_wait($run)");
	return $run;
}

# Starts a training that goes on for long and returns the run once it has done an epoch. Where
# wanted otherwise: database, source, params, and SQL to run before.
sub start_training
{
	my ($node, $model, %how) = @_;
	my $database = $how{database} || 'postgres';
	my $source = $how{source} || 'slow';
	my $params = $how{params} || $LONG;
	my $run = $node->safe_psql($database,
		($how{before} || '') . "SELECT kg_train('$model', '$source', params => '$params')");

	wait_until($node, "SELECT count(*) > 0 FROM metasd.learning_curve WHERE run = $run", $database);
	return $run;
}

# The process that trains a run.
sub worker_of
{
	my ($node, $run, $database) = @_;

	return $node->safe_psql($database || 'postgres', "SELECT pid FROM metasd.run WHERE id = $run");
}

# A session that stays, and does not end at an error.
sub session
{
	my ($node, $database) = @_;

	return $node->background_psql($database || 'postgres', on_error_stop => 0);
}

# Waits until the query says t. The test dies at the deadline: what follows is about a state that has
# not come about.
sub wait_until
{
	my ($node, $query, $database) = @_;

	$node->poll_query_until($database || 'postgres', $query)
	  or die sprintf("waited in vain at line %d until: %s\n", (caller)[2], $query);
	return 1;
}

# Waits for a process to end; returns the milliseconds that took. The test dies if it does not.
sub wait_until_gone
{
	my ($pid, $seconds) = @_;
	my $begun = time;

	$seconds ||= $PostgreSQL::Test::Utils::timeout_default;
	while (kill(0, $pid))
	{
		die sprintf("process %d was still there after %s s, at line %d\n", $pid, $seconds, (caller)[2])
		  if time - $begun > $seconds;
		usleep(1000);
	}
	return 1000 * (time - $begun);
}

# Waits until no training worker is there.
sub wait_for_no_worker
{
	my ($node) = @_;

	return wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'metasd training'");
}

# Waits for a server that starts itself again. A psql that finds none is gone before it takes a statement, and
# whoever writes to it then dies of the broken pipe.
sub wait_for_server
{
	my ($node) = @_;
	my $begun = time;

	while (system('pg_isready', '-q', '-d', $node->connstr('postgres')) != 0)
	{
		die "the server does not come back\n" if time - $begun > $PostgreSQL::Test::Utils::timeout_default;
		usleep(20_000);
	}
	return 1;
}

# Starts a server whose postmaster was killed: that fails for as long as its processes are there.
sub start_again
{
	my ($node) = @_;
	my $begun = time;

	until ($node->start(fail_ok => 1))
	{
		die "no server starts in place of one that was killed\n"
		  if time - $begun > $PostgreSQL::Test::Utils::timeout_default;
		usleep(100_000);
	}
	return 1;
}

# Sets a limit of a process, as prlimit names it (util-linux, a part of every Debian).
sub limit_process
{
	my ($pid, $limit) = @_;

	system("prlimit --pid $pid --$limit") == 0 or die "prlimit --pid $pid --$limit failed\n";
	return;
}

sub status_of
{
	my ($node, $run, $database) = @_;

	return $node->safe_psql($database || 'postgres',
		"SELECT status FROM metasd.versions WHERE run = $run");
}

# Waits until the run has that status; a test of that name, which ends all where it fails.
sub wait_for_status
{
	my ($node, $run, $status, $name, $database) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($node->poll_query_until($database || 'postgres',
			"SELECT status = '$status' FROM metasd.versions WHERE run = $run"), $name)
	  or die "run $run is " . status_of($node, $run, $database) . ", not $status\n";
	return;
}

# What a model answers to some questions, as text.
sub answers
{
	my ($node, $model, $database) = @_;

	return $node->safe_psql($database || 'postgres', qq{
		SELECT h.i, p.* FROM generate_series(1, 5) h (i),
			   LATERAL kg_predict('e' || h.i, 'r1', 5, model => '$model') p
		UNION ALL
		SELECT h.i, p.* FROM generate_series(1, 5) h (i),
			   LATERAL kg_predict_heads('r2', 'e' || h.i, 5, model => '$model') p
		ORDER BY 1, 2, 3});
}

# The statements must fail, and the error itself must match: its message, DETAIL and HINT, not what was
# said before it. Returns the error.
sub psql_fails
{
	my ($node, $sql, $pattern, $name, $database, %params) = @_;
	my ($rc, $out, $err) = $node->psql($database || 'postgres', $sql, %params);
	my ($error) = $err =~ /^(?:psql:\S*: )?((?:ERROR|FATAL):  .*)/ms;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($rc != 0 && defined $error && $error =~ $pattern, $name)
	  or diag("psql's status is $rc, not an error like $pattern; it said:\n$err");
	return $error;
}

# Rows in the catalog that belong to no run.
sub stray_rows
{
	my ($node, $database) = @_;

	return $node->safe_psql($database || 'postgres', q{
		SELECT (SELECT count(*) FROM metasd.entity WHERE run NOT IN (SELECT id FROM metasd.run))
			 + (SELECT count(*) FROM metasd.relation WHERE run NOT IN (SELECT id FROM metasd.run))
			 + (SELECT count(*) FROM metasd.epoch WHERE run NOT IN (SELECT id FROM metasd.run))
			 + (SELECT count(*) FROM metasd.checkpoint WHERE run NOT IN (SELECT id FROM metasd.run))
			 + (SELECT count(*) FROM metasd.run WHERE model NOT IN (SELECT name FROM metasd.model))});
}

# The postmaster's children.
sub children_of
{
	my ($node) = @_;
	my @children;

	for my $file (glob '/proc/[0-9]*/stat')
	{
		my $stat = eval { slurp_file($file) } or next;
		push @children, $1 if $stat =~ /^(\d+) .*\) \S (\d+) /s && $2 == $node->{_pid};
	}
	return @children;
}

# The files of dynamic shared memory that the server's processes have mapped, and all that they had
# when this was called before.
my %segments_seen;

sub note_segments
{
	my ($node) = @_;
	my %mapped;

	for my $pid ($node->{_pid}, children_of($node))
	{
		my $maps = eval { slurp_file("/proc/$pid/maps") } or next;
		$mapped{$1} = 1 while $maps =~ m{(/dev/shm/PostgreSQL\.\d+)$}mg;
	}
	%segments_seen = (%segments_seen, %mapped);
	return \%mapped;
}

# Those of them that are still there, though no process has a mapping.
sub orphaned_segments
{
	my ($node) = @_;
	my @orphans;

	for (1 .. 50)
	{
		my $mapped = note_segments($node);
		@orphans = grep { !$mapped->{$_} && -e $_ } keys %segments_seen;
		last unless @orphans;
		usleep(100_000);
	}
	return @orphans;
}

# Images of no run, and those that are half written.
sub stray_images
{
	my ($node) = @_;
	my %known = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', 'SELECT uuid FROM metasd.run');

	return grep { !$known{ s/.*_//r } } glob($node->data_dir . '/base/pgsql_tmp/pgsql_tmp_metasd_*');
}

1;
