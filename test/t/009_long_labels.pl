# Labels that are many, and labels that are long: their memory counts for metasd.train_mem before it is
# taken, and what is trained can be stored and asked.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('labels', 'metasd.max_workers' => 1);

sub outcome_of
{
	my ($sql) = @_;
	my $run = $node->safe_psql('postgres', $sql);

	$run =~ s/.*\n//s;
	wait_until($node, "SELECT status NOT IN ('queued', 'running') FROM metasd.run WHERE id = $run");
	return $node->safe_psql('postgres', "SELECT status, error FROM metasd.run WHERE id = $run");
}

# The most memory that a session, or the worker it starts, has ever had; in kB.
sub peak_of
{
	my ($pid) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
	return $kb;
}

# ---- many ----

$node->safe_psql('postgres', q{
	CREATE VIEW many AS SELECT 'entity number ' || i AS head, 'r' AS relation, 'another entity, number ' || i AS tail
	FROM generate_series(1, 2000000) i;
	CREATE VIEW many_long AS SELECT i || repeat('x', 100000) AS head, 'r' AS relation, i || repeat('y', 100000) AS tail
	FROM generate_series(1, 20000) i});

for my $view ('many', 'many_long')
{
	my $session = session($node);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_safe("SET metasd.train_mem = '20MB'");
	$session->query("SELECT * FROM kg_estimate('$view')");
	like($session->{stderr},
		qr/ERROR:  the triples alone need more memory than metasd\.train_mem allows\nDETAIL:  After \d+ triples they need 2\d MB; 20 MB are allowed\./,
		"$view: kg_estimate reads no more than metasd.train_mem allows");
  SKIP:
	{
		skip 'there is no /proc here', 1 unless -r "/proc/$pid/status";
		cmp_ok(peak_of($pid), '<', 120 << 10, 'in memory, too');
	}
	$session->quit;
	like(outcome_of("SET metasd.train_mem = '20MB'; SELECT kg_train('many', '$view')"),
		qr/^failed\|the triples alone need more memory than metasd\.train_mem allows - After \d+ triples they need 2\d MB; 20 MB are allowed/,
		'nor does a training');
}

# What was read counts when the training is planned.
$node->safe_psql('postgres', q{CREATE VIEW long AS
	SELECT i || repeat('x', 1000000) AS head, 'r' AS relation, (i + 1) % 30 || repeat('x', 1000000) AS tail FROM generate_series(0, 29) i});
is($node->safe_psql('postgres', "SELECT train_bytes > 30000000 FROM kg_estimate('long', params => '{\"rank\": 1}')"), 't',
	'what labels take is part of the estimate');
like(outcome_of("SET metasd.train_mem = '40MB'; SELECT kg_train('long', 'long', params => '{\"rank\": 1000}')"),
	qr/^failed\|training needs \d+ MB of memory, metasd\.train_mem allows 40 MB/, 'and of what a training needs');

# ---- long ----

# Of 1,000 rows more than can be in one value. They are compressed when they are stored, soon where that is
# possible.
$node->psql('postgres', 'ALTER DATABASE postgres SET default_toast_compression = lz4');
$node->safe_psql('postgres', q{CREATE VIEW longer AS
	SELECT i || repeat('x', 1100000) AS head, 'r' AS relation, (i + 1) % 1000 || repeat('x', 1100000) AS tail FROM generate_series(0, 999) i});
is(outcome_of("SELECT kg_train('longer', 'longer', params => '{\"rank\": 2, \"epochs\": 1, \"warmup\": 1, \"ramp\": 0, \"finetune\": 0}')"),
	'succeeded|', 'labels of more than a megabyte are stored');
is($node->safe_psql('postgres', "SELECT count(*), max(length(tail)) FROM kg_predict(5 || repeat('x', 1100000), 'r', 3, model => 'longer')"),
	'3|1100003', 'and are answers');

# Too long for what has to be done with it.
$node->safe_psql('postgres', q{CREATE VIEW longest AS SELECT repeat('x', 70000000) AS head, 'r' AS relation, 'b' AS tail});
like(outcome_of("SELECT kg_train('longest', 'longest')"),
	qr/^failed\|an identifier is too long: it has 70000000 bytes - Identifiers may have up to 67108864 bytes/,
	'one that is too long is refused before anything is trained');

$node->safe_psql('postgres', 'SELECT kg_drop(name) FROM metasd.models');
is(stray_rows($node), '0', 'no rows are left behind');
$node->stop;
done_testing();
