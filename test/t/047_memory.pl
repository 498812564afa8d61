# What kg_estimate says is what a training takes, of few entities as of many, dense or lean.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('memory', 'metasd.max_workers' => 2, 'metasd.train_mem' => "'3GB'");

# Trains from nothing, and a second time from that version, which is there beside the new one.
sub check_estimate
{
	my ($graph, $params, $rounds, $least) = @_;
	my $model = join '_', $graph, $params =~ /"(?:rank|workers)": (\d+)/g;
	my $estimate = $node->safe_psql('postgres', qq{SELECT train_bytes FROM kg_estimate('$graph', params => '$params')});
	my @peaks;

	for my $round (1 .. $rounds)
	{
		my $run = $node->safe_psql('postgres', qq{SELECT kg_train('$model', '$graph', params => '$params')});

		wait_for_status($node, $run, 'succeeded', "$graph: training $round succeeds");
		push @peaks, $node->safe_psql('postgres', qq{SELECT metrics ->> 'peak_memory' FROM metasd.versions WHERE run = $run});
	}
	note sprintf('%s: estimate %.1f MB, peaks %s MB', $graph, $estimate / 1e6, join(', ', map { sprintf '%.1f', $_ / 1e6 } @peaks));
	my ($most) = sort { $b <=> $a } @peaks;
	cmp_ok($most, '<', 1.15 * $estimate, "$graph: the estimate is not too low");
	cmp_ok($most, '>', $least * $estimate, "$graph: nor too high");
	return $estimate;
}

# All that probes would choose is given. So many facts validate that they fill a batch.
my $common = '"warm_start": true, "validation_fraction": 0.02, "reg": 0.05, "regularizer": "dura", "relation_weight": 0, '
  . '"class_weights": false, "quiz": false, "mutual": false, "promote_tolerance": 1, "checkpoint_every": 1000';

# Memory that only steps with all entities touch is counted, though this training has none.
load_graph($node, 'postgres', 'dense', entities => 20000, relations => 10, triples => 100000);
check_estimate('dense', qq({"rank": 100, "epochs": 2, "warmup": 1, "finetune": 1, "batch": 2000, "negatives": 500, "workers": 1, $common}), 2, 0.65);

# From 100,000 entities on, little is kept of each.
load_graph($node, 'postgres', 'lean', entities => 110000, relations => 10, triples => 330000);
my $lean = check_estimate('lean', qq({"rank": 64, "epochs": 2, "warmup": 1, "finetune": 1, "batch": 2000, "negatives": 500, "workers": 1, $common}), 1, 0.8);

# A warm start keeps rows of the version; weights as they are make the largest image of it; followers have memory, too.
check_estimate('lean', qq({"rank": 16, "storage": "float32", "epochs": 2, "warmup": 1, "finetune": 1, "batch": 1000, "negatives": 500, "workers": $_, $common}),
	$_ == 1 ? 2 : 1, 0.75) for 1, 2;
my $entities = $node->safe_psql('postgres', q{SELECT entities FROM kg_estimate('lean', params => '{"rank": 1}')});
# The rest does not grow with them: a batch, its scores, and those of a slice of entities.
cmp_ok($lean, '<', 1800 * $entities + (150 << 20), 'an entity takes little: ten million have room in 20 GB');

done_testing();
