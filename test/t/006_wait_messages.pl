# What kg_wait has to say besides figures: rows that took no part.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('notices');
$node->safe_psql('postgres', q{
	CREATE TABLE gaps AS SELECT head, relation, tail FROM facts;
	INSERT INTO gaps VALUES (NULL, 'r1', 'e1'), ('', 'r1', 'e1'), ('e1', 'r1', NULL);
	CREATE TABLE unlike (head, relation, tail) AS VALUES ('e1', 'r1', 'e2'), ('nobody', 'r1', 'e2'), ('e1', 'r9', 'e2')});

my $run = $node->safe_psql('postgres', "SELECT kg_train('m', 'gaps', validation => 'unlike', params => '$QUICK')");
my ($rc, $out, $err) = $node->psql('postgres', "CALL kg_wait($run)");
is($rc, 0, 'a training with rows that are not whole ends well');
is(scalar(() = $err =~ /NOTICE:  3 rows with a null or empty identifier were left out/g), 1,
	'kg_wait says once how many were left out');
is(scalar(() = $err =~ /NOTICE:  2 validation rows were left out: the source does not have their entity or relation/g), 1,
	'and how many of the validation source');
($rc, $out, $err) = $node->psql('postgres', "CALL kg_wait($run)");
like($err, qr/NOTICE:  3 rows with a null or empty identifier/, 'and again to who waits again');
is($node->safe_psql('postgres', "SELECT triples FROM metasd.versions WHERE run = $run"),
	$node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT * FROM facts UNION VALUES ('e1', 'r1', 'e2')) x}),
	'the others take part');

# One is one.
$node->safe_psql('postgres', q{DELETE FROM gaps WHERE head = '' OR tail IS NULL; DELETE FROM unlike WHERE head = 'nobody'});
$run = $node->safe_psql('postgres', "SELECT kg_train('m')");
($rc, $out, $err) = $node->psql('postgres', "CALL kg_wait($run)");
like($err, qr/NOTICE:  1 row with a null or empty identifier was left out$/m, 'a single row');
like($err, qr/NOTICE:  1 validation row was left out: the source does not have its entity or relation$/m,
	'a single validation row');
$node->stop;
done_testing();
