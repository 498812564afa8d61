# coverage.pl [-u] - what gcov counted below the current folder, as a table of statements executed
# by source file. A file is compiled more than once, for unit tests and for libraries, and a header
# in many: a line counts as executed where any of its copies was. Which lines are statements is said by
# the unit tests' copies, as the libraries' mathematics are optimised. With -u: the lines that were not.
use strict;
use warnings;

use File::Find;
use JSON::PP;

my $uncovered = @ARGV && $ARGV[0] eq '-u';
my $notes = 'build/gcov.log'; # what gcov has to say besides
my %lines;

sub objects_below
{
	my ($folder) = @_;
	my @objects;

	find({ no_chdir => 1, wanted => sub { push @objects, $_ if /\.gcno$/ } }, $folder) if -d $folder;
	return @objects;
}

# Adds the counts of some objects; FIXED files get no more lines than they have.
sub add_counts
{
	my ($fixed, @some) = @_;

	open my $gcov, '-|', "gcov --json-format --stdout @some 2>$notes" or die "gcov: $!\n";
	while (my $document = <$gcov>) # one a line
	{
		next if $document eq "\n";
		for my $file (@{ decode_json($document)->{files} })
		{
			next unless $file->{file} =~ m{(src/(?:core|pg)/.+)$};
			my ($name, $of) = ($1, $lines{$1} //= {});

			for my $line (@{ $file->{lines} })
			{
				next if $fixed->{$name} && !exists $of->{ $line->{line_number} };
				$of->{ $line->{line_number} } += $line->{count};
			}
		}
	}
	close $gcov or die "gcov failed: see $notes\n";
	open my $said, '<', $notes or die "$notes: $!\n";
	while (<$said>)
	{
		warn $_ unless /cannot open data file, assuming not executed$|no functions found$/;
	}
	close $said;
	return;
}

my @objects = objects_below('src');
my @unit = objects_below('build');
my %fixed;

die "nothing is built for gcov here\n" unless @objects;
add_counts({}, splice @unit, 0, 20) while @unit;
%fixed = map { $_ => 1 } keys %lines;
add_counts(\%fixed, splice @objects, 0, 20) while @objects;

my %total;

sub row
{
	my ($name, $executed, $all) = @_;

	printf "| %-38s | %5d | %5d | %5.1f %% |\n", $name, $executed, $all, 100 * $executed / $all;
}

print "| file | executed | statements | part |\n|---|---|---|---|\n";
for my $file (sort keys %lines)
{
	my ($part) = $file =~ m{^(.*)/};
	my $all = keys %{ $lines{$file} };
	my $executed = grep { $_ > 0 } values %{ $lines{$file} };

	row($file, $executed, $all);
	$total{$part}[0] += $executed;
	$total{$part}[1] += $all;
}
row($_, @{ $total{$_} }) for sort keys %total;

exit unless $uncovered;
print "\nNot executed:\n";
for my $file (sort keys %lines)
{
	my @missed = sort { $a <=> $b } grep { $lines{$file}{$_} == 0 } keys %{ $lines{$file} };

	print "$file: @missed\n" if @missed;
}
