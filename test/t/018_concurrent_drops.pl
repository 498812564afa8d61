# What a training needs or belongs to is dropped or changed under it.

use strict;
use warnings;

use Time::HiRes qw(time);

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('drops');
my ($rc, $out, $err);

# The same source under another name, for trainings that lose it.
sub copy_slow
{
	$node->safe_psql('postgres', 'DROP TABLE IF EXISTS slow CASCADE');
	load_graph($node, 'postgres', 'slow', entities => 600, relations => 10, triples => 6000);
	return;
}

# The source: it was read at the start.
my $run = start_training($node, 'm', params => $MEDIUM);
$node->safe_psql('postgres', 'DROP TABLE slow');
wait_for_status($node, $run, 'succeeded', 'a training ends well without its source');
($rc, $out, $err) = $node->psql('postgres', "SELECT count(*) FROM kg_predict('e1', 'r1', 5)");
is($out, '5', 'and answers');
like($err, qr/NOTICE:  known facts of model "m" cannot be looked up\nDETAIL:  Relation public.slow does not exist any more/, 'saying that the source is gone');
psql_fails($node, "SELECT kg_train('m')", qr/ERROR:  the source public.slow of model "m" does not exist any more\nHINT/,
	'it cannot be trained again from there');
is($node->safe_psql('postgres', 'SELECT name, last_status FROM metasd.models'), 'm|succeeded',
	'its owner sees it');
$node->safe_psql('postgres', "SELECT kg_train('m', 'facts', params => '$QUICK')");
ok(wait_until($node, "SELECT serving > $run FROM metasd.models"),
	'but it can from elsewhere');

# A column of another name.
copy_slow();
$run = start_training($node, 'm', params => $MEDIUM);
$node->safe_psql('postgres', 'ALTER TABLE slow RENAME COLUMN tail TO object');
wait_for_status($node, $run, 'succeeded', 'a training ends well when a column is renamed');
($rc, $out, $err) = $node->psql('postgres', "SELECT count(*) FROM kg_predict('e1', 'r1', 5)");
is($out, '5', 'questions are answered');
like($err, qr/NOTICE:  known facts .*\nDETAIL:  Relation public.slow has no column "tail" any more.\nHINT/,
	'but known facts are not left out, as it says');
psql_fails($node, "SELECT kg_train('m')",
	qr/source "slow" has no column "tail"\nDETAIL:  Its columns are: "head", "relation", "object".\nHINT/,
	'and kg_train says what to do');
is($node->safe_psql('postgres', "SELECT count(*) FROM kg_predict('e1', 'r1', 5, known => 'include')"),
	'5', 'others are answered');
$run = $node->safe_psql('postgres', "SELECT kg_train('m', tail => 'object', params => '{\"epochs\": 1}')");
wait_for_status($node, $run, 'succeeded', 'kg_train with the new name trains');
is($node->safe_psql('postgres', "SELECT count(*) FROM kg_predict('e1', 'r1', 5)"), '5', 'and answers');

# The model.
$node->safe_psql('postgres', "SELECT kg_drop('m')");
copy_slow();
$run = start_training($node, 'm', params => $LONG);
my $pid = worker_of($node, $run);
my $waiting = session($node);
$waiting->query_until(qr/waiting/, "\\echo waiting\nCALL kg_wait($run);\n");
$node->safe_psql('postgres', "SELECT kg_drop('m')");
ok(defined wait_until_gone($pid, 10), 'the worker of a model that is dropped leaves');
$waiting->query('');
like($waiting->{stderr}, qr/ERROR:  run $run does not exist/, 'a wait for it ends');
$waiting->quit;
is($node->safe_psql('postgres', 'SELECT count(*) FROM metasd.model'), '0', 'nothing is left of it');
psql_fails($node, "SELECT kg_cancel($run)", qr/ERROR:  run $run does not exist/, 'cancelling it is an error');

# Not yet dropped: the worker waits, can be cancelled, and keeps nobody waiting.
$run = start_training($node, 'm');
$pid = worker_of($node, $run);
my $dropping = session($node);
$dropping->query_safe('BEGIN');
$dropping->query_safe("SELECT kg_drop('m')");
ok(wait_until($node, "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid"),
	'the worker waits for a transaction that drops its model');
$node->safe_psql('postgres', "SELECT kg_cancel($run)");
$node->safe_psql('postgres', 'CREATE DATABASE other TEMPLATE template0');
my $begun = time;
($rc, $out, $err) = $node->psql('postgres', "SET statement_timeout = '10s'; DROP DATABASE other");
is($rc, 0, 'cancelled, it does not keep another database from being dropped')
  or diag($err);
$dropping->query_safe('ROLLBACK');
wait_for_status($node, $run, 'cancelled', 'and it is cancelled when the model stays');
$dropping->quit;
ok(defined wait_until_gone($pid, 10), 'its worker has left');
$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS other');
$node->safe_psql('postgres', "SELECT kg_drop('m')");

# Dropped and trained anew just as the old training ends: what is stored belongs to a run. The
# locks make the worker wait in its last epoch until the model is being dropped.
my $locking = session($node);
$locking->query_safe('BEGIN');
$locking->query_safe('LOCK TABLE metasd.epoch IN SHARE MODE');
$run = $node->safe_psql('postgres',
	"SELECT kg_train('m', 'facts', params => '{\"rank\": 16, \"epochs\": 1}')");
wait_until($node, q{SELECT wait_event_type = 'Lock' FROM pg_stat_activity
	WHERE backend_type = 'metasd training'});
$dropping = session($node);
my $dropping_pid = $dropping->query_safe('SELECT pg_backend_pid()');
$dropping->query_safe('BEGIN');
$dropping->query_until(qr/dropping/, "\\echo dropping\nSELECT kg_drop('m');\n");
wait_until($node, "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $dropping_pid");
$locking->query_safe('COMMIT');
$locking->quit;
my $anew = $dropping->query_safe("SELECT kg_train('m', 'facts', params => '$QUICK')");
$anew =~ s/\D//g;
$dropping->query_safe('COMMIT');
$dropping->quit;
wait_for_status($node, $anew, 'succeeded', 'a model dropped and trained anew as its training ends');
wait_for_no_worker($node);
is(stray_rows($node), '0', 'has no rows of the old');
$node->safe_psql('postgres', "SELECT kg_drop('m')");

# The owner. PostgreSQL protects no role that is stored in a table.
$node->safe_psql('postgres', 'CREATE ROLE readers; GRANT SELECT ON slow TO readers');
$node->safe_psql('postgres', 'CREATE ROLE trainer LOGIN IN ROLE readers');
$run = start_training($node, 'm', before => 'SET ROLE trainer;');
$pid = worker_of($node, $run);
is($node->safe_psql('postgres', "SELECT usename FROM pg_stat_activity WHERE pid = $pid"), 'trainer',
	'a worker has the rights of the role that trains');
$node->safe_psql('postgres', "SELECT kg_drop('m')");
$run = start_training($node, 'm', params => $MEDIUM, before => 'SET ROLE trainer;');
$node->safe_psql('postgres', 'DROP ROLE trainer');
wait_for_status($node, $run, 'succeeded', 'a training ends well when its role is dropped');
is($node->safe_psql('postgres', 'SELECT name, last_status FROM metasd.models'), 'm|succeeded',
	'a superuser sees the model');
($rc, $out, $err) =
  $node->psql('postgres', "SELECT count(*) FROM kg_predict('e1', 'r1', 5, known => 'include')");
is($out, '5', 'and may ask it');
($rc, $out, $err) = $node->psql('postgres', "SELECT count(*) FROM kg_predict('e1', 'r1', 5)");
is($out, '5', 'where known facts would be left out, too');
like($err, qr/NOTICE:  .*\nDETAIL:  The role that owned the model does not exist any more/, 'with a notice that says why they are not');
psql_fails($node, "SELECT kg_train('m')", qr/^ERROR:  the role that owned model "m" does not exist any more\n/,
	'no role is left to train it as');
$node->safe_psql('postgres', "SELECT kg_drop('m')");
is($node->safe_psql('postgres', 'SELECT count(*) FROM metasd.model'), '0', 'and may drop it');

# The extension, in a database where runs begin at 1 again: the old worker must not take the new
# run for its own. The session that does it has asked before.
$node->safe_psql('postgres', 'CREATE DATABASE renewed');
$node->safe_psql('renewed', 'CREATE EXTENSION metasd');
load_graph($node, 'renewed', 'facts');
load_graph($node, 'renewed', 'slow', entities => 600, relations => 10, triples => 6000);
my $session = session($node, 'renewed');
$run = start_training($node, 'm', database => 'renewed');
is($run, '1', 'the first run');
$session->query("SELECT * FROM kg_predict('e1', 'r1')");
$pid = worker_of($node, $run, 'renewed');
$session->{stderr} = '';
$session->query_safe('DROP EXTENSION metasd');
$session->query_safe('CREATE EXTENSION metasd');
$run = $session->query_safe("SELECT kg_train('m', 'facts', params => '$QUICK')");
is($run, '1', 'a run of the same number');
ok(defined wait_until_gone($pid, 10), 'the worker of the extension dropped leaves');
wait_for_status($node, $run, 'succeeded', 'the new one trains', 'renewed');
is($node->safe_psql('renewed', "SELECT entities FROM metasd.versions WHERE run = $run"), '60',
	'what it was told to');
is($session->query_safe("SELECT count(*) FROM kg_predict('e1', 'r1', 5)"), '5',
	'and the same session is answered');
is($node->safe_psql('renewed', 'SELECT count(*), max(id) FROM metasd.entity'), '60|59', 'by its rows');

# Dropped at any moment: neither keeps the other waiting for ever. Its epochs are as short as can
# be, so that the worker is in a transaction most of the time.
my $busy = '{"rank": 1, "epochs": 100000, "warmup": 100000, "batch": 100000}';
my $deadlocks = 0;
for (1 .. 15)
{
	$session->query("SELECT kg_train('busy', 'facts', params => '$busy')");
	$session->query('SELECT pg_sleep(random() * 0.02)');
	$session->query('DROP EXTENSION metasd');
	$deadlocks++ if $session->{stderr} =~ /deadlock/;
	$session->{stderr} = '';
	$session->query('DROP EXTENSION IF EXISTS metasd');
	$session->{stderr} = '';
	$session->query_safe('CREATE EXTENSION metasd');
}
is($deadlocks, 0, 'DROP EXTENSION and a busy worker do not lock each other out');

$run = start_training($node, 'm', database => 'renewed');
$pid = worker_of($node, $run, 'renewed');
$session->query_safe('DROP EXTENSION metasd');
ok(defined wait_until_gone($pid, 10), 'the worker leaves without a new extension, too');
$session->query("SELECT metasd.run_status(1, 'running')");
$session->{stderr} = '';
is($session->query_safe(q{SELECT count(*) FROM pg_namespace WHERE nspname = 'metasd'}), '0',
	'and nothing is left of the old');
$session->query_safe('CREATE EXTENSION metasd');
$run = train($node, 'm', $QUICK, 'renewed');
is($session->query_safe("SELECT count(*) FROM kg_predict('e1', 'r1', 5)"), '5', 'trained anew it answers');
$session->quit;

# The database.
$run = start_training($node, 'm', database => 'renewed');
$pid = worker_of($node, $run, 'renewed');
psql_fails($node, 'DROP DATABASE renewed',
	qr/ERROR:  database "renewed" is being accessed by other users/, 'DROP DATABASE refuses');
is(status_of($node, $run, 'renewed'), 'running', 'and the training goes on');
$begun = time;
$node->safe_psql('postgres', 'DROP DATABASE renewed WITH (FORCE)');
cmp_ok(time - $begun, '<', 5, 'WITH (FORCE) drops it');
ok(defined wait_until_gone($pid, 10), 'and the worker leaves');

is(stray_rows($node), '0', 'no rows are left behind');
$node->stop;
done_testing();
