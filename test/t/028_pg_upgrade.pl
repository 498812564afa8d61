# pg_upgrade takes models along: from one cluster to another of the same release; and from the oldest PostgreSQL
# to the newest, where this machine has two with metasd installed in both, as packages or make install do.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

# Upgrades a cluster with models from one installation to another, or within the one of the tests.
sub upgrade
{
	my ($from, $to) = @_;
	my $name = $from ? version_in($from) . '_to_' . version_in($to) : 'same';
	chomp(my $bindir = `pg_config --bindir`);

	# Other installations have their own metasd; what is set for the one of the tests is not for them.
	local $ENV{TEMP_CONFIG} = $ENV{TEMP_CONFIG};
	delete $ENV{TEMP_CONFIG} if $from;

	my $old = new_node("${name}_old", $from ? (install_path => $from, 'metasd.nice' => 0) : ());
	my $superuser = $old->safe_psql('postgres', 'SELECT current_user'); # named as who runs the tests
	$old->safe_psql('postgres', 'CREATE ROLE trainer LOGIN; GRANT SELECT ON facts TO trainer');
	my $run = $old->safe_psql('postgres',
		"SET ROLE trainer; SELECT kg_train('m', 'facts', params => '$QUICK')");
	$old->safe_psql('postgres', "CALL kg_wait($run)");
	my $interrupted = start_training($old, 'slow');
	my $before = answers($old, 'm');
	my $figures = "SELECT run, epoch, loss_full, mrr_pruned FROM metasd.learning_curve WHERE run = $run ORDER BY 2";
	my $curve = $old->safe_psql('postgres', $figures);
	$old->stop;

	my $new = PostgreSQL::Test::Cluster->new("${name}_new", $to ? (install_path => $to) : ());
	# From 18 on a cluster has checksums unless told otherwise, and pg_upgrade wants both alike.
	my $checksums = $to && `'$to/bin/initdb' --help` =~ /(--no-data-checksums)/ ? [$1] : [];
	$new->init(extra => $checksums);
	my $work = PostgreSQL::Test::Utils::tempdir();
	chdir $work or die "cannot change to $work: $!";
	my $program = $to ? "$to/bin/pg_upgrade" : 'pg_upgrade';
	command_ok(
		[
			$program, (`$program --help` =~ /--no-sync/ ? '--no-sync' : ()), '-d', $old->data_dir, '-D', $new->data_dir,
			'-b', ($from ? "$from/bin" : $bindir), '-B', ($to ? "$to/bin" : $bindir),
			'-s', $new->host, '-p', $old->port, '-P', $new->port
		],
		"$name: pg_upgrade");
	$new->append_conf('postgresql.conf', 'metasd.nice = 0') if $to;
	$new->start;
	is(answers($new, 'm'), $before, "$name: the new cluster answers as the old one");
	is($new->safe_psql('postgres', $figures), $curve, "$name: the figures of the training are the same");
	is($new->safe_psql('postgres', "SELECT name, owner, source, last_status FROM metasd.models ORDER BY 1"),
		"m|trainer|facts|succeeded\nslow|$superuser|slow|interrupted", "$name: owners and sources are the same");
	is(status_of($new, $interrupted), 'interrupted', "$name: what was under way is not");
	$new->safe_psql('postgres', 'ALTER EXTENSION metasd UPDATE');
	is(answers($new, 'm'), $before, "$name: and after ALTER EXTENSION UPDATE");
	$run = train($new, 'm', $QUICK);
	cmp_ok($run, '>', $interrupted, "$name: it trains");
	is($new->safe_psql('postgres', "SELECT serving FROM metasd.models WHERE name = 'm'"), $run, "$name: and serves");
	$new->stop;
	return;
}

# The major version of an installation.
sub version_in
{
	my ($folder) = @_;

	return $1 if `'$folder/bin/postgres' --version` =~ /(\d+)/;
	die "no PostgreSQL in $folder\n";
}

upgrade();

# Installations that have metasd: Debian's, PostgreSQL's own RPMs, and those of METASD_INSTALLATIONS, a list with colons.
my %by_version;
for my $folder (glob('/usr/lib/postgresql/*'), glob('/usr/pgsql-*'), split(/:/, $ENV{METASD_INSTALLATIONS} // ''))
{
	next unless -x "$folder/bin/pg_config" && -x "$folder/bin/pg_upgrade";
	chomp(my $share = `'$folder/bin/pg_config' --sharedir`);
	$by_version{ version_in($folder) } = $folder if -e "$share/extension/metasd.control";
}
my ($oldest, @newer) = sort { $a <=> $b } keys %by_version;
SKIP:
{
	skip 'there are no two versions of PostgreSQL with metasd installed, but '
	  . ($oldest ? "only $oldest" : 'none'), 1 unless @newer;
	skip 'the modules of these tests know only their own PostgreSQL', 1
	  unless PostgreSQL::Test::Cluster->can('install_path');
	upgrade($by_version{$oldest}, $by_version{ $newer[-1] });
}
done_testing();
