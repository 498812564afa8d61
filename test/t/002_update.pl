# ALTER EXTENSION metasd UPDATE gives what CREATE EXTENSION gives, from every version that was released;
# and what the scripts of old versions call in the libraries is still there.
#
# A new version B has two scripts, metasd--B.sql, which installs it, and metasd--A--B.sql, which makes
# it of the version before. This test finds them by itself.

use strict;
use warnings;

use Digest::SHA;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

# All that the catalogs say of the extension and its members, but for numbers of objects, a line each.
my $listing = q{
WITH extension AS (SELECT * FROM pg_extension WHERE extname = 'metasd'),
member AS (
	SELECT d.classid, d.objid, c.relname AS class FROM extension e
	JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
	JOIN pg_class c ON c.oid = d.classid),
relation AS (SELECT c.*, c.oid::regclass::text AS name FROM member JOIN pg_class c ON c.oid = objid WHERE class = 'pg_class'),
holder AS (SELECT oid, name FROM relation
		   UNION ALL SELECT typrelid, t.oid::regtype::text FROM member JOIN pg_type t ON t.oid = objid
		   WHERE class = 'pg_type' AND typrelid <> 0),
line (line) AS (
	SELECT format('extension: schema %s, relocatable %s', extnamespace::regnamespace, extrelocatable) FROM extension
	UNION ALL SELECT format('dumped: %s where %L', c::regclass, extcondition[i])
	FROM extension, unnest(extconfig) WITH ORDINALITY u (c, i)
	UNION ALL SELECT format('%s %s: comment %L, first rights %s', type, identity, obj_description(objid, class::name),
		(SELECT array_agg(a::text ORDER BY a::text) FROM pg_init_privs p, unnest(initprivs) a
		 WHERE p.classoid = classid AND p.objoid = member.objid AND p.objsubid = 0))
	FROM member, pg_identify_object(classid, objid, 0)
	UNION ALL SELECT format('function %s: owner %s, rights %s, %s', oid::regprocedure, proowner::regrole,
		(SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(proacl, acldefault('f', proowner))) a),
		pg_get_functiondef(oid))
	FROM member JOIN pg_proc ON oid = objid WHERE class = 'pg_proc'
	UNION ALL SELECT format('schema %s: owner %s, rights %s', nspname, nspowner::regrole,
		(SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(nspacl, acldefault('n', nspowner))) a))
	FROM member JOIN pg_namespace ON oid = objid WHERE class = 'pg_namespace'
	UNION ALL SELECT format('type %s: owner %s, rights %s, kind %s, of %s, default %L, not null %s, values %s, constraints %s',
		t.oid::regtype, typowner::regrole,
		(SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(typacl, acldefault('T', typowner))) a),
		typtype, format_type(typbasetype, typtypmod), typdefault, typnotnull,
		(SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
		(SELECT array_agg(conname || ' ' || pg_get_constraintdef(oid) ORDER BY conname) FROM pg_constraint WHERE contypid = t.oid))
	FROM member JOIN pg_type t ON t.oid = objid WHERE class = 'pg_type'
	UNION ALL SELECT format('cast %s as %s: %s %s %s', format_type(castsource, NULL), format_type(casttarget, NULL),
		castfunc::regprocedure, castcontext, castmethod)
	FROM member JOIN pg_cast ON oid = objid WHERE class = 'pg_cast'
	UNION ALL SELECT format('operator %s: owner %s, %s, commutator %s, negator %s, estimators %s %s, hashes %s, merges %s',
		oid::regoperator, oprowner::regrole, oprcode, oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin,
		oprcanhash, oprcanmerge)
	FROM member JOIN pg_operator ON oid = objid WHERE class = 'pg_operator'
	UNION ALL SELECT format('relation %s: kind %s, owner %s, rights %s, persistence %s, options %s, row security %s %s, identity %s',
		name, relkind, relowner::regrole,
		(SELECT array_agg(a::text ORDER BY a::text)
		 FROM unnest(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))) a),
		relpersistence, (SELECT array_agg(o ORDER BY o) FROM unnest(reloptions) o),
		relrowsecurity, relforcerowsecurity, relreplident)
	FROM relation
	UNION ALL SELECT format('column %s.%s, number %s: type %s, not null %s, default %L, identity %s, generated %s, storage %s, collation %s, options %s, rights %s, comment %L',
		name, attname, row_number() OVER (PARTITION BY attrelid ORDER BY attnum), format_type(atttypid, atttypmod),
		attnotnull, pg_get_expr(adbin, adrelid), attidentity, attgenerated, attstorage, attcollation::regcollation,
		-- (some releases keep a number of their own there)
		(SELECT array_agg(o ORDER BY o) FROM unnest(attoptions) o WHERE o !~ '^pg_attver='), attacl, col_description(attrelid, attnum))
	FROM holder JOIN pg_attribute ON attrelid = holder.oid AND attnum > 0 AND NOT attisdropped
	LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
	UNION ALL SELECT format('constraint %s of %s: %s, comment %L', conname, name, pg_get_constraintdef(c.oid),
		obj_description(c.oid, 'pg_constraint'))
	FROM relation JOIN pg_constraint c ON conrelid = relation.oid
	UNION ALL SELECT format('index: %s, comment %L', pg_get_indexdef(indexrelid), obj_description(indexrelid, 'pg_class'))
	FROM relation JOIN pg_index ON indrelid = relation.oid
	UNION ALL SELECT format('view %s: %s', name, pg_get_viewdef(oid)) FROM relation WHERE relkind IN ('v', 'm')
	UNION ALL SELECT format('trigger: %s', pg_get_triggerdef(t.oid))
	FROM relation JOIN pg_trigger t ON tgrelid = relation.oid WHERE NOT tgisinternal
	UNION ALL SELECT format('policy %s of %s: %s %s %s %s %s', polname, name, polcmd, polpermissive,
		polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
	FROM relation JOIN pg_policy ON polrelid = relation.oid
	UNION ALL SELECT format('sequence %s: type %s, from %s to %s by %s, start %s, cache %s, cycle %s, of column %s', name,
		seqtypid::regtype, seqmin, seqmax, seqincrement, seqstart, seqcache, seqcycle,
		(SELECT format('%s.%s', refobjid::regclass, refobjsubid) FROM pg_depend d
		 WHERE d.classid = 'pg_class'::regclass AND d.objid = seqrelid AND deptype IN ('a', 'i')
		   AND d.refclassid = 'pg_class'::regclass))
	FROM relation JOIN pg_sequence ON seqrelid = relation.oid
	UNION ALL SELECT format('in schema metasd: %s %s', relkind, relname) FROM pg_class WHERE relnamespace = 'metasd'::regnamespace
	UNION ALL SELECT format('in schema metasd: type %s', typname) FROM pg_type WHERE typnamespace = 'metasd'::regnamespace
	UNION ALL SELECT format('in schema metasd: function %s', oid::regprocedure) FROM pg_proc WHERE pronamespace = 'metasd'::regnamespace)
SELECT replace(line, E'\n', ' ') FROM line ORDER BY 1};

# Members of these kinds are listed above with all that they are.
my @listed = qw(pg_proc pg_class pg_type pg_namespace pg_cast pg_operator);

my $node = PostgreSQL::Test::Cluster->new('update');
$node->init;
$node->start;

# Where the scripts are. Debian's PostgreSQL takes extensions from another folder where it is told to, and from
# version 18 on any.
my $has_path = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_settings WHERE name = 'extension_control_path'});
my $can_stage = $has_path
  || $node->safe_psql('postgres', q{SELECT count(*) FROM pg_settings WHERE name = 'extension_destdir'});
my $sharedir = config_of($node, '--sharedir');
my $share = "$sharedir/extension";
my $stage = $node->safe_psql('postgres', q{SELECT current_setting('extension_destdir', true)});
$stage = $1
  if $has_path && $node->safe_psql('postgres', 'SHOW extension_control_path') =~ /^(.*?)\Q$sharedir\E:/;
my $installed = "$stage$share";
my ($default) = slurp_file("$installed/metasd.control") =~ /^default_version = '(.*)'$/m;

# Makes the extension of that version anew, by its own script or those on the way to it.
sub installation
{
	my ($version) = @_;

	return qq{
		SET client_min_messages = warning;
		DROP EXTENSION IF EXISTS metasd CASCADE;
		DROP SCHEMA IF EXISTS metasd CASCADE;
		CREATE EXTENSION metasd VERSION '$version';
	};
}

sub install
{
	my ($version) = @_;

	$node->safe_psql('postgres', installation($version));
	return;
}

my $look = "SET search_path = pg_catalog; $listing";

sub members
{
	return [ split /\n/, $node->safe_psql('postgres', $look) ];
}

# What only one of two listings has.
sub difference
{
	my ($one, $other) = @_;
	my %in_one = map { $_ => 1 } @$one;
	my %in_other = map { $_ => 1 } @$other;

	my @lines = map { "- $_" } grep { !$in_other{$_} } @$one;

	push @lines, map { "+ $_" } grep { !$in_one{$_} } @$other;
	return @lines;
}

sub same_members
{
	my ($expected, $got, $name) = @_;
	my @difference = difference($expected, $got);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(!@difference, $name) or diag(join "\n", @difference);
	return;
}

# From each version that can be installed by a script of its own, step by step, to the default one.
sub check_updates
{
	my ($folder) = @_;
	my @scripts = map { m{/metasd--(.*)\.sql$} } glob("$folder/metasd--*.sql");
	my %installs = map { $_ => 1 } grep { !/--/ } @scripts;
	my %deltas = map { $_ => 1 } grep { /--/ } @scripts;
	my %fresh;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($installs{$default}, "the default version $default has a script of its own");
	for my $version (sort keys %installs)
	{
		install($version);
		$fresh{$version} = members();
	}
	for my $version (grep { $_ ne $default } sort keys %installs)
	{
		my @way = split /--/, $node->safe_psql('postgres', qq{
			SELECT path FROM pg_extension_update_paths('metasd') WHERE source = '$version' AND target = '$default'});
		ok(@way > 1, "there is a way from version $version to $default");
		install($version);
		for my $i (1 .. $#way)
		{
			delete $deltas{"$way[$i - 1]--$way[$i]"};
			$node->safe_psql('postgres', "ALTER EXTENSION metasd UPDATE TO '$way[$i]'");
			same_members($fresh{ $way[$i] }, members(), "$way[$i], of $way[$i - 1], is what its own script installs")
			  if $fresh{ $way[$i] };
		}
	}
	is(join(' ', sort keys %deltas), '', 'every script of an update is on the way from a version to the default one');
	return;
}

# The functions of the libraries that a script names.
sub symbols_of
{
	my ($script) = @_;
	my @symbols;

	while ($script =~ /\bAS '(MODULE_PATHNAME|\$libdir\/\w+)', '(\w+)'/g)
	{
		push @symbols, [ $1 eq 'MODULE_PATHNAME' ? '$libdir/metasd' : $1, $2 ];
	}
	return @symbols;
}

# CREATE EXTENSION does not look whether the libraries have what its script names: CREATE FUNCTION does.
sub has_symbol
{
	my ($library, $symbol) = @_;
	my ($rc, $out, $err) = $node->psql('postgres',
		"CREATE FUNCTION pg_temp.probe() RETURNS void AS '$library', '$symbol' LANGUAGE C");

	return $err eq '';
}

# ---- the scripts that are there ----

my $kinds = $node->safe_psql('postgres', q{
	CREATE EXTENSION metasd;
	SELECT DISTINCT classid::regclass::text FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'metasd')});
my %listed = map { $_ => 1 } @listed;
is(join(' ', grep { !$listed{$_} } split /\n/, $kinds), '', 'the listing knows all kinds of members');
check_updates($installed);
for my $file (glob("$installed/metasd--*.sql"))
{
	my ($name) = $file =~ m{([^/]+)$};
	my $script = slurp_file($file);
	my @symbols = symbols_of($script);

	is(scalar(@symbols), scalar(() = $script =~ /\bLANGUAGE C\b/g), "$name names a library for each function in C");
	is(join(' ', map { "@$_" } grep { !has_symbol(@$_) } @symbols), '', "$name names what the libraries have");
}
ok(!has_symbol('$libdir/metasd', 'metasd_kg_never'), 'what they do not have is noticed');

# Released scripts do not change any more.
my $released = slurp_file(in_tree('test/data/released'));
for my $line (grep { /^[^#]/ } split /\n/, $released)
{
	my ($sum, $name) = split ' ', $line;
	is(Digest::SHA->new(256)->addfile("$installed/$name")->hexdigest, $sum, "$name is as it was released");
}

# ---- a version that never was, to see that differences are noticed ----

unless ($can_stage)
{
	note('this PostgreSQL takes extensions from nowhere but its own folder: no other version can be put beside this one');
	$node->stop;
	done_testing();
	exit;
}
my $folder = PostgreSQL::Test::Utils::tempdir();
for my $of ($share, config_of($node, '--pkglibdir'))
{
	system_or_bail('mkdir', '-p', "$folder$of");
	system_or_bail('cp', glob("$stage$of/metasd*"), "$folder$of");
}
$node->append_conf('postgresql.conf', $has_path
	? "extension_control_path = '$folder$sharedir:\$system'\n"
	: "extension_destdir = '$folder'\n");
$node->restart;

# Version 0 lacks some statements of the default one, and the delta has them.
my $whole = slurp_file("$installed/metasd--$default.sql");
my @missing = (
	qr/^CREATE INDEX run_model .*?;\n/ms, qr/^COMMENT ON COLUMN metasd\.run\.done .*?;\n/ms,
	qr/^ALTER TABLE metasd\.checkpoint ALTER COLUMN data SET STORAGE .*?;\n/ms,
	qr/^SELECT pg_catalog\.pg_extension_config_dump\('metasd\.epoch', ''\);\n/m,
	qr/^CREATE VIEW metasd\.progress .*?;\n/ms, qr/^COMMENT ON VIEW metasd\.progress .*?;\n/ms,
	qr/^GRANT SELECT ON .*?;\n/ms,
	qr/^CREATE FUNCTION kg_rollback.*?;\n/ms, qr/^COMMENT ON FUNCTION kg_rollback.*?;\n/ms);
my @delta;
my $zero = $whole;
for my $pattern (@missing)
{
	$zero =~ s/($pattern)// or die "no statement like $pattern";
	push @delta, $1;
}
my $base = "$folder$share/metasd--";
append_to_file("${base}0.sql", $zero);

sub write_delta
{
	unlink "${base}0--$default.sql";
	append_to_file("${base}0--$default.sql", join('', @_));
	return;
}

write_delta(@delta);
check_updates("$folder$share");
install($default);
my $fresh = members();

# A model trained before is there after.
$node->safe_psql('postgres', 'DROP EXTENSION metasd');
load_graph($node, 'postgres', 'facts');
install('0');
train($node, 'm', $QUICK);
my $before = answers($node, 'm');
$node->safe_psql('postgres', 'ALTER EXTENSION metasd UPDATE');
is(answers($node, 'm'), $before, 'a model of before the update answers as it did');
same_members($fresh, members(), 'and the extension is the same as without models');

# Each statement forgotten, or one of them other than it was.
sub is_noticed
{
	my ($name, @statements) = @_;

	write_delta(@statements);
	my ($rc, $out, $err) = $node->psql('postgres', installation('0') . "ALTER EXTENSION metasd UPDATE; $look");
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($err =~ /ERROR/ || difference($fresh, [ split /\n/, $out ]), $name);
	return;
}
for my $i (0 .. $#delta)
{
	is_noticed('noticed where it is missing: ' . ($delta[$i] =~ /^(.*)/)[0], map { $delta[$_] } grep { $_ != $i } 0 .. $#delta);
}
for my $extra (
	'ALTER FUNCTION kg_rollback(text) COST 7', 'ALTER FUNCTION kg_rollback(text) STABLE',
	'ALTER FUNCTION kg_rollback(text) PARALLEL SAFE', 'ALTER FUNCTION kg_rollback(text) SECURITY DEFINER',
	'ALTER FUNCTION kg_rollback(text) CALLED ON NULL INPUT',
	'ALTER FUNCTION kg_rollback(text) SET work_mem = 64', 'REVOKE EXECUTE ON FUNCTION kg_rollback(text) FROM PUBLIC',
	'ALTER VIEW metasd.progress RESET (security_barrier)', 'GRANT UPDATE (epoch) ON metasd.progress TO PUBLIC',
	'ALTER TABLE metasd.epoch ALTER COLUMN seconds DROP NOT NULL', 'ALTER TABLE metasd.epoch ADD COLUMN more text',
	'ALTER TABLE metasd.run ALTER COLUMN status SET DEFAULT 1', 'ALTER TABLE metasd.run RESET (fillfactor)',
	'ALTER TABLE metasd.epoch DROP CONSTRAINT epoch_pkey', 'ALTER SEQUENCE metasd.run_id_seq CACHE 9',
	'ALTER SEQUENCE metasd.run_id_seq OWNED BY NONE', 'CREATE TABLE metasd.more ()',
	'ALTER EXTENSION metasd DROP VIEW metasd.progress', 'ALTER TYPE metasd.ranked_answer RENAME ATTRIBUTE rank TO place',
	'REVOKE USAGE ON SCHEMA metasd FROM PUBLIC', 'CREATE CAST (metasd.model AS text) WITH INOUT')
{
	is_noticed("noticed where it is too much: $extra", @delta, "$extra;\n");
}
$node->stop;
done_testing();
