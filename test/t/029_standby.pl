# A streaming standby answers as the primary does, trains nothing, and can take its place.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $primary = new_node('primary', streaming => 1);
my $run = train($primary, 'm', $QUICK);

$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;

# What a worker commits without waiting for the disk is flushed with what is committed after it.
sub catch_up
{
	$primary->safe_psql('postgres', q{SELECT pg_logical_emit_message(true, 'test', 'flush')});
	$primary->wait_for_catchup($standby);
	return;
}

catch_up();
my $before = answers($primary, 'm');
isnt($before, '', 'the primary answers');
is(answers($standby, 'm'), $before, 'the standby answers the same');
is($standby->safe_psql('postgres', "SELECT count(*) FROM kg_similar('e1', 5)"), '5', 'and other questions');
my $page = q{SELECT split_part(kg_report('m'), '<footer', 1)};
is($standby->safe_psql('postgres', $page), $primary->safe_psql('postgres', $page), 'and has the same page');
my $why = "SELECT round(sum(abs(share))::numeric, 2), count(*) FROM kg_explain('e1', 'r1', (SELECT tail FROM kg_predict('e1', 'r1', 1)), 1000)";
is($standby->safe_psql('postgres', $why), $primary->safe_psql('postgres', $why), 'explanations are those of the primary');
is($standby->safe_psql('postgres', 'SELECT name, last_status, serving FROM metasd.models'),
	"m|succeeded|$run", 'metasd.models is there');

# A fact is known on the standby as soon as it is replayed.
my ($tail) = $standby->safe_psql('postgres', "SELECT tail FROM kg_predict('e1', 'r1', 1)");
$primary->safe_psql('postgres', "INSERT INTO facts VALUES ('e1', 'r1', '$tail')");
catch_up();
isnt($standby->safe_psql('postgres', "SELECT tail FROM kg_predict('e1', 'r1', 1)"), $tail,
	'a new fact is no longer predicted');
$primary->safe_psql('postgres', "DELETE FROM facts WHERE (head, relation, tail) = ('e1', 'r1', '$tail')");
catch_up();
is(answers($standby, 'm'), $before, 'and is again when it is deleted');

# So is a newcomer, asked for, explained and among candidates, by one and in a batch.
$primary->safe_psql('postgres', "INSERT INTO facts SELECT 'nova', relation, tail FROM facts WHERE head = 'e1';
	INSERT INTO facts SELECT head, relation, 'stella' FROM facts WHERE tail = '$tail' AND head <> 'nova' LIMIT 5");
catch_up();
for my $call ("kg_predict('nova', 'r1', 5)", "kg_predict('nova', 'r1', 5, candidate_ids => '{stella,e1,e2}')",
	"kg_predict('e1', 'r1', 5, candidate_ids => '{stella,e2,e3}', known => 'mark')", "kg_explain('nova', 'r1', '$tail', 100)",
	"kg_explain('e1', 'r1', 'stella', 100)", "kg_predict_many('{nova,stella,e1,nobody}'::text[], '{r1}'::text[], 3)",
	"kg_rank('e1', 'r1', 'stella')", "kg_similar('nova', 5)", "kg_evaluate('m', 'facts')",
	"kg_discover('m', 5, head => 'nova')", "kg_discover('m', 5, relation => 'r1', tail => 'stella')",
	"(SELECT * FROM kg_suspects('m', 100000) WHERE head = 'nova' OR tail = 'stella')")
{
	my $sql = "SELECT md5(string_agg(a::text, ',' ORDER BY a::text)), count(*) > 0 FROM $call a";
	my $answer = $primary->safe_psql('postgres', $sql);

	like($answer, qr/\|t$/, "the primary answers $call");
	is($standby->safe_psql('postgres', $sql), $answer, 'and the standby the same');
}
$primary->safe_psql('postgres', "DELETE FROM facts WHERE head = 'nova' OR tail = 'stella'");
catch_up();

# What writes refuses, and says where to go.
for my $call ("kg_train('m', 'facts')", "kg_train('new', 'facts')", "kg_drop('m')", "kg_cancel($run)", "kg_resume($run)",
	"kg_promote('m', $run)", "kg_rollback('m')", "kg_schedule('m', '0 3 * * *')", "kg_unschedule('m')")
{
	my ($function) = $call =~ /^(\w+)/;
	psql_fails($standby, "SELECT $call",
		qr/ERROR:  cannot execute $function\(\) on a standby server\nHINT:.*primary/,
		"$call refuses on a standby");
}
my ($rc, $out, $err) = $standby->psql('postgres', "CALL kg_wait($run)");
is($rc, 0, 'kg_wait for a run that has ended returns') or diag($err);

# A training under way, seen from there.
my $session = session($standby);
is($session->query_safe("SELECT count(*) FROM kg_predict('e1', 'r1', 5)"), '5', 'a session asks');
is($session->query_safe("SELECT count(*) FROM kg_suspects(k => 3)"), '3', 'and finds suspects');
my $next = start_training($primary, 'm');
catch_up();
ok(wait_until($standby, "SELECT status = 'running' AND epoch > 0 FROM metasd.progress WHERE run = $next"),
	'a run of the primary is running');
is(status_of($standby, $next), 'running', 'in metasd.versions, too');
psql_fails($standby, "SELECT kg_cancel($next)", qr/on a standby server/, 'it cannot be cancelled there');
my $waiting = session($standby);
$waiting->query_until(qr/waiting/, "\\echo waiting\nCALL kg_wait($next);\n");
$primary->safe_psql('postgres', "SELECT kg_cancel($next)");
wait_for_status($primary, $next, 'cancelled', 'cancelled on the primary');
$waiting->query('');
like($waiting->{stderr}, qr/ERROR:  run $next of model "m" was cancelled/, 'a wait on the standby ends');
$waiting->quit;

# A new version follows; the session that asked the old one asks the new one.
my $new = train($primary, 'm', $QUICK =~ s/\{/{"seed": 2, /r);
catch_up();
my $after = answers($primary, 'm');
isnt($after, $before, 'another version answers otherwise');
is(answers($standby, 'm'), $after, 'on the standby as on the primary');
is($session->query_safe('SELECT serving FROM metasd.models'), $new, 'it serves there');
is( $session->query_safe("SELECT score FROM kg_predict('e1', 'r1', 1)"),
	$primary->safe_psql('postgres', "SELECT score FROM kg_predict('e1', 'r1', 1)"),
	'also in a session that asked before');
is($primary->safe_psql('postgres', "SELECT kg_rollback('m')"), $run, 'the primary goes back');
catch_up();
is(answers($standby, 'm'), $before, 'the standby follows');
$primary->safe_psql('postgres', "SELECT kg_promote('m', $new)");
catch_up();
is($session->query_safe('SELECT serving FROM metasd.models'), $new, 'and forth again');
is(answers($standby, 'm'), $after, 'with the same answers');
$session->quit;

# The primary dies in mid-training; the standby takes its place.
$next = start_training($primary, 'm');
catch_up();
$primary->stop('immediate');
is(status_of($standby, $next), 'running', 'as far as the standby knows the training goes on');
$standby->promote;
ok(wait_until($standby, 'SELECT NOT pg_is_in_recovery()'), 'promoted');
is(status_of($standby, $next), 'interrupted', 'on the new primary it is interrupted');
is(answers($standby, 'm'), $after, 'what served serves');
$run = train($standby, 'm', $QUICK);
is(status_of($standby, $run), 'succeeded', 'and it trains');
is(stray_rows($standby), '0', 'no rows are left behind');
$standby->stop;
done_testing();
