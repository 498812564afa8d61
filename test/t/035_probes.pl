# Probes: what is seen of them, and how they end with their training.

use strict;
use warnings;

use Time::HiRes qw(time);

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('probes', 'metasd.max_workers' => 2);
load_graph($node, 'postgres', 'large', entities => 5000, relations => 10, triples => 60000);

# Waits until a training of the large graph probes.
sub start_probing
{
	my $run = $node->safe_psql('postgres',
		q{SELECT kg_train('m', 'large', params => '{"rank": 64, "epochs": 1000, "workers": 2}')});

	wait_until($node, "SELECT phase = 'probing' AND done >= 1 FROM metasd.progress WHERE run = $run");
	return $run;
}

# One is cancelled, another told to terminate; neither leaves anything behind, the follower that waits included.
my $run = start_probing();
is($node->safe_psql('postgres', "SELECT epoch IS NULL AND loss IS NULL AND done < total FROM metasd.progress WHERE run = $run"),
	't', 'probes are counted, and have no epoch');
like($node->safe_psql('postgres', "SELECT query FROM pg_stat_activity WHERE pid = " . worker_of($node, $run)),
	qr/^metasd: training model "m", probing, probe \d+ of \d+$/, 'as in pg_stat_activity');
my $pid = worker_of($node, $run);
my $begun = time;
is($node->safe_psql('postgres', "SELECT kg_cancel($run)"), 't', 'a training is cancelled while it probes');
wait_until_gone($pid);
note sprintf('kg_cancel to the end of the worker: %.0f ms', 1000 * (time - $begun));
wait_for_no_worker($node);
is(status_of($node, $run), 'cancelled', 'it ends');
my ($rc, $out, $err) = $node->psql('postgres', "SELECT kg_resume($run)");
isnt($rc, 0, 'there is nothing to resume');

$run = start_probing();
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . worker_of($node, $run) . ')');
wait_for_no_worker($node);
is(status_of($node, $run), 'interrupted', 'a training is interrupted while it probes');

# What was chosen is told once, and what each probe had is kept.
my $choice = qr/(?:dura|n3), reg 0\.\d+, relation_weight [\d.]+, class_weights (?:true|false)/;
$run = $node->safe_psql('postgres',
	q{SELECT kg_train('few', 'facts', params => '{"rank": 16, "epochs": 4, "validation_fraction": 0.3}')});
($rc, $out, $err) = $node->psql('postgres', "CALL kg_wait($run)");
is(scalar(() = $err =~ /INFO:  \d+ probes chose regularizer $choice$/mg), 1, 'kg_wait says once what probes chose');
is($node->safe_psql('postgres', "SELECT jsonb_array_length(metrics #> '{probes,tried}') FROM metasd.versions WHERE run = $run"),
	$err =~ /INFO:  (\d+) probes/ ? $1 : '', 'their metrics are kept');

done_testing();
