# pg_upgrade takes models along; here from one cluster to another of the same release.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $old = new_node('old');
$old->safe_psql('postgres', 'CREATE ROLE trainer LOGIN; GRANT SELECT ON facts TO trainer');
my $run = $old->safe_psql('postgres',
	"SET ROLE trainer; SELECT kg_train('m', 'facts', params => '$QUICK')");
$old->safe_psql('postgres', "CALL kg_wait($run)");
my $interrupted = start_training($old, 'slow');
my $before = answers($old, 'm');
my $superuser = $old->safe_psql('postgres', 'SELECT current_user'); # named as who runs the tests
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
my $bindir = config_of($new, '--bindir');
my $work = PostgreSQL::Test::Utils::tempdir();
chdir $work or die "cannot change to $work: $!";
command_ok(
	[
		'pg_upgrade', (`pg_upgrade --help` =~ /--no-sync/ ? '--no-sync' : ()), '-d', $old->data_dir, '-D', $new->data_dir,
		'-b', $bindir, '-B', $bindir, '-s', $new->host, '-p', $old->port, '-P', $new->port
	],
	'pg_upgrade');
$new->start;
is(answers($new, 'm'), $before, 'the new cluster answers as the old one');
is($new->safe_psql('postgres', "SELECT name, owner, source, last_status FROM metasd.models ORDER BY 1"),
	"m|trainer|facts|succeeded\nslow|$superuser|slow|interrupted", 'owners and sources are the same');
is(status_of($new, $interrupted), 'interrupted', 'what was under way is not');
$run = train($new, 'm', $QUICK);
cmp_ok($run, '>', $interrupted, 'it trains');
is($new->safe_psql('postgres', "SELECT serving FROM metasd.models WHERE name = 'm'"), $run, 'and serves');
$new->stop;
done_testing();
