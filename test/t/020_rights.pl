# Nobody's code runs with another's rights. Role eva owns facts, and wherever the planner or the
# executor runs what an owner has chosen she has put a function that makes her a superuser, if it
# can, and that tells the log as whom it runs. A superuser, and a role that has nothing to do with
# her, then call every function there is. A line of doc/security.md each.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('rights');
my $owner = $node->safe_psql('postgres', 'SELECT current_user');

sub as
{
	my ($role, $sql) = @_;

	return $node->psql('postgres', "SET SESSION AUTHORIZATION $role; SET constraint_exclusion = on; $sql");
}

# What has happened since, and that it was nothing.
my $seen = 0;

sub caught
{
	my $log = substr(slurp_file($node->logfile), $seen);

	$seen += length $log;
	return join ', ', sort { $a cmp $b } keys %{ { map { $_ => 1 } $log =~ /code of eva runs as (\w+)/g } };
}

sub nothing_happened
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(caught() =~ s/\beva\b(, )?//r, '', "$name: no code of eva runs as another");
	is($node->safe_psql('postgres', q{SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles WHERE rolsuper}),
		$owner, "$name: eva is no superuser");
}

$node->safe_psql('postgres', q{
	GRANT SELECT ON facts TO PUBLIC;
	CREATE ROLE eva LOGIN;
	CREATE ROLE adam LOGIN;
	CREATE SCHEMA e AUTHORIZATION eva;
	CREATE SCHEMA a AUTHORIZATION adam;
	GRANT USAGE ON SCHEMA e, a TO PUBLIC;
	SET SESSION AUTHORIZATION eva;
	CREATE FUNCTION e.become() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF current_user <> 'eva' THEN
			RAISE LOG 'code of eva runs as %', current_user;
			ALTER ROLE eva SUPERUSER;
		END IF;
	EXCEPTION WHEN OTHERS THEN NULL;
	END $$;
	CREATE FUNCTION e.i(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM e.become();
		RETURN i;
	END $$;
	CREATE FUNCTION e.yes() RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM e.i(1);
		RETURN true;
	END $$;
	CREATE FUNCTION e.same(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM e.i(1);
		RETURN t;
	END $$;
	CREATE DOMAIN e.label AS text CHECK (e.i(1) = 1);
	CREATE TABLE e.f AS SELECT * FROM public.facts;
	CREATE TABLE e.t AS SELECT * FROM e.f LIMIT 20;
	CREATE TABLE e.q AS SELECT head, relation FROM e.f LIMIT 5;
	CREATE TABLE e.c AS SELECT DISTINCT tail AS head FROM e.f;
	GRANT SELECT ON ALL TABLES IN SCHEMA e TO PUBLIC;
});
my $params = '{"rank": 16, "epochs": 2, "warmup": 1, "ramp": 1, "promote_tolerance": 1}';

sub train_as
{
	my ($role, $model, $source) = @_;
	my ($rc, $run, $err) = as($role, "SELECT kg_train('$model', '$source', params => '$params')");

	return $err if $rc != 0;
	as($role, "CALL kg_wait($run)");
	return status_of($node, $run);
}

is(train_as('eva', 'm', 'e.f'), 'succeeded', 'eva has a model');
caught();

# Where code can be: how it gets into table %1$s, and how it is taken out again.
my %traps = (
	'an index expression' =>
	  ['CREATE INDEX trap_%1$s ON e.%1$s (head, e.i(1))', 'DROP INDEX e.trap_%1$s'],
	'an index predicate' =>
	  ['CREATE INDEX trap_%1$s ON e.%1$s (head) WHERE e.i(1) = 1', 'DROP INDEX e.trap_%1$s'],
	'a statistics expression' =>
	  ['CREATE STATISTICS e.trap_%1$s ON (e.same(head)), (e.i(1)) FROM e.%1$s', 'DROP STATISTICS e.trap_%1$s'],
	'a policy' =>
	  ['ALTER TABLE e.%1$s ENABLE ROW LEVEL SECURITY; CREATE POLICY trap ON e.%1$s USING (e.yes())',
		'DROP POLICY trap ON e.%1$s; ALTER TABLE e.%1$s DISABLE ROW LEVEL SECURITY'],
	'a constraint' =>
	  ['ALTER TABLE e.%1$s ADD CONSTRAINT trap CHECK (e.i(1) = 1)', 'ALTER TABLE e.%1$s DROP CONSTRAINT trap'],
	'a view' =>
	  ['ALTER TABLE e.%1$s RENAME TO hidden_%1$s;
		CREATE VIEW e.%1$s AS SELECT * FROM e.hidden_%1$s WHERE e.yes(); GRANT SELECT ON e.%1$s TO PUBLIC',
		'DROP VIEW e.%1$s; ALTER TABLE e.hidden_%1$s RENAME TO %1$s'],
	'a view of a view' =>
	  ['ALTER TABLE e.%1$s RENAME TO hidden_%1$s;
		CREATE VIEW e.between_%1$s AS SELECT * FROM e.hidden_%1$s WHERE e.yes();
		CREATE VIEW e.%1$s AS SELECT * FROM e.between_%1$s; GRANT SELECT ON e.%1$s TO PUBLIC',
		'DROP VIEW e.%1$s, e.between_%1$s; ALTER TABLE e.hidden_%1$s RENAME TO %1$s'],
	'a view that runs SQL as text' =>
	  ['ALTER TABLE e.%1$s RENAME TO hidden_%1$s;
		CREATE VIEW e.%1$s AS SELECT * FROM e.hidden_%1$s
		WHERE query_to_xml(\'SELECT e.yes()\', true, false, \'\') IS NOT NULL; GRANT SELECT ON e.%1$s TO PUBLIC',
		'DROP VIEW e.%1$s; ALTER TABLE e.hidden_%1$s RENAME TO %1$s'],
	'a domain' =>
	  ['ALTER TABLE e.%1$s RENAME TO hidden_%1$s;
		CREATE VIEW e.%1$s AS SELECT *, (head::text || \'\')::e.label AS label FROM e.hidden_%1$s
		WHERE (head || \'\')::e.label IS NOT NULL; GRANT SELECT ON e.%1$s TO PUBLIC',
		'DROP VIEW e.%1$s; ALTER TABLE e.hidden_%1$s RENAME TO %1$s'],
	'a record that is made of text' =>
	  ['ALTER TABLE e.%1$s RENAME TO hidden_%1$s; CREATE TYPE e.record_%1$s AS (l e.label);
		CREATE VIEW e.%1$s AS SELECT * FROM e.hidden_%1$s
		WHERE json_populate_record(NULL::e.record_%1$s, json_build_object(\'l\', head)) IS NOT NULL;
		GRANT SELECT ON e.%1$s TO PUBLIC',
		'DROP VIEW e.%1$s; DROP TYPE e.record_%1$s; ALTER TABLE e.hidden_%1$s RENAME TO %1$s'],
	'a partition' =>
	  ['ALTER TABLE e.%1$s RENAME TO hidden_%1$s;
		CREATE TABLE e.%1$s (LIKE e.hidden_%1$s) PARTITION BY HASH (e.same(head));
		CREATE TABLE e.part_%1$s PARTITION OF e.%1$s FOR VALUES WITH (MODULUS 1, REMAINDER 0);
		CREATE INDEX ON e.part_%1$s (head, e.i(1)); GRANT SELECT ON e.%1$s TO PUBLIC;
		INSERT INTO e.%1$s SELECT * FROM e.hidden_%1$s',
		'DROP TABLE e.%1$s; ALTER TABLE e.hidden_%1$s RENAME TO %1$s'],
	'an inheriting table' =>
	  ['CREATE TABLE e.child_%1$s () INHERITS (e.%1$s); CREATE INDEX ON e.child_%1$s (head, e.i(1));
		ALTER TABLE e.child_%1$s ADD CHECK (e.i(1) = 1)', 'DROP TABLE e.child_%1$s'],
);
delete $traps{'a statistics expression'} # since version 14
  if $node->safe_psql('postgres', 'SHOW server_version_num') < 140000;

sub set_traps
{
	my ($sql) = @_;

	$node->safe_psql('postgres', "SET SESSION AUTHORIZATION eva; " . sprintf($sql, $_)) for qw(f t q c);
	caught();
	return;
}

# A newcomer, of whom the source of model m has a fact by now: all functions that ask read it.
$node->safe_psql('postgres', q{SET SESSION AUTHORIZATION eva; INSERT INTO e.f (head, relation, tail) VALUES ('nova', 'r1', 'e1')});

# Every call that reads a relation: what eva's model is made of, or what a caller names of hers.
my @calls = (
	"SELECT count(*) FROM kg_predict('e1', 'r1', 3, 'm')",
	"SELECT count(*) FROM kg_predict('e1', 'r1', 3, 'm', 'mark', candidates => 'e.c')",
	"SELECT count(*) FROM kg_predict_heads('r1', 'e1', 3, 'm')",
	"SELECT count(*) FROM kg_predict_relations('e1', 'e2', 3, 'm')",
	"SELECT count(*) FROM kg_predict_many('e.q', 3, 'm')",
	"SELECT count(*) FROM kg_predict_many(ARRAY['e1', 'e2'], ARRAY['r1'], 3, 'm')",
	"SELECT count(*) FROM kg_rank('e1', 'r1', 'e2', 'm')",
	"SELECT count(*) FROM kg_explain('e1', 'r1', 'e2', 3, 'm')",
	"SELECT count(*) FROM kg_predict('nova', 'r1', 3, 'm')",
	"SELECT count(*) FROM kg_similar('nova', 3, 'm')",
	"SELECT kg_score('nova', 'r1', 'e2', 'm')",
	"SELECT kg_embedding('nova', 'm')",
	"SELECT kg_embedding_sparse('nova', 'm')",
	"SELECT count(*) FROM kg_explain('nova', 'r1', 'e2', 3, 'm')",
	"SELECT count(*) FROM kg_explain('e1', 'r1', 'nova', 3, 'm')",
	"SELECT count(*) FROM kg_predict('e1', 'r1', 3, 'm', candidate_ids => '{nova,e2}')",
	"SELECT count(*) FROM kg_predict_many('{nova,e1}'::text[], '{r1}'::text[], 3, 'm')",
	"SELECT count(*) FROM kg_discover('m', 3)",
	"SELECT count(*) FROM kg_discover('m', 3, candidates => 'e.c')",
	"SELECT count(*) FROM kg_discover('m', 3, head => 'nova')",
	"SELECT count(*) FROM kg_suspects('m', 3)",
	"SELECT triples FROM kg_evaluate('m', 'e.t')",
	"SELECT triples FROM kg_evaluate('m', 'facts', filters => '{e.t}')",
	"SELECT triples FROM kg_estimate('e.f')",
	"SELECT triples FROM kg_estimate('e.t')",
	"SELECT count(*) FROM metasd.models",
	"SELECT count(*) FROM metasd.relations",
);

for my $what (sort keys %traps)
{
	set_traps($traps{$what}[0]);
	for my $role ($owner, 'adam')
	{
		my @failed = grep { (as($role, $_))[0] != 0 } @calls; # each in a session of its own

		nothing_happened("$what, met by $role");
		is("@failed", '', "$what: $role gets answers, as there is somebody to read it")
		  if $traps{$what}[0] !~ /VIEW|POLICY/ || $role eq $owner;
		train_as($role, "of_$role", 'e.f');
		train_as($role, "of_$role", 'facts');
		as($role, "SELECT kg_train('of_$role', 'facts', validation => 'e.t', params => '$params')");
		as($role, "SELECT kg_wait(max(last_run)) FROM metasd.models");
		nothing_happened("$what, trained from by $role");
		as($role, $_ =~ s/'m'/'of_$role'/r) for grep { /kg_predict|kg_rank|kg_explain|kg_evaluate|kg_discover|kg_suspects/ } @calls;
		nothing_happened("$what, asked for by $role");
	}
	set_traps($traps{$what}[1]);
}

# Code that a view, or the planner, reaches by an OID or by a type. Adam owns the view above the table where it says so.
my $version = $node->safe_psql('postgres', 'SHOW server_version_num');
my $far = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'});

$node->safe_psql('postgres', sprintf(q{
	CREATE EXTENSION postgres_fdw;
	CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'postgres');
	GRANT USAGE ON FOREIGN SERVER here TO eva, adam;
	CREATE USER MAPPING FOR adam SERVER here OPTIONS (user 'adam', password_required 'false')}, $node->host, $node->port))
  if $far;
$node->safe_psql('postgres', q{
	SET SESSION AUTHORIZATION eva;
	CREATE TABLE e.keyed (a text) PARTITION BY LIST ((a || e.same('')));
	CREATE TABLE e.parted PARTITION OF e.keyed FOR VALUES IN ('b');
	CREATE TABLE e.above (head text, relation text, tail text) PARTITION BY LIST ((head || e.same('')));
	CREATE TABLE e.middle PARTITION OF e.above DEFAULT PARTITION BY LIST (relation);
	CREATE TABLE e.below PARTITION OF e.middle DEFAULT;
	INSERT INTO e.below SELECT head, relation, tail FROM e.f;
	CREATE TYPE e.word AS ENUM ('a');
	CREATE TYPE e.words AS (w e.word, n int);
	CREATE FUNCTION e.json_of(e.word) RETURNS json IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM e.i(1); RETURN '{}'; END $$;
	CREATE FUNCTION e.text_of(e.word) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM e.i(1); RETURN 'a'; END $$;
	CREATE CAST (e.word AS json) WITH FUNCTION e.json_of(e.word);
	CREATE CAST (e.word AS text) WITH FUNCTION e.text_of(e.word);
	CREATE TABLE e.typed AS SELECT *, 'a'::e.word AS word, ARRAY[ROW('a', 1)::e.words] AS words FROM e.f;
	CREATE FUNCTION e.differ(text, text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM e.i(1); RETURN $1 <> $2; END $$;
	CREATE OPERATOR e.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_catalog.texteq, NEGATOR = OPERATOR(e.!==));
	CREATE OPERATOR e.!== (LEFTARG = text, RIGHTARG = text, FUNCTION = e.differ, NEGATOR = OPERATOR(e.===));
	CREATE VIEW e.trap AS SELECT * FROM e.f WHERE e.yes();
	GRANT SELECT ON ALL TABLES IN SCHEMA e TO PUBLIC});
my ($keyed, $parted) = split /,/, $node->safe_psql('postgres', q{SELECT 'e.keyed'::regclass::oid || ',' || 'e.parted'::regclass::oid});
my %reached = (
	'the key of a table, by satisfies_hash_partition' => [100000,
		"CREATE VIEW e.v AS SELECT * FROM e.f WHERE satisfies_hash_partition(${keyed}::oid, 1, 0, head) IS NOT DISTINCT FROM true"],
	'the key of a table, by its constraint' =>
	  [100000, "CREATE VIEW e.v AS SELECT * FROM e.f WHERE pg_get_partition_constraintdef(${parted}::oid) <> ''"],
	'the negator of an operator' => [100000, q{CREATE VIEW e.v AS SELECT * FROM e.f WHERE NOT (head OPERATOR(e.===) 'x')}],
	'the negator of an operator for arrays' =>
	  [100000, q{SET SESSION AUTHORIZATION adam; CREATE VIEW a.v AS SELECT * FROM e.f WHERE NOT (head OPERATOR(e.===) ANY ('{x,y}'))}, 'a.v'],
	'the key of the table above' =>
	  [100000, 'SET SESSION AUTHORIZATION adam; CREATE VIEW a.v AS SELECT * FROM e.middle', 'a.v'],
	'a domain that a text is tried for' => [160000,
		q{CREATE VIEW e.v AS SELECT * FROM e.f WHERE pg_input_is_valid(head, 'e.label')}],
	'a cast to JSON' => [100000, 'SET SESSION AUTHORIZATION adam; CREATE VIEW a.v AS SELECT * FROM e.typed WHERE to_json(word) IS NOT NULL', 'a.v'],
	'a cast of a field to JSON' =>
	  [100000, 'SET SESSION AUTHORIZATION adam; CREATE VIEW a.v AS SELECT * FROM e.typed WHERE json_build_array(words) IS NOT NULL', 'a.v'],
	'a cast to JSON in an aggregate' => [100000,
		'SET SESSION AUTHORIZATION adam; CREATE VIEW a.v AS SELECT head, relation, tail FROM e.typed GROUP BY 1, 2, 3 HAVING json_agg(ROW(head, word)) IS NOT NULL', 'a.v'],
	'a cast to text' =>
	  [100000, 'SET SESSION AUTHORIZATION adam; CREATE VIEW a.v AS SELECT * FROM e.typed WHERE quote_literal(word) IS NOT NULL', 'a.v'],
	'a cast to JSON by a constructor' =>
	  [160000, 'CREATE VIEW e.v AS SELECT head, relation, tail FROM e.typed WHERE JSON_ARRAY(word) IS NOT NULL'],
	'a cast to JSON by a constructor of adam' =>
	  [160000, 'SET SESSION AUTHORIZATION adam; CREATE VIEW a.v AS SELECT * FROM e.typed WHERE JSON_OBJECT(head: word) IS NOT NULL', 'a.v'],
	'a domain that JSON is made a value of' =>
	  [170000, q{CREATE VIEW e.v AS SELECT * FROM e.f WHERE JSON_VALUE(to_json(head)::jsonb, '$' RETURNING e.label) IS NOT NULL}],
	'a user mapping' =>
	  [$far ? 100000 : 999999, q{CREATE FOREIGN TABLE e.v (head text, relation text, tail text) SERVER here OPTIONS (schema_name 'e', table_name 'trap')}],
);
for my $what (sort keys %reached)
{
	my ($since, $create, $name) = @{ $reached{$what} };

	$name //= 'e.v';
  SKIP:
	{
		skip "$what: not on this server", 4 if $version < $since;
		$node->safe_psql('postgres', "SET SESSION AUTHORIZATION eva; $create");
		as('eva', 'GRANT SELECT ON e.v TO PUBLIC') if $name eq 'e.v';
		caught();
		isnt((as('adam', "SELECT triples FROM kg_estimate('$name')"))[0], 0, "$what: refused");
		nothing_happened("$what, estimated by adam");
		train_as('adam', 'of_adam', $name);
		nothing_happened("$what, trained from by adam");
		my ($kind) = $create =~ /CREATE ((?:FOREIGN )?\w+) [ae]\.v/;
		$node->safe_psql('postgres', "DROP $kind $name");
	}
}

# Parts of a table that are elsewhere are read with the user's own mapping, or not at all.
SKIP:
{
	skip 'postgres_fdw is not installed', 3 if !$far;
	$node->safe_psql('postgres', q{
		CREATE USER MAPPING FOR eva SERVER here OPTIONS (user 'eva', password_required 'false');
		DROP USER MAPPING FOR adam SERVER here;
		SET SESSION AUTHORIZATION eva;
		CREATE TABLE e.split (head text, relation text, tail text) PARTITION BY LIST (relation);
		CREATE TABLE e.local PARTITION OF e.split FOR VALUES IN ('none');
		CREATE FOREIGN TABLE e.remote PARTITION OF e.split DEFAULT SERVER here OPTIONS (schema_name 'e', table_name 'f');
		GRANT SELECT ON e.split TO PUBLIC});
	like((as('adam', 'SELECT count(*) FROM e.split'))[2], qr/ERROR:  user mapping not found/, 'adam sees no parts elsewhere');
	like((as('adam', q{SELECT triples FROM kg_estimate('e.split')}))[2], qr/ERROR:  user mapping not found/, 'nor through a function');
	is((as('eva', q{SELECT triples > 0 FROM kg_estimate('e.split')}))[1], 't', 'and eva does');
}

# Tables of embeddings that are imported.
$node->safe_psql('postgres', q{SET SESSION AUTHORIZATION eva; CREATE TABLE e.rels AS SELECT * FROM kg_relation_embeddings('m')});
my %made_of = (
	'an index expression' => 'CREATE TABLE e.ents AS SELECT * FROM kg_entity_embeddings($$m$$); CREATE INDEX ON e.ents (label, e.i(1))',
	'a policy' => 'CREATE TABLE e.ents AS SELECT * FROM kg_entity_embeddings($$m$$); ALTER TABLE e.ents ENABLE ROW LEVEL SECURITY;'
	  . 'CREATE POLICY trap ON e.ents USING (e.yes())',
	'a constraint' => 'CREATE TABLE e.ents (label text CHECK (e.i(1) = 1), embedding real[]); INSERT INTO e.ents SELECT * FROM kg_entity_embeddings($$m$$)',
	'a view' => 'CREATE VIEW e.ents AS SELECT * FROM kg_entity_embeddings($$m$$) WHERE e.yes()',
	'a domain' => 'CREATE VIEW e.ents AS SELECT label::e.label AS label, embedding FROM kg_entity_embeddings($$m$$)');
for my $what (sort keys %made_of)
{
	$node->safe_psql('postgres', "SET SESSION AUTHORIZATION eva; $made_of{$what}; GRANT SELECT ON e.ents, e.rels TO PUBLIC");
	caught();
	for my $role ($owner, 'adam')
	{
		my ($rc, $run) = as($role, "SELECT kg_import('im_$role', 'e.ents', 'e.rels', 'facts')");

		as($role, "CALL kg_wait($run)") if $rc == 0;
		nothing_happened("embeddings of $what, imported by $role");
	}
	$node->safe_psql('postgres', $made_of{$what} =~ /VIEW/ ? 'DROP VIEW e.ents' : 'DROP TABLE e.ents');
}

# The model of a superuser whose own view is above hers: it is not read.
$node->safe_psql('postgres', 'CREATE VIEW above AS SELECT * FROM e.f');
my ($rc, $out, $err) = as($owner, "SELECT kg_train('above', 'above')");
isnt($rc, 0, q{a superuser's view of eva's table is refused});
like($err, qr/ERROR:  relation "above" must not be read on behalf of role/, 'and the message says why');

# A table that is checked, and is another one when it is read: the lock comes first.
for my $call ("SELECT kg_train('raced', 'e.f')", "SELECT * FROM kg_estimate('e.f')",
	"SELECT * FROM kg_predict('e1', 'r1', 3, 'm')", "SELECT * FROM kg_evaluate('m', 'e.t')",
	"SELECT * FROM kg_predict_many('e.q', 3, 'm')", "SELECT * FROM kg_discover('m', 3)",
	"SELECT * FROM kg_predict('e1', 'r1', 3, 'm', candidates => 'e.c')")
{
	my $eva = session($node);
	my $super = session($node);

	$eva->query_safe('SET SESSION AUTHORIZATION eva');
	$eva->query_safe('BEGIN; LOCK e.f, e.t, e.q, e.c IN ACCESS EXCLUSIVE MODE');
	my $pid = $super->query_safe('SELECT pg_backend_pid()');
	$super->{stdin} .= "$call;\n";
	$super->{run}->pump_nb;
	wait_until($node, "SELECT count(*) > 0 FROM pg_locks WHERE pid = $pid AND NOT granted");
	for my $table (qw(f t q c))
	{
		$eva->query_safe("ALTER TABLE e.$table RENAME TO moved_$table;
			CREATE VIEW e.$table AS SELECT * FROM e.moved_$table WHERE e.yes();
			GRANT SELECT ON e.$table TO PUBLIC");
	}
	$eva->query_safe('COMMIT');
	$super->query('SELECT 1');
	$eva->query_safe("DROP VIEW e.$_; ALTER TABLE e.moved_$_ RENAME TO $_") for qw(f t q c);
	nothing_happened("$call, while the table becomes another one");
	$eva->quit;
	$super->quit;
}

# That a run is alive is nothing that SQL can undo.
$node->safe_psql('postgres', q{
	SET SESSION AUTHORIZATION eva;
	CREATE FUNCTION e.unlock() RETURNS boolean LANGUAGE sql AS
	'SELECT pg_advisory_unlock_all() IS NOT NULL';
	CREATE VIEW e.unlocking AS SELECT f.* FROM e.f WHERE e.unlock()});
my ($run_rc, $run) = as('eva', "SELECT kg_train('alive', 'e.unlocking', params => '$LONG')");
wait_until($node, "SELECT count(*) > 0 FROM metasd.learning_curve WHERE run = $run");
is(status_of($node, $run), 'running', 'a source cannot release the lock of its run');
psql_fails($node, "SET SESSION AUTHORIZATION eva; SELECT kg_train('alive')", qr/ERROR:  model "alive" is already being trained/,
	'nor is there a second training');
as('eva', "SELECT kg_cancel($run)");

# Strangers do not learn whose model a run is, nor how it ended.
for my $call ("SELECT kg_cancel($run)", "SELECT kg_resume($run)", "CALL kg_wait($run)")
{
	psql_fails($node, "SET SESSION AUTHORIZATION adam; $call", qr/ERROR:  run $run does not exist/, "$call tells a stranger nothing");
}
wait_for_status($node, $run, 'cancelled', 'it was cancelled');
is((as('adam', "SELECT metasd.run_status($run, 'running')"))[1], 'running', 'nor does metasd.run_status');

# Functions that may run code of a view are not run in parallel mode, where it would fail.
$node->safe_psql('postgres', q{
	SET SESSION AUTHORIZATION eva;
	CREATE SEQUENCE e.counter;
	CREATE FUNCTION e.restless() RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM nextval('e.counter');
		BEGIN
			PERFORM 1 / 0;
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
		RETURN true;
	END $$;
	CREATE VIEW e.restless_f AS SELECT * FROM e.f WHERE e.restless();
	CREATE VIEW e.restless_q AS SELECT * FROM e.q WHERE e.restless();
	CREATE VIEW e.restless_c AS SELECT * FROM e.c WHERE e.restless()});
is(train_as('eva', 'restless', 'e.restless_f'), 'succeeded', 'a view with a function that writes is a source');
$node->safe_psql('postgres', q{SET SESSION AUTHORIZATION eva; INSERT INTO e.f (head, relation, tail) VALUES ('other', 'r1', 'e1')});
my $go_parallel = parallel_setting($node);
for my $call ("kg_predict('e1', 'r1', 3, 'restless', candidates => 'e.restless_c')", "kg_predict_heads('r1', 'e1', 3, 'restless')",
	"kg_predict_relations('e1', 'e2', 3, 'restless')", "kg_predict_many('e.restless_q', 3, 'restless')",
	"kg_rank('e1', 'r1', 'e2', 'restless')", "kg_explain('e1', 'r1', 'e2', 3, 'restless')", "kg_similar('other', 3, 'restless')",
	"kg_score(head, 'r1', 'other', 'restless')", "kg_embedding('other', 'restless')", "kg_embedding_sparse('other', 'restless')",
	"kg_evaluate('restless', 'e.t')")
{
	my ($rc, $out, $err) = as('eva', "SET client_min_messages = warning; SET $go_parallel = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
		SET min_parallel_table_scan_size = 0; SELECT count(*) FROM e.f, $call");

	is($err, '', "$call works where PostgreSQL would go parallel");
}

$node->stop;
done_testing();
