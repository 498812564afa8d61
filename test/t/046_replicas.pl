# A primary and two standbys under questions, from clients that are given all three servers: while new versions serve, while
# the primary dies and a standby takes its place. Each answer is that of one version whole.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

use MetasdTest;

my $primary = new_node('replicas_1', streaming => 1, hot_standby_feedback => 'on', max_worker_processes => 16);
my @servers = ($primary);

# Answers of the version that serves, from one snapshot, as one line.
my $question = q{
	SELECT md5(string_agg(p::text, ' ' ORDER BY h.i, p.side, p.rank))
	FROM generate_series(1, 20) h (i),
		 LATERAL (SELECT 1, * FROM kg_predict('e' || h.i, 'r1', 5, 'm') UNION ALL
				  SELECT 2, * FROM kg_predict_heads('r2', 'e' || h.i, 5, 'm')) p (side, rank, answer, score, probability, known)};
$question =~ s/\s+/ /g;

my $over; # when the last training was over

sub trained
{
	my ($server, $seed) = @_;

	train($server, 'm', $QUICK =~ s/\{/{"seed": $seed, /r);
	$over = time;
	return $server->safe_psql('postgres', $question);
}

my %version = (trained($primary, 1) => 1);
$primary->backup('copy');
for my $i (2, 3)
{
	my $standby = PostgreSQL::Test::Cluster->new("replicas_$i");

	$standby->init_from_backup($primary, 'copy', has_streaming => 1);
	$standby->start;
	push @servers, $standby;
}

# A connection string with all servers, a given one first. libpq takes the first that it reaches; from 16 on it can choose by
# chance.
my $psql_version = (`psql --version` =~ / (\d+)/)[0];

sub all_servers
{
	my ($first, $wanted) = @_;
	my @order = map { $servers[($first + $_) % 3] } 0 .. 2;
	my $by_chance = $psql_version >= 16 && $wanted eq 'any' ? ' load_balance_hosts=random' : '';

	return sprintf "host=%s port=%s dbname=postgres target_session_attrs=%s connect_timeout=10$by_chance",
	  join(',', map { $_->host } @order), join(',', map { $_->port } @order), $wanted;
}

# ---- clients ----

my $folder = PostgreSQL::Test::Utils::tempdir();
my $ended = "$folder/ended";

# Asks until the test ends, each time over a new connection; writes a line per answer: time, port of the server, answer.
sub ask
{
	my ($client) = @_;
	my @attributes = ('any', 'any', 'any', $psql_version >= 14 ? 'prefer-standby' : 'any');

	open my $log, '>', "$folder/client_$client" or die "cannot write: $!";
	$log->autoflush;
	for (my $n = $client; !-e $ended; $n++)
	{
		my ($out, $err) = ('', '');

		IPC::Run::run(
			[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', all_servers($n, $attributes[ $n % 4 ]),
				'-c', "SELECT current_setting('port')", '-c', $question, '-c', $question ],
			'>', \$out, '2>', \$err);
		my ($port, @answers) = split /\n/, $out;
		printf $log "%.3f %s %s\n", time, $port, $_ for @answers;
		print $log "error $err\n" =~ s/\n(?=.)/ /gr if $err;
	}
	close $log;
	return;
}

my @clients;
for my $client (0 .. 2)
{
	my $pid = fork // die "cannot fork: $!";

	if ($pid == 0)
	{
		eval { ask($client) };
		POSIX::_exit($@ ? 1 : 0);
	}
	push @clients, $pid;
}

# All lines of all clients, in the order of time.
sub lines
{
	my @lines = map { split /\n/, slurp_file($_) } glob "$folder/client_*";

	return sort { ($a =~ /^([\d.]+)/)[0] <=> ($b =~ /^([\d.]+)/)[0] } grep { /^\d/ } @lines;
}

# Waits until each of the servers has given an answer of that version to a client; when the last did so.
sub wait_for_version
{
	my ($answer, @wanted) = @_;
	my $begun = time;

	while (time - $begun < $PostgreSQL::Test::Utils::timeout_default)
	{
		my %first;

		for (lines())
		{
			my ($when, $port, $given) = split / /;
			$first{$port} //= $when if $given eq $answer;
		}
		my @missing = grep { !$first{ $_->port } } @wanted;
		return (sort { $b <=> $a } map { $first{ $_->port } } @wanted)[0] unless @missing;
		usleep(50_000);
	}
	return undef;
}

# ---- what happens meanwhile ----

ok(wait_for_version((keys %version)[0], @servers), 'clients are answered by all three servers');
my $new = trained($primary, 2);
$version{$new} = 2;
my $all = wait_for_version($new, @servers);
ok($all, 'a new version serves on all of them');
note(sprintf 'all three servers answered by the new version %.2f s after its training was over, as clients saw it', ($all // 0) - $over);

$primary->stop('immediate');
my $begun = time;
$servers[1]->promote;
ok(wait_until($servers[1], 'SELECT NOT pg_is_in_recovery()'), 'the primary dies, a standby takes its place');
note(sprintf 'promoted after %.2f s', time - $begun);
$servers[2]->append_conf('postgresql.conf', sprintf "primary_conninfo = '%s application_name=replicas_3'", $servers[1]->connstr =~ s/'/''/gr);
$servers[2]->reload;
my $last = trained($servers[1], 3);
$version{$last} = 3;
$all = wait_for_version($last, @servers[ 1, 2 ]);
ok($all, 'a version of the new primary serves on both');
note(sprintf 'both answered by it %.2f s after its training was over', ($all // 0) - $over);
is(scalar(keys %version), 3, 'the three versions answer otherwise');
is($servers[1]->safe_psql('postgres', "SELECT kg_rollback('m') IS NOT NULL"), 't', 'the new primary goes back');
ok(wait_for_version($new, @servers[ 1, 2 ]), 'and is followed');
append_to_file($ended, '');
waitpid($_, 0) for @clients;

# ---- what the clients got ----

my @lines = lines();
my @foreign = grep { !$version{ (split / /)[2] } } @lines;
my %given;
$given{ (split / /)[1] }++ for @lines;
is("@foreign", '', 'no answer is of no version');
note(sprintf '%d answers: %s', scalar(@lines), join ', ', map { ($given{ $_->port } || 0) . ' of ' . $_->name } @servers);

# As a client sees it, a server goes from one version to the next; only the rollback goes back.
for my $server (@servers)
{
	my @orders = map { join '', map { $version{ (split / /)[2] } // '' } grep { /^[\d.]+ @{[ $server->port ]} / } split /\n/, slurp_file($_) } glob "$folder/client_*";

	is(scalar(grep { !/^1*2*3*2*$/ } @orders), 0, $server->name . ' went from version to version') or diag("@orders");
}

# Connections may be lost with a server; no question fails otherwise.
my @errors = grep { !/could not connect|connection to server|server closed the connection|terminating connection|the database system is/ }
	grep { /^error/ } map { split /\n/, slurp_file($_) } glob "$folder/client_*";
is("@errors", '', 'no question fails but for a server that is gone');
my ($rc, $out, $err) = $servers[1]->psql('postgres', "SELECT pg_is_in_recovery()",
	connstr => all_servers(0, $psql_version >= 14 ? 'primary' : 'read-write'));
is($out, 'f', 'target_session_attrs finds the new primary among them');
$_->stop for @servers[ 2, 1 ];
done_testing();
