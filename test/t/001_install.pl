# CREATE EXTENSION into a schema of one's own, its settings, and that DROP EXTENSION leaves nothing.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = PostgreSQL::Test::Cluster->new('install');
$node->init;
$node->start;

# What a database has of anything but PostgreSQL itself.
my $objects = q{
	SELECT 'relation ' || oid::regclass FROM pg_class WHERE oid >= 16384 AND relkind <> 't' AND relkind <> 'i'
	UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE oid >= 16384
	UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE oid >= 16384
	UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_'
	UNION ALL SELECT 'extension ' || extname FROM pg_extension WHERE oid >= 16384
	ORDER BY 1};

load_graph($node, 'postgres', 'facts');
$node->safe_psql('postgres', 'CREATE SCHEMA kg');
my $before = $node->safe_psql('postgres', $objects);

# The state has a schema of its own, which cannot be there before.
psql_fails($node, 'CREATE EXTENSION metasd SCHEMA metasd', qr/ERROR:  schema "metasd" does not exist/,
	'the functions cannot go to the schema of the state');
$node->safe_psql('postgres', 'CREATE SCHEMA metasd');
psql_fails($node, 'CREATE EXTENSION metasd', qr/ERROR:  schema "metasd" already exists/,
	'a schema metasd of others is refused');
$node->safe_psql('postgres', 'DROP SCHEMA metasd');
is($node->safe_psql('postgres', $objects), $before, 'that has left nothing');

$node->safe_psql('postgres', 'CREATE EXTENSION metasd SCHEMA kg');
is($node->safe_psql('postgres', q{
	SELECT n.nspname, bool_and(p.proname ~ '^kg_'), bool_or(p.proname ~ '^kg_')
	FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
	WHERE p.oid >= 16384 GROUP BY 1 ORDER BY 1}),
	"kg|t|t\nmetasd|f|f", 'the kg_ functions are where they were sent, and nothing else');
psql_fails($node, "SELECT kg_train('m', 'facts')", qr/function kg_train\(unknown, unknown\) does not exist/,
	'and are not found without their schema');
psql_fails($node, 'ALTER EXTENSION metasd SET SCHEMA public', qr/does not support SET SCHEMA/,
	'they stay there');

# Nothing but the names given is looked up by search_path; a hostile one changes nothing.
$node->safe_psql('postgres', q{
	CREATE SCHEMA hostile;
	CREATE FUNCTION hostile.never(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile'; END $$;
	CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.never);
	CREATE FUNCTION hostile.unnest(anyarray) RETURNS SETOF anyelement LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile'; END $$;
	CREATE FUNCTION hostile.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile'; END $$;
	CREATE FUNCTION hostile.date_trunc(text, interval) RETURNS interval LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile'; END $$;
	CREATE TABLE hostile.run (); CREATE TABLE hostile.model (); CREATE TABLE hostile.facts ()});
my ($expected);
for my $path ("''", 'hostile, pg_catalog')
{
	my ($rc, $out, $err) = $node->psql('postgres', qq{
		SET search_path = $path;
		CREATE TEMP TABLE run (); CREATE TEMP TABLE model (); CREATE TEMP TABLE entity ();
		SELECT kg.kg_train('m', 'public.facts', params => '$QUICK') AS run \\gset
		CALL kg.kg_wait(:run);
		SELECT kg.kg_cancel(:run);
		SELECT rank, tail, score FROM kg.kg_predict('e1', 'r1', 3);
		SELECT rank, head, score FROM kg.kg_predict_heads('r1', 'e1', 3);
		SELECT rank, relation, score FROM kg.kg_predict_relations('e1', 'e2', 3, known => 'mark');
		SELECT kg.kg_score('e1', 'r1', 'e2'), array_length(kg.kg_embedding('e1'), 1);
		SELECT count(*) FROM kg.kg_similar('e1', 3);
		SELECT count(*) FROM metasd.learning_curve;
		SELECT count(*) FROM metasd.progress;
		SELECT name, source, last_status FROM metasd.models;
		SELECT rank > 0 FROM kg.kg_estimate('public.facts', params => '{"rank": 3}');
		SELECT kg.kg_drop('m')});
	is($rc, 0, "everything works with search_path $path") or diag($err);
	$expected = $out unless defined $expected;
	is($out, $expected, "the same as with any other");
}
$node->safe_psql('postgres', 'DROP SCHEMA hostile CASCADE');

# Settings; a session may set them before it knows of the extension.
$node->safe_psql('postgres', qq{
	SELECT kg.kg_train('one', 'facts', params => '$QUICK') AS run \\gset
	CALL kg.kg_wait(:run);
	SELECT kg.kg_train('two', 'facts', params => '$QUICK') AS run \\gset
	CALL kg.kg_wait(:run)});
my $ask = "SELECT count(*) FROM kg.kg_predict('e1', 'r1', 5)";
psql_fails($node, $ask, qr/^ERROR:  there is more than one model to ask\nDETAIL:  The models are: "one", "two"\.\nHINT:  .*SET metasd\.model/,
	'which of two models to ask must be said');
is($node->safe_psql('postgres', "SET metasd.model = 'one'; $ask"), '5', 'by SET metasd.model');
psql_fails($node, "SET metasd.model = 'three'; $ask", qr/ERROR:  model "three" does not exist\nHINT:.*"one", "two"/,
	'which must exist');
$node->safe_psql('postgres', "ALTER DATABASE postgres SET metasd.model = 'two'");
is($node->safe_psql('postgres', $ask), '5', 'or by ALTER DATABASE');
is($node->safe_psql('postgres', "SET metasd.model = ''; SELECT kg.kg_score('e1', 'r1', 'e2', model => 'one') IS NULL"),
	'f', 'or in the call');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET metasd.model');
if ($node->safe_psql('postgres', 'SHOW server_version_num') >= 150000)
{
	psql_fails($node, "LOAD 'metasd'; SET metasd.modle = 'one'", qr/invalid configuration parameter name "metasd.modle"/,
		'a setting misspelt is an error');
}
else # servers cannot refuse it
{
	my ($rc, $out, $err) = $node->psql('postgres', "SET metasd.modle = 'one'; LOAD 'metasd'");
	like($err, qr/WARNING:  unrecognized configuration parameter "metasd.modle"/, 'a setting misspelt is warned of');
}
psql_fails($node, "SET metasd.train_mem = '100kB'; SELECT kg.kg_train('one') AS run \\gset\nCALL kg.kg_wait(:run)",
	qr/ERROR:  run \d+ of model "one" failed\nDETAIL:  .*metasd.train_mem/,
	'metasd.train_mem of the session is the limit of its training');

# Everything goes.
$node->safe_psql('postgres', 'DROP EXTENSION metasd');
is($node->safe_psql('postgres', $objects), $before, 'DROP EXTENSION leaves nothing');
$node->safe_psql('postgres', 'CREATE EXTENSION metasd SCHEMA kg; DROP SCHEMA kg CASCADE; CREATE SCHEMA kg');
is($node->safe_psql('postgres', $objects), $before, 'nor does DROP SCHEMA of where its functions were');
$node->safe_psql('postgres', 'CREATE EXTENSION metasd');
my $run = train($node, 'm', $QUICK);
is($run, '1', 'it can be installed again');
$node->safe_psql('postgres', 'BEGIN; DROP EXTENSION metasd; ROLLBACK');
is($node->safe_psql('postgres', "SELECT count(*) FROM kg_predict('e1', 'r1', 5)"), '5',
	'a DROP EXTENSION rolled back has not been');
$node->safe_psql('postgres', 'DROP EXTENSION metasd');
is($node->safe_psql('postgres', $objects), $before, 'and dropped again');
$node->stop;
done_testing();
