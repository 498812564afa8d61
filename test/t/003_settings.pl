# Whatever a role has set for its sessions, and its workers with them: trainings succeed, and where they do not the run says
# why.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('settings', max_worker_processes => 12);

$node->safe_psql('postgres', q{
	CREATE ROLE odd LOGIN;
	GRANT SELECT ON facts, slow TO odd;
	CREATE VIEW broken AS SELECT head, relation, CASE WHEN tail = 'e7' THEN (1 / (length(tail) - 2))::text ELSE tail END AS tail
		FROM facts;
	ALTER VIEW broken OWNER TO odd});

# Trains as that role.
sub train_as_odd
{
	my ($model, $source, $params) = @_;

	return $node->safe_psql('postgres', "SET ROLE odd; SELECT kg_train('$model', '$source', params => '$params')");
}

sub ended
{
	my ($run) = @_;

	wait_until($node, "SELECT status NOT IN ('queued', 'running') FROM metasd.versions WHERE run = $run");
	return $node->safe_psql('postgres', "SELECT status, error FROM metasd.versions WHERE run = $run");
}

# Sets what is given, and what is not has its default.
sub set_for_role
{
	my (%setting) = @_;

	$node->safe_psql('postgres', 'ALTER ROLE odd RESET ALL');
	$node->safe_psql('postgres', join '', map { "ALTER ROLE odd SET $_ = '$setting{$_}';\n" } sort keys %setting);
	return;
}

# An error is one of the run, not the end of its worker.
set_for_role(exit_on_error => 'on');
is(ended(train_as_odd('m', 'facts', $QUICK)), 'succeeded|', 'exit_on_error: a training succeeds');
is(ended(train_as_odd('broken', 'broken', $QUICK)), 'failed|division by zero', 'a source with an error fails it');
for my $workers (1, 2)
{
	my $run = train_as_odd("long$workers", 'slow', $LONG =~ s/\}/, "workers": $workers}/r);

	wait_until($node, "SELECT count(*) > 0 FROM metasd.learning_curve WHERE run = $run");
	is($node->safe_psql('postgres', "SELECT metrics ->> 'workers' FROM metasd.versions WHERE run = $run"), $workers,
		"workers: $workers");
	$node->safe_psql('postgres', "SELECT kg_cancel($run)");
	is(ended($run), 'cancelled|canceling statement due to user request', 'kg_cancel ends it as it should');

	# One that is told to leave by the system ends the training; each of them leaves its reason.
	next if $workers == 1;
	$run = train_as_odd("long$workers", 'slow', $LONG =~ s/\}/, "workers": $workers}/r);
	wait_until($node, "SELECT count(*) > 0 FROM metasd.learning_curve WHERE run = $run");
	$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
		WHERE backend_type ~ '^metasd' AND query ~ 'worker 2 of 2'");
	is(ended($run), 'cancelled|canceling statement due to user request', 'an error of a follower is one of the run');
}

# Timeouts, transactions, roles: each by itself.
for my $setting (
	[ statement_timeout => '1ms' ], [ lock_timeout => '1ms' ], [ idle_in_transaction_session_timeout => '1ms' ],
	[ idle_session_timeout => '1ms' ], [ default_transaction_isolation => 'serializable' ],
	[ default_transaction_deferrable => 'on' ], [ default_transaction_read_only => 'on' ],
	[ session_replication_role => 'replica' ], [ role => 'pg_monitor' ], [ search_path => 'nowhere' ],
	[ client_min_messages => 'error' ], [ log_min_messages => 'panic' ], [ client_encoding => 'latin1' ],
	[ default_tablespace => 'nowhere' ], [ temp_tablespaces => 'nowhere' ], [ work_mem => '64kB' ], [ track_activities => 'off' ],
	[ synchronous_commit => 'remote_apply' ], [ parallel_setting($node) => 'regress' ], [ plan_cache_mode => 'force_generic_plan' ])
{
	my ($name, $value) = @$setting;

	next if $node->safe_psql('postgres', "SELECT count(*) FROM pg_settings WHERE name = '$name'") eq '0' && $name ne 'role';
	$node->safe_psql('postgres', 'GRANT pg_monitor TO odd') if $name eq 'role';
	set_for_role($name => $value);
	is(ended(train_as_odd('m', 'facts', $QUICK)), 'succeeded|', "$name = $value");
}

# All switches the other way at once, all choices at their last one; not those that hide damage, or that say how a
# transaction is.
my %flipped = split /[|\n]/, $node->safe_psql('postgres', q{
	SELECT name, CASE WHEN vartype = 'bool' THEN CASE setting WHEN 'on' THEN 'off' ELSE 'on' END
	            ELSE enumvals[array_length(enumvals, 1)] END
	FROM pg_settings
	WHERE vartype IN ('bool', 'enum') AND context IN ('user', 'superuser') AND name !~ '^(transaction_|zero_damaged|ignore_)'});
note(join ' ', map { "$_=$flipped{$_}" } sort keys %flipped);
set_for_role(%flipped);
is(ended(train_as_odd('m', 'facts', $QUICK)), 'succeeded|', 'all settings the other way');
is(ended(train_as_odd('broken', 'broken', $QUICK)), 'failed|division by zero', 'and a source with an error');

# The settings of the extension itself, in sessions that have not loaded it; postgresql.conf has metasd.nice.
if ($node->safe_psql('postgres', 'SHOW server_version_num') < 170000)
{
	psql_fails($node, 'ALTER SYSTEM SET metasd.min_nice = 5', qr/ERROR:  unrecognized configuration parameter "metasd\.min_nice"/,
		'ALTER SYSTEM does not know settings of a library that is not loaded');
}
else
{
	is($node->safe_psql('postgres', 'ALTER SYSTEM SET metasd.min_nice = 5; ALTER SYSTEM RESET metasd.min_nice'), '',
		'ALTER SYSTEM takes settings of a library that is not loaded');
}
$node->safe_psql('postgres', "LOAD 'metasd'; ALTER SYSTEM SET metasd.nice = 5");
$node->reload;
ok(wait_until($node, "SELECT current_setting('metasd.nice', true) = '5'"), 'after LOAD it does');
is($node->safe_psql('postgres', "LOAD 'metasd'; SHOW metasd.nice"), '5', 'and it is in force');
for my $kind ('session_preload_libraries', 'shared_preload_libraries')
{
	$node->safe_psql('postgres', "LOAD 'metasd'; ALTER SYSTEM RESET metasd.nice; ALTER SYSTEM SET $kind = 'metasd'");
	$node->restart;
	$node->safe_psql('postgres', 'ALTER SYSTEM SET metasd.nice = 6');
	$node->reload;
	ok(wait_until($node, "SELECT current_setting('metasd.nice', true) = '6'"), "so it does with $kind");
	$node->safe_psql('postgres', "LOAD 'metasd'; ALTER SYSTEM RESET $kind");
	$node->restart;
}
set_for_role('metasd.fold_in' => 'off');
is($node->safe_psql('postgres', 'SHOW metasd.fold_in', extra_params => [ '-U', 'odd' ]), 'off',
	'a role that has set so answers no newcomers');
set_for_role('metasd.nice' => 7);
$node->safe_psql('postgres', "LOAD 'metasd'; ALTER SYSTEM RESET metasd.nice;"
	  . 'ALTER DATABASE postgres SET metasd.nice = 8');
$node->reload;
is($node->safe_psql('postgres', "LOAD 'metasd'; SHOW metasd.nice"), '8', 'ALTER DATABASE needs no library');
is($node->safe_psql('postgres', "SHOW metasd.nice; SELECT count(*) > 0 FROM metasd.models; SHOW metasd.nice",
		extra_params => [ '-U', 'odd' ]), "7\nt\n7", 'nor does ALTER ROLE');
is($node->safe_psql('postgres', "SET metasd.nice = 9; LOAD 'metasd'; SHOW metasd.nice"), '9', 'nor SET');

is($node->safe_psql('postgres', "SELECT count(*) FROM metasd.versions WHERE status = 'interrupted'"), '0',
	'no worker died without a word');
$node->stop;
done_testing();
