# Parameters and names at random: whatever they are, the server stays up, errors are of the caller's kind,
# nothing in them is run as SQL, and what was accepted comes back as it was given.
# METASD_SEED repeats a run; METASD_ROUNDS (1) makes it that many times as long.

use strict;
use warnings;
use utf8;

use Encode qw(encode decode);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $rounds = $ENV{METASD_ROUNDS} || 1;
my $seed = $ENV{METASD_SEED} || 1;

note("METASD_SEED=$seed METASD_ROUNDS=$rounds");
srand($seed);

# Classes of SQLSTATE: no data, feature not supported, authorization, data, transaction state, schema,
# name or right, resources, limits, state of objects; 38 for a run that has failed; a label that is there twice, an empty
# source. Never an internal error.
my $allowed = qr/^(02|0A|22|25|28|38|3F|42|53|54|55|23505|P0002)/;

my $node = new_node('fuzz', 'metasd.max_workers' => 1, 'metasd.nice' => 0, max_worker_processes => 8,
	log_line_prefix => "'%e %b: '");

sub any { return $_[int(rand(@_))]; }

# ---- strings ----

my @pieces = (
	'a', 'B', '7', ' ', "'", "''", '"', '""', '\\', '\\\\', ';', "\n", "\t", "\r", "\x01", '$$', '$1', '$x$', '%', '%s', '%n',
	'%%', '--', '/*', '*/', '(', ')', '{', '}', '[', ']', ',', '.', ':x', '::', '@extschema@', '?', '=', '<', '&', 'NULL',
	'null', 'é', 'ß', '漢字', '😀', "e\x{301}", "\x{202e}", "\x{a0}", "\x{feff}", 'ǅ', '-1', 'NaN', 'Infinity', '1e999',
	"'; DROP TABLE canary; --", "\"; DELETE FROM canary; --", '$$; SELECT sing(); $$', "' || sing() || '", "\\'; SELECT sing(); --",
	'pg_catalog', 'metasd', 'select', 'a.b', 'x' x 40, '漢' x 25);

sub text
{
	my $length = any(0, 1, 1, 2, 2, 3, 3, 4, 5, 8, 100);

	return join '', map { any(@pieces) } 1 .. $length;
}

sub literal { my ($s) = @_; $s =~ s/'/''/g; return "'$s'"; }
sub quoted { my ($s) = @_; $s =~ s/"/""/g; return "\"$s\""; }

# Arguments: mostly of their type, now and then of any.
sub argument
{
	return any(literal(text()), 'NULL', literal(any(@pieces)) . '::text', int(rand(100)), '-9223372036854775808', "'facts'",
		"'1 s'::interval", "'{}'", "'{1,NULL}'::bigint[]", 'true', "'NaN'::real");
}

sub mostly { return rand() < 0.1 ? argument() : any(@_); }
sub string { return mostly("'e1'", "'r1'", literal(text()), literal(text()), literal(text()) . '::text', 'NULL'); }
sub model  { return mostly("'m'", "'m'", "'m'", literal(text())); }
sub whole  { return mostly(0, 1, 3, 2147483647, -1, -2147483648, 'NULL'); }
sub source { return mostly("'facts'", "'facts'", "'slow'", "'canary'", "'metasd.run'", "'metasd.models'", "'pg_class'",
		"'facts_pkey'", "'metasd.run_id_seq'", "'other'", 12345, 'NULL', literal(quoted(text()))); }
sub strings
{
	return mostly('ARRAY[' . join(', ', map { literal(text()) } 1 .. int(rand(4))) . ']::text[]', "'{}'::text[]", "'{e1,NULL}'::text[]",
		'NULL::text[]', "ARRAY[['e1', 'e2'], ['e3', 'e4']]::text[]", "'[5:6]={e1,e2}'::text[]");
}

# ---- JSON ----

my @names = split /\n/, $node->safe_psql('postgres', "SELECT jsonb_object_keys(params_used) FROM kg_estimate('facts')");

sub json_string
{
	my ($s) = @_;

	$s =~ s/(["\\])/\\$1/g;
	$s =~ s/([\x00-\x1f])/sprintf '\\u%04x', ord $1/ge;
	return "\"$s\"";
}

sub json
{
	my ($depth) = @_;
	my $kind = int(rand($depth > 3 ? 9 : 12));

	return any(qw(null true false)) if $kind < 2;
	return any(qw(0 -0 1 2 -1 0.5 1e-300 1e300 1e400 -1e999 99999999999999999999999999 9007199254740993 1.0000000000000001 10000 4.5))
	  if $kind < 5;
	return json_string(text()) if $kind < 6;
	return any('"NaN"', '"Infinity"', '"-Infinity"', '"1"', '"int8"', '"complex"', '"best"', '"auto"', '"\\ud83d\\ude00"', '"\\u0000"')
	  if $kind < 9;
	return '[' . join(', ', map { json($depth + 1) } 1 .. int(rand(4))) . ']' if $kind < 10;
	return ('[' x 200) . (']' x 200) if $kind < 11 && rand() < 0.1;
	return object($depth + 1);
}

sub object
{
	my ($depth) = @_;
	my @members;

	for (1 .. any(0, 1, 1, 1, 2, 3))
	{
		my $name = any((map { any(@names) } 1 .. 6), text(), any(@names) . ' ', uc any(@names), 'k' x 70000);

		push @members, json_string($name) . ': ' . json($depth);
		push @members, json_string($name) . ': ' . json($depth) if rand() < 0.1; # once more
	}
	return '{' . join(', ', @members) . '}';
}

sub params { return literal(rand() < 0.9 ? object(0) : json(0)); }

# ---- statements ----

my %errors;
my %states; # how often each came

# Runs statements, each by itself; returns of each its SQLSTATE, '' where it has succeeded, and what it gave.
sub attempts
{
	my (@statements) = @_;
	my $script = "\\set VERBOSITY verbose\n";

	for my $i (0 .. $#statements)
	{
		$script .= "$statements[$i];\n\\echo @@ $i\n\\warn @@ $i\n";
	}
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \encode('UTF-8', $script), '>', \$out, '2>', \$err,
		IPC::Run::timeout(10 * $rounds * $PostgreSQL::Test::Utils::timeout_default)); # or the test dies
	my %out = parts(decode('UTF-8', $out));
	my %err = parts(decode('UTF-8', $err));
	my @results;
	for my $i (0 .. $#statements)
	{
		my $said = defined $err{$i} ? $err{$i} : 'ERROR:  nothing came back';
		my ($state) = $said =~ /^(?:psql:[^\n]*?)?(?:ERROR|FATAL|PANIC): +(\w{5}):/m;
		$state = $said =~ /(server closed|ERROR|FATAL|PANIC)/ ? "none: $said" : '' unless defined $state;
		push @results, [ $state, $out{$i}, $said ];
		$states{ $state || 'none' }++;
		next if $state eq '' || $state =~ $allowed || ($state eq '57014' && $statements[$i] =~ /kg_wait/); # of a run cancelled
		$errors{ encode('UTF-8', substr($statements[$i], 0, 2000) . "\n$said") } = 1;
	}
	return @results;
}

# What came before each mark.
sub parts
{
	my ($all) = @_;
	my %parts;

	while ($all =~ /\G(.*?)^@@ (\d+)\n/msg)
	{
		$parts{$2} = $1;
	}
	return %parts;
}

sub all_is_well
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join("\n\n", sort keys %errors), '', "$name: errors are the caller's");
	note(join ', ', map { "$_ $states{$_}" } sort keys %states);
	%errors = ();
	%states = ();
	is($node->safe_psql('postgres', "SELECT song, (SELECT count(*) FROM pg_roles), to_regprocedure('sing()') FROM canary"),
		$node->{canary}, "$name: nothing was run as SQL");
	my $log = slurp_file($node->logfile);
	unlike($log, qr/terminated by signal|PANIC|TRAP:|process .* exit code [^01]/, "$name: no process has died");
	is(join("\n", $log =~ /^(?:XX|none).*$/mg), '', "$name: nor has a worker met an internal error");
	return;
}

$node->safe_psql('postgres', q{
	CREATE TABLE canary (song text);
	INSERT INTO canary VALUES ('silent');
	CREATE FUNCTION sing() RETURNS text LANGUAGE sql AS $$ UPDATE canary SET song = 'heard' RETURNING song $$;
	CREATE ROLE trainer LOGIN;
	GRANT SELECT ON facts TO trainer});
$node->{canary} = 'silent|' . $node->safe_psql('postgres', 'SELECT count(*) FROM pg_roles') . '|sing()';
train($node, 'm', $QUICK);
$node->safe_psql('postgres', 'CREATE TABLE entities AS SELECT * FROM kg_entity_embeddings($$m$$);'
	  . 'CREATE TABLE relations AS SELECT * FROM kg_relation_embeddings($$m$$); CREATE TABLE odd (label text, embedding real[])');

# ---- parameters ----

my $estimates = 250 * $rounds;
my @given = map { params() } 1 .. $estimates;
my @results = attempts(map { "SELECT params_used FROM kg_estimate('facts', params => $_)" } @given);
my $accepted = grep { $_->[0] eq '' } @results;
cmp_ok($accepted, '>', $estimates / 20, "kg_estimate takes some of $estimates: $accepted");
cmp_ok($accepted, '<', $estimates, 'and refuses others');

# A number that is taken is what is used.
my $wrong = 0;
for my $i (0 .. $#given)
{
	next if $results[$i][0] ne '';
	my $used = literal($results[$i][1]);
	$wrong += $node->safe_psql('postgres', encode('UTF-8', qq{
		SELECT count(*) FROM jsonb_each($given[$i]) g JOIN jsonb_each($used) u USING (key)
		WHERE g.value <> 'null' AND key NOT IN ('workers', 'negatives', 'epochs', 'warmup', 'ramp', 'finetune')
		  AND CASE jsonb_typeof(g.value) WHEN 'number' THEN abs(g.value::float8 - u.value::float8) > 1e-8 * abs(g.value::float8)
			  ELSE g.value <> u.value END}));
}
is($wrong, 0, 'what is taken is used as it was given');

my $trainings = 120 * $rounds;
@results = attempts(map { any(
	"SELECT kg_train('m', params => $_) AS run \\gset\nSELECT kg_cancel(:run)",
	"SELECT kg_train(@{[argument()]}, params => $_) AS run \\gset\nSELECT kg_cancel(:run)") } map { params() } 1 .. $trainings);
ok(wait_until($node, 'SELECT count(*) = 0 FROM metasd.progress'), 'trainings that were started have ended');
all_is_well('parameters');

# What parameters that are in range do: the training succeeds, or says in which way it fails.
my $defaults = q{SELECT string_agg(format('%s %s %s', key, jsonb_typeof(value), value), E'\n' ORDER BY key)
	FROM kg_estimate('facts'), jsonb_each(params_used)};
my %default = map { my ($key, $type, $value) = split ' '; $key => [ $type, $value ] } split /\n/, $node->safe_psql('postgres', $defaults);

sub near
{
	my ($type, $value) = @{ $_[0] };

	return any('true', 'false') if $type eq 'boolean';
	return $value if $type ne 'number';
	return any($value * any(0.1, 0.5, 2, 10), 0, 1, int($value / 2), 0.5, 1e-9);
}

my %ends;
for my $i (1 .. 25 * $rounds)
{
	my %given = map { my $key = any(sort keys %default); $key => near($default{$key}) } 1 .. any(1 .. 6);

	%given = (%given, epochs => any(1, 3, 6), rank => any(1, 5, 40), batch => any(1, 10, 100, 1000));
	my ($result) = attempts("SELECT kg_train('m', params => " . literal('{' . join(', ', map { "\"$_\": $given{$_}" } sort keys %given) . '}')
		. ") AS run \\gset\nCALL kg_wait(:run);\nSELECT kg_score('e1', 'r1', 'e2', 'm') IS NOT NULL");
	$ends{ $result->[0] || 'succeeded' }++;
	diag(encode('UTF-8', $result->[2])) if $result->[0] eq '' && $result->[1] !~ /^t$/m;
	attempts('DELETE FROM metasd.epoch', "UPDATE metasd.model SET params = '{}'");
}
note(join ', ', map { "$_ $ends{$_}" } sort keys %ends);
cmp_ok($ends{succeeded} || 0, '>', 0, 'trainings with any parameters that are in range end');
all_is_well('trainings');

# ---- names ----

# Calls of every function.
my $last = q('{"epochs": 1}');
my $tuned = q('{"finetune": 1}');
my @arrays = ('{1,2}', '{1,2}', '{1,2}', '{-0,1e-40}', '{NaN,1}', '{1e38,1}', '{}', '{{1,2},{3,4}}', '[0:1]={1,2}', '{1,NULL}', '{1}', '{1,2,3}');
my @calls = (
	sub { "SELECT kg_train(@{[model()]}, @{[source()]}, @{[string()]}, @{[string()]}, @{[string()]}, @{[source()]}, $last)" },
	sub { "SELECT kg_train(@{[string()]}, 'facts', 'head', 'relation', @{[any(q('tail'), string())]}, params => $last)" },
	sub { "SELECT kg_train('m', 'facts', validation => @{[source()]}, params => $last)" },
	sub { "SELECT kg_estimate(@{[source()]}, @{[any(q('head'), string())]}, @{[any(q('relation'), string())]}, 'tail')" },
	sub { "CALL kg_wait(@{[whole()]}, @{[any(q('1 ms'), q('-1 day'), string())]})" },
	sub { 'SELECT ' . any('kg_rollback', 'kg_unschedule', 'metasd.train_scheduled') . "(@{[model()]})" },
	sub { "SELECT kg_drop(@{[string()]})" },
	sub { 'SELECT ' . any('kg_cancel', 'kg_resume') . "(@{[whole()]})" },
	sub { "SELECT kg_promote(@{[model()]}, @{[whole()]})" },
	sub { "SELECT kg_schedule(@{[model()]}, @{[string()]})" },
	sub { "SELECT * FROM kg_predict(@{[string()]}, @{[string()]}, @{[whole()]}, @{[model()]}, @{[any(q('mark'), q('include'), string())]})" },
	sub { "SELECT * FROM kg_predict('e1', 'r1', 3, candidates => @{[source()]})" },
	sub { "SELECT * FROM kg_predict('e1', 'r1', 3, candidate_ids => @{[strings()]}, min_probability => @{[whole()]})" },
	sub { "SELECT * FROM kg_predict_heads(@{[string()]}, @{[string()]}, @{[whole()]}, @{[model()]})" },
	sub { "SELECT * FROM kg_predict_many(@{[strings()]}, @{[any(q(ARRAY['r1']), strings())]}, @{[whole()]}, side => @{[any(q('head'), q('tail'), string())]})" },
	sub { "SELECT * FROM kg_predict_many(@{[source()]}, @{[whole()]}, side => @{[any(q('head'), q('tail'), string())]}) LIMIT 100" },
	sub { "SELECT * FROM kg_predict_relations(@{[string()]}, @{[string()]}::text, @{[whole()]}, @{[model()]})" },
	sub { "SELECT kg_score(@{[string()]}, @{[string()]}, @{[string()]}, @{[model()]})" },
	sub { "SELECT * FROM kg_rank(@{[string()]}, @{[string()]}, @{[string()]}, @{[model()]})" },
	sub { "SELECT * FROM kg_explain(@{[string()]}, @{[string()]}, @{[string()]}, @{[whole()]}, @{[model()]})" },
	sub { "SELECT * FROM kg_similar(@{[string()]}, @{[whole()]}, @{[model()]})" },
	sub { "SELECT * FROM kg_discover(@{[model()]}, @{[whole()]}, @{[any(q('r1'), string())]}, @{[any(q('e1'), 'NULL', string())]}, candidates => @{[any('NULL', source())]}, subjects => @{[any(q('like'), q('all'), string())]}) LIMIT 100" },
	sub { "SELECT kg_embedding(@{[string()]}::text, @{[model()]})" },
	sub { "SELECT kg_relation_embedding(@{[any(q('r1'), string())]}::text, @{[model()]}, @{[any('true', 'NULL', argument())]})" },
	sub { 'SELECT * FROM ' . any('kg_entity_embeddings', 'kg_relation_embeddings') . "(@{[model()]}) LIMIT 100" },
	sub { "SELECT kg_import(@{[string()]}, @{[any(q('entities'), source())]}, @{[any(q('relations'), source())]}, @{[source()]}, $tuned)" },
	sub { "SELECT kg_import('im', 'entities', 'relations', 'facts', @{[any($tuned, q('{\"layout\": \"interleaved\"}'), q('{\"missing\": \"skip\"}'), params())]}, validation => @{[source()]})" },
	sub { "TRUNCATE odd;\nINSERT INTO odd VALUES (@{[string()]}::text, @{[any(map { literal($_) } @arrays)]}), ('e1', @{[any(map { literal($_) } @arrays)]});\n"
		  . "SELECT kg_import('odd', 'odd', 'odd', 'facts', @{[any($tuned, q('{\"missing\": \"skip\"}'), q('{\"family\": \"distmult\"}'))]})" },
	sub { "SELECT * FROM kg_evaluate(@{[model()]}, @{[source()]}, @{[any(q('side'), q('degree'), string())]}, @{[any(q('head'), string())]})" },
	sub { "SELECT * FROM kg_evaluate('m', 'facts', filters => @{[any(q('{facts}'), q('{NULL,slow}'), strings() . '::regclass[]')]})" },
	sub { "SET metasd.model = @{[literal(text())]};\nSELECT kg_score('e1', 'r1', 'e2');\nSET metasd.model = m" },
	sub { "SELECT metasd.entity_number(@{[model()]}, @{[string()]}), metasd.relation_number(@{[model()]}, @{[string()]})" },
	sub { "SELECT metasd.occurrences(@{[model()]}, @{[any('true', 'false', argument())]}, @{[whole()]})" },
	sub { "SELECT metasd.rank_answers(@{[model()]}, @{[any(q('tail'), q('head'), string())]}, @{[whole()]}, @{[whole()]}, @{[any(q('{1,2}'), q('{1,NULL,-5,9999999999}'), argument())]}, @{[any(q('{}'), q('{1}'), argument())]})" },
	sub { "SELECT metasd.run_status(@{[whole()]}, @{[any(q('running'), string())]})" },
	sub { "SELECT metasd.may_ask(@{[any(10, whole())]}, @{[any(1259, whole())]}, @{[string()]}, @{[string()]}, @{[string()]})" },
	sub { "SELECT metasd.predict_support(@{[argument()]})" });
my @statements = ('SET metasd.model = m', map { my $call = $_; map { $call->() } 1 .. 12 * $rounds } @calls);
@results = attempts(@statements);
$accepted = grep { $_->[0] eq '' } @results;
cmp_ok($accepted, '>', @statements / 5, sprintf('%d of %d calls with any names are taken', $accepted, scalar @statements));
ok(wait_until($node, 'SELECT count(*) = 0 FROM metasd.progress'), 'trainings that were started have ended');
all_is_well('names');

# ---- graphs whose names and labels are anything ----

sub name
{
	my ($bytes) = @_;
	my $name;

	do { $name = text() } while $name eq '' || length encode('UTF-8', $name) > $bytes;
	return $name;
}

sub distinct
{
	my ($n, $make) = @_;
	my %seen;

	while (keys %seen < $n) { $seen{ $make->() } = 1 }
	return sort keys %seen;
}

# The rows of a query, of one column, as arrays of numbers of characters: psql would not tell their lines apart.
sub column
{
	my ($sql) = @_;

	return map { pack 'H*', $_ } split /\n/,
	  $node->safe_psql('postgres', encode('UTF-8', "SELECT encode(convert_to(c, 'UTF8'), 'hex') FROM ($sql) q (c) ORDER BY 1"));
}

for my $i (1 .. 4 * $rounds)
{
	my ($table, @columns) = distinct(4, sub { name(63) });
	my $schema = 's' . name(60);
	my $model = name(255);
	my @entities = distinct(12, sub { name(3000) });
	my @relations = distinct(3, sub { name(3000) });
	my $qualified = quoted($schema) . '.' . quoted($table);
	my $list = join ', ', map { quoted($_) } @columns;
	my $rows = join ', ', distinct(60, sub {
		'(' . join(', ', map { literal($_) } any(@entities), any(@relations), any(@entities)) . ')' });
	my $source = literal($qualified);
	my $m = literal($model);
	my $named = "$source, " . join(', ', map { literal($_) } @columns);
	my $owner = $i % 2 ? '' : 'SET ROLE trainer;';

	$node->safe_psql('postgres', encode('UTF-8', qq{
		CREATE SCHEMA @{[quoted($schema)]};
		GRANT USAGE ON SCHEMA @{[quoted($schema)]} TO trainer;
		CREATE TABLE $qualified (@{[join ', ', map { quoted($_) . ' text' } @columns]});
		GRANT SELECT ON $qualified TO trainer;
		INSERT INTO $qualified VALUES $rows;
		$owner
		SELECT kg_train($m, $named, params => '$QUICK') AS run \\gset
		CALL kg_wait(:run)}));
	is_deeply([ column("SELECT name FROM metasd.models WHERE name = $m") ], [ encode('UTF-8', $model) ],
		"graph $i: the model has its name");
	is_deeply([ column("SELECT e.label FROM metasd.entity e JOIN metasd.models m ON m.serving = e.run AND m.name = $m") ],
		[ column("SELECT DISTINCT l FROM $qualified, unnest(ARRAY[@{[quoted($columns[0])]}, @{[quoted($columns[2])]}]) l") ],
		'its entities theirs');
	is_deeply([ column("SELECT relation FROM metasd.relations WHERE model = $m") ],
		[ column("SELECT DISTINCT @{[quoted($columns[1])]} FROM $qualified") ], 'its relations theirs');

	# Every fact of the source is known to be one, asked from either side. A loop may be the only one of a relation
	# and held out: then the relation is irreflexive, and the loop no answer.
	my ($h, $r, $t) = map { 'f.' . quoted($_) } @columns;
	my $facts = $node->safe_psql('postgres', encode('UTF-8', qq{$owner
		SELECT count(*), count(*) FILTER (WHERE
			EXISTS (SELECT FROM kg_predict($h, $r, 1000, $m, 'mark') p WHERE p.tail = $t AND p.known)
			AND EXISTS (SELECT FROM kg_predict_heads($r, $t, 1000, $m, 'mark') p WHERE p.head = $h AND p.known)
			AND EXISTS (SELECT FROM kg_predict_relations($h, $t, 1000, $m, 'mark') p WHERE p.relation = $r AND p.known)
			AND EXISTS (SELECT FROM kg_rank($h, $r, $t, $m))
			AND EXISTS (SELECT FROM kg_similar($h, 3, $m))
			AND EXISTS (SELECT FROM kg_predict($h, $r, 1, $m, 'include', candidate_ids => ARRAY[$t]) p WHERE p.tail = $t)
			AND kg_score($h, $r, $t, $m) IS NOT NULL AND kg_embedding($h, $m) IS NOT NULL) FROM (SELECT DISTINCT * FROM $qualified) f
		WHERE $h <> $t}));
	like($facts, qr/^(\d+)\|\1$/, 'every fact is known');
	my @asked = attempts(
		"SELECT count(*) > 0 FROM kg_evaluate($m, $source, NULL, @{[join ', ', map { literal($_) } @columns]}, filters => ARRAY[$source]::regclass[])",
		"SELECT count(*) > 0 FROM kg_evaluate($m, $source, 'relation', @{[join ', ', map { literal($_) } @columns]})",
		"SELECT count(*) > 0 FROM kg_predict(@{[literal($entities[0])]}::text, @{[literal($relations[0])]}, 5, $m, candidates => $source)",
		"SELECT triples > 0 FROM kg_estimate($named)",
		"SET metasd.model = $m;\nSELECT kg_score(@{[join ', ', map { literal($_) } $entities[0], $relations[0], $entities[1]]}::text) IS NOT NULL",
		"SELECT kg_train($m) AS run \\gset\nSELECT kg_cancel(:run)",
		"SELECT kg_drop($m)",
		"SELECT count(*) = 0 FROM metasd.models WHERE name = $m");
	is(join(' ', map { $_->[0] } @asked), ' ' x $#asked, 'and all else can be asked')
	  or diag(encode('UTF-8', join "\n", map { $_->[2] } @asked));
	is(join('', map { $_->[1] =~ s/\n//gr } @asked[ 0 .. 4, 7 ]), 't' x 6, 'with answers');
}
all_is_well('graphs');
$node->stop;
done_testing();
