# Servers that subscribe to the models of another: a version is visible there whole or not at all, in the first copy, too, of
# which the tables come one by one; what a server without the model says; several publishers; a Citus cluster.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my @tables = qw(model run epoch entity relation);
my $all_tables = join ', ', map { "metasd.$_" } @tables;
my %workers = (
	max_worker_processes => 24,
	max_logical_replication_workers => 16,
	max_sync_workers_per_subscription => 8,
	wal_retrieve_retry_interval => '100ms');
my $node = new_node('fleet_trains', streaming => 1, wal_level => 'logical', logical_decoding_work_mem => '64kB',
	max_wal_senders => 20, max_replication_slots => 20, max_worker_processes => 16);
my $subscriber = new_node('fleet_serves', %workers, wal_level => 'logical');
my $connection = $node->connstr('postgres') =~ s/'/''/gr;

sub subscribe
{
	my $options = $subscriber->pg_version >= 14 ? 'streaming = on' : 'copy_data = true';

	$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION models CONNECTION '$connection' PUBLICATION models WITH ($options)");
	return;
}

# Waits until the publisher's last transaction is applied.
sub catch_up
{
	wait_until($subscriber, q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel});
	$node->safe_psql('postgres', q{SELECT pg_logical_emit_message(true, 'test', 'flush')});
	$node->wait_for_catchup('models');
	return;
}

# The subscriber as it was before it subscribed, its images included.
sub start_over
{
	my $data = $subscriber->data_dir;

	$subscriber->safe_psql('postgres', "DROP SUBSCRIPTION IF EXISTS models");
	$subscriber->safe_psql('postgres', "TRUNCATE $all_tables");
	unlink glob("$data/base/pgsql_tmp/pgsql_tmp_metasd_*");
	return;
}

# A session that keeps the workers of subscriptions from writing to the tables until it ends.
sub hold
{
	my (@held) = @_;
	my $session = session($subscriber);

	$session->query_safe('BEGIN');
	$session->query_safe("LOCK TABLE metasd.$_ IN SHARE MODE") for @held;
	return $session;
}

sub wait_until_copied
{
	my (@copied) = @_;

	wait_until($subscriber, sprintf q{SELECT count(*) = %d FROM pg_subscription_rel WHERE srsubstate IN ('f', 's', 'r')
		AND srrelid = ANY ('{%s}'::regclass[])}, scalar(@copied), join ',', map { "metasd.$_" } @copied);
	return;
}

# ---- a server without the model ----

my $first = train($node, 'm', $QUICK);
my $before = answers($node, 'm');
$node->safe_psql('postgres', "CREATE PUBLICATION models FOR TABLE $all_tables");
for my $question ("kg_predict('e1', 'r1')", "kg_predict('e1', 'r1', model => 'm')", 'kg_report()')
{
	psql_fails($subscriber, "SELECT $question", qr/ERROR:  (there is no model to ask|model "m" does not exist)\nHINT:  .*let this server subscribe to the models of another/,
		"$question on a server without models says so");
}

# ---- the first copy, of which one table is late ----

my $copying = qr/ERROR:  version $first is being copied to this server\nDETAIL:  .*\nHINT:  .*pg_subscription_rel/;
my @questions = ("kg_predict('e1', 'r1')", "kg_predict_heads('r1', 'e1')", "kg_predict_relations('e1', 'e2')", "kg_score('e1', 'r1', 'e2')",
	"kg_rank('e1', 'r1', 'e2')", "kg_similar('e1')", "kg_embedding('e1'::text)", "kg_explain('e1', 'r1', 'e2')", 'kg_discover()', 'kg_suspects()',
	"kg_predict_many(ARRAY['e1'], ARRAY['r1'])", "kg_evaluate('m', 'facts')", 'kg_report()');

for my $late (qw(entity relation run model))
{
	my $holding = hold($late);

	subscribe();
	wait_until_copied(grep { $_ ne $late } @tables);
	psql_fails($subscriber, "SELECT $_", $late eq 'model' ? qr/ERROR:  there is no model to ask\nHINT:  Models are being copied to this server/ : $copying,
		"while metasd.$late is late: $_") for $late eq 'entity' ? @questions : $questions[0];
	is(scalar(my @images = stray_images($subscriber)), 0, 'nothing is left of it');
	$holding->query_safe('ROLLBACK');
	$holding->quit;
	catch_up();
	is(answers($subscriber, 'm'), $before, "then it answers as where it was trained (metasd.$late came late)");
	start_over();
}

# The run is copied before its training ends, and the other tables when its version serves: its row has no calibration yet. No
# transaction of a training may be open when a subscription begins.
gate($node, 6, 'true');
my $second = start_training($node, 'm', source => 'facts', params => $QUICK =~ s/\{/{"seed": 2, "checkpoint_every": 0, /r);
wait_until($node, "SELECT checkpoint_epoch >= 4 FROM metasd.versions WHERE run = $second");
$node->safe_psql('postgres', "SELECT kg_cancel($second)");
wait_for_status($node, $second, 'cancelled', 'a training that is cancelled for now');
my $holding = hold(qw(model entity relation));
subscribe();
wait_until_copied(qw(run epoch));
my $stale = hold('run');
$node->safe_psql('postgres', "UPDATE gate SET closed = false; SELECT kg_resume($second)");
$node->safe_psql('postgres', "CALL kg_wait($second)");
wait_for_status($node, $second, 'succeeded', 'another version serves');
my $after = answers($node, 'm');
isnt($after, $before, 'and answers otherwise');
$holding->query_safe('ROLLBACK');
wait_until_copied(qw(model entity relation));
is($subscriber->safe_psql('postgres', "SELECT status FROM metasd.run WHERE id = $second"), 'cancelled', 'a subscriber has the row of before');
psql_fails($subscriber, "SELECT * FROM kg_predict('e1', 'r1')", qr/ERROR:  version $second is being copied to this server/, 'and does not answer by it');
$stale->query_safe('ROLLBACK');
$_->quit for $holding, $stale;
catch_up();
is(answers($subscriber, 'm'), $after, 'when the row is there it answers as where it was trained');

# ---- versions that come later ----

for my $call ("kg_train('m')", "kg_promote('m', $first)", "kg_rollback('m')", "kg_drop('m')", "kg_owner('m', current_user::regrole)", "kg_schedule('m', '0 3 * * *')")
{
	psql_fails($subscriber, "SELECT $call", qr/ERROR:  cannot train or change models in a database that subscribes.*HINT:/s, "$call on a subscriber");
}
is(answers($subscriber, 'm'), $after, 'it still answers');

# The transaction is longer than the publisher keeps in memory, so it is streamed. It stops before its last table.
my $session = session($subscriber);
$session->query_safe("SELECT * FROM kg_predict('e1', 'r1', 1)");
$holding = hold('model');
my $third = $node->safe_psql('postgres', q{SELECT kg_train('m', 'slow', params => '{"rank": 256, "epochs": 2, "warmup": 1, "ramp": 1, "sparsity": 0.5,
	"promote_tolerance": 1, "warm_start": false, "reg": 0.05, "regularizer": "dura", "relation_weight": 0, "class_weights": false}')});
$node->safe_psql('postgres', "CALL kg_wait($third)");
my $new = answers($node, 'm');
isnt($new, $after, 'a third version answers otherwise');
wait_until($subscriber, q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'metasd.model'::regclass});
SKIP:
{
	skip 'PostgreSQL streams no transactions before 14', 1 if $node->pg_version < 14;
	is($node->safe_psql('postgres', q{SELECT stream_txns > 0 FROM pg_stat_replication_slots WHERE slot_name = 'models'}), 't', 'its transaction is streamed');
}
is(answers($subscriber, 'm'), $after, 'applied in half it is not visible');
is($subscriber->safe_psql('postgres', "SELECT count(*) FROM metasd.entity WHERE run = $third"), '0', 'none of its rows is');
is($node->safe_psql('postgres', q{SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) > 0 FROM pg_stat_replication WHERE application_name = 'models'}),
	't', 'the publisher shows how far the subscriber is behind');
$holding->query_safe('ROLLBACK');
$holding->quit;
catch_up();
is(answers($subscriber, 'm'), $new, 'then it is visible whole');
is( $session->query_safe("SELECT * FROM kg_predict('e1', 'r1', 1)"),
	$node->safe_psql('postgres', "SELECT * FROM kg_predict('e1', 'r1', 1)"), 'also in a session that asked before');
is($subscriber->safe_psql('postgres', "SELECT serving FROM metasd.models WHERE name = 'm'"), $third, 'metasd.models shows it');
$session->quit;

# Each question sees one version while they change. With parallel apply, where there is one.
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION models SET (streaming = parallel)') if $subscriber->pg_version >= 16;
my %whole = map { $_ => 1 } answers($node, 'm');
my $foreign = 0;
for my $turn (1 .. 3)
{
	$node->safe_psql('postgres', "SELECT kg_promote('m', " . ($turn % 2 ? $second : $third) . ')');
	$whole{ answers($node, 'm') } = 1;
	for (1 .. 3) { $foreign++ unless $whole{ answers($subscriber, 'm') } }
}
is($foreign, 0, 'all answers are those of one version');
catch_up();
is(answers($subscriber, 'm'), answers($node, 'm'), 'in the end those of the last');

# ---- rows that do not come at all ----

start_over();
$node->safe_psql('postgres', 'ALTER PUBLICATION models DROP TABLE metasd.relation');
subscribe();
wait_until_copied(grep { $_ ne 'relation' } @tables);
catch_up();
psql_fails($subscriber, "SELECT * FROM kg_predict('e1', 'r1')", qr/ERROR:  version $second has not been copied to this server\nDETAIL:  .* 0 of 3 relations\.\nHINT:  The publication must contain/,
	'a publication that lacks a table');
$node->safe_psql('postgres', 'ALTER PUBLICATION models ADD TABLE metasd.relation');
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION models REFRESH PUBLICATION');
catch_up();
is(answers($subscriber, 'm'), answers($node, 'm'), 'mended as PostgreSQL mends it');
start_over();

# ---- a subscriber with a model of its own, whose numbers clash ----

$subscriber->safe_psql('postgres', q{ALTER SEQUENCE metasd.run_id_seq RESTART 1});
my $own = train($subscriber, 'own', $QUICK =~ s/\{/{"seed": 7, /r);
my $own_answers = answers($subscriber, 'own');
$node->safe_psql('postgres', "SELECT kg_promote('m', $second)");
$subscriber->safe_psql('postgres', "UPDATE metasd.run SET id = $second; UPDATE metasd.entity SET run = $second; UPDATE metasd.relation SET run = $second;
	UPDATE metasd.epoch SET run = $second; UPDATE metasd.model SET serving = $second");
subscribe();
wait_until_copied('model');
wait_until($subscriber, q{SELECT sync_error_count > 0 FROM pg_stat_subscription_stats}) if $subscriber->pg_version >= 15;
psql_fails($subscriber, "SELECT * FROM kg_predict('e1', 'r1', model => 'm')", qr/ERROR:  version $second is being copied to this server/,
	'a number that is taken: no answer by the version of another model');
is(answers($subscriber, 'own'), $own_answers, 'which answers as before');
start_over();

# Numbers from ranges of their own do not clash: two publishers, and a model from before.
$subscriber->safe_psql('postgres', q{ALTER SEQUENCE metasd.run_id_seq RESTART 2000001});
$own = train($subscriber, 'own', $QUICK =~ s/\{/{"seed": 7, /r);
is($own, '2000001', 'a server counts from where it is told');
my $other = new_node('fleet_trains_too', streaming => 1, wal_level => 'logical');
$other->safe_psql('postgres', "ALTER SEQUENCE metasd.run_id_seq RESTART 1000001; CREATE PUBLICATION models FOR TABLE $all_tables;
	CREATE ROLE copies_models LOGIN REPLICATION; GRANT SELECT ON $all_tables TO copies_models");
train($other, 'n', $QUICK =~ s/\{/{"seed": 3, /r);
my $second_connection = $other->connstr('postgres') =~ s/'/''/gr . ' user=copies_models';
subscribe();
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION models_too CONNECTION '$second_connection' PUBLICATION models");
catch_up();
is(answers($subscriber, 'm'), answers($node, 'm'), 'one publisher');
is(answers($subscriber, 'n'), answers($other, 'n'), 'another, by a role that may do no more than that');
is(answers($subscriber, 'own'), $own_answers, 'and what was trained before');
psql_fails($subscriber, "SELECT * FROM kg_predict('e1', 'r1')", qr/ERROR:  there is more than one model to ask\nDETAIL:  The models are: "m", "n", "own"/, 'all three are there');

# A source that came after the copy counts when the rows are sent again.
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION models; ALTER TABLE facts RENAME TO kept_apart');
$subscriber->safe_psql('postgres', q{DELETE FROM metasd.model WHERE name = 'm'; DELETE FROM metasd.run WHERE model = 'm';
	DELETE FROM metasd.entity WHERE run < 1000; DELETE FROM metasd.relation WHERE run < 1000; DELETE FROM metasd.epoch WHERE run < 1000});
subscribe();
catch_up();
my ($rc, $out, $err) = $subscriber->psql('postgres', "SELECT count(*) FROM kg_predict('e1', 'r1', model => 'm')");
like($err, qr/NOTICE:  known facts of model "m" cannot be looked up/, 'without the source known facts cannot be looked up');
for my $source ('CREATE VIEW facts AS TABLE kept_apart', 'DROP VIEW facts; ALTER TABLE kept_apart RENAME TO facts')
{
	$subscriber->safe_psql('postgres', $source);
	$node->safe_psql('postgres', q{UPDATE metasd.model SET source = source; UPDATE metasd.run SET source = source WHERE kept});
	catch_up();
	is(answers($subscriber, 'm'), answers($node, 'm'), "with one they are, when the rows have been sent again: $source");
}

my $preloaded = join ',', 'citus', $node->safe_psql('postgres', 'SHOW shared_preload_libraries') || (); # Citus wants to be the first
my $citus = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'citus'});
$_->stop for $subscriber, $other;
$node->stop('immediate');

# ---- a Citus cluster: a question is answered on the node that has its facts ----

# A server of it. They connect to each other by their sockets.
sub citus_node
{
	my ($name) = @_;
	my $server = PostgreSQL::Test::Cluster->new($name);

	$server->init(allows_streaming => 'logical');
	$server->append_conf('postgresql.conf',
		"shared_preload_libraries = '$preloaded'\ncitus.node_conninfo = 'sslmode=prefer'\nmax_worker_processes = 24\n");
	$server->start;
	$server->safe_psql('postgres', 'CREATE EXTENSION citus; CREATE EXTENSION metasd');
	return $server;
}

# Three answers to a question about each row of a table, which Citus asks on the nodes of the rows.
sub pushed
{
	my ($table, $function, $given, $mode) = @_;

	return "SELECT q.head, q.relation, q.tail, p.rank, p.answer, p.known
		FROM $table q, LATERAL $function($given, 3, '$table', '$mode') p (rank, answer, score, probability, known)";
}

# Are they those that a table of the server that is asked gets?
sub same_as_here
{
	my ($server, $table, $function, $given, $mode) = @_;
	my $pushed = pushed($table, $function, $given, $mode);
	my $straight = $pushed =~ s/FROM $table q/FROM here q/r;

	return $server->safe_psql('postgres', qq{
		CREATE TEMP TABLE here AS SELECT * FROM $table;
		CREATE TEMP TABLE pushed AS $pushed;
		CREATE TEMP TABLE straight AS $straight;
		SELECT (SELECT count(*) > 500 FROM pushed), (SELECT count(*) FROM (TABLE pushed EXCEPT ALL TABLE straight) x),
			   (SELECT count(*) FROM (TABLE straight EXCEPT ALL TABLE pushed) x)});
}

SKIP:
{
	skip 'citus is not installed', 1 unless $citus;
	my $coordinator = citus_node('fleet_coordinator');
	my @nodes = map { citus_node("fleet_node_$_") } 1 .. 2;
	my $answers = q{SELECT string_agg(p::text, ' ' ORDER BY p.rank) FROM kg_predict('e1', 'r1', 5, 'facts') p};

	$coordinator->safe_psql('postgres', sprintf q{SELECT citus_set_coordinator_host('%s', %d)}, $coordinator->host, $coordinator->port);
	$coordinator->safe_psql('postgres', sprintf q{SELECT citus_add_node('%s', %d)}, $_->host, $_->port) for @nodes;
	load_graph($coordinator, 'postgres', 'facts');
	$coordinator->safe_psql('postgres', q{
		CREATE TABLE by_tail AS SELECT * FROM facts; CREATE TABLE by_relation AS SELECT * FROM facts;
		CREATE TABLE everywhere AS SELECT * FROM facts;
		SELECT create_distributed_table('facts', 'head', shard_count => 4);
		SELECT create_distributed_table('by_tail', 'tail', shard_count => 4, colocate_with => 'none');
		SELECT create_distributed_table('by_relation', 'relation', shard_count => 4, colocate_with => 'none');
		SELECT create_reference_table('everywhere');
		CREATE TABLE asked (head text, relation text, tail text);
		SELECT create_distributed_table('asked', 'head', colocate_with => 'facts');
		INSERT INTO asked SELECT * FROM facts LIMIT 100;
		CREATE ROLE asker LOGIN; GRANT SELECT ON facts TO asker});
	for my $table (qw(facts by_tail by_relation everywhere))
	{
		my $run = $coordinator->safe_psql('postgres', "SELECT kg_train('$table', '$table', params => '$QUICK')");

		$coordinator->safe_psql('postgres', "CALL kg_wait($run)");
	}
	psql_fails($coordinator, pushed('facts', 'kg_predict', 'q.head, q.relation', 'exclude'),
		qr/ERROR:  model "facts" does not exist\nHINT:  .*let this server subscribe/, 'nodes without the model say so');
	$coordinator->safe_psql('postgres', "CREATE PUBLICATION models FOR TABLE $all_tables");
	for my $i (0 .. 1)
	{
		my $from = $coordinator->connstr('postgres') =~ s/'/''/gr;

		$nodes[$i]->safe_psql('postgres', "CREATE SUBSCRIPTION models_$i CONNECTION '$from' PUBLICATION models");
		wait_until($nodes[$i], q{SELECT bool_and(srsubstate = 'r') AND count(*) = 5 FROM pg_subscription_rel});
	}
	like($coordinator->safe_psql('postgres', 'EXPLAIN ' . pushed('facts', 'kg_predict', 'q.head, q.relation', 'exclude')),
		qr/Task Count: 4/, 'questions are asked on the nodes');
	for my $mode (qw(exclude mark include))
	{
		is(same_as_here($coordinator, 'facts', 'kg_predict', 'q.head, q.relation', $mode), 't|0|0', "tails, by head, known => $mode: the answers of the coordinator");
		is(same_as_here($coordinator, 'by_tail', 'kg_predict_heads', 'q.relation, q.tail', $mode), 't|0|0', "heads, by tail, known => $mode");
		is(same_as_here($coordinator, 'by_relation', 'kg_predict', 'q.head, q.relation', $mode), 't|0|0', "tails, by relation, known => $mode");
	}
	is(same_as_here($coordinator, 'facts', 'kg_predict_heads', 'q.relation, q.tail', 'include'), 't|0|0', 'heads, by head, no known facts needed');
	is(same_as_here($nodes[0], 'facts', 'kg_predict', 'q.head, q.relation', 'exclude'), 't|0|0', 'asked at a node, which asks the other');
	for my $wrong ([ 'facts', 'kg_predict_heads', 'q.relation, q.tail' ], [ 'by_tail', 'kg_predict', 'q.head, q.relation' ],
		[ 'facts', 'kg_predict', 'q.tail, q.relation' ])
	{
		psql_fails($coordinator, pushed(@$wrong, 'exclude'),
			qr/ERROR:  the facts of table "$wrong->[0]" that the question needs are not all on this node\nDETAIL:  .*by column "\w+"\.\nHINT:  .*known => 'include'/,
			"$wrong->[1]($wrong->[2]) of $wrong->[0], whose known facts are on several nodes");
	}
	psql_fails($coordinator, pushed('facts', 'kg_predict', "'new' || q.head, q.relation", 'exclude'),
		qr/ERROR:  the facts of table "facts".*HINT:  .*metasd\.fold_in/s, 'an entity that the model does not know');
	is($coordinator->safe_psql('postgres', q{SELECT count(*) FROM asked q, LATERAL kg_predict_heads(q.relation, q.tail, 3, 'everywhere') p (rank, answer)}),
		'300', 'a reference table has all facts on each node');
	is( $coordinator->safe_psql('postgres', q{SET ROLE asker; SELECT count(*) FROM facts q, LATERAL kg_predict(q.head, q.relation, 1, 'facts') p}),
		$coordinator->safe_psql('postgres', 'SELECT count(*) FROM facts'), 'as a role that may read the table');
	is($nodes[0]->safe_psql('postgres', $answers), $coordinator->safe_psql('postgres', $answers), 'a node that is asked itself reads all shards');
	my $again = train($coordinator, 'facts', $QUICK =~ s/\{/{"seed": 5, /r);
	my $serving = q{SELECT serving FROM metasd.models WHERE name = ''facts''};
	wait_until($coordinator, qq{SELECT bool_and(result = '$again') FROM run_command_on_workers('$serving')});
	is(same_as_here($coordinator, 'facts', 'kg_predict', 'q.head, q.relation', 'exclude'), 't|0|0', 'a new version serves on all nodes');
	$nodes[$_]->safe_psql('postgres', "DROP SUBSCRIPTION models_$_") for 0 .. 1;
	$_->stop('immediate') for @nodes, $coordinator;
}
done_testing();
