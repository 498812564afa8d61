# Facts on the nodes of a Citus cluster, a coordinator and two workers. What is answered on the coordinator is
# what a model answers whose facts are in a table of its own; a part of a query that Citus runs on a worker is
# answered right or not at all.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

# ---- the cluster ----

my @nodes = map { PostgreSQL::Test::Cluster->new($_) } 'coordinator', 'worker1', 'worker2';
my ($coordinator, @workers) = @nodes;

for my $node (@nodes)
{
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'\nfsync = off\nmax_worker_processes = 24\nmax_connections = 100\n");
}
$coordinator->start;
if ($coordinator->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'citus'") eq '0')
{
	plan skip_all => 'Citus is not installed';
}
my $preloaded = $coordinator->safe_psql('postgres', 'SHOW shared_preload_libraries');
$coordinator->stop;
$preloaded = join ',', 'citus', $preloaded || ();    # Citus wants to be the first
for my $node (@nodes)
{
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = '$preloaded'\ncitus.node_conninfo = 'sslmode=prefer'\ncitus.shard_count = 8\n");
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION citus; CREATE EXTENSION metasd');
}

# In a query of the coordinator.
sub ask
{
	return $coordinator->safe_psql('postgres', $_[0]);
}

ask("SELECT citus_set_coordinator_host('127.0.0.1', " . $coordinator->port . ')');
ask("SELECT citus_add_node('127.0.0.1', " . $_->port . ')') for @workers;

# ---- facts and questions: local, distributed, reference, and seen through a view ----

load_graph($coordinator, 'postgres', 'facts');
ask(q{
	CREATE TABLE spread (head text, relation text, tail text, PRIMARY KEY (head, relation, tail));
	CREATE INDEX ON spread (tail, relation);
	SELECT create_distributed_table('spread', 'head');
	CREATE TABLE copied (LIKE spread);
	SELECT create_reference_table('copied');
	CREATE VIEW seen AS SELECT * FROM spread;
	CREATE TABLE numbers (head bigint, relation integer, tail bigint);
	SELECT create_distributed_table('numbers', 'tail');
	CREATE TABLE test AS
	SELECT 'e' || i % 60 AS head, 'r' || i % 3 AS relation, 'e' || (i * 7) % 60 AS tail FROM generate_series(1, 40) i;
	CREATE TABLE test_spread (LIKE test);
	SELECT create_distributed_table('test_spread', 'head');
	CREATE TABLE test_copied (LIKE test);
	SELECT create_reference_table('test_copied')});
ask("INSERT INTO $_ SELECT * FROM facts") for 'spread', 'copied';
ask("INSERT INTO $_ SELECT * FROM test") for 'test_spread', 'test_copied';
ask(q{INSERT INTO numbers SELECT substr(head, 2)::bigint, substr(relation, 2)::integer, substr(tail, 2)::bigint FROM facts});

sub train_from
{
	my ($model, $source, $more) = @_;
	my $run = ask("SELECT kg_train('$model', '$source', params => '$QUICK'" . ($more || '') . ')');

	ask("CALL kg_wait($run)");
	return;
}

train_from('here', 'facts');
train_from($_, $_) for 'spread', 'copied', 'seen', 'numbers';
train_from('validated', 'spread', ", validation => 'test_spread'");
my @models = ('spread', 'copied', 'seen');

# A question of each of these models has the answer that the model has whose facts are here. QUERY mentions M,
# and has one order; of figures the last digits depend on the order in which they are summed.
sub same
{
	my ($query, $name) = @_;
	my $answer = sub {
		(my $own = $query) =~ s/'M'/'$_[0]'/g;
		(my $text = ask($own)) =~ s/(\d+\.\d+)/sprintf('%.7g', $1)/ge;
		return $text;
	};
	my $wanted = $answer->('here');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	isnt($wanted, '', "$name: there are answers");
	is($answer->($_), $wanted, "$name: model $_ has the same") for @models;
	return;
}

for my $known ('exclude', 'mark', 'include')
{
	same("SELECT * FROM kg_predict('e1', 'r1', 5, model => 'M', known => '$known')", "$known: tails");
	same("SELECT * FROM kg_predict_heads('r1', 'e1', 5, model => 'M', known => '$known')", "$known: heads");
	for my $queries ('test', 'test_spread', 'test_copied')
	{
		same(qq{SELECT head, relation, tail, rank, score, probability, known
			FROM kg_predict_many('$queries', 3, model => 'M', side => '$_', known => '$known') ORDER BY 1, 2, 3, 4},
			"$known: a batch of $queries, side $_") for 'tail', 'head';
	}
}
same("SELECT * FROM kg_predict_many('{e1,e2}'::text[], '{r1}', 3, model => 'M') ORDER BY 1, rank, tail", 'an array');
same("SELECT * FROM kg_predict('e1', 'r1', 5, model => 'M', candidates => 'test_spread')", 'candidates');
same("SELECT * FROM kg_predict_relations('e1', 'e2', 5, model => 'M')", 'relations');
same("SELECT * FROM kg_rank('e1', 'r1', 'e3', model => 'M')", 'kg_rank');
same("SELECT * FROM kg_explain('e1', 'r1', 'e3', model => 'M')", 'kg_explain');
same("SELECT * FROM kg_discover('M', 20)", 'kg_discover');
same("SELECT * FROM kg_suspects('M', 20)", 'kg_suspects');
for my $test ('test', 'test_spread', 'test_copied', 'spread', 'seen')
{
	same("SELECT * FROM kg_evaluate('M', '$test')", "kg_evaluate with $test");
	same("SELECT * FROM kg_evaluate('M', '$test', by => 'relation', filters => '{test_spread,test_copied}')",
		"kg_evaluate with $test and filters");
}
same("SELECT q.head, p.* FROM test q, LATERAL kg_predict(q.head, q.relation, 2, model => 'M') p ORDER BY 1, 2, 3",
	'questions of a local table');
for my $call ("kg_predict('e1', 'r1', 5, model => 'M')", "kg_predict_heads('r1', 'e1', 5, model => 'M')",
	"kg_predict_relations('e1', 'e2', 5, model => 'M')", "kg_explain('e1', 'r1', 'e3', model => 'M')",
	"kg_evaluate('M', 'test_spread')")
{
	same("SET plan_cache_mode = force_generic_plan; SELECT * FROM $call", "with generic plans, $call");
}
like(ask("SELECT kg_report('spread')"), qr{</html>}, 'kg_report');
is(ask("SELECT triples = (SELECT count(*) FROM facts) FROM kg_estimate('spread')"), 't', 'kg_estimate');
is(ask(q{SELECT count(*) FROM kg_predict_many('{1,2,99999999999999999999}'::text[], '{1}', 3, model => 'numbers')}),
	'6', 'identifiers that are numbers');
is(ask(q{SELECT count(*) FROM metasd.versions WHERE model = 'validated' AND status = 'succeeded'}), '1',
	'a validation source that is distributed');

# A role that is not a superuser, and one that reads for it.
ask(q{CREATE ROLE alice LOGIN; GRANT SELECT ON spread, test, test_spread TO alice; GRANT ALL ON SCHEMA public TO alice});
my @alice = (extra_params => [ '-U', 'alice' ]);
$coordinator->safe_psql('postgres', q{
	CREATE TABLE hers (head text, relation text, tail text);
	SELECT create_distributed_table('hers', 'head')}, @alice);
ask('INSERT INTO hers SELECT * FROM facts');
for my $source ('spread', 'hers')
{
	my $run = $coordinator->safe_psql('postgres', "SELECT kg_train('alice_$source', '$source', params => '$QUICK')", @alice);

	$coordinator->safe_psql('postgres', "CALL kg_wait($run)", @alice);
	for my $how ([@alice], [])
	{
		is($coordinator->safe_psql('postgres', qq{
				SELECT (SELECT count(*) FROM kg_predict('e1', 'r1', 3, model => 'alice_$source')),
					   (SELECT count(*) > 0 FROM kg_predict_many('test_spread', 1, model => 'alice_$source')),
					   (SELECT count(*) FROM kg_evaluate('alice_$source', 'test_spread')),
					   (SELECT count(*) FROM kg_suspects('alice_$source', 3))}, @$how), '3|t|1|3',
			"a role's model of $source answers " . (@$how ? 'her' : 'a superuser'));
	}
}

# ---- the facts of a batch take one query for each shard, however many questions it has ----

sub tasks
{
	my ($sql) = @_;
	my @from = map { -s $_->logfile } @workers;

	ask($sql);
	return scalar grep { /FROM public\.spread_\d+/ }
	  map { split /\n/, slurp_file($workers[$_]->logfile, $from[$_]) } 0 .. $#workers;
}

for my $worker (@workers)
{
	$worker->safe_psql('postgres', "ALTER SYSTEM SET log_statement = 'all'");
	$worker->reload;
	wait_until($worker, "SELECT current_setting('log_statement') = 'all'");
}
my $shards = ask("SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = 'spread'::regclass");
for my $side ('head', 'tail')
{
	my $asked = tasks("SELECT count(*) FROM kg_predict_many('facts', 1, model => 'spread', side => '$side')");

	cmp_ok($asked, '>', 0, "side $side: the workers are asked");
	cmp_ok($asked, '<=', $shards, 'once for each shard');
}
is(tasks("SELECT count(*) FROM kg_predict('e1', 'r1', 1, model => 'spread')"), 1, 'one question asks one shard');
$_->safe_psql('postgres', 'ALTER SYSTEM RESET log_statement') for @workers;
$_->reload for @workers;

# ---- newcomers and new facts ----

ask("INSERT INTO $_ VALUES ('new', 'r1', 'e5'), ('new', 'r2', 'e6')") for 'facts', 'spread', 'copied';
ask("INSERT INTO $_ VALUES ('new', 'r1', 'e9')") for 'test', 'test_spread', 'test_copied';
same("SELECT * FROM kg_predict('new', 'r1', 3, model => 'M')", 'a newcomer');
same("SELECT * FROM kg_evaluate('M', '$_')", "a newcomer in $_") for 'test', 'test_spread', 'test_copied';
my $tail = ask("SELECT tail FROM kg_predict('e1', 'r1', 1, model => 'spread')");
ask("INSERT INTO spread VALUES ('e1', 'r1', '$tail')");
isnt(ask("SELECT tail FROM kg_predict('e1', 'r1', 1, model => 'spread')"), $tail, 'a new fact is known at once');
ask("DELETE FROM spread WHERE (head, relation, tail) = ('e1', 'r1', '$tail')");

# ---- parts of a query on the workers ----

my $pushed = q{SELECT q.head, p.* FROM test_spread q, LATERAL kg_predict(q.head, q.relation, 2, model => 'spread') p};
psql_fails($coordinator, $pushed, qr/ERROR:  model "spread" does not exist/, 'a worker without the model says so');

my $tables = ask(q{SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
	WHERE relnamespace = 'metasd'::regnamespace AND relkind = 'r'});
ask("CREATE PUBLICATION models FOR TABLE $tables");
for my $worker (@workers)
{
	my ($name, $host, $port) = ($worker->name, $coordinator->host, $coordinator->port);

	$worker->safe_psql('postgres',
		"CREATE SUBSCRIPTION $name CONNECTION 'host=$host port=$port dbname=postgres' PUBLICATION models");
	wait_until($worker, q{SELECT count(*) > 0 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel});
	is(answers($worker, 'spread'), answers($coordinator, 'spread'), "$name answers as the coordinator does");
}

# A query whose parts run on the workers is right, or an error: WANTED is the query on the coordinator alone.
sub right_or_refused
{
	my ($query, $name) = @_;
	(my $alone = $query) =~ s/test_spread/test/;
	my ($rc, $out, $err) = $coordinator->psql('postgres', $query);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	if ($rc == 0) { is($out, ask($alone), "$name is right") }
	else { like($err, qr/ERROR:  .*\n.*HINT:  /s, "$name is refused, with a hint") }
	return $rc == 0;
}

my %parts = (
	"tails of heads" => $pushed . ' ORDER BY 1, 2, 3',
	"heads of tails" => q{SELECT q.head, q.tail, p.* FROM test_spread q,
		LATERAL kg_predict_heads(q.relation, q.tail, 2, model => 'spread') p ORDER BY 1, 2, 3, 4},
	"tails of tails" => q{SELECT q.head, q.tail, p.* FROM test_spread q,
		LATERAL kg_predict(q.tail, q.relation, 2, model => 'spread') p ORDER BY 1, 2, 3, 4},
	"a reference table's facts" => q{SELECT q.head, p.* FROM test_spread q,
		LATERAL kg_predict(q.head, q.relation, 2, model => 'copied') p ORDER BY 1, 2, 3},
	"a view's facts" => q{SELECT q.head, p.* FROM test_spread q,
		LATERAL kg_predict(q.head, q.relation, 2, model => 'seen') p ORDER BY 1, 2, 3},
	"batches" => q{SELECT q.head, p.* FROM test_spread q,
		LATERAL kg_predict_many(ARRAY[q.head, q.tail], ARRAY[q.relation], 2, model => 'spread') p ORDER BY 1, 2, 3, 4, 5, 6},
	"ranks" => q{SELECT q.head, p.* FROM test_spread q,
		LATERAL kg_rank(q.head, q.relation, q.tail, model => 'spread') p ORDER BY 1, 2, 3},
	"explanations" => q{SELECT q.head, p.* FROM test_spread q,
		LATERAL kg_explain(q.head, q.relation, q.tail, model => 'spread') p ORDER BY 1, 2, 3, 4, 5},
	"newcomers" => q{SELECT q.head, p.* FROM test_spread q,
		LATERAL kg_predict('new', q.relation, 2, model => 'spread', known => 'include') p ORDER BY 1, 2, 3});

right_or_refused($parts{$_}, $_) for sort keys %parts;
my $included = $pushed =~ s/'spread'\)/'spread', known => 'include')/r . q{ WHERE q.head <> 'new' ORDER BY 1, 2, 3};
ok(right_or_refused($included, 'a query that includes known facts'), 'it is not refused');
for my $call ("kg_predict(q.head, q.relation, 2, model => 'here')", "kg_explain(q.head, q.relation, q.tail, model => 'here')")
{
	psql_fails($coordinator, "SELECT * FROM test_spread q, LATERAL $call p WHERE q.head <> 'new'",
		qr/ERROR:  known facts of model "here" cannot be looked up on this server\nDETAIL:.*\nHINT:  Ask with/,
		"a source that the workers have not: $call");
}
psql_fails($coordinator,
	"SELECT * FROM test_spread q, LATERAL kg_predict('new', q.relation, 2, model => 'here', known => 'include') p",
	qr/ERROR:  facts of what is new to model "here" cannot be looked up on this server\nDETAIL:.*\nHINT:/,
	'and a newcomer of it');

# Where Citus lets a part ask other nodes, all is right.
ask(q{DO $$ BEGIN EXECUTE format('ALTER ROLE %I SET citus.allow_nested_distributed_execution = on', current_user); END $$});
ok(right_or_refused($parts{$_}, "with nested queries, $_"), 'and allowed') for sort keys %parts;

# A node goes away: an error, never an answer without its facts.
$workers[1]->stop('immediate');
psql_fails($coordinator, "SELECT * FROM $_", qr/ERROR:  /, "without a worker, an error: $_")
  for "kg_predict_heads('r1', 'e1', 1, model => 'spread')", "kg_predict_many('test', 1, model => 'spread')",
  "kg_evaluate('spread', 'test')";
is(ask(q{SELECT count(*) FROM kg_predict('e1', 'r1', 2, model => 'spread', known => 'include')}), '2',
	'known facts apart, it is answered');

for my $node (@nodes)
{
	unlike(slurp_file($node->logfile), qr/terminated by signal/, $node->name . ' has never crashed');
}
done_testing();
