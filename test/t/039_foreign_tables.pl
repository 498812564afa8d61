# Facts on another server, through postgres_fdw: all of them, or some partitions. What is answered is what a
# model answers whose facts are here, and a batch of questions takes one round.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $store = PostgreSQL::Test::Cluster->new('store');
$store->init;
$store->append_conf('postgresql.conf', "log_statement = all\nfsync = off\n");
$store->start;

my $reader = new_node('reader', fsync => 'off');
if ($reader->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'") eq '0')
{
	plan skip_all => 'postgres_fdw is not installed';
}

# ---- the facts: here, there, and some of them there ----

my ($host, $port) = ($store->host, $store->port);
$store->safe_psql('postgres', q{
	CREATE TABLE facts (head text, relation text, tail text);
	CREATE TABLE numbers (head bigint, relation integer, tail bigint)});
$reader->safe_psql('postgres', qq{
	CREATE EXTENSION postgres_fdw;
	CREATE SERVER store FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
	CREATE USER MAPPING FOR CURRENT_USER SERVER store;
	CREATE FOREIGN TABLE there (head text, relation text, tail text) SERVER store OPTIONS (table_name 'facts');
	CREATE FOREIGN TABLE numbers_there (head bigint, relation integer, tail bigint)
		SERVER store OPTIONS (table_name 'numbers', fetch_size '1000');
	INSERT INTO there SELECT * FROM facts;
	INSERT INTO numbers_there
	SELECT substr(head, 2)::bigint, substr(relation, 2)::integer, substr(tail, 2)::bigint FROM facts;
	CREATE TABLE parts (head text, relation text, tail text) PARTITION BY HASH (head);
	CREATE TABLE part0 PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER 0);
	CREATE TABLE part1 PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER 1);
	CREATE TABLE part2 PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER 2);
	INSERT INTO parts SELECT * FROM facts});
for my $part ('part1', 'part2')
{
	my ($rows, $remainder) = ($reader->safe_psql('postgres', "SELECT * FROM $part"), substr($part, -1));

	$rows =~ s/([^|\n]+)/'$1'/g;
	$rows =~ s/\|/,/g;
	$rows = join ',', map { "($_)" } split /\n/, $rows;
	$store->safe_psql('postgres', "CREATE TABLE $part (head text, relation text, tail text); INSERT INTO $part VALUES $rows");
	$reader->safe_psql('postgres', qq{
		DROP TABLE $part;
		CREATE FOREIGN TABLE $part PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER $remainder)
			SERVER store OPTIONS (table_name '$part')});
}
$reader->safe_psql('postgres', q{
	CREATE VIEW seen AS SELECT * FROM there;
	CREATE TABLE test AS
	SELECT 'e' || i % 60 AS head, 'r' || i % 3 AS relation, 'e' || (i * 7) % 60 AS tail FROM generate_series(1, 40) i;
	CREATE FOREIGN TABLE test_there (head text, relation text, tail text) SERVER store OPTIONS (table_name 'test');
	CREATE FOREIGN TABLE few (head text) SERVER store OPTIONS (table_name 'few')});
$store->safe_psql('postgres', q{
	CREATE TABLE test (head text, relation text, tail text);
	CREATE TABLE few AS SELECT 'e' || i AS head FROM generate_series(1, 20) i});
$reader->safe_psql('postgres', 'INSERT INTO test_there SELECT * FROM test');

# ---- the same training, the same answers ----

sub train_from
{
	my ($model, $source, $more, $params) = @_;
	my $run = $reader->safe_psql('postgres',
		"SELECT kg_train('$model', '$source', params => '" . ($params || $QUICK) . "'" . ($more || '') . ')');

	$reader->safe_psql('postgres', "CALL kg_wait($run)");
	return;
}

# The statements that read a table of the store while something is done.
sub rounds
{
	my ($do, $table) = @_;
	my $from = -s $store->logfile;

	$do->();
	return scalar grep { /(?:DECLARE|SELECT).*FROM public\.$table\b/ } split /\n/, slurp_file($store->logfile, $from);
}

train_from('here', 'facts');
train_from('there', 'there');
train_from('parts', 'parts');
train_from('seen', 'seen');
train_from('numbers', 'numbers_there');
train_from('validated', 'there', ", validation => 'test_there'");
my $here = answers($reader, 'here');
isnt($here, '', 'a model of facts here answers');
is(answers($reader, $_), $here, "a model of $_ answers the same") for 'there', 'parts', 'seen';

# What each function says of a model, as text; $queries, $test and $candidates are relations.
sub batch
{
	my ($model, $how, $queries) = @_;

	return $reader->safe_psql('postgres',
		"SELECT * FROM kg_predict_many('$queries', 3, model => '$model'$how) ORDER BY 1, rank, head, tail");
}

# The order of the sums is not always the same.
sub evaluation
{
	my ($model, $test) = @_;
	my $row = $reader->safe_psql('postgres', "SELECT * FROM kg_evaluate('$model', '$test')");

	$row =~ s/(\d+\.\d+)/sprintf('%.9g', $1)/ge;
	return $row;
}

for my $how ('', ", side => 'head'", ", known => 'mark'", ", known => 'include'", ", candidates => 'few'")
{
	my $wanted = batch('here', $how, 'test');

	isnt($wanted, '', "a batch$how has answers");
	is(batch($_, $how, 'test'), $wanted, "and those of $_ are the same") for 'there', 'parts', 'seen';
	is(batch('parts', $how, 'test_there'), $wanted, 'and with questions that are there');
}
is($reader->safe_psql('postgres',
		"SELECT count(*) FROM kg_predict_many('{1,2,3,99999999999999999999}'::text[], '{1}', 3, model => 'numbers')"),
	'9', 'questions of numbers, one of which no column can hold');
is($reader->safe_psql('postgres', q{
		SELECT count(*) FROM kg_predict_many('{1,2,3}'::bigint[], '{1}', 60, model => 'numbers') p
		JOIN numbers_there n ON (n.head, n.relation, n.tail) = (p.head, p.relation::text::integer, p.tail)}),
	'0', 'and none of their answers is known');
for my $test ('test', 'test_there', 'there')
{
	my $local = $test eq 'there' ? 'facts' : 'test';
	my $wanted = evaluation('here', $local);

	is(evaluation($_, $test), $wanted, "kg_evaluate of $_ with $test") for 'there', 'parts', 'seen';
}
for my $call ("kg_discover('M', 20)", "kg_suspects('M', 20)", "kg_explain('e1', 'r1', 'e3', model => 'M')")
{
	my $text = sub { (my $own = $call) =~ s/'M'/'$_[0]'/; $reader->safe_psql('postgres', "SELECT * FROM $own") };
	my $wanted = $text->('here');

	isnt($wanted, '', "$call says something");
	is($text->($_), $wanted, "and the same of $_") for 'there', 'parts', 'seen';
}
like($reader->safe_psql('postgres', "SELECT kg_report('parts')"), qr{</html>}, 'kg_report');
is($reader->safe_psql('postgres', "SELECT count(*) FROM kg_estimate('parts')"), '1', 'kg_estimate');

# ---- rounds ----

is(rounds(sub { batch('there', '', 'test') }, 'facts'), 1, 'the facts of a batch of questions take one round');
is(rounds(sub { batch('there', ", side => 'head'", 'test') }, 'facts'), 1, 'of its other side, too');
is(rounds(sub { batch('seen', '', 'test') }, 'facts'), 1, 'and those of a view');
is(rounds(sub { batch('parts', '', 'test') }, 'part[12]'), 2, 'one for each foreign partition');
is(rounds(sub { batch('there', '', 'test_there') }, 'test'), 1, 'questions that are there are read in one');
is(rounds(sub { $reader->safe_psql('postgres', 'ANALYZE there') ; batch('there', '', 'test') }, 'facts') <= 3, 1,
	'also with statistics');

# 20,000 questions are more than one query asks for.
load_graph($reader, 'postgres', 'wide', entities => 2000, relations => 10, triples => 6000);
$store->safe_psql('postgres', 'CREATE TABLE wide (head text, relation text, tail text)');
$reader->safe_psql('postgres', q{
	CREATE FOREIGN TABLE wide_there (head text, relation text, tail text) SERVER store OPTIONS (table_name 'wide');
	INSERT INTO wide_there SELECT * FROM wide;
	CREATE TABLE all_questions AS
	SELECT 'e' || e AS head, 'r' || r AS relation, 'e' || e AS tail FROM generate_series(0, 1999) e, generate_series(0, 9) r});
train_from($_, $_, '', $QUICK =~ s/"batch": 50/"batch": 1000/r) for 'wide', 'wide_there';
for my $side ('tail', 'head')
{
	my $all = sub {
		return $reader->safe_psql('postgres', qq{SELECT count(*), sum(known::int), md5(string_agg(p::text, ' ' ORDER BY query, rank, head, tail))
			FROM kg_predict_many('all_questions', 2, model => '$_[0]', side => '$side', known => 'mark') p});
	};
	my $said;

	is(rounds(sub { $said = $all->('wide_there') }, 'wide'), 2, "20,000 questions, side $side, take two rounds");
	is($said, $all->('wide'), 'and have the answers of facts here');
}

# ---- newcomers, changes, rights ----

$store->safe_psql('postgres', q{
	INSERT INTO facts VALUES ('new', 'r1', 'e5'), ('new', 'r2', 'e6');
	INSERT INTO part1 VALUES ('new', 'r1', 'e5'), ('new', 'r2', 'e6')});
for my $model ('there', 'seen')
{
	my ($rc, $out, $err) =
	  $reader->psql('postgres', "SELECT count(*) FROM kg_predict('new', 'r1', 3, model => '$model')");

	is($out, '3', "a newcomer of $model is answered");
	like($err, qr/entity "new" is new to model "$model": it is answered from 2 facts/, 'from its facts there');
}
my ($tail) = $reader->safe_psql('postgres', "SELECT tail FROM kg_predict('e1', 'r1', 1, model => 'there')");
$store->safe_psql('postgres', "INSERT INTO facts VALUES ('e1', 'r1', '$tail')");
isnt($reader->safe_psql('postgres', "SELECT tail FROM kg_predict('e1', 'r1', 1, model => 'there')"), $tail,
	'a fact that is new there is known here');
isnt($reader->safe_psql('postgres', "SELECT tail FROM kg_predict_many('{e1,e2}'::text[], '{r1}', 1, model => 'there') LIMIT 1"),
	$tail, 'in a batch, too');

# The store goes away: an error, never an answer without its facts.
$store->stop;
psql_fails($reader, "SELECT * FROM kg_predict('e1', 'r1', 1, model => 'there')", qr/could not connect to server/,
	'without the store a question fails');
psql_fails($reader, "SELECT * FROM kg_predict_many('test', 1, model => 'parts')", qr/could not connect to server/,
	'and a batch');
is($reader->safe_psql('postgres', "SELECT count(*) FROM kg_predict('e1', 'r1', 2, model => 'there', known => 'include')"),
	'2', 'known facts apart, it is answered');

done_testing();
