# All files that tell the version, the licence or the supported PostgreSQL tell the same, and META.json is what
# the PGXN Meta Spec 1.0.0 asks for.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my @names = qw(CHANGELOG.md LICENSE META.json README.md metasd.control
  packaging/Dockerfile packaging/Dockerfile.dockerignore packaging/metasd.spec packaging/debian/changelog packaging/debian/control.in
  packaging/debian/copyright packaging/debian/pgversions test/data/released);

my @missing = grep { !-e in_tree($_) } @names;
plan skip_all => "this is not the whole source: there is no @missing" if @missing;

my %tree = map { $_ => slurp_file(in_tree($_)) } @names;
my %scripts = map { m{([^/]+)$} ? ($1 => 1) : () } glob(in_tree('sql/metasd--*.sql'));

# ---- META.json ----

# What a value must be, by the specification: a function that says what is wrong with it, or nothing.
my $string = sub { ref $_[0] || !length($_[0] // '') ? 'is not a text' : () };
my $term = sub { ref $_[0] || ($_[0] // '') !~ m{^[^\s[:cntrl:]/\\]{2,}$} ? 'is not a term' : () };
my $tag = sub { ref $_[0] || ($_[0] // '') !~ m{^[^[:cntrl:]/\\]{1,255}$} ? 'is not a tag' : () };
my $url = sub { ref $_[0] || ($_[0] // '') !~ m{^[a-z]+://[^/]+} ? 'is not a URL' : () };
my $number = qr/(?:0|[1-9][0-9]*)/;
my $semver = qr/$number\.$number\.$number(?:-[0-9A-Za-z-][0-9A-Za-z.-]*)?/;
my $version = sub { ref $_[0] || ($_[0] // '') !~ /^$semver$/ ? 'is not a semantic version' : () };
my $range = sub {
	my @wrong = grep { !/^\s*(?:(?:[<>]=?|[!=]=)\s*)?(?:0|$semver)\s*$/ } split(/,/, $_[0] // '?');
	return @wrong ? 'is not a range of versions' : ();
};
my $licence = one_of(qw(agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2 gfdl_1_3 gpl_1
	  gpl_2 gpl_3 lgpl_2_1 lgpl_3_0 mit mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql qpl_1_0 ssleay sun zlib
	  open_source restricted unrestricted unknown));

sub one_of
{
	my %known = map { $_ => 1 } @_;

	return sub { $known{ $_[0] // '' } ? () : 'is none of those that the specification knows' };
}

# One or more of a kind.
sub list_of
{
	my ($kind) = @_;

	return sub { my $list = ref $_[0] ? $_[0] : [ $_[0] ]; @$list ? map { $kind->($_) } @$list : 'is empty' };
}

# An object: a kind for each key, those with `!` are required. Other keys begin with x_, unless `*` has their kind.
sub object
{
	my (%kinds) = @_;
	my $others = delete $kinds{'*'};
	my %required = map { (s/!$//r => /!$/ ? 1 : 0) } keys %kinds;

	%kinds = map { (s/!$//r => $kinds{$_}) } keys %kinds;
	return sub {
		my ($value) = @_;
		return 'is not an object' if ref $value ne 'HASH';
		my @faults = map { "lacks $_" } grep { $required{$_} && !exists $value->{$_} } sort keys %kinds;

		for my $key (sort keys %$value)
		{
			my $kind = $kinds{$key} || ($key =~ /^x_/i ? sub { () } : $others);
			push @faults, $kind ? map { "$key: $_" } $kind->($value->{$key}) : "has a key $key";
		}
		return @faults;
	};
}

my $needs = object(map { $_ => object('*' => $range) } qw(requires recommends suggests conflicts));
my $meta_spec = object(
	'name!' => $term, 'abstract!' => $string, 'version!' => $version, 'maintainer!' => list_of($string),
	'license!' => sub { ref $_[0] eq 'HASH' ? object('*' => $url)->($_[0]) : list_of($licence)->($_[0]) },
	'provides!' => object('*' => object('file!' => $string, 'version!' => $version, abstract => $string, docfile => $string)),
	'meta-spec!' => object('version!' => $version, url => $url),
	description => $string, generated_by => $string, tags => list_of($tag),
	release_status => one_of(qw(stable testing unstable)),
	prereqs => object(map { $_ => $needs } qw(configure build test runtime develop)),
	no_index => object(file => list_of($string), directory => list_of($string)),
	resources => object(homepage => $url, license => list_of($url), bugtracker => object(web => $url, mailto => $string),
		repository => object(web => $url, url => $url, type => $string)));

# ---- whether the files agree ----

# A text without its breaks of lines, and the dots of empty lines in Debian's files.
sub words
{
	my ($text) = @_;

	return join ' ', grep { $_ ne '.' } split ' ', $text;
}

# What is wrong in these files, a sentence each.
sub faults
{
	my (%file) = @_;
	my @faults;
	my $same = sub {
		my ($what, $got, $expected) = @_;
		push @faults, sprintf('%s: %s, not %s', $what, $got // 'nothing', $expected) if ($got // '') ne $expected;
	};
	my ($release, $state) = $file{'CHANGELOG.md'} =~ /^## (\S+) \((\S+)\)$/m;
	return 'CHANGELOG.md does not begin with a release' unless defined $release;
	my $released = $state ne 'unreleased';
	my ($sql) = $release =~ /^(\d+\.\d+)/;
	my $meta = eval { decode_json($file{'META.json'}) };
	return 'META.json is not JSON' unless ref $meta eq 'HASH';

	# versions
	push @faults, "the state of a release is a day, not $state" if $released && $state !~ /^\d{4}-\d\d-\d\d$/;
	$same->('default_version of metasd.control', $file{'metasd.control'} =~ /^default_version = '(.*)'$/m, $sql);
	$same->('version of META.json', $meta->{version}, $release);
	$same->('version of the extension in META.json', $meta->{provides}{metasd}{version}, $release);
	$same->('script in META.json', $meta->{provides}{metasd}{file}, "sql/metasd--$sql.sql");
	push @faults, "there is no sql/metasd--$sql.sql" unless $scripts{"metasd--$sql.sql"};
	$same->('version in debian/changelog', $file{'packaging/debian/changelog'} =~ /^metasd \((.*)-[^-]+\)/, $release);
	$same->('Version in metasd.spec', $file{'packaging/metasd.spec'} =~ /^Version:\s*(\S+)$/m, $release);
	$same->('last change in metasd.spec',
		$file{'packaging/metasd.spec'} =~ /^%changelog\n\*.* - (\S+)-\d+$/m, $release);

	# whether it is out
	$same->('release_status of META.json', $meta->{release_status}, $released ? 'stable' : 'testing');
	my ($suite) = $file{'packaging/debian/changelog'} =~ /^metasd \(.*\) (\S+);/;
	$same->('suite in debian/changelog', ($suite // '') eq 'UNRELEASED' ? 'unreleased' : 'released',
		$released ? 'released' : 'unreleased');
	push @faults, "test/data/released lacks metasd--$sql.sql"
	  if $released && $file{'test/data/released'} !~ /^[0-9a-f]{64}  metasd--\Q$sql\E\.sql$/m;

	# what it is
	my ($comment) = $file{'metasd.control'} =~ /^comment = '(.*)'$/m;
	$same->('abstract of META.json', lcfirst $meta->{abstract}, lcfirst $comment);
	$same->('abstract of the extension in META.json', lcfirst $meta->{provides}{metasd}{abstract}, lcfirst $comment);
	$same->('Summary in metasd.spec', lcfirst(($file{'packaging/metasd.spec'} =~ /^Summary:\s*(.*)$/m)[0] // ''), lcfirst $comment);
	$same->('Description in debian/control.in',
		lcfirst(($file{'packaging/debian/control.in'} =~ /^Description:\s*(.*)$/m)[0] // ''), lcfirst $comment);

	# licence
	my ($holder) = $file{LICENSE} =~ /^Copyright \(c\) (.*)$/m;
	my ($terms) = $file{LICENSE} =~ /^(Permission .*)/ms;
	push @faults, 'LICENSE is not the PostgreSQL License' unless $file{LICENSE} =~ /released under the PostgreSQL License/;
	$same->('license of META.json', $meta->{license}, 'postgresql');
	$same->('License in metasd.spec', $file{'packaging/metasd.spec'} =~ /^License:\s*(.*)$/m, 'PostgreSQL');
	$same->('Copyright in debian/copyright', $file{'packaging/debian/copyright'} =~ /^Copyright: (.*)$/m, $holder);
	$same->('terms in debian/copyright',
		words(($file{'packaging/debian/copyright'} =~ /^License: PostgreSQL\n(Permission .*| Permission .*)/ms)[0] // ''),
		words($terms));
	$same->('licence in README.md', $file{'README.md'} =~ /^Licence: \[(\w+)\]\(LICENSE\)/m, 'PostgreSQL');

	# PostgreSQL
	my ($oldest, $newest) = $file{'README.md'} =~ /PostgreSQL\s+(\d+)\s+to\s+(\d+)/;
	return @faults, 'README.md does not say which PostgreSQL' unless defined $oldest;
	$same->('PostgreSQL in META.json', $meta->{prereqs}{runtime}{requires}{PostgreSQL}, "$oldest.0.0");
	$same->('debian/pgversions', $file{'packaging/debian/pgversions'} =~ /^([^#\s]+)$/m, "$oldest+");
	my ($image) = $file{'packaging/Dockerfile'} =~ /^ARG PG_MAJOR=(\d+)$/m;
	push @faults, 'the image is not of a PostgreSQL that is supported'
	  unless $image && $oldest <= $image && $image <= $newest;

	# What the image copies is not left out of what its builder gets.
	for my $copied (map { my @words = split; @words[0 .. $#words - 1] } $file{'packaging/Dockerfile'} =~ /^COPY (?!--from)(.*)$/mg)
	{
		push @faults, "Dockerfile.dockerignore leaves out $copied"
		  unless $file{'packaging/Dockerfile.dockerignore'} =~ /^!\Q$copied\E$/m;
	}

	# one maintainer
	my ($who) = $file{'packaging/debian/control.in'} =~ /^Maintainer: (.*)$/m;
	$same->('maintainer of META.json', $meta->{maintainer}, $who);
	$same->('who changed debian/changelog', $file{'packaging/debian/changelog'} =~ /^ -- (.*>)  /m, $who);
	$same->('who changed metasd.spec', $file{'packaging/metasd.spec'} =~ /^%changelog\n\* \w+ \w+ \d+ \d+ (.*>) - /m, $who);

	push @faults, map { "META.json: $_" } $meta_spec->($meta);
	return @faults;
}

is(join("\n", faults(%tree)), '', 'the files agree');
my $meta = decode_json($tree{'META.json'});
for my $file (map { ($_->{file}, $_->{docfile}) } values %{ $meta->{provides} })
{
	ok(-e in_tree($file), "META.json provides $file, which is there");
}
SKIP:
{
	skip 'PGXN::Meta::Validator, the checker of PGXN, is not installed', 1
	  unless eval { require PGXN::Meta::Validator };
	my $checker = PGXN::Meta::Validator->new($meta);
	ok($checker->is_valid, 'the checker of PGXN takes META.json') or diag(join "\n", $checker->errors);
}

# ---- whether it would notice ----

# A change of one file, which must not go unnoticed.
sub is_noticed
{
	my ($name, $from, $to) = @_;
	my %other = %tree;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	($other{$name} =~ s/$from/$to/) or return fail("$name has no $from");
	my @faults = faults(%other);
	ok(scalar(@faults), "noticed: $name with '$to'");
	return;
}

my ($now) = $tree{'CHANGELOG.md'} =~ /^## (\S+) /m;
for my $name (qw(CHANGELOG.md META.json packaging/metasd.spec packaging/debian/changelog))
{
	is_noticed($name, qr/\Q$now\E/, '9.9.9');
}
is_noticed('META.json', qr/("metasd": \{.*?"version": ")[^"]*/s, '9.9.9');
is_noticed('metasd.control', qr/(?<=default_version = ').*?(?=')/, '9.9');
is_noticed('metasd.control', qr/(?<=comment = ').*?(?=')/, 'something else');
is_noticed('META.json', qr/"(?:testing|stable)"/, '"unstable"');
is_noticed('packaging/debian/changelog', qr/\) \w+;/, $tree{'CHANGELOG.md'} =~ /\(unreleased\)/ ? ') unstable;' : ') UNRELEASED;');
is_noticed('LICENSE', qr/without fee/, 'with a fee');
is_noticed('LICENSE', qr/\d{4}/, '1999');
is_noticed('META.json', qr/"postgresql"/, '"mit"');
is_noticed('packaging/metasd.spec', qr/(?<=License: ).*/, 'MIT');
is_noticed('packaging/debian/copyright', qr/MODIFICATIONS\./, '');
is_noticed('packaging/debian/pgversions', qr/\d+\+/, '12+');
is_noticed('packaging/Dockerfile', qr/^ARG PG_MAJOR=\d+/m, 'ARG PG_MAJOR=9');
is_noticed('packaging/Dockerfile.dockerignore', qr/^!src$/m, '');
is_noticed('META.json', qr/<.*?>/, '<other@example.org>');
for my $key (qw(name abstract version maintainer license provides meta-spec))
{
	is_noticed('META.json', qr/^   "\Q$key\E":/m, qq(   "x_$key":));
}
is_noticed('META.json', qr/"name": "metasd"/, '"name": "meta sd"');
is_noticed('META.json', qr/"tags"/, '"labels"');
is_noticed('META.json', qr/"runtime"/, '"sometimes"');
is_noticed('META.json', qr/"requires"/, '"asks"');
is_noticed('META.json', qr/"url": "/, '"url": "not ');
is_noticed('META.json', qr/"13\.0\.0"/, '"13"');
is_noticed('META.json', qr/"knowledge graph"/, '"a/b"');
is_noticed('META.json', qr/\},?\s*$/, '');
done_testing();
