# The writer of JSON: no number and no string makes it fail. test/modules/probe_json.c calls it: a training cannot be
# made to end with such values at will.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('json');
$node->safe_psql('postgres', "CREATE FUNCTION probe(number float8, string text, digits int) RETURNS jsonb
	LANGUAGE C AS 'probe_json', 'probe_json'");

sub probe
{
	my ($number, $string, $digits) = @_;

	return $node->safe_psql('postgres', "SELECT probe('$number', $string, $digits)");
}

is(probe('0.127', q{'a'}, 2),
	'{"a": "value", "copy": {"inner": {"fixed": 0.13, "string": "a"}, "whole": -9223372036854775808, "number": 0.13}}',
	'numbers have as many digits as they should');
for my $number ('NaN', 'Infinity', '-Infinity')
{
	is(probe($number, 'NULL', 9),
		'{"": "value", "copy": {"inner": {"fixed": null, "string": null}, "whole": -9223372036854775808, "number": null}}',
		"$number is null");
}
for my $number ('1e308', '-1e-320', '1e17', '0', '-0')
{
	is($node->safe_psql('postgres', "SELECT (probe('$number', 'a', 17) #>> '{copy,number}')::float8 = '$number'::float8"),
		't', "$number comes back");
}
for my $string (q(E'\\''), q(E'"'), q(E'\\\\'), q(E'\\\\u0000"}'), q(E'a\nb\tc\x01'), q('{"x": 1}'), q(''), q('漢字 é 😀'))
{
	is($node->safe_psql('postgres',
			"SELECT probe(1, $string, 3) #>> '{copy,inner,string}' = $string, probe(1, $string, 3) ->> $string"),
		't|value', "string $string comes back, and is a name");
}

# Quotes in names reach no metrics, but notes and logs.
my $run = $node->safe_psql('postgres', qq{SELECT kg_train(E'a"b''c\\\\d', 'facts', params => '$QUICK')});
$node->safe_psql('postgres', "CALL kg_wait($run)");
is(status_of($node, $run), 'succeeded', 'a model with quotes in its name is trained');

$node->stop;
done_testing();
