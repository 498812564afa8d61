# Answers end soon after they are cancelled, however many there are. Clocks are not to be relied on, so a call is tried
# several times: one that ends only with its last answer never ends in time. And single-user mode, where nothing is trained.
use strict;
use warnings;

use IPC::Run 'run';
use Test::More;

use MetasdTest;

my $node = new_node('interrupts');
my $entities = 120000;

$node->safe_psql('postgres', qq{
	CREATE TABLE e AS SELECT 'n' || i AS label, ARRAY[sin(i), cos(i), sin(3 * i), cos(7 * i)]::real[] AS embedding
	FROM generate_series(1, $entities) i;
	CREATE TABLE r AS SELECT 'r' AS label, ARRAY[1, .5, 2, -1]::real[] AS embedding;
	CREATE TABLE f AS SELECT 'n1' AS head, 'r' AS relation, 'n' || i AS tail FROM generate_series(2, 1000) i;
	CREATE INDEX ON f (head, relation)});
my $run = $node->safe_psql('postgres', q{SELECT kg_import('many', 'e', 'r', 'f')});
$node->safe_psql('postgres', "CALL kg_wait($run)");

# The milliseconds that a call takes, and how it ended.
sub took
{
	my ($sql, $limit) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT 1 FROM kg_predict('n1', 'r', 1, 'many');
		CREATE TEMP TABLE begun AS SELECT clock_timestamp() AS t;
		SET jit = off; SET statement_timeout = $limit;
		$sql;
		SET statement_timeout = 0;
		SELECT extract(epoch FROM clock_timestamp() - t) * 1000 FROM begun;", on_error_stop => 0);

	return ((split /\n/, $out)[-1], $err);
}

# What the server says in single-user mode.
sub run_single
{
	my ($server, $input) = @_;
	my ($out, $err) = ('', '');

	run([ config_of($server, '--bindir') . '/postgres', '--single', '-D', $server->data_dir, 'postgres' ], '<', \$input, '>', \$out, '2>', \$err);
	return "$out$err";
}

for my $call (
	"kg_predict('n1', 'r', $entities, 'many', 'include')", "kg_predict('n1', 'r', $entities, 'many', 'mark')",
	"kg_predict_heads('r', 'n5', $entities, 'many', 'include')")
{
	my @late;

	for my $part (.05, .35)
	{
		my @tries;

		for my $try (1 .. 12)
		{
			my ($whole) = took("SELECT count(*) FROM $call", 0);
			my $limit = int($whole * $part) + 1;
			my ($ms, $err) = took("SELECT count(*) FROM $call", $limit);

			push @tries, sprintf '%d of %d and %d', $ms, $limit, $whole;
			next if $err !~ /canceling statement due to statement timeout/ || $ms > $limit + .2 * $whole;
			@tries = ();
			last;
		}
		push @late, @tries;
	}
	is("@late", '', "$call ends when it is cancelled");
}

# Nothing trains where there are no background workers, and the message does not propose to wait for one.
$node->stop;
my $single = run_single($node, "SELECT kg_train('alone', 'facts');\nSELECT count(*) FROM kg_predict('n1', 'r', 3, 'many');\n");
like($single, qr/ERROR:  models cannot be trained in single-user mode/, 'single-user mode trains nothing');
like($single, qr/count = "3"/, 'and answers');

done_testing();
