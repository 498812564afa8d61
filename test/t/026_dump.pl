# A dump restored answers as the original.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('dump');
my $dump = PostgreSQL::Test::Utils::tempdir();
my $figures = q{
	SELECT model, run, status, serving, entities, relations, triples, params, metrics, bytes, kept, note
	FROM metasd.versions WHERE status = 'succeeded' ORDER BY run};
my $relations = 'SELECT * FROM metasd.relations ORDER BY model, relation';
my $curve = 'SELECT count(*), sum(loss_full) FROM metasd.learning_curve WHERE model IN (\'m\', \'v\', \'lost\')';

# A model of a table, of a view, of a source that is gone, and a training under way.
$node->safe_psql('postgres', q{
	CREATE VIEW flipped AS SELECT tail AS h, relation AS r, head AS t FROM facts;
	CREATE TABLE lost AS SELECT * FROM facts;
	CREATE TABLE unseen (LIKE facts); INSERT INTO unseen SELECT * FROM facts LIMIT 20});
train($node, 'm', $QUICK);
train($node, 'm', $QUICK =~ s/\{/{"seed": 2, /r);
$node->safe_psql('postgres', qq{
	SELECT kg_train('v', 'flipped', 'h', 'r', 't', validation => NULL, params => '$QUICK') AS run \\gset
	CALL kg_wait(:run);
	SELECT kg_train('lost', 'lost', validation => 'unseen', params => '$QUICK') AS run \\gset
	CALL kg_wait(:run);
	DROP TABLE lost});
my $running = start_training($node, 'slow');

$node->command_ok(
	[ 'pg_dump', '--no-sync', '-f', "$dump/plain.sql", $node->connstr('postgres') ], 'pg_dump');
$node->command_ok(
	[ 'pg_dump', '--no-sync', '-Fc', '-f', "$dump/custom", $node->connstr('postgres') ],
	'pg_dump -Fc, in mid-training');
is(status_of($node, $running), 'running', 'which goes on');

$node->safe_psql('postgres', 'CREATE DATABASE plain TEMPLATE template0');
$node->safe_psql('postgres', 'CREATE DATABASE custom TEMPLATE template0');
$node->command_ok(
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('plain'), '-f', "$dump/plain.sql" ],
	'restored with psql');
$node->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', $node->connstr('custom'), "$dump/custom" ],
	'restored with pg_restore -j 2');

my $before = answers($node, 'm');
isnt($before, '', 'the original answers');
for my $database ('plain', 'custom')
{
	for my $model ('m', 'v')
	{
		is(answers($node, $model, $database), answers($node, $model), "$database: the answers of $model are the same");
	}
	is($node->safe_psql($database, $figures), $node->safe_psql('postgres', $figures),
		"$database: so are the figures of all versions");
	is($node->safe_psql($database, $relations), $node->safe_psql('postgres', $relations),
		"$database: those of their relations");
	my $history = "SELECT serving, history FROM metasd.model WHERE name = 'm'";
	is($node->safe_psql($database, $history), $node->safe_psql('postgres', $history),
		"$database: and where kg_rollback goes");
	is($node->safe_psql($database, $curve), $node->safe_psql('postgres', $curve),
		"$database: and the learning curves");
	is($node->safe_psql($database, "SELECT count(*) FROM kg_predict('e1', 'r1', 5, model => 'lost', known => 'include')"),
		'5', "$database: a model without its source is there");
	is(status_of($node, $running, $database), 'interrupted', "$database: the run under way is interrupted");
	is($node->safe_psql($database, 'SELECT count(*) FROM metasd.progress'), '0',
		"$database: nothing is being trained there");
	is(stray_rows($node, $database), '0', "$database: no rows are left behind");

	my $run = train($node, 'm', $QUICK, $database);
	cmp_ok($run, '>', $running, "$database: a new run has a new number");
	is($node->safe_psql($database, "SELECT serving FROM metasd.models WHERE name = 'm'"), $run,
		"$database: and serves there");
	is($node->safe_psql($database,
			"SELECT kg_train('v', params => '$QUICK') > 0"), 't', "$database: the view can be trained from");
	$node->safe_psql($database, "SELECT kg_drop(name) FROM metasd.models");
}
is(answers($node, 'm'), $before, 'the original has not changed');
is(status_of($node, $running), 'running', 'and goes on training');
$node->safe_psql('postgres', "SELECT kg_cancel($running)");

# The definitions alone: an extension without a model.
$node->command_ok(
	[ 'pg_dump', '--no-sync', '--schema-only', '-f', "$dump/schema.sql", $node->connstr('postgres') ],
	'pg_dump --schema-only');
$node->safe_psql('postgres', 'CREATE DATABASE bare TEMPLATE template0');
$node->command_ok(
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('bare'), '-f', "$dump/schema.sql" ],
	'restored');
psql_fails($node, "SELECT * FROM kg_predict('e1', 'r1')", qr/ERROR:  there is no model to ask/,
	'has no model', 'bare');
$node->stop;
done_testing();
