# Code of a role that runs in the session of another, or that could come to run there: what the planner calls to
# estimate, what is added while an inspection waits, cursors of the session, and traps that wait for CREATE EXTENSION.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('strangers_code');
my $owner = $node->safe_psql('postgres', 'SELECT current_user');
my $seen = 0;

sub as
{
	my ($role, $sql) = @_;

	return $node->psql('postgres', "SET SESSION AUTHORIZATION $role; $sql");
}

# As whom eva's code has run since.
sub caught
{
	my $log = substr(slurp_file($node->logfile), $seen);

	$seen += length $log;
	return join ', ', sort { $a cmp $b } keys %{ { map { $_ => 1 } $log =~ /code of eva runs as (\w+)/g } };
}

my $code = q{
	CREATE SCHEMA e AUTHORIZATION eva;
	CREATE SCHEMA a AUTHORIZATION adam;
	GRANT USAGE ON SCHEMA e, a TO PUBLIC;
	SET SESSION AUTHORIZATION eva;
	CREATE FUNCTION e.say() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'code of eva runs as %', current_user; END $$;
	CREATE FUNCTION e.i(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM e.say(); RETURN i; END $$};
$node->safe_psql('postgres', qq{
	CREATE ROLE eva LOGIN;
	CREATE ROLE adam LOGIN;
	GRANT SELECT ON facts TO PUBLIC;
	$code;
	CREATE TABLE e.f AS SELECT head, relation, tail FROM public.facts;
	CREATE TABLE e.z AS SELECT 1 AS one;
	GRANT SELECT ON e.f, e.z TO PUBLIC});

# What the planner calls for a range type, and what aggregates are made of.
$node->safe_psql('postgres', q{
	SET SESSION AUTHORIZATION eva;
	CREATE FUNCTION e.away(int, int) RETURNS float8 IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM e.say(); RETURN $1 - $2; END $$;
	CREATE FUNCTION e.next(int, int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM e.say(); RETURN $1; END $$;
	CREATE TYPE e.span AS RANGE (SUBTYPE = int, SUBTYPE_DIFF = e.away);
	CREATE TYPE e.calm AS RANGE (SUBTYPE = int, SUBTYPE_DIFF = int4range_subdiff);
	CREATE DOMAIN e.span_domain AS e.span;
	CREATE TABLE e.g AS SELECT *, e.span(n, n + n % 7 + 1) AS s, e.calm(n, n + n % 7 + 1) AS c
		FROM (SELECT *, row_number() OVER ()::int AS n FROM e.f) x;
	ANALYZE e.g;
	GRANT SELECT ON e.g TO PUBLIC});
my %views = (
	'a range' => [100000, q{s <@ '[3,900)'::e.span}],
	'a domain over a range' => [100000, q{s <@ '[3,900)'::e.span::e.span_domain}],
	'one of an array of ranges' => [100000, q{s <@ ANY (ARRAY['[3,900)'::e.span])}],
	'a multirange' => [140000, q{s <@ multirange('[3,900)'::e.span)}],
	'none of a range' => [100000, q{NOT s <@ '[3,900)'::e.span}]);
my $version = $node->safe_psql('postgres', 'SHOW server_version_num');
for my $what (sort keys %views)
{
	my ($since, $condition) = @{ $views{$what} };

  SKIP:
	{
		skip "$what: not on this server", 4 if $version < $since;
		for my $role ('eva', 'adam')
		{
			my $view = ($role eq 'eva' ? 'e' : 'a') . '.v';

			$node->safe_psql('postgres', "SET SESSION AUTHORIZATION $role; CREATE VIEW $view AS SELECT head, relation, tail FROM e.g
				WHERE $condition; GRANT SELECT ON $view TO PUBLIC");
			caught();
			like((as('adam', "SELECT triples FROM kg_estimate('$view')"))[2], qr/ERROR:  relation "v" must not be read on behalf/,
				"$what in a view of $role: refused");
			is(caught(), '', "$what in a view of $role: no code runs");
			$node->safe_psql('postgres', "DROP VIEW $view");
		}
	}
}
$node->safe_psql('postgres', q{SET SESSION AUTHORIZATION eva;
	CREATE VIEW e.v AS SELECT head, relation, tail FROM e.g WHERE c <@ '[3,900)'::e.calm; GRANT SELECT ON e.v TO PUBLIC});
is((as('adam', q{SELECT triples > 0 FROM kg_estimate('e.v')}))[1], 't', 'a range that calls only functions of PostgreSQL is read');
$node->safe_psql('postgres', q{
	SET SESSION AUTHORIZATION adam;
	CREATE AGGREGATE a.last(int) (SFUNC = e.next, STYPE = int, INITCOND = '0');
	CREATE VIEW a.v AS SELECT head, relation, tail FROM e.g GROUP BY 1, 2, 3 HAVING a.last(n) >= 0;
	CREATE VIEW a.w AS SELECT head, relation, tail FROM (SELECT *, a.last(n) OVER () AS l FROM e.g) x WHERE l >= 0});
# The same for what types of adam's are made of: a check of hers, a domain of hers in a record or a range.
$node->safe_psql('postgres', q{
	CREATE DOMAIN e.number AS int CHECK (e.i(VALUE) = VALUE);
	ALTER DOMAIN e.number OWNER TO eva;
	SET SESSION AUTHORIZATION adam;
	CREATE DOMAIN a.checked AS int CHECK (e.i(VALUE) > 0);
	CREATE DOMAIN a.above AS a.checked;
	CREATE TYPE a.pair AS (n e.number);
	CREATE TYPE a.numbers AS RANGE (SUBTYPE = e.number, SUBTYPE_OPCLASS = int4_ops);
	CREATE VIEW a.domain AS SELECT head, relation, tail FROM e.g WHERE (n + 1)::a.above > 0;
	CREATE VIEW a.record AS SELECT head, relation, tail FROM e.g WHERE (('(' || n || ')')::a.pair).n > 0;
	CREATE VIEW a.records AS SELECT head, relation, tail FROM e.g WHERE (('{(' || n || ')}')::a.pair[])[1] IS NOT NULL;
	CREATE VIEW a.range AS SELECT head, relation, tail FROM e.g WHERE NOT isempty(('[' || n || ',]')::a.numbers)});
caught();
for my $view ('a.v', 'a.w', 'a.domain', 'a.record', 'a.records', 'a.range')
{
	like((as('adam', "SELECT triples FROM kg_estimate('$view')"))[2], qr/runs (?:function|code of type) e\.\w+/, "$view: what is made of eva's code is refused");
	is(caught(), '', "$view: no code runs");
}

my $params = '{"rank": 16, "epochs": 2, "warmup": 1, "ramp": 1, "promote_tolerance": 1}';
my ($rc, $run) = as('eva', "SELECT kg_train('m', 'e.f', params => '$params')");

as('eva', "CALL kg_wait($run)");
is(status_of($node, $run), 'succeeded', 'eva has a model');
# What is added while an inspection waits for a lock.
$node->safe_psql('postgres', q{SET SESSION AUTHORIZATION eva; CREATE INDEX before ON e.f (head); SET SESSION AUTHORIZATION adam;
	CREATE VIEW a.two AS SELECT f.* FROM e.f, (SELECT FROM e.z LIMIT 1) z});
for my $case (['a table', 'a.two', 'LOCK e.z IN ACCESS EXCLUSIVE MODE', 'f', 'head'], ['an index', 'a.two', 'REINDEX INDEX e.before', 'z', 'one'])
{
	my ($what, $view, $lock, $table, $column) = @$case;
	my $eva = session($node);
	my $adam = session($node);

	$eva->query_safe('SET SESSION AUTHORIZATION eva');
	$adam->query_safe('SET SESSION AUTHORIZATION adam');
	$eva->query_safe("BEGIN; $lock");
	my $pid = $adam->query_safe('SELECT pg_backend_pid()');
	$adam->{stdin} .= "SELECT count(*) FROM kg_predict('e1', 'r1', 3, 'm', candidates => '$view');\n";
	$adam->{run}->pump_nb;
	wait_until($node, "SELECT count(*) > 0 FROM pg_locks WHERE pid = $pid AND NOT granted");
	$eva->query_safe("CREATE INDEX late ON e.$table ($column, e.i(1))");
	caught();
	$eva->query_safe('COMMIT');
	$adam->query('SELECT 1');
	unlike(caught(), qr/adam/, "code that is added while the inspection waits for $what does not run");
	$eva->query_safe('DROP INDEX e.late');
	$eva->quit;
	$adam->quit;
}

# A session does not go on with an old inspection when a user mapping has come.
SKIP:
{
	skip 'postgres_fdw is not installed', 2
	  if !$node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'});
	$node->safe_psql('postgres', sprintf(q{
		CREATE EXTENSION postgres_fdw;
		CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'postgres');
		GRANT USAGE ON FOREIGN SERVER here TO eva, adam;
		SET SESSION AUTHORIZATION eva;
		CREATE FOREIGN TABLE e.far (head text, relation text, tail text) SERVER here OPTIONS (schema_name 'e', table_name 'f');
		GRANT SELECT ON e.far TO PUBLIC}, $node->host, $node->port));
	my $adam = session($node);

	$adam->query_safe('SET SESSION AUTHORIZATION adam');
	my ($out, $failed) = $adam->query(q{SELECT triples FROM kg_estimate('e.far')});
	like($adam->{stderr}, qr/user mapping not found/, 'without a mapping nothing is read');
	$adam->{stderr} = '';
	$node->safe_psql('postgres', q{CREATE USER MAPPING FOR adam SERVER here OPTIONS (user 'adam', password_required 'false')});
	$adam->query(q{SELECT triples FROM kg_estimate('e.far')});
	like($adam->{stderr}, qr/must not be read on behalf of role "adam"/, 'with one it is refused');
	$adam->{stderr} = '';
	$adam->quit;
}

# Cursors of a session in which eva's code runs, as eva.
$node->safe_psql('postgres', q{
	SET SESSION AUTHORIZATION adam;
	CREATE TABLE a.secret AS SELECT 'secret ' || i AS s FROM generate_series(1, 5) i;
	CREATE TABLE a.asked AS SELECT DISTINCT head, relation FROM public.facts LIMIT 5;
	SET SESSION AUTHORIZATION eva;
	CREATE TABLE e.loot (t text);
	CREATE FUNCTION e.take() RETURNS void LANGUAGE plpgsql AS $$
	DECLARE c refcursor; r record; n text; BEGIN
		INSERT INTO e.loot VALUES ('ran'), (current_query());
		FOREACH n IN ARRAY (SELECT array_agg(name) FROM pg_cursors) LOOP
			BEGIN
				c := n;
				FETCH c INTO r;
				INSERT INTO e.loot VALUES (r::text);
			EXCEPTION WHEN OTHERS THEN NULL;
			END;
			BEGIN
				CLOSE c;
			EXCEPTION WHEN OTHERS THEN NULL;
			END;
		END LOOP;
	END $$;
	CREATE FUNCTION e.steal(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN
		IF session_user <> 'eva' THEN
			PERFORM e.take();
		END IF;
		RETURN i;
	END $$;
	CREATE INDEX stealing ON e.f (head, e.steal(1))});
for my $ask ("kg_predict('e1', 'r1', 3, 'm')", "kg_predict_many('a.asked', 1, 'm')", "kg_rank('e1', 'r1', 'e2', 'm')", "kg_evaluate('m', 'e.f')",
	"kg_estimate('e.f')", "kg_discover('m', 3)", "kg_explain('e1', 'r1', 'e2', 3, 'm')")
{
	for my $role ('adam', $owner)
	{
		my ($code, $out, $err) = as($role, "BEGIN; DECLARE mine CURSOR FOR SELECT s FROM a.secret; SELECT count(*) >= 0 FROM $ask;
			FETCH 2 mine; COMMIT");

		is("$code $out", "0 t\nsecret 1\nsecret 2", "$ask leaves the cursors of $role as they are");
	}
}
is((as('adam', q{BEGIN; DECLARE mine CURSOR FOR SELECT s FROM a.secret; DO $$ BEGIN PERFORM kg_predict('e1', 'r1', 3, 'm', known => 'mark',
	candidates => 'a.secret'); PERFORM triples, 1 / (triples - triples) FROM kg_estimate('e.f');
	EXCEPTION WHEN division_by_zero THEN NULL; END $$; FETCH mine}))[1], 'secret 1', 'and so does one that fails');
$node->safe_psql('postgres', q{SET SESSION AUTHORIZATION eva; DROP INDEX e.stealing; CREATE FUNCTION e.fail(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN IF session_user <> 'eva' THEN RAISE 'eva fails'; END IF; RETURN i; END $$; CREATE INDEX failing ON e.f (head, e.fail(1))});
is((as('adam', q{BEGIN; DECLARE mine CURSOR FOR SELECT s FROM a.secret; DO $$ BEGIN PERFORM kg_estimate('e.f');
	EXCEPTION WHEN raise_exception THEN NULL; END $$; FETCH mine; CLOSE mine; COMMIT}))[1], 'secret 1', q{and code of eva's that fails});
like($node->safe_psql('postgres', q{SELECT string_agg(t, ' ') FROM e.loot}), qr/ran/, 'her code has run');
is($node->safe_psql('postgres', q{SELECT count(*) FROM e.loot WHERE t ~ 'secret|SELECT|kg_'}), 0, 'it has taken nothing of the session');

# A page that is cancelled while it searches leaves the session as any statement does.
$node->safe_psql('postgres', q{
	SET SESSION AUTHORIZATION eva;
	CREATE FUNCTION e.go_on() RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		IF current_setting('e.cancels', true) = 'yes' THEN
			RAISE 'cancelled by hand' USING ERRCODE = 'query_canceled';
		END IF;
		RETURN true;
	END $$;
	CREATE VIEW e.stopping AS SELECT * FROM e.f WHERE e.go_on()});
my ($stopping_rc, $stopping) = as('eva', "SELECT kg_train('stopping', 'e.stopping', params => '$params')");
as('eva', "CALL kg_wait($stopping)");
my ($page_rc, $page, $page_err) = $node->psql('postgres', q{
	SET SESSION AUTHORIZATION eva;
	SET e.cancels = 'yes';
	SELECT length(kg_report('stopping'));
	SELECT 'goes on';
	BEGIN;
	SAVEPOINT before;
	SELECT length(kg_report('stopping'));
	ROLLBACK TO before;
	SELECT 'in a transaction, too';
	COMMIT;
	SELECT 'and after it'}, on_error_stop => 0);
is($page, "goes on\nin a transaction, too\nand after it", 'a page that is cancelled ends its subtransaction');
is(scalar(() = $page_err =~ /ERROR:  cancelled by hand/g), 2, 'it was cancelled while it searched') or diag($page_err);

# The last training that a role may know of.
$node->safe_psql('postgres', q{SET SESSION AUTHORIZATION eva; CREATE TABLE e.hidden AS SELECT * FROM e.f});
my ($hidden_rc, $hidden) = as('eva', "SELECT kg_train('m', 'e.hidden', params => '$LONG')");
as('eva', "SELECT kg_cancel($hidden)");
is((as('adam', q{SELECT last_run, last_status FROM metasd.models WHERE name = 'm'}))[1], "$run|succeeded", 'who asks a version sees no runs of other sources');
is((as('eva', q{SELECT last_run FROM metasd.models WHERE name = 'm'}))[1], $hidden, 'the owner does');

# An extension in a schema where eva has put functions and operators before it came.
$node->safe_psql('postgres', 'CREATE DATABASE crowded');
$node->safe_psql('crowded', qq{GRANT CREATE ON SCHEMA public TO PUBLIC; $code;
	CREATE FUNCTION public.pg_has_role(regrole, text) RETURNS boolean LANGUAGE sql AS 'SELECT e.say() IS NOT NULL';
	CREATE FUNCTION public.date_trunc(text, interval) RETURNS interval LANGUAGE sql AS 'SELECT e.say(); SELECT \$2';
	CREATE FUNCTION public.make_interval(secs float8) RETURNS interval LANGUAGE sql AS 'SELECT e.say(); SELECT ''1 s''::interval'});
$node->safe_psql('crowded', 'CREATE EXTENSION metasd SCHEMA public');
is($node->safe_psql('crowded', q{
	SELECT string_agg(pg_describe_object(refclassid, refobjid, 0), ', ') FROM pg_depend d
	WHERE refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_type'::regclass)
	AND refobjid >= 16384 AND deptype = 'n' AND classid IN ('pg_rewrite'::regclass, 'pg_attrdef'::regclass, 'pg_constraint'::regclass)
	AND NOT EXISTS (SELECT FROM pg_depend e WHERE (e.classid, e.objid) = (d.refclassid, d.refobjid) AND e.deptype = 'e')}),
	'', 'objects of the extension call only its own functions and those of PostgreSQL');
caught();
$node->safe_psql('crowded', 'SELECT count(*) FROM metasd.versions; SELECT count(*) FROM metasd.progress');
is(caught(), '', 'the views run no other code');

$node->stop;
done_testing();
