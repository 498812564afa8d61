# What a training and its caller can run into: a disk that is full when the version is stored, and a client
# that is gone without a word.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('faults', 'metasd.max_workers' => 1);
my $first = train($node, 'm', $QUICK);
my $before = answers($node, 'm');

sub workers
{
	return $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'metasd training'");
}

# ---- no room for the version ----

# A limit on the size of files fails where a full disk does, and needs no file system of its own: the table
# of entities is beyond it, what the write-ahead log needs is not.
my $limit = 17 << 20;
$node->safe_psql('postgres', q{
	INSERT INTO metasd.entity
	SELECT 0, i, repeat(md5(i::text), 30), 0, '' FROM generate_series(1, 20000) i});
cmp_ok($node->safe_psql('postgres', "SELECT pg_relation_size('metasd.entity')"), '>', $limit,
	'the table of entities is large');

{
	my $params = $MEDIUM =~ s/"epochs": 4/"epochs": 15/r;
	my $run = $node->safe_psql('postgres', "SELECT kg_train('m', 'slow', params => '$params')");
	ok(wait_until($node, "SELECT phase = 'training' FROM metasd.run WHERE id = $run"), 'a training is under way');
	my $pid = worker_of($node, $run);
	limit_process($pid, "fsize=$limit");
	psql_fails($node, "CALL kg_wait($run)", qr/could not extend file "base/, 'there is no room: kg_wait says so');
	like($node->safe_psql('postgres', "SELECT status, error FROM metasd.versions WHERE run = $run"),
		qr/^failed\|could not extend file "base/, 'and so does metasd.versions');
	is($node->safe_psql('postgres', "SELECT (SELECT count(*) FROM metasd.entity WHERE run = $run)
			+ (SELECT count(*) FROM metasd.relation WHERE run = $run)"), '0', 'nothing is stored');
	is($node->safe_psql('postgres', 'SELECT serving FROM metasd.models'), $first, 'the version before serves');
	is(answers($node, 'm'), $before, 'and answers as before');
}
$node->safe_psql('postgres', 'DELETE FROM metasd.entity WHERE run = 0');
is(status_of($node, train($node, 'm', $QUICK)), 'succeeded', 'with room a training succeeds');
$before = answers($node, 'm');

# ---- a client that is gone ----

# A session whose client does not say goodbye; returns what makes it go and what its backend is.
sub client
{
	my $session = session($node);
	my $pid = $session->query_safe('\echo `echo $PPID`');
	my $backend = $session->query_safe('SELECT pg_backend_pid()');

	return ($session, sub { kill('KILL', $pid); eval { $session->{run}->finish }; }, $backend);
}

my $run = start_training($node, 'm');
my ($session, $gone, $backend) = client();
$session->query_until(qr/waiting/, "\\echo waiting\nCALL kg_wait($run);\n");
ok(wait_until($node, "SELECT query ~ '^CALL' AND wait_event_type = 'Extension' "
	  . "FROM pg_stat_activity WHERE pid = $backend"), 'a client waits for a training');
$gone->();
ok(defined wait_until_gone($backend), 'its session ends when the client is gone');
is(status_of($node, $run), 'running', 'the training goes on');
$node->safe_psql('postgres', "SELECT kg_cancel($run)");
wait_for_status($node, $run, 'cancelled', 'and can be cancelled');

($session, $gone, $backend) = client();
$run = $session->query_safe("SELECT kg_train('m', 'facts', params => '$QUICK')");
$gone->();
ok(defined wait_until_gone($backend), 'a client is gone that has started a training');
wait_for_status($node, $run, 'succeeded', 'which succeeds');

($session, $gone, $backend) = client();
$session->query_safe('BEGIN');
$run = $session->query_safe("SELECT kg_train('m', 'slow', params => '$LONG')");
is(workers(), '1', 'a training waits for its transaction');
$gone->();
ok(defined wait_until_gone($backend), 'whose client is gone');
ok(wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'metasd training'"),
	'its worker leaves');
is($node->safe_psql('postgres', "SELECT count(*) FROM metasd.run WHERE id = $run"), '0', 'and there is no run');
isnt(answers($node, 'm'), '', 'the model answers');
is(stray_rows($node), '0', 'no rows are left behind');
$node->stop;
done_testing();
