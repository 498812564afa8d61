# The documents say the truth: every command of README.md and of the pages in doc/ runs, the output printed
# below it comes out, every link leads somewhere, and doc/functions.md has all functions.
#
# Each page is one psql session, in a database of its own. Its blocks run in their order:
#
# ```sql                  is run. No error may come, but one that is printed below it.
# ```text                 below it, with no heading and no other block between them, is all that comes out, as
#                         psql prints it, without "(n rows)". Words and whole numbers must be the same; a
#                         number with a decimal point may differ by 0.1 or by a fifth, for processors compute
#                         differently; widths do not matter. `...` stands for any text, and as a line of its
#                         own for any number of lines. A line that starts with INFO:, NOTICE:, WARNING:, ERROR:,
#                         DETAIL: or HINT: is a message: each must come, in that order, and others may come
#                         between; in messages every number stands for every number.
# ```text sample          below it: only the names of the columns, its first line, are compared.
# ```sql not run: REASON  is not run.
# ```sh run               is run by bash -e in the root of the tree. PGHOST, PGPORT, PGUSER and PGDATABASE
#                         lead to the page's database; $TMP is an empty folder.
# ```sh                   is looked at: targets of make and files of the tree must exist.
# <!-- run                is run, but readers do not see it: SQL up to the line that says -->
# <!-- wait: QUERY -->    waits until the query says true.
# <!-- database: world --> the page's database is a copy of one in which the blocks of doc/tutorial.md have run,
#                         up to its line <!-- world -->: it has the table facts and the model world. Other
#                         databases are empty.
#
# Blocks of mermaid, math, ini, json, c, make and rooms (test/layers.pl reads those) are not looked at.
# METASD_PAGE=doc/tutorial.md runs one page.
use strict;
use warnings;

use File::Find;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# How long a page takes depends on the machine and on its other work. The deadline stops trainings that never end.
my $forever = 7200;
my $message = qr/^(?:INFO|NOTICE|WARNING|ERROR|FATAL|DETAIL|HINT): /;

# ---- what a page consists of ----

# The blocks of a page that do something: kind (sql, sh, look, skip, wait, database, world), text, line, and
# the output printed below (and whether it is a sample).
sub blocks_of
{
	my ($page, $text) = @_;
	my (@blocks, $shown, $open);
	my $number = 0;

	for my $line (split /\n/, $text)
	{
		$number++;
		if ($open)
		{
			if ($line =~ $open->{end})
			{
				$open->{block}{text} = $open->{text} if $open->{block};
				$shown->{output} = $open->{text} if $open->{output};
				undef $open;
			}
			else
			{
				$open->{text} .= "$line\n";
			}
		}
		elsif ($line =~ /^\s*```(.*)$/)
		{
			my $kind = $1;

			$open = { end => qr/^\s*```$/, text => '' };
			if ($kind =~ /^text( sample)?$/)
			{
				$open->{output} = 1 if $shown;
				$shown->{sample} = 1 if $shown && $1;
				next;
			}
			undef $shown;
			my $does = $kind eq 'sql' ? 'sql' : $kind eq 'sh run' ? 'sh' : $kind eq 'sh' ? 'look'
			  : $kind =~ /^(?:sql|sh) not run: \S/ ? 'skip' : undef;
			if (!$does)
			{
				like($kind, qr/^(?:mermaid|math|ini|json|c|make|rooms)$/, "$page, line $number: a kind of block");
				next;
			}
			push @blocks, $open->{block} = { kind => $does, line => $number, why => $kind };
			$shown = $blocks[-1] if $does eq 'sql' || $does eq 'sh';
		}
		elsif ($line =~ /^<!-- run$/)
		{
			push @blocks, { kind => 'sql', line => $number };
			$open = { end => qr/^-->$/, text => '', block => $blocks[-1] };
			undef $shown;
		}
		elsif ($line =~ /^<!-- (wait|database|world)(?:: (.*))? -->$/)
		{
			push @blocks, { kind => $1, line => $number, text => $2 };
			undef $shown;
		}
		elsif ($line =~ /^#/)
		{
			undef $shown;
		}
		elsif ($line =~ /^(?: {4,}|\t)(?:SELECT|CALL|CREATE|INSERT|UPDATE|DELETE|DROP|ALTER|SET|COPY|GRANT)\b/)
		{
			fail("$page, line $number: commands stand in blocks of sql: $line");
		}
	}
	ok(!$open, "$page: its blocks end");
	return @blocks;
}

# ---- whether the output is the printed one ----

# A line as it is compared: its cells, without the blanks around them; none for rules and empty lines.
sub cells_of
{
	my ($line) = @_;

	$line =~ s/-{2,}/-/g;
	return if $line =~ /^[-+\s]*$/;
	return map { s/^\s+|\s+$//gr } split /\|/, $line, -1;
}

sub same_cell
{
	my ($printed, $came) = @_;
	my $number = qr/(?<![\w.])-?\d+\.\d+(?:e[-+]\d+)?/;
	my $pattern = join '.*', map { join "($number)", map { quotemeta } split /$number/, $_, -1 } split /\Q...\E/, $printed, -1;
	my @printed = $printed =~ /($number)/g;
	my @came = $came =~ /^$pattern$/ or return 0;

	return 1 if !@printed;
	for my $i (0 .. $#printed)
	{
		my $margin = abs($printed[$i]) / 5;
		$margin = 0.1 if $margin < 0.1;
		return 0 if abs($printed[$i] - $came[$i]) > $margin;
	}
	return 1;
}

sub same_line
{
	my ($printed, $came) = @_;

	return @$printed == @$came && !grep { !same_cell($printed->[$_], $came->[$_]) } 0 .. $#$printed;
}

# Whether the lines are the same, where `...` alone stands for any of them.
sub same_lines
{
	my ($printed, $came) = @_;
	my ($first, @rest) = @$printed;

	return !@$came if !$first;
	if (@$first == 1 && $first->[0] eq '...')
	{
		return !!grep { same_lines(\@rest, [ @$came[ $_ .. $#$came ] ]) } 0 .. @$came;
	}
	return @$came && same_line($first, $came->[0]) && same_lines(\@rest, [ @$came[ 1 .. $#$came ] ]);
}

sub message_pattern
{
	my ($line) = @_;
	my $number = qr/\d+(?:[.:]\d+)*/;

	$line =~ s/^(\w+:) +/$1  /;

	$line =~ s/\s+$//;
	return join '.*', map { join $number, map { quotemeta } split /$number/, $_, -1 } split /\Q...\E/, $line, -1;
}

# A block has done what the page says: $out and $err are what came.
sub check_output
{
	my ($page, $block, $out, $err) = @_;
	my $name = "$page, line $block->{line}: " . (split /\n/, $block->{text})[0];
	my @printed = split /\n/, $block->{output} // '';
	my @expected = map { message_pattern($_) } grep { /$message/ } @printed;
	my @messages = map { s/^psql:<stdin>:\d+: //r } split /\n/, $err;

	# No error but those that are printed, and every message that is.
	my @errors = grep { /^(?:ERROR|FATAL):|^(?:psql: )?error:|^invalid |^\\\w+: / } @messages;
	my @wrong = grep { my $error = $_; !grep { $error =~ /^$_$/ } @expected } @errors;
	my @left = @expected;
	for my $came (@messages)
	{
		shift @left if @left && $came =~ /^$left[0]$/;
	}
	ok(!@wrong && !@left, "$name: " . ($block->{output} ? 'the messages' : 'no error'))
	  or diag("not printed: @wrong\ndid not come: @left\nwhat came:\n$err");

	return if !defined $block->{output};
	my @lines = map { [ cells_of($_) ] } grep { !/$message/ && !/^LINE \d|^\s*\^\s*$/ && cells_of($_) } @printed;
	my @came = map { [ cells_of($_) ] } grep { cells_of($_) } split /\n/, $out;
	if ($block->{sample})
	{
		ok(@came && same_line($lines[0], $came[0]), "$name: the columns") or diag("what came:\n$out");
		return;
	}
	ok(same_lines(\@lines, \@came), "$name: the output") or diag("printed:\n$block->{output}\nwhat came:\n$out");
	return;
}

# ---- how a page runs ----

# A block as psql's standard input has it.
sub script_of
{
	my ($block, $folder, $i, $environment) = @_;

	return $block->{text} if $block->{kind} eq 'sql';
	if ($block->{kind} eq 'wait')
	{
		return "DO \$wait\$ DECLARE done boolean; BEGIN\n"
		  . "FOR i IN 1 .. 100 * $PostgreSQL::Test::Utils::timeout_default LOOP\n"
		  . "EXECUTE \$query\$$block->{text}\$query\$ INTO done; IF done THEN RETURN; END IF; PERFORM pg_sleep(0.01);\n"
		  . "END LOOP; RAISE 'waited in vain'; END \$wait\$;\n";
	}
	append_to_file("$folder/$i.sh", "$environment\n$block->{text}");
	return "\\! bash -e $folder/$i.sh >$folder/$i.out 2>$folder/$i.err </dev/null || echo 'ERROR:  exit status' \$? >>$folder/$i.err\n";
}

# Runs blocks in a database, and checks what they say.
sub run_blocks
{
	my ($node, $page, $database, @blocks) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir;
	my $environment = sprintf 'export PGHOST=%s PGPORT=%s PGDATABASE=%s PGUSER=postgres TMP=%s',
	  $node->host, $node->port, $database, PostgreSQL::Test::Utils::tempdir;
	my ($script, $out, $err) = ('', '', '');

	for my $i (0 .. $#blocks)
	{
		$script .= "\\echo\n\\echo \@\@ $i\n\\warn \@\@ $i\n";
		$script .= script_of($blocks[$i], $folder, $i, $environment) . ";\n" if $blocks[$i]{kind} ne 'skip';
	}
	$node->psql($database, $script . "\\echo\n\\echo \@\@ end\n\\warn \@\@ end\n", stdout => \$out, stderr => \$err, timeout => $forever,
		on_error_stop => 0, extra_params => [ '-P', 'format=aligned', '-P', 'tuples_only=off', '-P', 'footer=off' ]);
	like($out, qr/^\@\@ end$/m, "$page runs to its end in $database") or diag($err);

	my %out = $out =~ /^\@\@ (\d+)\n(.*?)(?=^\@\@ |\z)/msg;
	my %err = $err =~ /^\@\@ (\d+)\n(.*?)(?=^\@\@ |\z)/msg;
	for my $i (0 .. $#blocks)
	{
		my $block = $blocks[$i];

		if ($block->{kind} eq 'skip')
		{
			note("$page, line $block->{line}: $block->{why}");
			next;
		}
		check_output($page, $block, $block->{kind} eq 'sh' ? map { slurp_file("$folder/$i.$_") } qw(out err)
			: ($out{$i} // '', $err{$i} // 'ERROR:  it was not run'));
	}
	ok($node->poll_query_until($database, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'metasd training'"),
		"$page: no training is left");
	return;
}

# The database that pages begin with is made when the first of them needs it.
my $tutorial = 'doc/tutorial.md';
my $world_is_there;

sub run_page
{
	my ($node, $page, @blocks) = @_;
	my $database = 'page_' . $page =~ s/.*\///r =~ s/\.md$//r =~ s/\W/_/gr =~ tr/A-Z/a-z/r;
	my ($template) = map { $_->{text} } grep { $_->{kind} eq 'database' } @blocks;
	my ($world) = map { $_->{line} } grep { $_->{kind} eq 'world' } @blocks;

	@blocks = grep { $_->{kind} =~ /^(?:sql|sh|wait|skip)$/ && $_->{line} > ($world // 0) } @blocks;
	return if !grep { $_->{kind} ne 'skip' } @blocks;
	make_world($node) if $template && !$world_is_there++;
	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE " . ($template // 'template1'));
	run_blocks($node, $page, $database, @blocks);
	return;
}

sub make_world
{
	my ($node) = @_;
	my ($text) = slurp_file($tutorial) =~ /\A(.*?)^<!-- world -->$/ms;

	$node->safe_psql('postgres', 'CREATE DATABASE world');
	run_blocks($node, $tutorial, 'world', grep { $_->{kind} =~ /^(?:sql|sh|wait)$/ } blocks_of($tutorial, $text));
	return;
}

# ---- links, and commands that do not run ----

# The files and folders of the tree: run.sh, which copies only some of them, has listed them all.
my %exists;
if (-e 'listing')
{
	%exists = map { $_ => 1 } split /\n/, slurp_file('listing');
}
else
{
	find({ no_chdir => 1, wanted => sub { $exists{ s{^\./}{}r } = 1 } }, '.');
}
my $makefile = slurp_file('Makefile');
$makefile .= slurp_file($_) for $makefile =~ /^include (test\S+)$/mg;

# Blocks of sh that do not run name targets and files that exist.
sub check_shell
{
	my ($page, @blocks) = @_;

	for my $block (grep { $_->{kind} eq 'look' } @blocks)
	{
		my @wrong;

		for my $line (split /\n/, $block->{text} =~ s/#.*//gmr)
		{
			my @words = grep { !/^(?:sudo|&&|\w+=.*)$/ } split ' ', $line;

			for my $i (0 .. $#words)
			{
				push @wrong, $words[$i] if $words[$i] =~ m{^[\w.]+/[\w./]*$} && !$exists{ $words[$i] };
				next if $i == 0 || $words[ $i - 1 ] ne 'make';
				push @wrong, "make $words[$i]" if $words[$i] !~ /^(?:-.*|all|install|uninstall|installcheck|clean)$/
				  && $makefile !~ /^(?:[\w-]+ )*\Q$words[$i]\E(?: [\w-]+)*:/m;
			}
		}
		is("@wrong", '', "$page, line $block->{line}: " . (split /\n/, $block->{text})[0]);
	}
	return;
}

# The anchors of a page, as GitHub makes them of its headings.
sub anchors_of
{
	my ($text) = @_;
	my (%anchors, %seen);

	$text =~ s/^\s*```.*?^\s*```$//msg;
	while ($text =~ /^#+ +(.*?) *$/mg)
	{
		my $anchor = lc $1 =~ s/\[([^\]]*)\]\([^)]*\)/$1/gr =~ s/[^\w\- ]//gr =~ tr/ /-/r;
		$anchors{ $seen{$anchor}++ ? "$anchor-" . ($seen{$anchor} - 1) : $anchor } = 1;
	}
	$anchors{$_} = 1 for $text =~ /<a (?:id|name)="([^"]+)">/g;
	return \%anchors;
}

# Where links of a page lead: files, and anchors in them.
sub check_links
{
	my ($page, $pages) = @_;
	my $text = $pages->{$page} =~ s/^\s*```.*?^\s*```$//msgr =~ s/`[^`\n]*`//gr;
	my $folder = $page =~ m{^(.*)/} ? $1 : '';
	my @wrong;

	for my $link ($text =~ /\]\(([^)\s]+)\)/g, $text =~ /^\[[^\]]+\]: (\S+)/mg)
	{
		next if $link =~ m{^https?://[\w.-]+};
		my ($file, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
		my $path = $file eq '' ? $page : $folder eq '' ? $file : "$folder/$file";

		1 while $path =~ s{(?:^|(?<=/))(?!\.\./)[^/]+/\.\./}{};
		$path =~ s{/$}{};
		push @wrong, $link if !$exists{$path} || defined $anchor && !anchors_of($pages->{$path} // '')->{$anchor};
	}
	is("@wrong", '', "$page: its links lead somewhere");
	return;
}

# doc/functions.md has an entry for each function, procedure and view of the extension that people use, with
# the names of all its arguments and columns, and no other.
sub check_functions
{
	my ($node, $text) = @_;
	my ($out) = $node->safe_psql('world', q{
		SELECT p.proname, string_agg(DISTINCT a, ' ')
		FROM pg_proc p, pg_depend d, unnest(coalesce(p.proargnames, '{}')) a
		WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' AND p.proname LIKE 'kg\_%'
		GROUP BY p.proname
		UNION ALL
		SELECT 'metasd.' || c.relname, string_agg(a.attname, ' ' ORDER BY attnum)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
		WHERE c.relnamespace = 'metasd'::regnamespace AND c.relkind = 'v' GROUP BY c.relname});
	my %names = map { split /\|/ } split /\n/, $out;
	my %entries = $text =~ /^### `?([\w.]+)`?$(.*?)(?=^##|\z)/msg;

	is(join(' ', sort keys %entries), join(' ', sort keys %names), 'doc/functions.md: an entry for each function and view');
	for my $name (sort keys %names)
	{
		my $entry = $entries{$name} // next;
		is(join(' ', grep { $entry !~ /\b\Q$_\E\b/ } split / /, $names{$name}), '', "doc/functions.md: $name: all arguments and columns");
	}
	return;
}

# What differs is seen.
my @row = map { [ cells_of($_) ] } ' 1 | a b | 0.76', '-----+---', '...', '2|x...|7';
@row = grep { @$_ } @row;
ok(same_lines(\@row, [ [ 1, 'a b', '0.83' ], [ 2, 'xyz', 7 ] ]), 'outputs that are the same');
ok(!same_lines(\@row, $_), 'outputs that are not')
  for [], [ [ 1, 'a b', '0.76' ] ], [ [ 1, 'a b', '0.76' ], [ 2, 'xyz', 8 ] ], [ [ 1, 'a b', '0.96' ], [ 2, 'x', 7 ] ],
  [ [ 1, 'a c', '0.76' ], [ 2, 'x', 7 ] ], [ [ 2, 'a b', '0.76' ], [ 2, 'x', 7 ] ], [ [ 1, 'a b', '0.76' ], [ 2, 'x', 7 ], [ 3, 'x', 7 ] ];

my %pages;
find({ no_chdir => 1, wanted => sub { $pages{ s{^\./}{}r } = slurp_file($_) if /\.md$/ && !m{/(?:tmp_check|stage|pg|build|tree|prove|regress|isolation)/} } }, '.');
ok($pages{'README.md'}, 'there is a README');
cmp_ok(($pages{'README.md'} =~ tr/\n//), '<=', 200, 'of 200 lines at most');
check_links($_, \%pages) for sort keys %pages;

my $node = PostgreSQL::Test::Cluster->new('documents');
$node->init;
$node->start;
is($node->safe_psql('postgres', 'SHOW metasd.nice'), '0', 'trainings do not give way to the rest of the machine');
for my $page (grep { !$ENV{METASD_PAGE} || $_ eq $ENV{METASD_PAGE} } grep { m{^(?:README|doc/[^/]+)\.md$} } sort keys %pages)
{
	my $begun = time;
	my @blocks = blocks_of($page, $pages{$page});

	check_shell($page, @blocks);
	run_page($node, $page, @blocks);
	check_functions($node, $pages{$page}) if $page eq 'doc/functions.md';
	note("$page took " . (time - $begun) . ' s');
}
$node->stop;
done_testing();
