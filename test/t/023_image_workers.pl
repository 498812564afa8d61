# No question waits for an image that a worker could have built: not the first one of a version, whoever
# lets it serve, and after a restart not for ever. Who builds reads metasd.relation, which is locked here:
# a build then takes longer than any statement may.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('first_question');
my $blocker = session($node);
my $ask = "SET statement_timeout = '1s'; SELECT count(*) FROM kg_predict('e1', 'r1', 3, model => 'm')";

sub file_of
{
	my ($run) = @_;

	return $node->data_dir . '/base/pgsql_tmp/' . $node->safe_psql('postgres', "
		SELECT 'pgsql_tmp_metasd_' || d.oid || '_' || r.uuid
		FROM metasd.run r, pg_database d WHERE r.id = $run AND d.datname = current_database()");
}

sub answered
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$blocker->query_safe('BEGIN; LOCK TABLE metasd.relation IN ACCESS EXCLUSIVE MODE');
	my ($rc, $out, $err) = $node->psql('postgres', $ask);
	$blocker->query_safe('COMMIT');
	is($out, '3', $name) or diag($err);
	return;
}

# ---- who lets it serve builds ----

my $first = train($node, 'm', $QUICK);
answered('after a training');
my $second = train($node, 'm', $QUICK =~ s/\{/{"seed": 4, /r);
answered('after the next one');
unlink file_of($first);
$node->safe_psql('postgres', "SELECT kg_promote('m', $first)");
answered('after kg_promote');
unlink file_of($second);
$node->safe_psql('postgres', "SELECT kg_rollback('m')");
answered('after kg_rollback');

# Before others see it, but what they see stays theirs.
unlink file_of($first);
my $session = session($node);
$session->query_safe("BEGIN; SELECT kg_promote('m', $first)");
ok(-e file_of($first), 'the image is there before the version serves');
my $built = (stat file_of($first))[1];
is($node->safe_psql('postgres', $ask), '3', 'the other one serves for others');
train($node, 'other', $QUICK);
is((stat file_of($first))[1], $built, 'who builds another one does not remove it');
ok(-e file_of($second), 'nor the one that serves for others');
$session->query_safe('COMMIT');
answered('then it serves for all');
$session->query_safe("BEGIN; SELECT kg_promote('m', $second); ROLLBACK");
answered('nothing has changed where that is rolled back');

# Nowhere to share it: trainings go on.
$node->append_conf('postgresql.conf', 'metasd.image_cache_size = 0');
$node->reload;
my $third = train($node, 'm', $QUICK =~ s/\{/{"seed": 5, /r);
ok(!-e file_of($third), 'no image where none are shared');
is($node->safe_psql('postgres', $ask), '3', 'the version answers');
$node->append_conf('postgresql.conf', "metasd.image_cache_size = '1GB'");
$node->reload;

# ---- after a restart ----

$blocker->quit;
$node->restart;
ok(!-e file_of($third), 'a restart removes images');
$blocker = session($node);
$blocker->query_safe('BEGIN; LOCK TABLE metasd.relation IN ACCESS EXCLUSIVE MODE');
for my $n (1 .. 3)
{
	psql_fails($node, $ask, qr/canceling statement due to statement timeout/, "question $n has not the time");
}
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'metasd image'"), '1',
	'but one worker goes on');
$blocker->query_safe('COMMIT');
ok(wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'metasd image'"), 'to the end');
ok(-e file_of($third), 'and there is the image');
answered('for who asks then');

# Who lets a version serve may have a timeout, too.
unlink file_of($first);
$blocker->query_safe('BEGIN; LOCK TABLE metasd.relation IN ACCESS EXCLUSIVE MODE');
psql_fails($node, "SET statement_timeout = '1s'; SELECT kg_promote('m', $first)",
	qr/canceling statement due to statement timeout/, 'kg_promote has not the time');
$blocker->query_safe('COMMIT');
ok(wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'metasd image'"), 'but a worker goes on');
$node->safe_psql('postgres', "SET statement_timeout = '20s'; SELECT kg_promote('m', $first)");
answered('so that it succeeds then');

# A worker that cannot be had, or fails: the session builds it.
unlink file_of($third);
$node->safe_psql('postgres', 'ALTER SYSTEM SET max_worker_processes = 1');
$node->restart;
is($node->safe_psql('postgres', $ask), '3', 'where there is no worker the session builds');
$session->quit;
$node->stop;
done_testing();
