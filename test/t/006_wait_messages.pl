# Messages with numbers of runs, which SQL tests do not show: those of kg_wait besides figures, of kg_cancel and of
# kg_promote.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('wait_messages');
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

# What a message says of a run, with N for its number and M for that of another.
sub said
{
	my ($sql, %number) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 0);

	for my $name (sort keys %number) { $err =~ s/\b$number{$name}\b/$name/g }
	$err =~ s/^psql:\S+ //mg;
	return join '', $err =~ /^(?:INFO|NOTICE|WARNING|ERROR|DETAIL|HINT):  (?!epoch).*\n?/mg;
}

# Of a run that has ended, and of one that does not end well. A model's name is a literal where a hint has it.
my $first = train($node, "it''s", $QUICK =~ s/}/, "validation_fraction": 0}/r);
is(said("SELECT kg_cancel($first)", N => $first), qq{NOTICE:  run N is not running: its status is "succeeded"}, 'nothing to cancel');
is(said("SELECT kg_promote('it''s', $first)", N => $first), qq{NOTICE:  version N of model "it's" serves already}, 'nothing to promote');
$run = start_training($node, "it''s");
$node->safe_psql('postgres', "SELECT kg_cancel($run)");
wait_for_no_worker($node);
is(said("CALL kg_wait($run)", N => $run), join("\n", qq{ERROR:  run N of model "it's" was cancelled},
		'DETAIL:  canceling statement due to user request',
		"HINT:  The version that served before still serves. SELECT kg_train('it''s') starts anew."), 'a cancelled run');
$run = start_training($node, "it''s", params => $LONG =~ s/}/, "checkpoint_every": 0}/r);
wait_until($node, "SELECT checkpoint_epoch > 0 FROM metasd.versions WHERE run = $run");
$node->safe_psql('postgres', "SELECT kg_cancel($run)");
wait_for_no_worker($node);
like(said("CALL kg_wait($run)", N => $run),
	qr/^HINT:  The version that served before still serves\. SELECT kg_resume\(N\) goes on from the last checkpoint, SELECT kg_train\('it''s'\) starts anew\.$/m,
	'one that has a checkpoint');
$run = $node->safe_psql('postgres', q{SELECT kg_train('first', 'facts', params => '{"max_bytes": 1}')});
wait_for_status($node, $run, 'failed', 'a first training fails');
like(said("CALL kg_wait($run)", N => $run), qr/^HINT:  SELECT kg_train\('first'\) starts anew\.$/m, 'and nothing serves yet');
my $refused = said(q{DO $$ BEGIN CALL kg_wait(kg_train('m')); END $$});
like($refused, qr/^ERROR:  run \d+ was started by this transaction\nDETAIL:  Training begins when the transaction commits\.\nHINT:  COMMIT before CALL kg_wait\.$/,
	'one of the same transaction');

# From which version a training starts, and that a version was promoted without a comparison.
my $params = $QUICK =~ s/"warm_start": false/"validation_fraction": 0/r;
my $before = train($node, 'warm', $params);
$node->safe_psql('postgres', q{INSERT INTO facts VALUES ('e1', 'new', 'newcomer')});
$run = train($node, 'warm', $params);
is(said("CALL kg_wait($run)", M => $before, N => $run), join("\n", 'INFO:  the training starts from version M',
		'DETAIL:  New to that version are 1 of 61 entities and 1 of 4 relations.',
		'NOTICE:  version N of model "warm" was promoted without a comparison',
		'DETAIL:  It was not compared with version M: no fact was held out from both.'), 'a warm start');
$before = $run;
$run = train($node, 'warm', $params =~ s/"rank": 64/"rank": 32/r);
like(said("CALL kg_wait($run)", M => $before, N => $run),
	qr/^INFO:  the training does not start from version M\nDETAIL:  Its rank is 64, not 32\.\nNOTICE:/, 'none, and why');

# Epochs of a model that learns alone have one loss and one MRR, its own. It is called pruned if it is.
my %figures = (0 => qr/loss \d\.\d{3}, validation MRR [01]\.\d{3}/, 0.5 => qr/loss \(pruned \d\.\d{3}\), validation MRR \(pruned [01]\.\d{3}\)/);
for my $sparsity (sort keys %figures)
{
	my $alone = qq{"warmup": 0, "ramp": 0, "epochs": 3, "finetune": 3, "mutual": false, "quiz": false, "sparsity": $sparsity};

	$run = train($node, 'alone', $QUICK =~ s/}/, $alone}/r);
	($rc, $out, $err) = $node->psql('postgres', "CALL kg_wait($run)");
	is(scalar(() = $err =~ /^(?:psql:\S+ )?INFO:  epoch \d of 3: $figures{$sparsity}, sparsity 0\.[05]0, /mg), 3, "a model that learns alone at sparsity $sparsity");
}

# What an import was, and how one fails.
$node->safe_psql('postgres', 'CREATE TABLE entities AS SELECT * FROM kg_entity_embeddings($$warm$$);'
	  . 'CREATE TABLE relations AS SELECT * FROM kg_relation_embeddings($$warm$$);'
	  . 'CREATE TABLE held AS SELECT head, relation, tail FROM facts LIMIT 20;'
	  . 'CREATE VIEW fewer AS SELECT * FROM entities OFFSET 1');
$run = $node->safe_psql('postgres', q{SELECT kg_import('im', 'entities', 'relations', 'facts', '{"sparsity": 0.6}', validation => 'held')});
wait_for_status($node, $run, 'succeeded', 'an import succeeds');
like(said("CALL kg_wait($run)", N => $run),
	qr/^INFO:  imported embeddings of rank 32 \(entities: 61, relations: 4\): validation MRR [01]\.\d{3} \(stored [01]\.\d{3}\), sparsity 0\.[67]\d$/, 'an import');
$run = $node->safe_psql('postgres', q{SELECT kg_import('im', 'fewer', 'relations', 'facts')});
wait_for_status($node, $run, 'failed', 'labels are missing');
like(said("CALL kg_wait($run)", N => $run),
	qr/^ERROR:  run N of model "im" failed\nDETAIL:  \d+ triples of source "facts" have labels .*\nHINT:  The version that served before still serves\. Call kg_import again when that is mended\.$/,
	'one that fails');
$run = $node->safe_psql('postgres', q{SELECT kg_import('other', 'fewer', 'relations', 'facts')});
wait_for_status($node, $run, 'failed', 'and again');
like(said("CALL kg_wait($run)", N => $run), qr/^HINT:  Call kg_import again when that is mended\.$/m, 'where nothing serves');
$run = $node->safe_psql('postgres', q{SELECT kg_import('third', 'fewer', 'relations', 'facts', '{"missing": "skip"}')});
wait_for_status($node, $run, 'succeeded', 'they are left out');
like(said("CALL kg_wait($run)", N => $run), qr/^NOTICE:  \d+ triples were left out: they have labels that have no embedding\nDETAIL:  Questions/m, 'it says how many');
$node->stop;
done_testing();
