# A stranger's five minutes: from CREATE EXTENSION to a first prediction on their own CSV of three columns, which has
# slips. Each slip meets a message, of COPY or of metasd, that says what to do; and what is no slip meets none.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = PostgreSQL::Test::Cluster->new('stranger');
my $folder = PostgreSQL::Test::Utils::tempdir;

$node->init;
$node->start;

# What psql says to commands: output and messages.
sub say_to
{
	my ($sql) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 0);

	return ($out, $err =~ s/^psql:\S+ //mgr);
}

# A file of these lines.
sub file_of
{
	my ($name, @lines) = @_;

	append_to_file("$folder/$name", join '', map { "$_\n" } @lines);
	return "$folder/$name";
}

# Who works in the bakery lives in Arles; of one it is not said where he lives.
my @places = ([ 'mill', 'Calais' ], [ 'bakery', 'Arles' ], [ 'harbour', 'Brest' ]);
my @facts = map { ("p$_,works_at,$places[$_ % 3][0]", $_ == 16 ? () : "p$_,lives_in,$places[$_ % 3][1]") } 10 .. 30;
my $header = 'person,link,place';

say_to('CREATE EXTENSION metasd; CREATE TABLE town (person text, link text, place text)');

# ---- COPY ----

sub copied
{
	my ($file, $options) = @_;
	my ($out, $err) = say_to("\\copy town FROM $file ($options)");

	return $out . $err;
}

like(copied("'" . file_of('semicolons.csv', map { tr/,/;/r } $header, @facts) . "'", 'FORMAT csv, HEADER'),
	qr/^ERROR:  missing data for column "link"\nCONTEXT:  COPY town, line 2: "p10;works_at;bakery"$/m, 'another delimiter');
like(copied("'" . file_of('tabs.csv', map { tr/,/\t/r } $header, @facts) . "'", 'FORMAT csv, HEADER'),
	qr/^ERROR:  missing data for column "link"/m, 'tabs');
like(copied("'" . file_of('blank.csv', $header, $facts[0], '', @facts) . "'", 'FORMAT csv, HEADER'),
	qr/^ERROR:  missing data for column "link"\nCONTEXT:  COPY town, line 3: ""$/m, 'a blank line');
like(copied("'" . file_of('more.csv', $header, "$facts[0],1899") . "'", 'FORMAT csv, HEADER'),
	qr/^ERROR:  extra data after last expected column/m, 'a fourth column');
is(copied("PROGRAM 'grep . $folder/blank.csv'", 'FORMAT csv, HEADER'), '', 'without the blank line it is loaded');
is(copied("'$folder/semicolons.csv'", "FORMAT csv, HEADER, DELIMITER ';'"), '', 'and with its delimiter');
is($node->safe_psql('postgres', 'SELECT count(*) FROM town'), 1 + 2 * @facts, 'whole');
say_to('TRUNCATE town');

# ---- kg_train and kg_wait ----

# The header, a fact that is there twice, blanks, and an empty field.
copied("'" . file_of('slips.csv', $header, @facts, $facts[3], 'p11 ,lives_in,Brest', ' p12,lives_in,Calais', 'p13,lives_in,Arles ', 'p14,,Brest')
	  . "'", 'FORMAT csv');
my ($out, $err) = say_to("SELECT kg_train('town', 'town')");
my ($call) = $err =~ /^HINT:  Name the columns: (SELECT kg_train\('town', 'town', head => 'person', relation => 'link', tail => 'place'\))\.$/m;
ok($call, 'kg_train proposes a call') or diag($err);
my $params = ", params => '{\"preset\": \"fast\", \"warm_start\": false, \"promote_tolerance\": 1}')";
my ($run) = say_to($call =~ s/\)$/$params/r);
like($run, qr/^\d+$/, 'the call works as it is');
($out, $err) = say_to("CALL kg_wait($run)");
like($err, qr/^NOTICE:  3 labels have blanks around them\nDETAIL:  3 are also there without them, as other labels, such as " p12"\.\nHINT:  If they are slips, this mends the table: (UPDATE .*;)$/m,
	'labels with blanks');
my ($update) = $err =~ /(UPDATE .*;)/;
like($err, qr/^NOTICE:  the triple \("person", "link", "place"\) has nothing in common with any other\nDETAIL:  A header.*\nHINT:  If it is one, DELETE FROM/m, 'a header');
my ($delete) = $err =~ /(DELETE FROM .*?) removes it/;
like($err, qr/^NOTICE:  1 row with a null or empty identifier was left out$/m, 'an empty field');
is($node->safe_psql('postgres', "SELECT triples FROM metasd.versions WHERE run = $run"), @facts + 4, 'a fact that is there twice counts once');

# ---- what the hints say helps ----

is((say_to($delete))[1], '', 'the SQL of the header works');
is((say_to($update))[1], '', 'that of the blanks, too');
($run) = say_to("SELECT kg_train('town')");
($out, $err) = say_to("CALL kg_wait($run)");
unlike($err, qr/blanks|header/, 'no slip is left');
is($node->safe_psql('postgres', "SELECT tail FROM kg_predict('p16', 'lives_in', 1)"), 'Arles', 'a first prediction');

# ---- what is no slip ----

# Numbers have no blanks, a view is not mended by an UPDATE, a name with a quote is one; and small graphs have facts
# that have nothing in common.
say_to(q{CREATE TABLE numbers (head int, relation text, tail int);
	INSERT INTO numbers SELECT i, 'r ', 1 + (i * 7) % 20 FROM generate_series(1, 20) i;
	CREATE VIEW seen AS SELECT head::text || ' ' AS head, relation, tail::text FROM numbers;
	CREATE TABLE "it's" ("the head" text, r text, t text);
	INSERT INTO "it's" SELECT 'a' || i || E'\t', 'r', 'a' || 1 + (i * 7) % 20 FROM generate_series(1, 20) i;
	INSERT INTO "it's" VALUES ('x', 'it''s', 'y');
	CREATE TABLE three AS SELECT * FROM (VALUES ('a', 'r', 'b'), ('c', 's', 'd'), ('e', 's', 'f')) v (head, relation, tail)});

sub waited
{
	my ($arguments) = @_;
	my ($run) = say_to("SELECT kg_train($arguments, params => '{\"epochs\": 2, \"rank\": 4}')");

	return (say_to("CALL kg_wait($run)"))[1];
}
like(waited("'n', 'numbers'"), qr/^NOTICE:  1 label has blanks around it\nDETAIL:  Such as "r "\. .*\nHINT:  .*: UPDATE (public\.)?numbers SET relation = btrim\(relation, E' \\t\\r\\n'\);$/m,
	'only texts are trimmed');
like(waited("'v', 'seen'"), qr/^HINT:  If they are slips, let the source be a view that takes them off/m, 'a view');
$err = waited(q{'q', '"it''s"', 'the head', 'r', 't'});
like($err, qr/^HINT:  .*: UPDATE (public\.)?"it's" SET "the head" = btrim\("the head", E/m, 'names that need quotes');
like($err, qr/^HINT:  If it is one, DELETE FROM (public\.)?"it's" WHERE r = 'it''s' removes it/m, 'and labels that do');
unlike(waited("'t', 'three'"), qr/NOTICE/, 'few facts');
$node->stop;
done_testing();
