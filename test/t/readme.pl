# The commands of the README do what it says, in its order.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

# A block takes as long as its trainings do on this machine, with whatever else runs there: the
# deadline is against those that never end.
my $forever = 7200;

my $readme = slurp_file('README.md');
my @blocks = $readme =~ /^```sql\n(.*?)^```$/msg;
cmp_ok(scalar(@blocks), '>=', 6, 'the README has commands');

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->start;
is($node->safe_psql('postgres', 'SHOW metasd.nice'), '0', 'trainings do not give way to the rest of the machine');

my $count = 0;
for my $block (@blocks)
{
	my ($stdout, $stderr);

	# What a reader's pace does: a run to be cancelled has a checkpoint, one to be resumed has ended.
	wait_until($node, "SELECT count(*) > 0 FROM metasd.versions WHERE run = $1 AND checkpoint_epoch > 0")
	  if $block =~ /^SELECT kg_cancel\((\d+)\)/;
	wait_until($node, 'SELECT count(*) = 0 FROM metasd.progress')
	  if $block =~ /^SELECT kg_resume/;
	my $rc = $node->psql('postgres', $block, stdout => \$stdout, stderr => \$stderr, timeout => $forever);

	is($rc, 0, 'block ' . ++$count . ' runs: ' . (split /\n/, $block)[0])
	  or diag("$block\n$stderr");
	if ($block =~ /kg_predict\('Senegal'/)
	{
		my @answers = split /\n/, $stdout;

		is(scalar(@answers), 5 + 5 + 3 + 5 + 1, 'every question has its answers');
		unlike($stdout, qr/^\d+\|African Union\|/m, 'what is known is left out');
	}
	my $shown = $block =~ /kg_resume/ ? qr/INFO:  run \d+ was resumed from its checkpoint, after epoch [1-9]/
	  : qr/INFO:  epoch 1 of \d+: loss/;
	like($stderr, $shown, 'epochs are shown') if $block =~ /kg_wait/;
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM metasd.entity'), '0', 'nothing is left');
$node->stop;
done_testing();
