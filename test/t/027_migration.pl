# What is stored is what comes back: models of several owners, with sources and owners that are there, renamed and dropped,
# through dumps, clusters where names are missing or numbers mean something else, template databases, standbys, pg_upgrade and
# logical replication. All roles ask all models before and after.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('moved', streaming => 1, wal_level => 'logical', max_worker_processes => 16);
my $dump = PostgreSQL::Test::Utils::tempdir();
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
my $params = '{"rank": 32, "epochs": 4, "warmup": 2, "ramp": 1, "batch": 50, "sparsity": 0.5, "promote_tolerance": 1, "warm_start": false}';
my @models = qw(m deep v lost orphan renamed checked grouped);
my @roles = ('ann', 'ben', 'New Name', 'gone', 'reader', 'stranger');

# ---- the models ----

$node->safe_psql('postgres', q{
	CREATE ROLE ann LOGIN; CREATE ROLE ben LOGIN; CREATE ROLE gone LOGIN; CREATE ROLE former LOGIN;
	CREATE ROLE reader LOGIN; CREATE ROLE stranger LOGIN;
	-- Their numbers are apart, so that there is room for others of these numbers elsewhere.
	CREATE FUNCTION numbers_apart() RETURNS bigint LANGUAGE sql AS 'SELECT sum(lo_unlink(lo_create(0))) FROM generate_series(1, 9)';
	CREATE SCHEMA "Schema 2" AUTHORIZATION ben;
	ALTER TABLE facts OWNER TO ann;
	SELECT numbers_apart();
	CREATE VIEW flipped AS SELECT tail AS h, relation AS r, head AS t FROM facts; ALTER VIEW flipped OWNER TO ann;
	SELECT numbers_apart();
	CREATE TABLE "Schema 2"."Fact.s" AS SELECT * FROM facts; ALTER TABLE "Schema 2"."Fact.s" OWNER TO ben;
	SELECT numbers_apart();
	CREATE TABLE lost AS SELECT * FROM facts; ALTER TABLE lost OWNER TO ben;
	SELECT numbers_apart();
	CREATE TABLE orphaned AS SELECT * FROM facts; ALTER TABLE orphaned OWNER TO gone;
	SELECT numbers_apart();
	CREATE TABLE before AS SELECT * FROM facts; ALTER TABLE before OWNER TO former;
	SELECT numbers_apart();
	CREATE TABLE unseen AS SELECT * FROM facts LIMIT 40; ALTER TABLE unseen OWNER TO ann;
	-- A dump has it after all data: it depends on the key.
	CREATE TABLE numbered (id serial PRIMARY KEY, head text, relation text, tail text);
	INSERT INTO numbered (head, relation, tail) SELECT * FROM facts; ALTER TABLE numbered OWNER TO ann;
	CREATE MATERIALIZED VIEW grouped AS SELECT head, relation, tail FROM numbered GROUP BY id;
	ALTER MATERIALIZED VIEW grouped OWNER TO ann;
	GRANT SELECT ON facts, lost, orphaned, before, grouped TO reader;
	DROP FUNCTION numbers_apart();
	-- What a role gets to a question: how many answers of which bytes, or the error.
	CREATE FUNCTION asked(model text, known text) RETURNS text LANGUAGE plpgsql SET client_min_messages = error AS $$
	BEGIN
		RETURN (SELECT count(*) || ' ' || left(md5(string_agg(a::text, ' ' ORDER BY a::text)), 6)
				FROM (SELECT h.i, p.* FROM generate_series(1, 5) h (i), LATERAL kg_predict('e' || h.i, 'r1', 5, model, known) p
					  UNION ALL
					  SELECT h.i, p.* FROM generate_series(1, 5) h (i), LATERAL kg_predict_heads('r2', 'e' || h.i, 5, model, known) p) a);
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END $$;
	CREATE FUNCTION all_asked() RETURNS TABLE (model text, excluded text, included text, marked text) LANGUAGE sql AS $$
		SELECT m, asked(m, 'exclude'), asked(m, 'include'), asked(m, 'mark')
		FROM unnest('{m,deep,v,lost,orphan,renamed,checked,grouped}'::text[]) m
	$$});

sub train_as
{
	my ($role, $arguments, $seed) = @_;
	my $run = $node->safe_psql('postgres', qq{
		SET SESSION AUTHORIZATION "$role";
		SELECT kg_train($arguments, params => '$params'::jsonb || '{"seed": $seed}')});

	$node->safe_psql('postgres', "CALL kg_wait($run)");
	is(status_of($node, $run), 'succeeded', "$role trains $arguments");
	return $run;
}

train_as('ann', q{'m', 'facts'}, 1);
train_as('ann', q{'m', 'facts'}, 2);
train_as('ben', q{'deep', '"Schema 2"."Fact.s"'}, 3);
train_as('ann', q{'v', 'flipped', 'h', 'r', 't'}, 4);
train_as('ben', q{'lost', 'lost'}, 5);
train_as('gone', q{'orphan', 'orphaned'}, 6);
train_as('former', q{'renamed', 'before'}, 7);
train_as('ann', q{'checked', 'facts', validation => 'unseen'}, 8);
train_as('ann', q{'grouped', 'grouped'}, 10);

# What a role is told of all models, and what it gets when it asks them.
sub asking
{
	my ($role) = @_;

	return qq{SET ROLE "$role"; SELECT 'ask', * FROM all_asked();
		SELECT name, owner, source, validation, mrr FROM metasd.models ORDER BY name; RESET ROLE;};
}

sub told
{
	my ($server, $role, $database) = @_;

	return $server->safe_psql($database || 'postgres', asking($role));
}

# All of them, one after the other in one session.

sub picture
{
	my ($server, $database) = @_;
	my @all = ($superuser, @roles);
	my @told = split /^next$\n?/m, $server->safe_psql($database || 'postgres', join "\n\\echo next\n", map { asking($_) } @all);

	return { map { $all[$_] => $told[$_] =~ s/\n\z//r } 0 .. $#all };
}

# As lines of models, so that a difference shows what became of which.
sub same_picture
{
	my ($expected, $got, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($got->{$_}, $expected->{$_}, "$name: $_ is told the same, and gets the same answers") for $superuser, @roles;
	return;
}

# The models of which a role gets answers; those it is told of.
sub may_ask
{
	my ($told) = @_;

	return join ' ', map { /^ask\|(\w+)\|.*\|\d+ \w+\|/ ? $1 : () } split /\n/, $told;
}

sub sees
{
	my ($told) = @_;

	return join ' ', map { /^(?!ask\|)(\w+)\|/ ? $1 : () } split /\n/, $told;
}

sub column
{
	my ($told, $model, $number) = @_;
	my ($line) = $told =~ /^($model\|.*)$/m or return undef;

	return (split /\|/, $line, -1)[$number];
}

# The numbers that the models remember.
my @numbers = split /\n/, $node->safe_psql('postgres', q{
	SELECT 'role ' || oid FROM pg_roles WHERE rolname IN ('ann', 'ben', 'gone', 'former')
	UNION ALL SELECT 'table ' || oid FROM pg_class
	WHERE relname IN ('facts', 'flipped', 'Fact.s', 'lost', 'orphaned', 'before', 'unseen')});

my $whole = { map { $_ => told($node, $_) } $superuser, qw(ann reader stranger) };
is(may_ask($whole->{$superuser}), "@models", 'a superuser gets answers from all');
is(may_ask($whole->{ann}), 'm v checked grouped', 'ann from those she owns');
is(may_ask($whole->{reader}), 'm lost orphan renamed checked', 'a reader from those of tables that are his to read');
is(may_ask($whole->{stranger}), '', 'a stranger from none');

# ---- renamed, reassigned, dropped ----

$node->safe_psql('postgres', q{ALTER ROLE former RENAME TO "New Name"; ALTER TABLE before RENAME TO "After that"});
my $told = told($node, 'New Name');
is(may_ask($told), 'renamed', 'a role that was renamed owns its model');
is(column($told, 'renamed', 1) . ' ' . column($told, 'renamed', 2), '"New Name" "After that"', 'which has the names of now');

my $included = sub {
	my ($model, $server, $database) = @_;
	return ($server || $node)->safe_psql($database || 'postgres', "SELECT asked('$model', 'include')");
};
my $orphan = $included->('orphan');
$node->safe_psql('postgres', 'REASSIGN OWNED BY gone TO ben');
is($included->('orphan'), $orphan, 'after REASSIGN OWNED a superuser gets the same answers');
is(may_ask(told($node, 'gone')), 'orphan', 'and the owner answers');
$node->safe_psql('postgres', 'DROP OWNED BY gone');
is($included->('orphan'), $orphan, 'after DROP OWNED, too');
is(may_ask(told($node, 'gone')), 'orphan', 'for the owner as well');
$node->safe_psql('postgres', 'DROP ROLE gone');
is($included->('orphan'), $orphan, 'after DROP ROLE');
is(may_ask(told($node, 'ben')), 'deep lost orphan', 'who owns the table now may ask, as may who reads it');
is(may_ask(told($node, 'reader')), 'm lost orphan renamed checked', 'as before');
psql_fails($node, "SELECT kg_train('orphan')", qr/ERROR:  the role that owned model "orphan" does not exist any more.*HINT:.*kg_owner/s,
	'it is not trained any more');
psql_fails($node, "SET SESSION AUTHORIZATION ben; SELECT kg_owner('orphan', 'ben')", qr/ERROR:  must be owner of model "orphan"/,
	'and nobody can take it');
$node->safe_psql('postgres', 'CREATE ROLE gone LOGIN');
is(may_ask(told($node, 'gone')), '', 'a new role of the name of one that was dropped owns nothing');
for my $call ("kg_train('orphan')", "kg_owner('orphan', 'gone')", "kg_drop('orphan')", "kg_rollback('orphan')")
{
	psql_fails($node, "SET SESSION AUTHORIZATION gone; SELECT $call", qr/ERROR:  must be owner of model "orphan"/, "$call is not its to do");
}

my $lost = $included->('lost');
$node->safe_psql('postgres', q{
	DROP TABLE lost;
	CREATE TABLE lost AS SELECT * FROM facts; ALTER TABLE lost OWNER TO stranger; GRANT SELECT ON lost TO reader});
is($included->('lost'), $lost, 'a model whose source was dropped answers its owner');
is(may_ask(told($node, 'reader')), 'm orphan renamed checked', 'who may read a new table of that name may not ask');
is(may_ask(told($node, 'stranger')), '', 'nor who owns it');
psql_fails($node, "SET SESSION AUTHORIZATION ben; SELECT kg_train('lost')", qr/ERROR:  the relation that model "lost" was trained from does not exist any more\nDETAIL:  The name public.lost now belongs to another relation/,
	'the owner does not train from it unless he says so');

my $before = picture($node);

# ---- the same from here on ----

$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('moved_standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
same_picture($before, picture($standby), 'physical standby');
$standby->stop;

sub shell_ok
{
	my ($name, @command) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->command_ok(\@command, $name);
	return;
}

sub dump_to
{
	my ($file, $server, $database, @options) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	shell_ok("pg_dump @options", 'pg_dump', '--no-sync', '-f', "$dump/$file", @options, $server->connstr($database));
	return;
}

sub run_file
{
	my ($file, $server, $database) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	shell_ok("$file restored", 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $server->connstr($database), '-f', "$dump/$file");
	return;
}

sub database
{
	my ($name, $server) = @_;

	($server || $node)->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0");
	return $name;
}

dump_to('plain.sql', $node, 'postgres');
dump_to('inserts.sql', $node, 'postgres', '--inserts', '--quote-all-identifiers');
dump_to('clean.sql', $node, 'postgres', '--clean', '--if-exists');
dump_to('custom', $node, 'postgres', '-Fc');
dump_to('folder', $node, 'postgres', '-Fd', '-j', '2');
dump_to('part', $node, 'postgres', '-Fc', '-N', '"Schema 2"', '-T', 'orphaned', '-T', 'unseen');
dump_to('schema.sql', $node, 'postgres', '--schema-only');
dump_to('data.sql', $node, 'postgres', '--data-only');
dump_to('no_models.sql', $node, 'postgres', '--exclude-table-data', 'metasd.*');

run_file('plain.sql', $node, database('plain'));
same_picture($before, picture($node, 'plain'), 'pg_dump');
run_file('clean.sql', $node, 'plain');
same_picture($before, picture($node, 'plain'), 'restored over itself with --clean');
run_file('inserts.sql', $node, database('inserts'));
same_picture($before, picture($node, 'inserts'), 'pg_dump --inserts');
shell_ok('custom restored with -j 2', 'pg_restore', '-e', '-j', '2', '-d', $node->connstr(database('custom')), "$dump/custom");
same_picture($before, picture($node, 'custom'), 'pg_dump -Fc');
shell_ok('folder restored with -j 2', 'pg_restore', '-e', '-j', '2', '-d', $node->connstr(database('folder')), "$dump/folder");
same_picture($before, picture($node, 'folder'), 'pg_dump -Fd -j 2');
run_file('schema.sql', $node, database('twice'));
is($node->safe_psql('twice', 'SELECT count(*) FROM metasd.models'), '0', 'definitions alone bring no models');
run_file('data.sql', $node, 'twice');
$node->safe_psql('twice', 'REFRESH MATERIALIZED VIEW grouped');
same_picture($before, picture($node, 'twice'), 'definitions first, then data');
$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE custom');
same_picture($before, picture($node, 'copied'), 'CREATE DATABASE ... TEMPLATE');
my $again = $node->safe_psql('copied', "SET ROLE ann; SELECT kg_train('m')");
$node->safe_psql('copied', "CALL kg_wait($again)");
is(status_of($node, $again, 'copied'), 'succeeded', 'it trains there');
$node->safe_psql('copied', 'DROP TABLE unseen');
is($included->('checked', $node, 'copied'), $included->('checked'), 'a model whose validation source was dropped answers there');
psql_fails($node, "SET ROLE ann; SELECT kg_train('checked')", qr/ERROR:  the validation source public.unseen of model "checked" does not exist/,
	'and is not trained without saying so', 'copied');
$again = $node->safe_psql('copied', "SET ROLE ann; SELECT kg_train('checked', validation => '-')");
$node->safe_psql('copied', "CALL kg_wait($again)");
is(status_of($node, $again, 'copied'), 'succeeded', 'it trains without one');
same_picture($before, picture($node, 'custom'), 'while the template stays as it is');
is($node->safe_psql('copied', 'SELECT count(*) FROM metasd.run') - $node->safe_psql('custom', 'SELECT count(*) FROM metasd.run'), 2,
	'with numbers that were free');

# A dump of what was restored is the same once more.
dump_to('second.sql', $node, 'plain');
run_file('second.sql', $node, database('second'));
same_picture($before, picture($node, 'second'), 'restored, dumped and restored');

# ---- another cluster, where the numbers mean something else ----

sub new_cluster
{
	my ($name) = @_;
	my $cluster = PostgreSQL::Test::Cluster->new($name);

	$cluster->init(allows_streaming => 'logical');
	$cluster->append_conf('postgresql.conf', "autovacuum = off\n");
	$cluster->start;
	return $cluster;
}

# Makes roles and tables of these numbers: large objects use up those between.
sub make_imposters
{
	my ($cluster) = @_;
	my $targets = join ', ', map { /(\w+) (\d+)/; "('$1', $2)" } @numbers;

	$cluster->safe_psql('postgres', qq{
		DO \$\$
		DECLARE
			target record;
			used bigint := 0;
		BEGIN
			FOR target IN SELECT * FROM (VALUES $targets) v (kind, number) ORDER BY number LOOP
				WHILE used < target.number - 1 LOOP
					used := lo_create(0);
				END LOOP;
				IF target.kind = 'role' THEN
					EXECUTE format('CREATE ROLE imposter_%s LOGIN', target.number);
				ELSE
					EXECUTE format('CREATE TABLE imposter_%s (head text, relation text, tail text)', target.number);
					EXECUTE format('GRANT SELECT ON imposter_%s TO PUBLIC', target.number);
				END IF;
				SELECT max(oid::bigint) INTO used FROM (SELECT oid FROM pg_authid UNION ALL SELECT oid FROM pg_class
														UNION ALL SELECT oid FROM pg_type) x;
			END LOOP;
		END \$\$});
	is($cluster->safe_psql('postgres', q{
			SELECT count(*) FROM (SELECT rolname, oid FROM pg_roles UNION ALL SELECT relname, oid FROM pg_class) x (name, oid)
			WHERE name = 'imposter_' || oid}), scalar(@numbers), 'all numbers that models remember are those of others there');
	return;
}

sub no_imposter_may_ask
{
	my ($cluster, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $role (map { /role (\d+)/ ? "imposter_$1" : () } @numbers)
	{
		my $told = told($cluster, $role);

		is(may_ask($told) . sees($told), '', "$name: $role may ask nothing, and is told of nothing");
	}
	return;
}

my $other = new_cluster('moved_other');
make_imposters($other);
$node->command_ok([ 'pg_dumpall', '--no-sync', '--roles-only', '-f', "$dump/roles.sql", '-d', $node->connstr('postgres') ], 'pg_dumpall');
$other->psql('postgres', slurp_file("$dump/roles.sql"), on_error_stop => 0); # the superuser is there
shell_ok('custom restored in another cluster', 'pg_restore', '-e', '-j', '2', '-d', $other->connstr('postgres'), "$dump/custom");
same_picture($before, picture($other), 'another cluster');
no_imposter_may_ask($other, 'another cluster');
is(stray_rows($other), '0', 'no rows are left behind');

# ---- where a role and some sources are missing ----

my $bare = new_cluster('moved_bare');
make_imposters($bare);
$bare->safe_psql('postgres', "CREATE ROLE $_ LOGIN") for qw(ann ben gone reader stranger);
$bare->safe_psql('postgres', q{
	-- another's, before there are any models
	CREATE SCHEMA "Schema 2" AUTHORIZATION stranger; GRANT ALL ON SCHEMA "Schema 2" TO PUBLIC;
	CREATE TABLE "Schema 2"."Fact.s" (head text, relation text, tail text); ALTER TABLE "Schema 2"."Fact.s" OWNER TO stranger;
	GRANT SELECT ON "Schema 2"."Fact.s" TO reader});
database('errors', $bare);
my $complaints = $bare->connstr('errors');
command_fails_like([ 'pg_restore', '-d', $complaints, "$dump/part" ], qr/role "New Name" does not exist/, 'pg_restore complains of the role');
is($bare->safe_psql('errors', 'SELECT count(*) FROM metasd.models'), scalar(@models), 'and restores all models');
shell_ok('restored with --no-owner', 'pg_restore', '-e', '--no-owner', '-d', $bare->connstr('postgres'), "$dump/part");

sub told_at_bare
{
	my ($role, $database) = @_;

	return may_ask(told($bare, $role, $database));
}

sub check_bare
{
	my ($when, $database) = @_;
	my $told = told($bare, $superuser, $database);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join("\n", sort($told =~ /^ask\|\w+\|.*?\|(.*?)\|/mg)), join("\n", sort($before->{$superuser} =~ /^ask\|\w+\|.*?\|(.*?)\|/mg)),
		"$when: a superuser gets the same answers of all models, known facts included");
	for my $model ('deep', 'orphan')
	{
		my ($excluded, $included) = $told =~ /^ask\|$model\|(.*?)\|(.*?)\|/m;

		is($excluded, $included, "$when: known facts of $model are not told, without its source");
		is(column($told, $model, 2), '', "$when: it has none");
	}
	is(column($told, 'checked', 3), '', "$when: a validation source that is missing is none");
	is(column($told, 'grouped', 2), 'grouped', "$when: a source that came after the models is there");
	is(column($told, 'renamed', 1), '', "$when: the owner of a model whose role is missing is nobody");
	is(column($told, 'm', 1) . column($told, 'm', 2), 'annfacts', "$when: those that are there own what they did");
	is(told_at_bare('ann', $database), 'm v checked grouped', "$when: ann may ask what is hers");
	is(told_at_bare('ben', $database), 'deep lost', "$when: ben, too");
	is(told_at_bare('reader', $database), 'm renamed checked', "$when: a reader what he may read");
	is(told_at_bare('stranger', $database), '', "$when: a stranger nothing");
	is(told_at_bare('gone', $database), '', "$when: nor a role of the name of one that was dropped before");
	return;
}

check_bare('missing');
no_imposter_may_ask($bare, 'missing');
$bare->safe_psql('postgres', q{
	CREATE ROLE "New Name" LOGIN;
	INSERT INTO "Schema 2"."Fact.s" SELECT * FROM facts;
	CREATE TABLE orphaned AS SELECT * FROM facts; ALTER TABLE orphaned OWNER TO stranger;
	GRANT SELECT ON orphaned TO reader});
check_bare('names taken by others');
is(told_at_bare('New Name'), '', 'a new role of the name that was missing owns nothing');
psql_fails($bare, q{SET SESSION AUTHORIZATION ben; SELECT kg_train('deep')},
	qr/ERROR:  the relation that model "deep" was trained from does not exist any more\nDETAIL:  The name "Schema 2"."Fact.s" now belongs to another relation/, 'an owner does not train from what others have named so');
dump_to('bare.sql', $bare, 'postgres');
run_file('bare.sql', $bare, database('again', $bare));
check_bare('dumped and restored', 'again');
is(told_at_bare('New Name', 'again'), '', 'nor does it own anything after a dump');

# The way out: another owner, and a source of that name which is the owner's own.
$bare->safe_psql('postgres', q{SELECT kg_owner('renamed', '"New Name"')});
is(told_at_bare('New Name'), 'renamed', 'a superuser gives a model away');
$bare->safe_psql('postgres', q{
	DROP TABLE "Schema 2"."Fact.s"; SET SESSION AUTHORIZATION ben;
	CREATE TABLE "Schema 2"."Fact.s" (head text, relation text, tail text)});
psql_fails($bare, q{SET SESSION AUTHORIZATION ben; SELECT kg_train('deep')}, qr/ERROR:  source "Fact.s" has no triples/,
	'trained by its name');
is(told_at_bare('ben'), 'deep lost', 'it answers');
$bare->stop;

# ---- a subscriber of the tables ----

my $subscriber = new_cluster('moved_subscriber');
$subscriber->psql('postgres', slurp_file("$dump/roles.sql"), on_error_stop => 0);
run_file('no_models.sql', $subscriber, 'postgres');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM metasd.model'), '0', 'a subscriber that has no models yet');
$node->safe_psql('postgres', q{CREATE PUBLICATION models FOR TABLE metasd.model, metasd.run, metasd.epoch, metasd.entity, metasd.relation});
my $connection = $node->connstr('postgres') =~ s/'/''/gr;
my $binary = $node->safe_psql('postgres', 'SHOW server_version_num') < 140000 ? '' : 'WITH (binary = true)'; # 13 knows text only
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION models CONNECTION '$connection' PUBLICATION models $binary");

sub catch_up
{
	wait_until($subscriber, q{SELECT bool_and(srsubstate IN ('r', 's')) FROM pg_subscription_rel});
	$node->safe_psql('postgres', q{SELECT pg_logical_emit_message(true, 'test', 'flush')});
	$node->wait_for_catchup('models');
	return;
}

catch_up();
same_picture($before, picture($subscriber), 'subscriber');
my $session = session($subscriber);
my $first = "SELECT asked('m', 'include')";
is($session->query_safe($first), $included->('m'), 'a session there asks');
my $newest = train_as('ann', q{'m', 'facts'}, 9);
catch_up();
isnt($included->('m'), ($before->{$superuser} =~ /^ask\|m\|.*?\|(.*?)\|/m)[0], 'another version answers otherwise');
is($session->query_safe($first), $included->('m'), 'a session there notices a new version');
$node->safe_psql('postgres', q{SELECT kg_rollback('m'); SELECT kg_owner('orphan', 'ann'); SELECT kg_drop('v')});
catch_up();
is($session->query_safe($first), $included->('m'), 'and that it was taken back');
is($subscriber->safe_psql('postgres', 'SELECT name, owner FROM metasd.models ORDER BY 1'),
	$node->safe_psql('postgres', 'SELECT name, owner FROM metasd.models ORDER BY 1'), 'a model dropped, and one given away');
psql_fails($subscriber, "SELECT * FROM kg_predict('e1', 'r1', 5, 'v')", qr/ERROR:  model "v" does not exist/, 'what is dropped is gone');
is(stray_rows($subscriber), '0', 'with all its rows');
my $far = start_training($node, 'far');
catch_up();
is(status_of($subscriber, $far), 'running', 'a training goes on elsewhere');
is($subscriber->safe_psql('postgres', 'SELECT run, status, epoch > 0, remaining > interval \'0\' FROM metasd.progress'), "$far|running|t|t", 'and can be watched');
psql_fails($subscriber, "SELECT kg_cancel($far)", qr/ERROR:  cannot train or change models in a database that subscribes/, 'but not be cancelled');
my $waiting = session($subscriber);
$waiting->query_until(qr/waiting/, "\\echo waiting\nCALL kg_wait($far);\n");
for my $call ("kg_train('m')", "kg_train('mine', 'facts')", "metasd.train_scheduled('m')")
{
	psql_fails($subscriber, "\\set VERBOSITY verbose\nSET SESSION AUTHORIZATION ann; SELECT $call",
		qr/ERROR:  55000: cannot train or change models in a database that subscribes to models of another.*HINT:  Models are trained and changed where they are published/s,
		"$call on a subscriber says where to");
}
is($subscriber->safe_psql('postgres', "SELECT count(*) FROM metasd.model WHERE name = 'mine'"), '0', 'and leaves nothing');
$node->safe_psql('postgres', "SELECT kg_cancel($far)");
wait_for_status($node, $far, 'cancelled', 'a training is cancelled where it runs');
catch_up();
is(status_of($subscriber, $far), 'cancelled', 'as the subscriber sees');
$waiting->query('');
like($waiting->{stderr}, qr/ERROR:  run $far of model "far" was cancelled/, 'and who waits there');
$waiting->quit;
my $here = picture($node);
same_picture($here, picture($subscriber), 'subscriber, in the end');

# Once it is on its own it trains, and its runs come after those that it got.
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION models');
my @sessions = map { session($subscriber) } 1 .. 2;
my @own = $sessions[0]->query_safe("SET SESSION AUTHORIZATION ann; BEGIN; SELECT kg_train('m', params => '$params')");
$sessions[1]->{stdin} .= "SET SESSION AUTHORIZATION ann; SELECT kg_train('mine', 'facts', params => '$params');\n";
$sessions[1]->{run}->pump_nb;
wait_until($subscriber, 'SELECT count(*) > 0 FROM pg_locks WHERE NOT granted');
$sessions[0]->query_safe('COMMIT');
push @own, $sessions[1]->query_safe("SELECT last_run FROM metasd.models WHERE name = 'mine'") =~ /(\d+)$/;
$_->quit for @sessions;
$subscriber->safe_psql('postgres', "CALL kg_wait($_)") for @own;
is("@own", join(' ', $far + 1, $far + 2), 'without the subscription it trains, two at once, by numbers of its own');
is(status_of($subscriber, $own[0]) . status_of($subscriber, $own[1]), 'succeededsucceeded', 'and succeeds');
is($subscriber->safe_psql('postgres', "SELECT last_run FROM metasd.models WHERE name = 'm'"), $own[0], 'the last run is the last one');
$session->quit;
$subscriber->stop;
$other->stop;

# ---- pg_upgrade ----

$node->safe_psql('postgres', 'DROP PUBLICATION models');
$node->safe_psql('postgres', "DROP DATABASE $_") for qw(plain inserts folder twice copied second);
$node->stop;
my $new = PostgreSQL::Test::Cluster->new('moved_new');
$new->init;
my $bindir = config_of($new, '--bindir');
chdir $dump or die "cannot change to $dump: $!";
command_ok(
	[
		'pg_upgrade', (`pg_upgrade --help` =~ /--no-sync/ ? '--no-sync' : ()), '-d', $node->data_dir, '-D', $new->data_dir,
		'-b', $bindir, '-B', $bindir, '-s', $new->host, '-p', $node->port, '-P', $new->port
	],
	'pg_upgrade');
$new->start;
same_picture($here, picture($new), 'pg_upgrade');
same_picture($before, picture($new, 'custom'), 'pg_upgrade, of another database');
$new->safe_psql('postgres', 'CREATE TABLE orphaned_again AS SELECT * FROM facts');
$new->safe_psql('postgres', "CREATE ROLE newcomer_$_") for 1 .. 20;
is(may_ask(told($new, "newcomer_$_")), '', "nobody new may ask: $_") for 1, 20;
$new->stop;
done_testing();
