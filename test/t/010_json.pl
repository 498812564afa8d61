# The writer of JSON: no number and no string makes it fail. A module that is compiled here calls it as it is in the
# library: a training cannot be made to end with such values at will.

use strict;
use warnings;
use utf8;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $folder = PostgreSQL::Test::Utils::tempdir;

append_to_file("$folder/probe.c", <<'C');
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(probe_json);

/* probe_json(number float8, string text, digits int) */
Datum
probe_json(PG_FUNCTION_ARGS)
{
	void *(*begin)(void) = load_external_function("metasd_train", "metasd_json_begin", true, NULL);
	Jsonb *(*end)(void *) = load_external_function("metasd_train", "metasd_json_end", true, NULL);
	void (*open)(void *, const char *) = load_external_function("metasd_train", "metasd_json_open", true, NULL);
	void (*close)(void *) = load_external_function("metasd_train", "metasd_json_close", true, NULL);
	void (*string)(void *, const char *, const char *) = load_external_function("metasd_train", "metasd_json_string", true, NULL);
	void (*number)(void *, const char *, double, int) = load_external_function("metasd_train", "metasd_json_number", true, NULL);
	void (*fixed)(void *, const char *, double, int) = load_external_function("metasd_train", "metasd_json_fixed", true, NULL);
	void (*whole)(void *, const char *, int64) = load_external_function("metasd_train", "metasd_json_whole", true, NULL);
	void (*object)(void *, const char *, Jsonb *) = load_external_function("metasd_train", "metasd_json_object", true, NULL);
	void *json = begin();
	double value = PG_GETARG_FLOAT8(0);
	char *label = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	Jsonb *copy;

	number(json, "number", value, PG_GETARG_INT32(2));
	open(json, "inner");
	fixed(json, "fixed", value, PG_GETARG_INT32(2));
	string(json, "string", label);
	close(json);
	whole(json, "whole", PG_INT64_MIN);
	copy = end(json);
	json = begin();
	object(json, "copy", copy);
	string(json, label ? label : "", "value");
	PG_RETURN_JSONB_P(end(json));
}
C
my $include = `pg_config --includedir-server`;
chomp $include;
system_or_bail('gcc', '-Werror', '-O1', '-fPIC', '-shared', '-I', $include, '-o', "$folder/probe.so", "$folder/probe.c");

my $node = new_node('json');
$node->safe_psql('postgres', "CREATE FUNCTION probe(number float8, string text, digits int) RETURNS jsonb
	LANGUAGE C AS '$folder/probe', 'probe_json'");

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
