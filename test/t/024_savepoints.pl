# What is asked in a transaction of rows that it has written itself, as a restore in one transaction writes them: once they
# are rolled back, with the transaction or to a savepoint, the answers are those of the rows that there are.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('savepoints', 'metasd.image_cache_size' => 0);
my $run = train($node, 'm', $QUICK);

# Figures of the embeddings, and one of the run's row.
my $ask = q{SELECT sum(kg_score('e' || i, 'r1', 'e7', model => 'm')) || ' ' || sum(p.probability)
	FROM generate_series(1, 5) i, LATERAL kg_predict('e' || i, 'r1', 3, model => 'm', known => 'include') p};
my %write = (
	embeddings => 'UPDATE metasd.entity SET embedding = (SELECT embedding FROM metasd.entity WHERE id = 0) WHERE id < 30',
	calibration => q{UPDATE metasd.run SET metrics = jsonb_set(jsonb_set(metrics, '{calibration,slope}', '0.01'),
		'{calibration,offset}', '1')},
	relations => 'UPDATE metasd.relation SET embedding = reciprocal, reciprocal = embedding',
);
$node->safe_psql('postgres', 'UPDATE metasd.relation SET tail_slope = NULL, head_slope = NULL');
my $truth = $node->safe_psql('postgres', $ask);

# A version does not change once it is asked, so every case has a session that has not asked before.
for my $what (sort keys %write)
{
	my $session = session($node);

	$session->query_safe("BEGIN; SAVEPOINT a");
	$session->query_safe($write{$what});
	isnt($session->query_safe($ask), $truth, "$what: rows of this transaction answer");
	$session->query_safe('ROLLBACK TO a');
	is($session->query_safe($ask), $truth, "$what: after ROLLBACK TO SAVEPOINT those before it do");
	$session->query_safe('COMMIT');
	is($session->query_safe($ask), $truth, "$what: and after the transaction");
	$session->quit;

	$session = session($node);
	$session->query_safe("BEGIN; SAVEPOINT b; SAVEPOINT c");
	$session->query_safe($write{$what});
	$session->query_safe('RELEASE c');
	isnt($session->query_safe($ask), $truth, "$what: rows of a savepoint that was released answer");
	$session->query_safe('ROLLBACK TO b');
	is($session->query_safe($ask), $truth, "$what: until that around it is rolled back");
	$session->query_safe('ROLLBACK');
	$session->quit;

	$session = session($node);
	$session->query_safe(qq{DO \$do\$
		DECLARE
			within text;
		BEGIN
			BEGIN
				$write{$what};
				within := ($ask);
				RAISE EXCEPTION 'no';
			EXCEPTION WHEN raise_exception THEN
			END;
			PERFORM set_config('test.is', (within <> '$truth') || ' ' || (($ask) = '$truth'), false);
		END \$do\$});
	is($session->query_safe(q{SELECT current_setting('test.is')}), 'true true',
		"$what: a block whose exception is caught has its answers, and leaves none");
	$session->quit;

	# Transactions of one string of statements begin at the same time.
	my @answers = split /\n/, $node->safe_psql('postgres', "BEGIN \\; $write{$what} \\; $ask \\; ROLLBACK \\; $ask;");
	isnt($answers[0], $truth, "$what: so does a transaction");
	is($answers[1], $truth, "$what: which leaves nothing to the next of the same string of statements");
}

# kg_evaluate's functions keep an image while a statement runs.
my $session = session($node);
my $evaluate = "SELECT round(mrr::numeric, 6) FROM kg_evaluate('m', 'facts')";
my $mrr = $node->safe_psql('postgres', $evaluate);
$session->query_safe("BEGIN; SAVEPOINT a");
$session->query_safe($write{embeddings});
isnt($session->query_safe($evaluate), $mrr, 'kg_evaluate asks rows of this transaction');
$session->query_safe('ROLLBACK TO a');
is($session->query_safe($evaluate), $mrr, 'and those before after ROLLBACK TO SAVEPOINT');

# A cursor that was opened before goes on.
$session->query_safe('COMMIT');
$session->quit;
$session = session($node);
$session->query_safe('BEGIN');
$session->query_safe($write{relations});
$session->query_safe("DECLARE c CURSOR FOR SELECT kg_score('e' || i, 'r1', 'e7', model => 'm') FROM generate_series(1, 8) i");
my @first = split /\n/, $session->query_safe('FETCH 3 FROM c');
$session->query_safe('SAVEPOINT b');
$session->query_safe($write{embeddings});
$session->query_safe('ROLLBACK TO b');
push @first, split /\n/, $session->query_safe('FETCH ALL FROM c');
is(join(' ', @first), join(' ', split /\n/, $session->query_safe(
			"SELECT kg_score('e' || i, 'r1', 'e7', model => 'm') FROM generate_series(1, 8) i")),
	'a cursor opened before a savepoint that is rolled back has the answers that a query has');
$session->query_safe('ROLLBACK');
$session->quit;
is($node->safe_psql('postgres', $ask), $truth, 'nothing has changed');

$node->stop;
done_testing();
