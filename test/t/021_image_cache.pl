# The image of a version, which all sessions of a database share: built once, by whoever asks
# first; never wrong, whatever becomes of the file or of those who write it.

use strict;
use warnings;

use Fcntl qw(:mode);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('image', streaming => 1, log_min_messages => 'debug1',
	max_connections => 20);
train($node, 'm', $QUICK);
my $directory = $node->data_dir . '/base/pgsql_tmp';

sub oid_of
{
	my ($on, $database) = @_;

	return $on->safe_psql($database, 'SELECT oid FROM pg_database WHERE datname = current_database()');
}

# The files of a database, or all there are.
sub files
{
	my ($on, $database) = @_;
	my $oid = defined $database ? oid_of($on, $database) : '*';

	my @files = glob($on->data_dir . "/base/pgsql_tmp/pgsql_tmp_metasd_${oid}_*");

	return @files;
}

# The file of the version that serves a model.
sub file_of
{
	my ($model, $database, $on) = @_;
	$database //= 'postgres';
	$on //= $node;
	my $uuid = $on->safe_psql($database,
		"SELECT r.uuid FROM metasd.model m JOIN metasd.run r ON r.id = m.serving WHERE m.name = '$model'");

	return $on->data_dir . '/base/pgsql_tmp/pgsql_tmp_metasd_' . oid_of($on, $database) . "_$uuid";
}

sub inode { return (stat $_[0])[1] // 0; }

# How often the server's log has said so.
sub logged
{
	my ($pattern) = @_;
	my $log = slurp_file($node->logfile);

	return scalar(() = $log =~ /$pattern/g);
}

# A session that has asked a question which it does not get an answer to now.
sub asking
{
	my ($model) = @_;
	my $session = session($node);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	$session->query_until(qr/asking/,
		"\\echo asking\nSELECT tail FROM kg_predict('e1', 'r1', 3, model => '$model');\n");
	return ($session, $pid);
}

sub wait_for_locks
{
	my ($n, $kind, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until($node, "SELECT count(*) = $n FROM pg_locks WHERE NOT granted AND locktype = '$kind'"), $name);
	return;
}

# ---- built once ----

my $file = file_of('m');
is_deeply([files($node)], [$file], 'before the first question there is an image, named by database and version');
my @built = (stat $file)[1, 9];
my $before = answers($node, 'm');
isnt($before, '', 'the model answers');
is_deeply([(stat $file)[1, 9]], \@built, 'from it');
is(logged(qr/built "base/), 1, 'which the worker built');
unlink $file;
answers($node, 'm');
is(S_IMODE((stat $file)[2]), oct('600'), 'which is for the server alone');
my @stat = (stat $file)[1, 7, 9];
is(answers($node, 'm'), $before, 'another session answers the same');
is_deeply([(stat $file)[1, 7, 9]], \@stat, 'from the same file');
is(logged(qr/built "base/), 2, 'which was built once');

my $session = session($node);
$session->query_safe("SELECT * FROM kg_predict('e1', 'r1', 3)");
my $pid = $session->query_safe('SELECT pg_backend_pid()');
my $name = $file =~ s/.*pgsql_tmp_/pgsql_tmp_/r;
like(slurp_file("/proc/$pid/maps"), qr/r--s .*$name$/m, 'a session maps it to read');
unlink $file;
is($session->query_safe("SELECT count(*) FROM kg_predict('e1', 'r1', 3)"), '3',
	'a mapping outlives the file');
$session->quit;
is(answers($node, 'm'), $before, 'a session that finds no file builds one');
ok(-e $file, 'for others, too');

$node->safe_psql('postgres', 'CREATE ROLE reader LOGIN; GRANT SELECT ON facts TO reader');
unlink $file;
is($node->safe_psql('postgres', "SELECT count(*) FROM kg_predict('e1', 'r1', 3)",
		extra_params => ['-U', 'reader']), '3', 'whoever may ask may be the first');
ok(-e $file, 'and shares it');
psql_fails($node, "SELECT * FROM kg_predict('e1', 'r1', 1); SET metasd.image_cache_size = 0",
	qr/permission denied to set parameter "metasd.image_cache_size"/,
	'but has no say in what is kept', 'postgres', extra_params => ['-U', 'reader']);

# What a transaction has changed, and may take back, is its own, and its session's no longer than that.
unlink $file;
my $ask = "SELECT string_agg(tail || score, ' ') FROM kg_predict('e1', 'r1', 5);";
my ($changed, $unchanged) = split /\n/, $node->safe_psql('postgres', qq{
		BEGIN;
		UPDATE metasd.entity e SET embedding = o.embedding
		FROM metasd.entity o WHERE o.run = e.run AND e.id = 1 AND o.id = 2;
		$ask
		ROLLBACK;
		$ask});
isnt($changed, $unchanged, 'a transaction that changes an embedding answers by it');
is($node->safe_psql('postgres', $ask), $unchanged, 'until it rolls back');
is(answers($node, 'm'), $before, 'others by what is committed');

# ---- damage ----

sub damage
{
	my ($name, $change) = @_;
	my $built = logged(qr/built "base/); # another file may well get the number of the first
	my $known = logged(qr/is damaged and will be built again/);

	open(my $handle, '+<:raw', $file) or die "$file: $!";
	$change->($handle, -s $file);
	close($handle) or die "$file: $!";
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(answers($node, 'm'), $before, "$name: the answers are right");
	is(logged(qr/built "base/), $built + 1, "$name: the image is built again");
	is(logged(qr/is damaged and will be built again/), $known + 1, "$name: the log says so");
	is(answers($node, 'm'), $before, "$name: and right again");
	is(logged(qr/is damaged and will be built again/), $known + 1, "$name: by the new image");
	return;
}

# Changes N bytes at a place.
sub scribble
{
	my ($place, $n) = @_;

	return sub {
		my ($handle, $size) = @_;
		my $at = $place < 1 ? int($place * $size) : $place;

		seek($handle, $at, 0) or die;
		read($handle, my $bytes, $n) == $n or die;
		seek($handle, $at, 0) or die;
		print $handle ~$bytes;
	};
}

damage('the start', scribble(1, 1));
damage('the time in the frame', scribble(40, 1));
damage('the header of the image', scribble(64 + 90, 1));
damage("a place at $_", scribble($_, 4)) for 0.1, 0.3, 0.5, 0.7, 0.9;
damage('the last byte', sub { scribble($_[1] - 1, 1)->(@_) });
damage('a page', scribble(0.5, 4096));
damage('cut to nothing', sub { truncate($_[0], 0) or die });
damage('cut to the frame', sub { truncate($_[0], 64) or die });
damage('cut to a few bytes', sub { truncate($_[0], 20) or die });
damage('cut in half', sub { truncate($_[0], int($_[1] / 2)) or die });
damage('cut by a byte', sub { truncate($_[0], $_[1] - 1) or die });
damage('something appended', sub { seek($_[0], 0, 2) or die; print { $_[0] } 'x' x 100 });
damage('zeros', sub { print { $_[0] } "\0" x $_[1] });

# What has another time, and is whole, is read in full once, and stays.
my $inode = inode($file);
my $time = (stat $file)[9];
utime(undef, undef, $file) or die;
is(answers($node, 'm'), $before, 'a file that was touched is as good as before');
is(inode($file), $inode, 'and stays');
is((stat $file)[9], $time, 'its time is put right');

# ---- nowhere to write ----

train($node, 'n', $QUICK =~ s/\{/{"seed": 3, /r);
my $other = answers($node, 'n');
my $both = "SELECT count(*) FROM kg_predict('e1', 'r1', 3, model => 'm');
			SELECT count(*) FROM kg_predict('e1', 'r1', 3, model => 'n');";

sub check_unwritable
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($rc, $out, $err) = $node->psql('postgres', $both);
	is($out, "3\n3", "$name: a session answers") or diag($err);
	is(scalar(() = $err =~ /WARNING:  could not write file/g), 1, "$name: with one warning");
	like($err, qr/DETAIL:  This session keeps an image of the model in its own memory/, "$name: which says why");
	is($node->safe_psql('postgres', "SET client_min_messages = error; $both"), "3\n3", "$name: others, too");
	return;
}

unlink files($node);
chmod(0500, $directory) or die;
check_unwritable('a directory that is read only');
is_deeply([files($node)], [], 'nothing is left behind');
chmod(0700, $directory) or die;
is(answers($node, 'm'), $before, 'once it can be written to');
ok(-e $file, 'there is an image again');

unlink files($node);
rmdir($directory) or die;
append_to_file($directory, 'no directory');
check_unwritable('something else in its place');
unlink($directory) or die;
is(answers($node, 'm'), $before, 'where there is no directory');
ok(-e $file, 'it is made');

# ---- many at once, and builders that do not come to an end ----

unlink files($node);
my $blocker = session($node);
$blocker->query_safe('BEGIN; LOCK TABLE metasd.relation IN ACCESS EXCLUSIVE MODE');
my $built = logged(qr/built "base/);
my ($first, $first_pid) = asking('m');
wait_for_locks(1, 'relation', 'a session is building');
my @others = map { [asking('m')] } 1 .. 7;
wait_for_locks(7, 'advisory', 'others wait for it');
my ($elsewhere) = asking('n');
wait_for_locks(2, 'relation', 'but not who asks another model');
is($node->safe_psql('postgres', "SELECT pg_cancel_backend($first_pid)"), 't', 'the first is cancelled');
wait_for_locks(6, 'advisory', 'another builds in its place');
wait_for_locks(2, 'relation', 'and gets as far');
$blocker->query_safe('COMMIT');
my $tails = $node->safe_psql('postgres', "SELECT tail FROM kg_predict('e1', 'r1', 3, model => 'm')");
for my $waiting (@others)
{
	my $answer = $waiting->[0]->query('');

	is($answer, $tails, 'who waited has the answer');
	is($waiting->[0]->{stderr}, '', 'and no error');
	$waiting->[0]->quit;
}
$first->query('');
like($first->{stderr}, qr/ERROR:  canceling statement due to user request/, 'who was cancelled has that error');
$first->{stderr} = '';
is($first->query_safe("SELECT tail FROM kg_predict('e1', 'r1', 3, model => 'm')"), $tails,
	'and can ask again');
$first->quit;
$elsewhere->query('');
$elsewhere->quit;
is(logged(qr/built "base/), $built + 2, 'each image was built once');
is(scalar(files($node)), 2, 'and is there');

# A session ends while it builds, in order or not.
unlink files($node);
$blocker->query_safe('BEGIN; LOCK TABLE metasd.relation IN ACCESS EXCLUSIVE MODE');
($first, $first_pid) = asking('m');
wait_for_locks(1, 'relation', 'a session is building');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($first_pid)");
ok(defined wait_until_gone($first_pid), 'it is terminated');
$blocker->query_safe('COMMIT');
is(answers($node, 'm'), $before, 'others answer');
$first->{run}->finish;

unlink files($node);
$blocker->query_safe('BEGIN; LOCK TABLE metasd.relation IN ACCESS EXCLUSIVE MODE');
($first, $first_pid) = asking('m');
wait_for_locks(1, 'relation', 'a session is building');
append_to_file(file_of('m') . ".$first_pid", 'half an image');
kill 'KILL', $first_pid;
ok(defined wait_until_gone($first_pid), 'it is killed');
ok(wait_for_server($node), 'the server comes back');
$_->{run}->finish for $first, $blocker;
is(answers($node, 'm'), $before, 'and answers');
is_deeply([files($node)], [file_of('m')], 'half an image is not left behind');

# ---- restarts ----

append_to_file($file, 'x');
$node->restart;
is_deeply([files($node)], [], 'a restart removes images');
is(answers($node, 'm'), $before, 'the first to ask builds one');
is_deeply([files($node)], [$file], 'again');

# ---- what is kept ----

is(answers($node, 'n'), $other, 'another model');
my @two = sort(file_of('m'), file_of('n'));
is_deeply([sort(files($node))], \@two, 'has an image of its own');

# An old snapshot goes on with the old version.
my $old = session($node);
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM facts');
my $old_file = file_of('n');
my $ask_n = "SELECT score FROM kg_predict('e1', 'r1', 3, model => 'n')";
my $old_scores = $node->safe_psql('postgres', $ask_n);
train($node, 'n', $QUICK =~ s/\{/{"seed": 4, /r);
ok(-e $old_file, 'when a version has been replaced its image is still there');
my $foreign = "$directory/pgsql_tmp1.0";
append_to_file($foreign, 'of a sort');
append_to_file("$_.999999999", 'of a process that is gone') for file_of('n'), $old_file;
my $next = answers($node, 'n');
isnt($next, $other, 'the new one answers');
ok(-e file_of('n') && -e $old_file, 'by an image; that of the version which served when it was built is still there');
unlink file_of('n');
is(answers($node, 'n'), $next, 'built again');
@two = sort(file_of('m'), file_of('n'));
is_deeply([sort(files($node))], \@two, 'when the old one was removed, and halves of any');
ok(-e $foreign, 'what is not an image is let be');
unlink $foreign;
is($old->query_safe($ask_n), $old_scores, 'a snapshot from before asks the old version');
is(answers($node, 'n'), $next, 'others the new one');
$old->query_safe('COMMIT');
isnt($old->query_safe($ask_n), $old_scores, 'a new snapshot, too');
$old->quit;

# A dropped model does not answer; its image goes with the next that is built.
my $dropped = file_of('n');
$session = session($node);
$session->query_safe("SELECT * FROM kg_predict('e1', 'r1', 3, model => 'n')");
$node->safe_psql('postgres', "SELECT kg_drop('n')");
psql_fails($node, "SELECT * FROM kg_predict('e1', 'r1', 3, model => 'n')",
	qr/model "n" does not exist/, 'a dropped model does not answer');
$session->query("SELECT * FROM kg_predict('e1', 'r1', 3, model => 'n')");
like($session->{stderr}, qr/ERROR:  model "n" does not exist/, 'nor in a session that has asked it');
$session->quit;
ok(-e $dropped, 'its image is there');
train($node, 'n', $QUICK);
$next = answers($node, 'n');
ok(!-e $dropped, 'until the next is built');

# Room for one only: who was used last stays.
my $size = (-s $file) / 1024;
my $tight = 'SET metasd.image_cache_size = ' . int(1.5 * $size) . ';';
train($node, 'o', $QUICK);
my $ages = 1000;
for my $model ('n', 'm')
{
	utime($ages, (stat file_of($model))[9], file_of($model)) or die;
	$ages += 1000;
}
unlink file_of('o');
$node->safe_psql('postgres', 'SET metasd.image_cache_size = ' . int(2.5 * $size) . ";
							  SELECT * FROM kg_predict('e1', 'r1', 3, model => 'o')");
is_deeply([sort(files($node))], [sort(file_of('m'), file_of('o'))], 'what was not used for longest is removed');
is($node->safe_psql('postgres', "SET client_min_messages = error; $tight
			SELECT count(*) FROM kg_predict('e1', 'r1', 3, model => 'm');
			SELECT count(*) FROM kg_predict('e1', 'r1', 3, model => 'n')"), "3\n3",
	'with room for one');
is_deeply([sort(files($node))], [sort(file_of('m'), file_of('n'))],
	'all but what this session has mapped is removed');
unlink files($node);
$node->safe_psql('postgres', "SET metasd.image_cache_size = 1;
							  SELECT * FROM kg_predict('e1', 'r1', 3, model => 'm')");
is_deeply([files($node)], [], 'an image that is larger than that is not shared');
is($node->safe_psql('postgres', "SET metasd.image_cache_size = 0;
								 SELECT tail FROM kg_predict('e1', 'r1', 3, model => 'm')"), $tails,
	'nor is any at 0');
is_deeply([files($node)], [], 'and none is written');
$node->safe_psql('postgres', "SELECT kg_drop('$_')") for 'n', 'o';

# ---- two databases ----

$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE postgres');
is(answers($node, 'm', 'copy'), $before, 'a copy of a database answers the same');
is(answers($node, 'm'), $before, 'as the database');
is_deeply([files($node, 'copy')], [file_of('m', 'copy')], 'it has an image');
is_deeply([files($node, 'postgres')], [$file], 'the database another');
is($file =~ s/.*_//r, file_of('m', 'copy') =~ s/.*_//r, 'of the same version');
my $copied = file_of('m', 'copy');
train($node, 'm', $QUICK =~ s/\{/{"seed": 5, /r, 'copy');
isnt(answers($node, 'm', 'copy'), $before, 'a new version of one');
is_deeply([sort(files($node, 'copy'))], [sort($copied, file_of('m', 'copy'))], 'has an image of its own');
is(answers($node, 'm'), $before, 'not that of the other');
is_deeply([files($node, 'postgres')], [$file], 'which stays');
$node->safe_psql('postgres', 'DROP DATABASE copy');
is(scalar(files($node)), 3, 'when a database is dropped its images are there');
unlink $file;
is(answers($node, 'm'), $before, 'until');
is_deeply([files($node)], [$file], 'one is built in another');

# ---- a standby ----

ok(-e $file, 'the primary has an image');
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
is_deeply([files($standby)], [], 'a base backup has none');
$standby->start;
$node->wait_for_catchup($standby);
is(answers($standby, 'm'), $before, 'the standby answers the same');
is_deeply([files($standby)], [file_of('m', 'postgres', $standby)], 'by an image of its own');
$standby->restart;
is_deeply([files($standby)], [], 'which a restart removes');
is(answers($standby, 'm'), $before, 'and the first to ask builds');
my $standby_inode = inode(file_of('m', 'postgres', $standby));
$standby->promote;
is(answers($standby, 'm'), $before, 'promoted it answers the same');
is(inode(file_of('m', 'postgres', $standby)), $standby_inode, 'by that image');
$standby->stop;

# ---- the extension dropped and made again: the same numbers, other versions ----

$node->safe_psql('postgres', 'DROP EXTENSION metasd');
$node->safe_psql('postgres', 'CREATE EXTENSION metasd');
train($node, 'm', $QUICK =~ s/\{/{"seed": 6, /r);
isnt(answers($node, 'm'), $before, 'after DROP EXTENSION no old image answers');
is_deeply([files($node)], [file_of('m')], 'nor is it left');
$node->stop;
done_testing();
