# What a file system can do to images beside damaging them: other things under their names, and a write that
# fails half-way. Sessions answer as if there were no files, and nothing is left behind.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('image_files');
my $base = $node->data_dir . '/base';

# An epoch's worth of weights, all of which are kept: an image of several megabytes.
my $large = '{"rank": 800, "epochs": 1, "warmup": 1, "ramp": 0, "finetune": 0, "sparsity": 0, "storage": "float32",'
  . ' "promote_tolerance": 1}';
my $run = $node->safe_psql('postgres', "SELECT kg_train('large', 'slow', params => '$large')");
$node->safe_psql('postgres', "CALL kg_wait($run)");
train($node, 'm', $QUICK);

sub file_of
{
	my ($model) = @_;

	return "$base/pgsql_tmp/" . $node->safe_psql('postgres', "
		SELECT 'pgsql_tmp_metasd_' || d.oid || '_' || r.uuid
		FROM metasd.model m JOIN metasd.run r ON r.id = m.serving, pg_database d
		WHERE m.name = '$model' AND d.datname = current_database()");
}

sub images { return glob "$base/pgsql_tmp/pgsql_tmp_metasd_*"; }

sub ask
{
	my ($model) = @_;

	return "SELECT string_agg(tail || ' ' || score, ' ') FROM kg_predict('e1', 'r1', 5, model => '$model')";
}

my %file = map { $_ => file_of($_) } 'm', 'large';
my %answer = map { $_ => $node->safe_psql('postgres', ask($_)) } 'm', 'large';
cmp_ok(-s $file{large}, '>', 4 << 20, 'an image is large');

# ---- a write that fails ----

{
	my $session = session($node);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	unlink images();
	limit_process($pid, 'fsize=1000000:unlimited');
	is($session->query(ask('large')), $answer{large}, 'where a file cannot be written to its end the answer is right');
	like($session->{stderr}, qr{WARNING:  could not write file "base/pgsql_tmp/.*File too large}, 'with a warning');
	is_deeply([images()], [], 'no part of it is left behind');
	$session->{stderr} = '';
	is($session->query_safe(ask('m')), $answer{m}, 'a smaller one is written');
	is_deeply([images()], [ $file{m} ], 'and stays');
	$session->quit;
}

# A file of some megabytes that was touched is read in full, and interrupts are served meanwhile.
$node->safe_psql('postgres', ask('large'));
utime(undef, undef, $file{large}) or die;
my $time = (stat $file{large})[9];
is($node->safe_psql('postgres', ask('large')), $answer{large}, 'a large file that was touched is as good as before');
isnt((stat $file{large})[9], $time, 'which is noted');

# ---- the image of another version ----

unlink $file{m};
link($file{large}, $file{m}) or die;
is($node->safe_psql('postgres', ask('m')), $answer{m}, 'an image of another version is not taken for that of this one');
like(slurp_file($node->logfile), qr/is damaged and will be built again.*DETAIL:  It is of another version/s, 'the log says so');
is((stat $file{m})[3], 1, 'and this version has its own again');
is($node->safe_psql('postgres', ask('large')), $answer{large}, 'as the other one has');

# ---- directories ----

unlink $file{m};
mkdir $file{m} or die;
my ($rc, $out, $err) = $node->psql('postgres', ask('m'));
is($out, $answer{m}, 'with a directory in its place a session has an image of its own');
like($err, qr{WARNING:  could not write file "base/pgsql_tmp/.*directory}, 'with a warning');
is_deeply([ sort(images()) ], [ sort(values %file) ], 'no draft is left behind');
rmdir $file{m} or die;

my $stranger = $file{m} =~ s/_[^_]*$/_00000000-0000-4000-8000-000000000000/r;
mkdir $stranger or die;
is($node->safe_psql('postgres', ask('m')), $answer{m}, 'a directory under the name of another version harms nobody');
ok(-e $file{m}, 'there is an image');
like(slurp_file($node->logfile), qr{LOG:  could not remove file "base/pgsql_tmp/.*_00000000-0000-4000-8000-000000000000"},
	'the log says that it cannot be removed');
rmdir $stranger or die;

unlink images();
rmdir "$base/pgsql_tmp" or die;
chmod(0500, $base) or die;
($rc, $out, $err) = $node->psql('postgres', ask('m'));
is($out, $answer{m}, 'where no directory can be made a session has an image of its own');
like($err, qr{WARNING:  could not write file "base/pgsql_tmp/.*Permission denied}, 'with a warning');
chmod(0700, $base) or die;
is($node->safe_psql('postgres', ask('m')), $answer{m}, 'and where it can be');
ok(-e $file{m}, 'there is an image for all');
$node->stop;
done_testing();
