# Whom a training makes room for: sessions of its server that compute, not other programs.

use strict;
use warnings;

use Time::HiRes qw(time usleep);

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

plan skip_all => 'there is no /proc here' unless -r '/proc/self/status' && -r '/proc/self/stat';

my $node = new_node('throttle', 'metasd.max_workers' => 1, 'metasd.nice' => 10);
my $run = start_training($node, 'm', params => $LONG);
my $pid = worker_of($node, $run);
my $processors = () = slurp_file('/proc/cpuinfo') =~ /^processor\s*:/mg;

wait_until($node, "SELECT phase = 'training' AND done > 0 FROM metasd.progress");

# Ticks that the worker has computed, and how often it has waited of its own accord.
sub state_of_worker
{
	my @stat = split / /, slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr;
	my ($waits) = slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m;

	return ($stat[13 - 2], $waits);
}

# Waits for each second that the worker computes, over so many ticks of it.
sub waits_a_second
{
	my ($ticks) = @_;
	my ($begun, $before) = state_of_worker();
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	my ($now, $waits);

	do
	{
		usleep 50_000;
		($now, $waits) = state_of_worker();
		die "the worker does not compute $ticks ticks\n" if time > $deadline;
	} while ($now < $begun + $ticks);
	note sprintf('%d waits in %d ticks', $waits - $before, $now - $begun);
	return 100 * ($waits - $before) / ($now - $begun || 1);
}

# Other programs on each processor, more than there are.
my @programs;
for (0 .. $processors)
{
	my $child = fork // die $!;
	if ($child == 0)
	{
		1 while 1;
	}
	push @programs, $child;
}
waits_a_second(20);
cmp_ok(waits_a_second(100), '<', 60, 'beside other programs it does not wait');
kill 'KILL', @programs;
waitpid $_, 0 for @programs;

# As many sessions.
my @sessions = map { session($node) } 0 .. $processors;
$_->{stdin} .= "SELECT count(*) FROM (SELECT generate_series(1, 1000000000000)) g;\n" for @sessions;
$_->{run}->pump_nb for @sessions;
wait_until($node, 'SELECT count(*) > ' . $processors
	  . " FROM pg_stat_activity WHERE state = 'active' AND query ~ 'generate_series' AND pid <> pg_backend_pid()");
waits_a_second(10);
cmp_ok(waits_a_second(20), '>', 100, 'beside sessions it does');

$node->safe_psql('postgres', "SELECT kg_cancel($run)");
$node->stop('immediate');
done_testing();
