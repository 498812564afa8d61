# No memory: for an image, and for a training, alone and as a team. That is an error, and nothing more.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('memory', 'metasd.max_workers' => 2);
my $wide = $MEDIUM =~ s/"rank": 64/"rank": 2400, "sparsity": 0/r; # its image has 6 MB and more

# What a process may have of address space from now on: so much more than it has.
sub limit
{
	my ($pid, $more) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmSize:\s+(\d+) kB/m;
	my $bytes = ($kb << 10) + $more;

	limit_process($pid, "as=$bytes:unlimited");
	return;
}

sub unlimit
{
	my ($pid) = @_;

	limit_process($pid, 'as=unlimited');
	return;
}

# ---- an image ----

my $small = train($node, 'small', $QUICK);
my $run = $node->safe_psql('postgres', "SELECT kg_train('wide', 'slow', params => '$wide')");
$node->safe_psql('postgres', "CALL kg_wait($run)");
my $ask = "SELECT string_agg(tail, ' ') FROM kg_predict('e1', 'r1', 5, model => 'wide')";
my $answer = $node->safe_psql('postgres', "SET metasd.image_cache_size = 0; $ask");

# The session has all it needs but the image: it has answered by another model, and planned this question.
my $session = session($node);
my $pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe("SET metasd.image_cache_size = 0; SELECT count(*) FROM kg_predict('e1', 'r1', 5, model => 'small')");
unlink glob($node->data_dir . '/base/pgsql_tmp/pgsql_tmp_metasd_*');
limit($pid, 4 << 20); # more than the rows it is made of take, less than the image
is($session->query($ask), '', 'where there is no memory for an image there is no answer');
like($session->{stderr}, qr/ERROR:  out of memory.*DETAIL:  Failed on \d+ bytes for the image of a model/s, 'but an error');
$session->{stderr} = '';
is($session->query_safe("SELECT count(*) FROM kg_predict('e1', 'r1', 5, model => 'small')"), '5',
	'the session goes on');
unlimit($pid);
is($session->query_safe($ask), $answer, 'and answers once there is memory');
$session->quit;

# ---- a training ----

# A worker waits for the transaction that starts it: it is there, and has allocated nothing yet.
for my $workers (1, 2)
{
	my $params = $wide =~ s/"rank": 2400/"rank": 2400, "workers": $workers/r;

	$session = session($node);
	$run = $session->query_safe("BEGIN; SELECT kg_train('wide', 'slow', params => '$params')");
	ok(wait_until($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'metasd training'"), 'a worker waits');
	$pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'metasd training'");
	limit($pid, 16 << 20);
	$session->query_safe('COMMIT');
	psql_fails($node, "CALL kg_wait($run)", qr/ERROR:  run $run of model "wide" failed.*out of memory - Training needs/s,
		"workers: $workers: kg_wait says that there is no memory");
	like($node->safe_psql('postgres', "SELECT status, error FROM metasd.versions WHERE run = $run"),
		qr/^failed\|out of memory/, "workers: $workers: and so does metasd.versions");
	ok(defined wait_until_gone($pid), "workers: $workers: the worker is gone");
	is($node->safe_psql('postgres', $ask), $answer, "workers: $workers: the version before answers");
	$session->quit;
}
is(scalar(orphaned_segments($node)), 0, 'no shared memory is left behind');
is(stray_rows($node), '0', 'nor rows');
$node->stop;
done_testing();
