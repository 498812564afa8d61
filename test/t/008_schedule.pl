# Schedules, by pg_cron as Debian has it.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $name = "it's \"a\\b\"; DROP TABLE facts; --"; # of a model
my $quoted = $name =~ s/'/''/gr;
my $jobs = q{SELECT count(*) FROM cron.job};

my $node = PostgreSQL::Test::Cluster->new('schedule');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\n");
$node->start;
-e config_of($node, '--sharedir') . '/extension/pg_cron.control'
  or plan skip_all => 'pg_cron is missing: test/setup.sh test installs it';
$node->safe_psql('postgres', 'CREATE EXTENSION metasd');
load_graph($node, 'postgres', 'facts');
train($node, 'm', $QUICK);

# Not loaded: what to do about it.
psql_fails($node, "SELECT kg_schedule('m', '0 3 * * *')",
	qr/ERROR:  schedules need the extension pg_cron in this database\nHINT:  Install it \(Debian: postgresql-\d+-cron\), set shared_preload_libraries = 'pg_cron' and cron.database_name = 'postgres' in postgresql.conf, restart the server, and run CREATE EXTENSION pg_cron\./,
	'without pg_cron the hint says how to get it');
psql_fails($node, "SELECT kg_unschedule('m')", qr/HINT:  Install it/, 'so does that of kg_unschedule');

# Loaded: the extension is missing.
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'whole_params, pg_cron'
cron.database_name = 'postgres'
cron.use_background_workers = on
max_worker_processes = 20
});
$node->restart;
psql_fails($node, "SELECT kg_schedule('m', '0 3 * * *')", qr/HINT:  Run CREATE EXTENSION pg_cron\.$/,
	'without the extension the hint says to create it');

# A schema of that name is not the extension.
$node->safe_psql('postgres', q{
	CREATE SCHEMA cron; CREATE TABLE cron.job (jobid bigint, jobname text, database text, username text);
	CREATE FUNCTION cron.unschedule(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT 1 / 0 > 0';
	INSERT INTO cron.job VALUES (1, 'metasd postgres dropped', 'postgres', 'nobody')});
psql_fails($node, "SELECT kg_schedule('m', '0 3 * * *')", qr/HINT:  Run CREATE EXTENSION pg_cron\.$/,
	'nor does it take a schema of somebody for it');
train($node, 'dropped', $QUICK);
$node->safe_psql('postgres', "SELECT kg_drop('dropped')");
$node->safe_psql('postgres', 'DROP SCHEMA cron CASCADE');

# Too old.
$node->safe_psql('postgres', q{CREATE EXTENSION pg_cron VERSION '1.2'});
psql_fails($node, "SELECT kg_schedule('m', '0 3 * * *')",
	qr/ERROR:  schedules need version 1.3 or later of the extension pg_cron\nHINT:  Run ALTER EXTENSION pg_cron UPDATE/,
	'an old version is refused');
$node->safe_psql('postgres', 'ALTER EXTENSION pg_cron UPDATE');

# A job, and another schedule for it.
my $job = $node->safe_psql('postgres', "SELECT kg_schedule('m', '0 3 * * *')");
my $look = 'SELECT jobid, schedule, command, database, jobname FROM cron.job ORDER BY jobid';
is($node->safe_psql('postgres', $look),
	"$job|0 3 * * *|SELECT metasd.train_scheduled('m')|postgres|metasd postgres m", 'a job of that schedule');
is($node->safe_psql('postgres', "SELECT kg_schedule('m', '0 4 * * *')"), $job, 'another schedule replaces it');
is($node->safe_psql('postgres', $jobs . q{ WHERE schedule = '0 4 * * *'}), '1', 'as the only one');
psql_fails($node, "SELECT kg_schedule('m', 'at dawn')", qr/ERROR:  invalid schedule: at dawn/,
	'a schedule that is none is refused');
psql_fails($node, "SELECT kg_schedule('other', '0 4 * * *')", qr/ERROR:  model "other" does not exist/,
	'a model that is not there, too');
is($node->safe_psql('postgres', "SET quote_all_identifiers = on; SELECT kg_schedule('m', '0 5 * * *')"), $job,
	'so does one with quote_all_identifiers');
is($node->safe_psql('postgres', $look),
	"$job|0 5 * * *|SELECT metasd.train_scheduled('m')|postgres|metasd postgres m", 'as the same job');
is($node->safe_psql('postgres', "SET quote_all_identifiers = on; SELECT kg_unschedule('m')"), 't', 'which that can end');
$node->safe_psql('postgres', "SELECT kg_schedule('m', '0 4 * * *')");
is($node->safe_psql('postgres', "SELECT kg_unschedule('m')"), 't', 'unscheduled');
is($node->safe_psql('postgres', $jobs), '0', 'it is gone');
my ($rc, $out, $err) = $node->psql('postgres', "SELECT kg_unschedule('m')");
is($out, 'f', 'there is none any more');
like($err, qr/NOTICE:  model "m" has no schedule/, 'and a notice says so');

# Undone with the transaction.
$node->safe_psql('postgres', "BEGIN; SELECT kg_schedule('m', '0 3 * * *'); ROLLBACK");
is($node->safe_psql('postgres', $jobs), '0', 'a schedule is undone with its transaction');

# A source that is gone.
$node->safe_psql('postgres', "CREATE TABLE gone AS TABLE facts");
$node->safe_psql('postgres', "SELECT kg_train('gone', 'gone', params => '$QUICK') AS run \\gset\nCALL kg_wait(:run)");
$node->safe_psql('postgres', 'DROP TABLE gone');
psql_fails($node, "SELECT kg_schedule('gone', '0 3 * * *')", qr/ERROR:  the source public.gone of model "gone" does not exist any more/,
	'a model that cannot be trained is not scheduled');

# Any name will do, and kg_drop ends its schedule.
my $long = 'x' x 200;
for my $other ($quoted, $long, "${long}y", 'M')
{
	$node->safe_psql('postgres', "SELECT kg_train('$other', 'facts', params => '$QUICK') AS run \\gset\nCALL kg_wait(:run)");
	$node->safe_psql('postgres', "SELECT kg_schedule('$other', '0 3 * * *')");
}
is($node->safe_psql('postgres', $jobs), '4', 'each has a job of its own');
my $command = $node->safe_psql('postgres', qq{SELECT command FROM cron.job WHERE command LIKE '%DROP%'});
my $count = $node->safe_psql('postgres', "SELECT count(*) FROM metasd.versions WHERE model = '$quoted'");
my $run = $node->safe_psql('postgres', "SET standard_conforming_strings = off; $command");
wait_for_status($node, $run, 'succeeded', 'its command trains, whatever the name');
is($node->safe_psql('postgres', "SELECT count(*) - $count FROM metasd.versions WHERE model = '$quoted'"), '1',
	'that model');
for my $other ($quoted, $long, "${long}y", 'M')
{
	$node->safe_psql('postgres', "SELECT kg_drop('$other')");
}
is($node->safe_psql('postgres', $jobs), '0', 'kg_drop has ended all of them');

# Who may: the owner, and members of his role, as themselves.
$node->safe_psql('postgres', q{
	CREATE ROLE owner LOGIN; CREATE ROLE member LOGIN IN ROLE owner; CREATE ROLE grouped IN ROLE owner;
	CREATE ROLE stranger LOGIN; GRANT SELECT ON facts TO owner, stranger;
	GRANT USAGE ON SCHEMA cron TO member, stranger});
$node->safe_psql('postgres',
	"SET ROLE owner; SELECT kg_train('owned', 'facts', params => '$QUICK') AS run \\gset\nCALL kg_wait(:run)");
psql_fails($node, "SET ROLE stranger; SELECT kg_schedule('owned', '0 3 * * *')",
	qr/ERROR:  must be owner of model "owned"/, 'a stranger may not schedule');
psql_fails($node, "SET ROLE owner; SELECT kg_schedule('owned', '0 3 * * *')",
	qr/ERROR:  permission denied for schema cron\nHINT:  Let a superuser GRANT USAGE ON SCHEMA cron TO owner\./,
	'pg_cron itself has to be granted');
psql_fails($node, "SET ROLE grouped; SELECT kg_schedule('owned', '0 3 * * *')",
	qr/ERROR:  role "grouped" cannot have a schedule: it is not permitted to log in\nHINT/,
	'a job must be able to log in');
$node->safe_psql('postgres', q{SET ROLE member; SELECT kg_schedule('owned', '0 3 * * *')});
is($node->safe_psql('postgres', 'SELECT username FROM cron.job'), 'member', 'the job runs as the caller');
$node->safe_psql('postgres', q{GRANT USAGE ON SCHEMA cron TO owner; SET ROLE owner; SELECT kg_schedule('owned', '0 5 * * *')});
is($node->safe_psql('postgres', 'SELECT username, schedule FROM cron.job'), 'owner|0 5 * * *',
	'and takes the place of a job of another member');
psql_fails($node, "SET ROLE stranger; SELECT kg_unschedule('owned')",
	qr/ERROR:  must be owner of model "owned"/, 'a stranger may not end it');
$node->safe_psql('postgres', q{SET ROLE member; SELECT kg_drop('owned')});
is($node->safe_psql('postgres', $jobs), '0', 'whoever drops a model ends its schedule');

# Another database: its jobs are made where pg_cron is.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION metasd');
load_graph($node, 'other', 'facts');
train($node, 'm', $QUICK, 'other');
my $error = psql_fails($node, "SELECT kg_schedule('m', '0 3 * * *')",
	qr/\nHINT:  pg_cron works in database "postgres"\. Run there: SELECT cron/, 'elsewhere a hint says where to go', 'other');
my ($there) = $error =~ /Run there: (SELECT cron.*)\.$/m;
$node->safe_psql('postgres', $there);
is($node->safe_psql('postgres', 'SELECT command, database, jobname FROM cron.job'),
	"SELECT metasd.train_scheduled('m')|other|metasd other m", 'and what to call there');
psql_fails($node, "SELECT kg_unschedule('m')", qr/Run there: SELECT cron\.unschedule\('metasd other m'\)\./,
	'likewise to end it', 'other');
is($node->safe_psql('postgres', "SELECT cron.unschedule('metasd other m')"), 't', 'which ends it');

# A job there of a model that has been dropped here fails, and says how to end it.
$node->safe_psql('postgres', $there);
$node->safe_psql('other', "SELECT kg_drop('m')");
psql_fails($node, "SELECT metasd.train_scheduled('m')",
	qr/ERROR:  model "m" does not exist\nHINT:  SELECT cron\.unschedule\('metasd other m'\) in database "postgres" ends its schedule\./,
	'a job of a model that is gone says how to end it', 'other');
is($node->safe_psql('postgres', "SELECT cron.unschedule('metasd other m')"), 't', 'which it does');

# A model is dropped while pg_cron is not loaded: its job stays, and a warning says what to do about it.
train($node, 'left', $QUICK);
$job = $node->safe_psql('postgres', "SELECT kg_schedule('left', '0 3 * * *')");
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'whole_params'\n");
$node->restart;
($rc, $out, $err) = $node->psql('postgres', "SELECT kg_drop('left')");
is($rc, 0, 'without pg_cron loaded a model can be dropped');
like($err, qr/WARNING:  the schedule of model "left" could not be removed\nDETAIL:  The extension pg_cron is not loaded\.\nHINT:  Once it is loaded, run SELECT cron\.unschedule\($job\)\./,
	'with a warning');
is($node->safe_psql('postgres', $jobs), '1', 'its job stays');
($rc, $out, $err) = $node->psql('postgres', "SELECT kg_train('quiet', 'facts', params => '$QUICK') AS run \\gset\nSELECT kg_drop('quiet')");
is($err, '', 'one that has no schedule is dropped without');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'whole_params, pg_cron'\n");
$node->restart;
is($node->safe_psql('postgres', "SELECT cron.unschedule($job)"), 't', 'the hint ends it');

# One that finds a run under way skips. That run waits, as costs nothing, until all is seen.
gate($node, 50, 'true');
$run = start_training($node, 'busy', source => 'facts');
my $offset = -s $node->logfile;
is($node->safe_psql('postgres', "SELECT metasd.train_scheduled('busy') IS NULL"), 't',
	'a scheduled training that finds one under way does nothing');
like(slurp_file($node->logfile, $offset),
	qr/LOG:  scheduled training of metasd model "busy" is skipped: training run $run is still running/,
	'but for a line in the log');

# A minute strikes: one model is trained, as the one who scheduled it; that under way goes on.
$node->safe_psql('postgres', "SET ROLE owner; SELECT kg_train('owned', 'facts', params => '$QUICK') AS run \\gset\nCALL kg_wait(:run)");
$node->safe_psql('postgres', q{SET ROLE owner; SELECT kg_schedule('owned', '* * * * *')});
$node->safe_psql('postgres', q{SELECT kg_schedule('busy', '* * * * *')});
my $details = q{SELECT string_agg(DISTINCT concat_ws(' ', username, status, command), '; ' ORDER BY concat_ws(' ', username, status, command))
	FROM cron.job_run_details WHERE status NOT IN ('starting', 'running', 'sending', 'connecting')};
wait_until($node, "SELECT coalesce(($details) ~ 'busy.*owned|owned.*busy', false)");
my $done = $node->safe_psql('postgres', $details);
my $me = $node->safe_psql('postgres', 'SELECT current_user');
like($done, qr/owner succeeded SELECT metasd.train_scheduled\('owned'\)/, 'a job has run as who scheduled it');
like($done, qr/$me succeeded SELECT metasd.train_scheduled\('busy'\)/, 'one that skips has not failed');
$node->safe_psql('postgres', q{SELECT kg_unschedule('owned'), kg_unschedule('busy')});
ok(wait_until($node, q{
	SELECT count(*) > 1 AND bool_and(status = 'succeeded') FROM metasd.versions WHERE model = 'owned'}),
	'and has trained');
is($node->safe_psql('postgres', q{SELECT count(*) FROM metasd.versions WHERE model = 'busy'}), '1',
	'the other is still the only one');
is(status_of($node, $run), 'running', 'and goes on');
$node->safe_psql('postgres', 'UPDATE gate SET closed = false');
$node->safe_psql('postgres', "SELECT kg_drop('busy')");

# A promoted version is said to be, and one that is not.
$run = $node->safe_psql('postgres', "SELECT kg_train('m', params => '{\"epochs\": 1, \"lr\": 1e-9, \"promote_tolerance\": 0}')");
($rc, $out, $err) = $node->psql('postgres', "CALL kg_wait($run)");
like($err, qr/NOTICE:  version $run of model "m" was not promoted\nDETAIL:  Its MRR on held-out facts is [\d.]+\. Version \d+, which served, has [\d.]+: the difference is more than promote_tolerance, 0\.\nHINT:  SELECT kg_promote\('m', $run\) lets it serve/,
	'kg_wait says that a version was not promoted');
like(slurp_file($node->logfile), qr/LOG:  metasd run $run of model "m" was not promoted\n.*DETAIL:  Its MRR/, 'so does the log');
$run = $node->safe_psql('postgres', "SELECT kg_train('m', params => '{\"keep_versions\": 1}')");
($rc, $out, $err) = $node->psql('postgres', "CALL kg_wait($run)");
like($err, qr/was not promoted\nDETAIL:  .*\nHINT:  Its embeddings are not kept: the parameter keep_versions is 1, which keeps only those of the version that serves\./,
	'what is not kept cannot be promoted');
my $next = $node->safe_psql('postgres', "SELECT kg_train('m', params => '{\"validation_fraction\": 0}')");
($rc, $out, $err) = $node->psql('postgres', "CALL kg_wait($next)");
like($err, qr/NOTICE:  version $next of model "m" was promoted without a comparison\nDETAIL:  It was not compared with version \d+: no fact was held out from both\./,
	'or that it was without a comparison');

$node->stop;
done_testing();
