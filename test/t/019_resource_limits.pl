# What an administrator allows: how much memory, priority and how many workers and trainings a role may
# have, whatever it sets; counted with those that nobody else can see yet.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('limits', max_worker_processes => 8, 'metasd.max_workers' => 1,
	'metasd.train_mem_limit' => '100MB', 'metasd.min_nice' => 5);
my $port = $node->port;

$node->safe_psql('postgres', qq{
	CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN;
	GRANT SELECT ON facts, slow TO ann, bob;
	GRANT CREATE ON SCHEMA public TO ann});

# What a role gets from a session of its own: output or error.
sub as
{
	my ($role, $sql, $options) = @_;
	local $ENV{PGOPTIONS} = $options || '';
	my ($rc, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role ]);

	return $rc == 0 ? $out : $err;
}

sub cancel_all
{
	$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'metasd training'");
	wait_for_no_worker($node);
	return;
}

my $too_many = qr/ERROR:  too many trainings of role "ann"\nDETAIL:.*\nHINT:.*metasd\.max_trainings_per_role/;
my $slow = "'slow', params => '$LONG'";

# ---- trainings of a role ----

# Half of the others than the launcher of logical replication's.
my $session = session($node);
$session->query_safe('SET SESSION AUTHORIZATION ann');
$session->query_safe('BEGIN');
$session->query_safe("SELECT kg_train('a$_', $slow)") for 1 .. 3;
like(as('ann', "SELECT kg_train('a4', $slow)"), $too_many,
	'three trainings that nobody sees yet are as many as a role may have');
like(as('ann', "BEGIN; SELECT kg_train('a4', $slow)"), $too_many, 'in a transaction, too');
my $run = as('bob', "SELECT kg_train('b', 'facts', params => '$QUICK')");
like($run, qr/^\d+$/, 'another role trains');
wait_for_status($node, $run, 'succeeded', 'to the end');
$session->query_safe('ROLLBACK');
wait_for_no_worker($node);

for my $n (1 .. 3)
{
	like(as('ann', "SELECT kg_train('a$n', $slow)"), qr/^\d+$/, "training $n of three");
}
like(as('ann', "SELECT kg_train('a4', $slow)"), $too_many, 'and no more where they are committed');
$node->safe_psql('postgres', 'CREATE DATABASE other TEMPLATE template0');
$node->safe_psql('other', 'CREATE EXTENSION metasd');
load_graph($node, 'other', 'facts');
$node->safe_psql('other', 'GRANT SELECT ON facts TO ann');
{
	my ($rc, $out, $err) = $node->psql('other', "SELECT kg_train('o', 'facts')", extra_params => [ '-U', 'ann' ]);
	like($err, $too_many, 'those of other databases count');
}
cancel_all();

# The other ways to start one.
$run = as('ann', "SELECT kg_train('done', 'facts', params => '$QUICK')");
wait_for_status($node, $run, 'succeeded', 'a model to train again');
$run = as('ann', "SELECT kg_train('stopped', 'slow', params => '" . $LONG =~ s/}/, "checkpoint_every": 0}/r . "')");
wait_until($node, "SELECT count(*) > 0 FROM metasd.checkpoint WHERE run = $run");
cancel_all();
$node->safe_psql('postgres', 'ALTER ROLE ann SET metasd.max_trainings_per_role = 0');
like(as('ann', "SELECT kg_train('done')"), $too_many, 'a role may have none');
like(as('ann', "SELECT kg_resume($run)"), $too_many, 'kg_resume');
like(as('ann', "SELECT metasd.train_scheduled('done')"), $too_many, 'a schedule');
$node->safe_psql('postgres', 'ALTER ROLE ann SET metasd.max_trainings_per_role = 1');
like(as('ann', "SELECT kg_resume($run)"), qr/^\d+$/, 'a place is enough to resume');
like(as('ann', "SELECT kg_train('done')"), $too_many, 'of which it takes one');
cancel_all();

# Many at once.
{
	my @sessions = map { session($node) } 1 .. 4;
	my ($started, $refused) = (0, 0);

	$_->query_safe('SET SESSION AUTHORIZATION ann; SET metasd.train_mem = 0') for @sessions;
	$node->safe_psql('postgres', qq{
		CREATE TABLE outcome (word text); GRANT INSERT ON outcome TO ann;
		CREATE FUNCTION try_to_train(name text) RETURNS void LANGUAGE plpgsql AS \$\$
		BEGIN
			PERFORM kg_train(name, $slow);
			INSERT INTO outcome VALUES ('started');
		EXCEPTION WHEN configuration_limit_exceeded THEN
			INSERT INTO outcome VALUES ('refused');
		END \$\$});
	my @procs = map { start_psql("ann", "SELECT try_to_train('race$_')") } 1 .. 4;
	$_->finish for @procs;
	is($node->safe_psql('postgres', "SELECT string_agg(word, ' ' ORDER BY word) FROM outcome"),
		'refused refused refused started', 'of four at once that may be one, one is');
	$_->quit for @sessions;
}
cancel_all();

sub start_psql
{
	my ($role, $sql) = @_;
	my ($in, $out, $err) = ('', '', '');
	return IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres') . " user=$role", '-c', $sql ],
		'<', \$in, '>', \$out, '2>', \$err);
}

# A place is not given up by what a source does.
$node->safe_psql('postgres', q{SET ROLE ann;
	CREATE VIEW unlocking AS SELECT head, relation, tail FROM slow WHERE NOT EXISTS (
		SELECT FROM (SELECT pg_advisory_unlock_all()::text AS nothing) u WHERE nothing = 'x')});
as('ann', "SELECT kg_train('unlocking', 'unlocking', params => '$LONG')");
wait_until($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ '^metasd: training model "unlocking", training, epoch'});
like(as('ann', "SELECT kg_train('done')"), $too_many, 'after pg_advisory_unlock_all()');
cancel_all();

# A superuser has no limit but one that is set.
$node->safe_psql('postgres', "SELECT kg_train('s$_', $slow)") for 1 .. 4;
psql_fails($node, "SET metasd.max_trainings_per_role = 4; SELECT kg_train('s5', $slow)",
	qr/too many trainings of role/, 'a superuser who sets a limit has it');
cancel_all();

# ---- memory and priority ----

my $large = "'slow', params => '{\"rank\": 10000}'";
my $refused = qr/failed\|training needs \d+ MB of memory, metasd\.train_mem_limit allows 100 MB/;

sub outcome_of
{
	my ($run) = @_;
	$run =~ s/^psql.*WARNING.*\n//;
	$run =~ /^\d+$/ or return $run;
	wait_until($node, "SELECT status NOT IN ('queued', 'running') FROM metasd.run WHERE id = $run");
	return $node->safe_psql('postgres', "SELECT status, error FROM metasd.run WHERE id = $run");
}

like(outcome_of(as('ann', "SET metasd.train_mem = 0; SELECT kg_train('large', $large)")), $refused,
	'metasd.train_mem beyond the limit is lowered to it');
like(outcome_of(as('ann', "SELECT kg_train('large', $large)", '-c metasd.train_mem_limit=0 -c metasd.train_mem=0')),
	$refused, 'also where the client asked for another limit');
like(as('ann', "SELECT count(*) FROM metasd.progress; SET metasd.train_mem_limit = 0"), qr/ERROR:  permission denied to set parameter/,
	'which only superusers set');
like(as('ann', "SELECT count(*) FROM metasd.progress; ALTER ROLE ann SET metasd.train_mem_limit = 0"), qr/ERROR:  permission denied to set parameter/,
	'for a role, too');
like(as('ann', "SELECT count(*) FROM metasd.progress; ALTER ROLE ann SET metasd.max_trainings_per_role = 9"),
	qr/ERROR:  permission denied to set parameter/, 'like the others');
$node->safe_psql('postgres', "ALTER ROLE bob SET metasd.train_mem_limit = '50GB'");
like(outcome_of(as('bob', "SET metasd.train_mem = '120MB'; SELECT kg_train('large_b', $large)")),
	qr/metasd\.train_mem allows 120 MB/,
	'a role may be given more, and ask for less');

SKIP:
{
	skip 'there is no /proc here', 3 unless -d '/proc/self/task';
	for my $case ([ 'SET metasd.nice = 0;', '', 5 ], [ 'SET metasd.nice = 0;', '-c metasd.min_nice=0', 5 ],
		[ 'SET metasd.nice = 7;', '', 7 ])
	{
		my ($set, $options, $nice) = @$case;
		my $run = as('bob', "$set SELECT kg_train('nice', $slow)", $options);
		my $pid = worker_of($node, $run);
		my @stat;

		for (1 .. 100)
		{
			@stat = split / /, slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr;
			last if $stat[19 - 3] == $nice;
			$node->safe_psql('postgres', 'SELECT pg_sleep(0.1)');
		}
		is($stat[19 - 3], $nice, "metasd.min_nice holds ($set $options)");
		cancel_all();
	}
}

# A role that is allowed one training of all databases asks for another limit as it connects.
$node->append_conf('postgresql.conf', "metasd.max_trainings_per_role = 1\n");
$node->reload;
$node->safe_psql('postgres', "ALTER ROLE ann RESET metasd.max_trainings_per_role");
like(as('ann', "SELECT kg_train('one', $slow)"), qr/^\d+$/, 'one');
like(as('ann', "SELECT kg_train('two', $slow)"), $too_many, 'not two');
like(as('ann', "SELECT kg_train('two', $slow)", '-c metasd.max_trainings_per_role=9'), qr/^(psql.*)?ERROR:/m,
	'nor where the client asked for another limit');
cancel_all();

# ---- workers of a role ----

load_graph($node, 'postgres', 'large', entities => 1000, relations => 10, triples => 10000);
$node->append_conf('postgresql.conf', "metasd.max_trainings_per_role = 3\nmetasd.max_workers_per_role = 4\n");
$node->reload;
$node->safe_psql('postgres', 'GRANT SELECT ON large TO ann');
my $team = $LONG =~ s/}/, "workers": 3}/r;
my @workers;
for my $n (1 .. 3)
{
	my $run = as('ann', "SET metasd.max_workers = 100; SELECT kg_train('w$n', 'large', params => '$team')");

	wait_until($node, "SELECT metrics ? 'workers' FROM metasd.run WHERE id = $run");
	push @workers, $node->safe_psql('postgres', "SELECT metrics ->> 'workers' FROM metasd.run WHERE id = $run");
}
is("@workers", '3 1 1', 'all trainings of a role together have as many workers as it may, or one each');
cancel_all();

is(stray_rows($node), '0', 'no rows are left behind');
$node->stop;
done_testing();
