# A training whose losses are not finite, whatever the learning rate. No parameter that is allowed leads
# there by itself, so weights are made huge in a checkpoint, and its hashes are made right again.

use strict;
use warnings;
no warnings 'portable'; # numbers of 64 bits

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

# The layout that src/core/checkpoint.h promises: 64 words, of which the last but one is the hash of the
# tables and the last that of the words before; then the tables, of which the weights are the first.
use constant { HEADER => 512, PIECE => 1 << 16 };

# src/core/hash.c.
sub hash_of
{
	use integer;
	my ($hash, $bytes) = @_;
	my @words = unpack 'q<*', $bytes . "\0" x (8 - length($bytes) % 8);
	my $last = pop @words;

	$hash ^= length $bytes;
	for my $word (@words)
	{
		$hash = ($hash ^ $word) * 0x9e3779b97f4a7c15;
		$hash ^= ($hash >> 32) & 0xffffffff;
	}
	$hash ^= $last;
	$hash = ($hash ^ (($hash >> 30) & 0x3ffffffff)) * 0xbf58476d1ce4e5b9;
	$hash = ($hash ^ (($hash >> 27) & 0x1fffffffff)) * 0x94d049bb133111eb;
	return $hash ^ (($hash >> 31) & 0x1ffffffff);
}

# The tables lie behind each other, and each is hashed by pieces of its own.
sub hash_of_tables
{
	my ($tables, @sizes) = @_;
	my $hash = 0;
	my $begin = 0;

	for my $size (@sizes)
	{
		for (my $at = 0; $at < $size; $at += PIECE)
		{
			my $n = $size - $at < PIECE ? $size - $at : PIECE;
			$hash = hash_of($hash, substr $tables, $begin + $at, $n);
		}
		$begin += $size;
	}
	return $hash;
}

my $node = new_node('diverging', 'metasd.max_workers' => 2);
my $params = '{"rank": 16, "epochs": 6, "warmup": 6, "quiz": false, "mutual": false, "patience": 0,'
  . ' "promote_tolerance": 1, "checkpoint_every": 0, "workers": 1}';

# A training waits as its fourth epoch ends.
gate($node, 4, 'true');

for my $workers (1, 2)
{
	my $run = $node->safe_psql('postgres', "SELECT kg_train('m$workers', 'facts', params => '$params')");
	ok(wait_until($node, "SELECT checkpoint_epoch = 3 FROM metasd.versions WHERE run = $run"), 'a training has a checkpoint');
	my $pid = worker_of($node, $run);
	$node->safe_psql('postgres', "SELECT kg_cancel($run)");
	ok(defined wait_until_gone($pid), 'and is cancelled');
	$node->safe_psql('postgres', 'UPDATE gate SET closed = false');

	my $where = "FROM metasd.checkpoint c JOIN metasd.run r ON r.id = c.run AND r.checkpoint = c.part "
	  . "WHERE r.id = $run";
	my $bytes = pack 'H*', $node->safe_psql('postgres', "SELECT encode(data, 'hex') $where");
	my @shape = unpack 'Q<*', substr $bytes, 0, HEADER;
	my $weights = 4 * ($shape[2] + $shape[3]) * $shape[4];
	my $tables = substr $bytes, HEADER;
	my @sizes = ($weights, $weights, $weights / 4, length($tables) - 9 * $weights / 4);
	is(hash_of_tables($tables, @sizes), unpack('q<', substr $bytes, HEADER - 16, 8),
		'its tables are hashed as is known here');
	is(hash_of(0, substr $bytes, 0, HEADER - 8), unpack('q<', substr $bytes, HEADER - 8, 8),
		'and so is its header');

	substr($tables, 0, $weights) = pack 'f<*', map { 1e30 * $_ } unpack 'f<*', substr $tables, 0, $weights;
	substr($bytes, HEADER - 16, 8) = pack 'q<', hash_of_tables($tables, @sizes);
	substr($bytes, HEADER - 8, 8) = pack 'q<', hash_of(0, substr $bytes, 0, HEADER - 8);
	my $hex = unpack 'H*', substr($bytes, 0, HEADER) . $tables;
	$node->safe_psql('postgres', "UPDATE metasd.checkpoint SET data = decode('$hex', 'hex') WHERE run = $run;
		UPDATE metasd.run SET params = params || '{\"workers\": $workers}' WHERE id = $run;
		SELECT kg_resume($run)");
	psql_fails($node, "CALL kg_wait($run)",
		qr/a loss is not finite in epoch 4, batch 1\b.*repeated 3 times, each with half the learning rate.*Lower the parameter lr/s,
		"workers: $workers: such a training fails, and says what to do");
	like($node->safe_psql('postgres', "SELECT status, error FROM metasd.versions WHERE run = $run"),
		qr/^failed\|a loss is not finite in epoch 4, batch 1\b/, 'metasd.versions says so, too');
	is(scalar(() = slurp_file($node->logfile) =~
			/LOG:  metasd run $run: a loss is not finite in epoch 4, batch \d+; the epoch starts again with learning rate/g),
		3, 'it was tried again three times');
	is($node->safe_psql('postgres', "SELECT serving FROM metasd.model WHERE name = 'm$workers'"), '',
		'and nothing serves');
	$node->safe_psql('postgres', 'UPDATE gate SET closed = true');
}

is(stray_rows($node), '0', 'no rows are left behind');
is(scalar(orphaned_segments($node)), 0, 'nor shared memory');
$node->stop;
done_testing();
