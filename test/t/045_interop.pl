# Clients that people use call kg_predict with parameters of int, text and uuid, and get answers of those types: psql,
# psycopg 2 and 3, node-postgres and JDBC, each where it is installed. pgvector stores and compares embeddings. And the
# lines of the tutorial that export models of PyKEEN and LibKGE write what kg_import understands.
#
# METASD_PYTHON and METASD_JDBC name another interpreter of Python, and the jar of the driver; NODE_PATH is node's own.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

# The Java driver knows no Unix-domain sockets.
my $node = new_node('interop', listen_addresses => "'127.0.0.1'");
my $port = $node->port;
my @ids = map { "00000000-0000-0000-0000-00000000000$_" } 0 .. 7;

# Three models of the same embeddings, made by hand: (1 + 2i)(0.5 - i) = 2.5, times conj(3 + 4i) has real part 7.5;
# (3 + 4i)(0.5 - i) = 5.5 - i has 3.5 with the first and -6 with the third.
for my $model ([ 'numbers', 'int', 1, 2, 3, 7 ], [ 'texts', 'text', 'a', 'b', 'c', 'r' ], [ 'ids', 'uuid', @ids[1, 2, 3, 7] ])
{
	my ($name, $type, $first, $second, $third, $relation) = @$model;

	$node->safe_psql('postgres', qq{
		CREATE TABLE $name (head $type, relation $type, tail $type);
		INSERT INTO $name VALUES ('$first', '$relation', '$second'), ('$second', '$relation', '$third');
		CREATE TABLE ${name}_entities (label $type, embedding real[]);
		INSERT INTO ${name}_entities VALUES ('$first', '{1,2}'), ('$second', '{3,4}'), ('$third', '{-1,0.5}');
		CREATE TABLE ${name}_relations AS SELECT '$relation'::$type AS label, '{0.5,-1}'::real[] AS embedding});
	my $run = $node->safe_psql('postgres',
		"SELECT kg_import('$name', '${name}_entities', '${name}_relations', '$name', '{\"storage\": \"float32\"}')");
	wait_for_status($node, $run, 'succeeded', "model $name is there");
}
my $answers = "int 2 3\ntext b c\nuuid $ids[2] $ids[3]\n";
my $wanted = $answers . "null 0\nscore 7.5\nembedding 3 4\nmany a-b b-a\nerror 42704\n";

# ---- psql: prepared statements, variables, and \bind where psql has it ----

my $ask = q{SELECT concat_ws(' ', min(pg_typeof(tail)::text), string_agg(tail::text, ' ' ORDER BY rank))}
  . q{ FROM kg_predict($1, $2, 2, $3, known => 'include')};
my $typed = $answers =~ s/^int/integer/r;

chomp $typed;
# from the sixth time on the plan is for any parameters
is($node->safe_psql('postgres', join "\n", "PREPARE by_int (int, int, text) AS $ask;", "PREPARE by_text (text, text, text) AS $ask;",
		"PREPARE by_uuid (uuid, uuid, text) AS $ask;",
		("EXECUTE by_int (1, 7, 'numbers');", "EXECUTE by_text ('a', 'r', 'texts');", "EXECUTE by_uuid ('$ids[1]', '$ids[7]', 'ids');") x 7),
	join("\n", ($typed) x 7), 'psql: prepared statements');
is($node->safe_psql('postgres', q{\set entity a
		\set relation r
		SELECT string_agg(tail, ' ' ORDER BY rank) FROM kg_predict(:'entity', :'relation', 2, 'texts', known => 'include')}),
	'b c', 'psql: variables');
my ($psql) = `psql --version` =~ /(\d+)/;
SKIP:
{
	skip "psql $psql has no \\bind", 1 if $psql < 16;
	is($node->safe_psql('postgres', "$ask \\bind a r texts \\g"), 'text b c', 'psql: \bind');
}

# ---- drivers: each prints the same ----

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $port;
$ENV{PGDATABASE} = 'postgres';
$ENV{PGUSER} = $node->safe_psql('postgres', 'SELECT current_user');

# The first of these commands that does nothing without an error, or nothing.
sub usable
{
	for my $command (@_)
	{
		return $command if eval { run_log([ @{ $command->{try} } ], '>', \my $out, '2>', \my $err) };
	}
	return;
}

sub compare
{
	my ($what, @command) = @_;
	my ($out, $err) = ('', '');

	run_log(\@command, '>', \$out, '2>', \$err);
	is($out, $wanted, $what) or diag($err);
	return;
}

for my $driver ('psycopg2', 'psycopg')
{
	my $found = usable(map { { try => [ $_, '-c', "import $driver" ], with => $_ } }
		  grep { defined } $ENV{METASD_PYTHON}, '/usr/bin/python3', 'python3');

	SKIP:
	{
		skip "python3 has no $driver", 1 unless $found;
		compare("Python: $driver", $found->{with}, in_tree('test/clients/predict.py'), $driver);
	}
}
SKIP:
{
	skip 'node has no module pg', 1 unless usable({ try => [ 'node', '-e', "require('pg')" ] });
	compare('node-postgres', 'node', '-e', slurp_file(in_tree('test/clients/predict.js')));
}
SKIP:
{
	my $jar = $ENV{METASD_JDBC} // '/usr/share/java/postgresql.jar';

	skip 'there is no driver of JDBC', 1 unless -e $jar;
	skip 'there is no compiler of Java', 1 unless usable({ try => [ 'javac', '-version' ] });
	compare('JDBC', 'java', '-cp', $jar, in_tree('test/clients/Predict.java'),
		"jdbc:postgresql://127.0.0.1:$port/postgres?user=$ENV{PGUSER}");
}

# ---- pgvector ----

SKIP:
{
	my $version = $node->safe_psql('postgres', q{SELECT default_version FROM pg_available_extensions WHERE name = 'vector'});

	skip 'the extension vector is not available', 1 unless $version;
	skip "vector $version has neither halfvec nor sparsevec", 1 if $version =~ /^0\.[0-6]\b/;
	is($node->safe_psql('postgres', q{
		CREATE EXTENSION vector;
		CREATE TABLE stored AS SELECT label, embedding::vector AS whole, embedding::halfvec AS half,
		    kg_embedding_sparse(label, 'texts')::sparsevec AS sparse FROM kg_entity_embeddings('texts');
		CREATE INDEX ON stored USING hnsw ((whole::vector(2)) vector_cosine_ops);
		CREATE INDEX ON stored USING hnsw ((half::halfvec(2)) halfvec_ip_ops);
		SELECT bool_and(whole::real[] = kg_embedding(label, 'texts')) AND bool_and(sparse::vector = whole) AND bool_and(half::vector = whole)
		FROM stored;
		SELECT string_agg(label, ' ' ORDER BY whole <=> kg_embedding('a', 'texts')::vector) FROM stored WHERE label <> 'a';
		SELECT string_agg(entity, ' ' ORDER BY rank) FROM kg_similar('a', model => 'texts')}),
		"t\nb c\nb c", 'pgvector: vector, halfvec and sparsevec');
	# and back: a column of type vector is cast in a view
	my $run = $node->safe_psql('postgres', q{
		CREATE VIEW vectors AS SELECT label, whole::real[] AS embedding FROM stored;
		SELECT kg_import('vectors', 'vectors', 'texts_relations', 'texts', '{"storage": "float32"}')});
	wait_for_status($node, $run, 'succeeded', 'an import of vectors');
	is($node->safe_psql('postgres', q{SELECT kg_score('a', 'r', 'b', 'vectors')}), '7.5', 'gives the same score');
}

# ---- exports of PyKEEN and LibKGE ----

# Each file is loaded into tables as the tutorial makes them. Scores of (a, r, b) and (b, s, c), as tails and as heads: by
# hand, nine times those of one component, because the second has twice its numbers.
sub load_export
{
	my ($library, $family, $directions) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir;
	my $columns = $directions eq 'both' ? 'label, embedding, reciprocal' : 'label, embedding';
	my $params = $family eq 'distmult' ? '{"family": "distmult", "storage": "float32"}'
	  : $library eq 'pykeen' ? '{"layout": "interleaved", "storage": "float32"}' : '{"storage": "float32"}';

	system_or_bail('sh', '-c', 'cd "$0" && exec "$@"', $folder, 'python3', in_tree('test/clients/export.py'),
		in_tree('doc/tutorial.md'), $library, $family, $directions);
	$node->safe_psql('postgres', qq{
		DROP TABLE IF EXISTS read_entities, read_relations, read_facts;
		CREATE TABLE read_entities (label text PRIMARY KEY, embedding real[]);
		CREATE TABLE read_relations (label text PRIMARY KEY, embedding real[], reciprocal real[]);
		CREATE TABLE read_facts AS SELECT 'a' AS head, 'r' AS relation, 'b' AS tail UNION SELECT 'b', 's', 'c, "d"' || chr(10);
		\\copy read_entities FROM '$folder/entities.csv' (FORMAT csv, HEADER)
		\\copy read_relations ($columns) FROM '$folder/relations.csv' (FORMAT csv, HEADER)
	});
	my $run = $node->safe_psql('postgres',
		"SELECT kg_import('$library $family $directions', 'read_entities', 'read_relations', 'read_facts', '$params')");
	wait_for_status($node, $run, 'succeeded', "$library, $family, $directions: imported");
	return $node->safe_psql('postgres', qq{
		SELECT string_agg(concat_ws(' ', kg_score(head, relation, tail, model), kg_score(head, relation, tail, model, side => 'head')), ', ' ORDER BY relation)
		FROM read_facts, (VALUES ('$library $family $directions')) v (model)});
}

SKIP:
{
	skip 'there is no python3', 1 unless usable({ try => [ 'python3', '-c', '' ] });
	for my $library ('pykeen', 'libkge')
	{
		is(load_export($library, 'complex', 'both'), '67.5 216, -9 -49.5', "$library: ComplEx with inverse relations");
		is(load_export($library, 'complex', 'forward'), '67.5 67.5, -9 -9', "$library: ComplEx");
		is(load_export($library, 'distmult', 'both'), '-58.5 126, -27 18', "$library: DistMult with inverse relations");
		is(load_export($library, 'distmult', 'forward'), '-58.5 -58.5, -27 -27', "$library: DistMult");
	}
}

# ---- an import is dumped and restored like any version ----

my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'a dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'pg_restore', '-d', 'restored', $dump ], 'and its restore');
for my $ask (q{SELECT kg_score(1, 7, 2, 'numbers'), kg_relation_embedding(7, 'numbers')},
	q{SELECT tail, score FROM kg_predict('b', 'r', 2, 'texts', known => 'mark')})
{
	is($node->safe_psql('restored', $ask), $node->safe_psql('postgres', $ask), 'restored, it answers the same');
}
$node->stop;
done_testing();
