#!/usr/bin/perl
# layers.pl [-v] - whether the code keeps to the picture at the top of doc/design.md. It holds that
#   - a room includes only headers of rooms that the picture allows it, and src/core none of PostgreSQL;
#   - a public name is declared in the header of its own file, and begins with the file's first word;
#   - files form no circle by the symbols of their objects, also within a room;
#   - what is public is used by another file (or is for PostgreSQL, or says that it is for tests);
#   - no file is longer than 600 lines;
#   - the files that doc/design.md names have the functions which it names.
# It needs the objects that make builds. -v prints who uses whom. Each check that holds prints a line
# that begins with "ok".
use strict;
use warnings;

my $verbose = @ARGV && $ARGV[0] eq '-v';
my $most_lines = 600;
my @wrong;

sub slurp { local $/; open my $f, '<', $_[0] or die "$_[0]: $!\n"; return scalar <$f>; }
sub room_of { return $_[0] =~ m{^src/(.+)/[^/]+$} ? $1 : die "$_[0] is in no room\n"; }
sub stem_of { return $_[0] =~ m{([^/.]+)\.[cho]$} ? $1 : die; }

# The picture: lines "room -> rooms" of the first block of doc/design.md that has any.
my %may;
for (split /\n/, slurp('doc/design.md') =~ /```rooms\n(.*?)```/s ? $1 : die "doc/design.md has no rooms\n")
{
	my ($room, $others) = /^(\S+)\s*->\s*(.*)$/ or next;
	$may{$room} = { map { $_ => 1 } $room, split ' ', $others };
}

my @files = sort grep { !m{/\.} } split /\n/, `find src -name '*.[ch]'`;
# ---- includes, and lengths ----

sub check_includes
{
	for my $file (@files)
	{
		my $room = room_of($file);
		my $text = slurp($file);

		push @wrong, "$file: room $room is not in the picture" unless $may{$room};
		while ($text =~ /^#include "([^"]+)"/mg)
		{
			my $header = $1;

			if (-e "src/$header")
			{
				push @wrong, "$file includes $header: the picture has no way from $room to " . room_of("src/$header")
				  unless $may{$room}{ room_of("src/$header") };
			}
			elsif ($header =~ m{^(core|pg)/}) { push @wrong, "$file includes $header, which is not there" }
			elsif ($room =~ m{^core/}) { push @wrong, "$file includes $header: the core knows its own headers only" }
		}
	}
	return;
}

sub check_lengths
{
	for my $file (@files)
	{
		my $lines = () = slurp($file) =~ /\n/g;
		push @wrong, "$file has $lines lines, more than $most_lines" if $lines > $most_lines;
	}
	return;
}

# ---- symbols ----

my (%defines, %uses, %home, %exported);

sub read_symbols
{
	for my $source (grep { /\.c$/ } @files)
	{
		(my $object = $source) =~ s/c$/o/;
		die "$object is not built\n" unless -e $object;
		for (`nm $object`)
		{
			my ($kind, $name) = /([A-Za-z]) (\S+)$/ or next;
			$name =~ s/\..*//; # clones for instruction sets
			$exported{$1} = 1 if $name =~ /^pg_finfo_(.*)/;
			next unless $name =~ /^metasd_/;
			if ($kind eq 'U') { $uses{$source}{$name} = 1 }
			elsif ($kind =~ /[A-Zi]/) { $defines{$source}{$name} = 1; $home{$name} = $source }
		}
	}
	return;
}

# What a header says of a name, with the comment above it; '' if it does not declare it.
sub declaration
{
	my ($header, $name) = @_;
	return '' unless -e $header;
	return slurp($header) =~ m{((?:/\*(?:(?!\*/).)*\*/\n)?(?:extern[^;]*?|METASD_[A-Z_]+\()\b\Q$name\E\b[^;]*;)}s ? $1 : '';
}

sub check_names
{
	for my $source (sort keys %defines)
	{
		my ($first) = stem_of($source) =~ /^([a-z0-9]+?)s?(?:_|$)/;

		for my $name (sort keys %{ $defines{$source} })
		{
			next if $exported{$name} || $name =~ /_main$/;
			push @wrong, "$source: $name is not declared in its header"
			  unless declaration($source =~ s/c$/h/r, $name) || room_of($source) eq 'pg';
			push @wrong, "$source: $name does not begin with metasd_$first" unless $name =~ /^metasd_\Q$first\E/ || room_of($source) eq 'pg';
		}
	}
	return;
}

sub check_dead
{
	my %used = map { %$_ } values %uses;

	for my $source (sort keys %defines)
	{
		for my $name (sort keys %{ $defines{$source} })
		{
			next if $used{$name} || $exported{$name} || $name =~ /_main$/;
			push @wrong, "$source: nobody uses $name"
			  unless declaration($source =~ s/c$/h/r, $name) =~ /for tests/i;
		}
	}
	return;
}

# Tarjan's: files that can reach each other through the symbols they use.
my (%number, %low, %on, @stack, $next);

sub visit
{
	my ($file) = @_;

	$number{$file} = $low{$file} = ++$next;
	push @stack, $file;
	$on{$file} = 1;
	for my $other (sort keys %{ { map { $_ => 1 } grep { defined && $_ ne $file } map { $home{$_} } keys %{ $uses{$file} } } })
	{
		if (!$number{$other})
		{
			visit($other);
			$low{$file} = $low{$other} if $low{$other} < $low{$file};
		}
		elsif ($on{$other} && $number{$other} < $low{$file}) { $low{$file} = $number{$other} }
		print "$file -> $other\n" if $verbose;
	}
	return if $low{$file} < $number{$file};
	my @circle;
	do { push @circle, pop @stack; $on{ $circle[-1] } = 0 } until $circle[-1] eq $file;
	push @wrong, 'a circle: ' . join(' ', sort @circle) if @circle > 1;
	return;
}

sub check_circles
{
	for my $file (sort grep { /\.c$/ } @files) { visit($file) unless $number{$file} }
	return;
}

# ---- the walks ----

sub check_walks
{
	my $steps = 0;

	for (split /\n/, slurp('doc/design.md'))
	{
		my ($file, $function) = /^\|[^|]*\| `(src[^`]+)` \| `([^`]+)` \|/ or next;

		$steps++;
		push @wrong, "doc/design.md: $file has no function $function"
		  unless -e $file && slurp($file) =~ /^(?:PG_FUNCTION_INFO_V1\()?\Q$function\E\(/m;
	}
	push @wrong, 'doc/design.md has no walk' unless $steps;
	return;
}

my $failed = 0;
sub check
{
	my ($what, $check) = @_;

	@wrong = ();
	$check->();
	print @wrong ? "not ok $what\n" : "ok $what\n";
	print "    $_\n" for @wrong;
	$failed += @wrong > 0;
	return;
}

read_symbols();
check('rooms include what the picture allows', \&check_includes);
check('files are short', \&check_lengths);
check('public names are in the header of their file', \&check_names);
check('public names are used', \&check_dead);
check('files form no circle', \&check_circles);
check('the walks name functions that are there', \&check_walks);
exit($failed > 0);
