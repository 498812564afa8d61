# The tests' own tools: what says that a statement failed, or waits, or looks at parameters, lets nothing through.

use strict;
use warnings;

use Test::Tester; # before all that tests

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = PostgreSQL::Test::Cluster->new('helpers');
$node->init;
$node->start;

# What psql_fails makes of SQL: its one test passed, or did not.
sub passes
{
	my ($sql, $pattern, @more) = @_;
	my ($premature, @results) = run_tests(sub { psql_fails($node, $sql, $pattern, 'it fails', @more) });

	return @results == 1 && $premature eq '' && $results[0]{ok} ? 'passes' : 'does not';
}

sub raise
{
	my ($level, $message, $sql) = @_;

	return "DO \$\$ BEGIN RAISE $level '$message'; END \$\$; $sql";
}

is(passes('SELECT 1 / 0', qr/division by zero/), 'passes', 'an error that matches');
is(passes('SELECT 1; SELECT 1 / 0; SELECT 2', qr/^ERROR:  division by zero$/), 'passes', 'whatever is before and after it');
is(passes('SELECT 1 / 0', qr/overflow/), 'does not', 'another error');
is(passes(raise('NOTICE', 'division by zero', 'SELECT 1'), qr/division by zero/), 'does not', 'a notice of that text');
is(passes(raise('WARNING', 'ERROR:  division by zero', 'SELECT 1'), qr/ERROR:  division by zero/), 'does not',
	'a warning that quotes it');
is(passes(raise('NOTICE', 'division by zero', 'SELECT x'), qr/division by zero/), 'does not',
	'a notice of that text before another error');
is(passes('SELECT 1', qr/.*/s), 'does not', 'no error');
is(passes(q{DO $$ BEGIN RAISE 'no' USING HINT = 'Look elsewhere.'; END $$}, qr/ERROR:  no\nHINT:  Look elsewhere\./), 'passes',
	'its hint is a part of it');
is(passes('SELECT pg_terminate_backend(pg_backend_pid())', qr/FATAL:  terminating connection/), 'passes',
	'an error that ends the session');
is(passes('SELECT current_database() / 1', qr/ERROR:  operator does not exist/, 'template1'), 'passes', 'in another database');

# What waits dies at its deadline.
{
	local $PostgreSQL::Test::Utils::timeout_default = 1;
	my $diagnostics = sub {
		my ($what) = @_;
		my $died;
		run_tests(sub { $died = eval { $what->(); 1 } ? '' : $@ });
		return $died;
	};

	is(wait_until($node, 'SELECT true'), 1, 'what is so is not waited for');
	like($diagnostics->(sub { wait_until($node, 'SELECT false') }), qr/^waited in vain at line \d+ until: SELECT false$/,
		'what does not come about ends the test');
	like($diagnostics->(sub { wait_until_gone($$) }), qr/^process $$ was still there after 1 s/,
		'so does a process that stays');
	like($diagnostics->(sub { limit_process($$, 'nothing=1') }), qr/^prlimit .* failed$/, 'and a limit that cannot be set');
}

# Every server of the tests looks at the parameters of all statements.
$node->safe_psql('postgres',
	q{CREATE FUNCTION probe(set boolean) RETURNS int LANGUAGE c AS 'whole_params', 'whole_params_probe'});
is($node->safe_psql('postgres', 'SELECT probe(true)'), '7', 'a statement with all its parameters runs');
psql_fails($node, 'SELECT probe(false)', qr/ERROR:  parameter \$2, of type text\[\], has neither a value nor null in: SELECT \$1$/m,
	'one that lacks a parameter is an error, though it does not mention it');

$node->stop;
done_testing();
