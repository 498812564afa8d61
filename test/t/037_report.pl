# The page of kg_report in a browser, if there is one; and in databases of several encodings.

use strict;
use warnings;

use File::Temp qw(tempdir);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use MetasdTest;

my $node = new_node('main');
my %pages;

# ---- characters ----

# A model of facts between all labels, and its page. Labels are SQL.
sub report_of
{
	my ($database, @labels) = @_;
	my $list = join ', ', @labels;

	$node->safe_psql($database, qq{
		CREATE TABLE named AS SELECT h AS head, 'r' AS relation, t AS tail
		FROM unnest(ARRAY[$list]) h, unnest(ARRAY[$list]) t});
	my $run = $node->safe_psql($database, q{SELECT kg_train('named', 'named', params => '{"rank": 8, "epochs": 2}')});
	$node->safe_psql($database, "CALL kg_wait($run)");
	my $page = $node->safe_psql($database, q{SELECT kg_report('named')});
	unlike($page, qr/[^\x00-\x7f]/, "$database: the page is plain ASCII");
	return $page;
}

# What the map says of its entities.
sub labels_in
{
	my ($page) = @_;

	return sort $page =~ /<circle class="mark dot m\d"[^>]*><title>([^<]*): \d+ facts?</g;
}

# The characters by their numbers; long labels are cut between two of them, with wide ones for two; what turns the
# direction of a text shows as U+FFFD; marks that combine need no columns, but are not endless.
my @labels = ("'Zo\x{c3}\x{ab}'", 'repeat(chr(21517), 200)', 'chr(1513) || chr(1500) || chr(1493) || chr(1501)',
	q{'exe' || chr(8238) || 'gpj'}, q{'a' || repeat(chr(769), 500)}, q{'x' || chr(8232) || chr(133) || chr(65534)},
	q{chr(128105) || chr(8205) || chr(128187)}, q{repeat('e' || chr(769), 200)});
$pages{utf8} = report_of('postgres', @labels);
is_deeply(
	[ labels_in($pages{utf8}) ],
	[
		sort '&#x1F469;&#x200D;&#x1F4BB;', '&#x5E9;&#x5DC;&#x5D5;&#x5DD;', '&#x540D;' x 29 . '&#x2026;', 'Zo&#xEB;',
		'a' . '&#x301;' x 119 . '&#x2026;', 'e&#x301;' x 59 . '&#x2026;', 'exe&#xFFFD;gpj', 'x&#xFFFD;&#xFFFD;&#xFFFD;'
	],
	'labels in UTF-8');

for my $case (
	[ 'LATIN1', [ q{E'Zo\xeb'} ], ['Zo&#xEB;'] ],
	[ 'EUC_JP', [ q{E'\xcc\xbe'}, q{E'a\xa9\xa1b'} ], [ '&#x540D;', 'a&#xFFFD;b' ] ],
	[ 'SQL_ASCII', [ q{E'Zo\xc3\xab'}, q{E'Zo\xeb'}, q{E'\xe5\x90'} ], [ '&#xFFFD;&#xFFFD;', 'Zo&#xEB;', 'Zo&#xFFFD;' ] ])
{
	my ($encoding, $given, $wanted) = @$case;
	my $database = lc $encoding;

	$node->safe_psql('postgres',
		"CREATE DATABASE $database TEMPLATE template0 ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C'");
	$node->safe_psql($database, 'CREATE EXTENSION metasd');
	my $page = report_of($database, @$given, q{'b'});
	is_deeply([ labels_in($page) ], [ sort @$wanted, 'b' ], "labels in $encoding");
}

# ---- in a browser ----

# Pages of every kind: the usual one, one of labels that want to be markup or to overflow, and one of nearly nothing.
train($node, 'm', $QUICK);
train($node, 'm', $QUICK =~ s/\{/{"seed": 2, /r);
$pages{usual} = $node->safe_psql('postgres', q{SELECT kg_report('m')});
$node->safe_psql('postgres', q{
	CREATE TABLE hostile AS
	SELECT v[1 + i % 8] AS head, v[1 + i % 3] || '<b>' AS relation, v[1 + (i + i / 8) % 8] AS tail
	FROM (SELECT ARRAY['<script>document.title = "run"</script>', '"><img src=x onerror=alert(1)>', repeat('w', 3000),
	                   repeat('two words ', 300), '&amp;', E'\u0001\u0002', repeat(chr(21517), 300), repeat('M', 40)]) a (v),
	     generate_series(1, 64) i});
my $run = $node->safe_psql('postgres',
	q{SELECT kg_train(repeat('W', 200), 'hostile', params => '{"rank": 16, "epochs": 4, "validation_fraction": 0.2}')});
$node->safe_psql('postgres', "CALL kg_wait($run)");
$pages{hostile} = $node->safe_psql('postgres', q{SELECT kg_report(repeat('W', 200))});
$node->safe_psql('postgres', q{CREATE TABLE tiny AS SELECT 'a' AS head, 'r' AS relation, 'b' AS tail});
$run = $node->safe_psql('postgres', q{SELECT kg_train('tiny', 'tiny', params => '{"rank": 2, "epochs": 1}')});
$node->safe_psql('postgres', "CALL kg_wait($run)");
$pages{tiny} = $node->safe_psql('postgres', q{SELECT kg_report('tiny')});

# Of a large graph a part is searched.
load_graph($node, 'postgres', 'large', entities => 2000, relations => 5, triples => 20000);
$run = $node->safe_psql('postgres', q{
	SELECT kg_train('large', 'large', params => '{"rank": 150, "epochs": 1, "warmup": 0, "sparsity": 0, "reg": 0.05,
		"regularizer": "dura", "relation_weight": 0, "class_weights": false}')});
$node->safe_psql('postgres', "CALL kg_wait($run)");
$pages{large} = $node->safe_psql('postgres', q{SELECT kg_report('large')});
ok($pages{large} =~ qr/best answers to 2,000 questions that were drawn from its facts/, 'a sample of the questions');
ok($pages{large} =~ qr/<section id="discoveries">.*<li>.*<section id="suspects">.*these are facts of the relation <bdi>r\d<.*<li>/s,
	'facts of a relation');
cmp_ok(length $pages{large}, '<', 2_000_000, 'its page is small');

my ($browser) = grep { -x } map { ("$_/chromium", "$_/chromium-browser", "$_/google-chrome") } split /:/, $ENV{PATH};
my $folder = tempdir(CLEANUP => 1);
chmod 0755, $folder;

# A page that shows another in a frame of a width, and then writes what it finds there: what is wider than the frame,
# each chart with its marks, and text that a chart cuts off.
my $look = <<'END';
<!DOCTYPE html><html><body><iframe id="frame" style="border:0;width:WIDTHpx;height:1000px" src="PAGE.html"></iframe>
<pre id="found"></pre><script>
frame.onload = function () {
	let d = frame.contentDocument, root = d.documentElement, out = ["width " + root.scrollWidth];
	for (let e of d.querySelectorAll("details")) e.open = true;
	out.push("opened " + root.scrollWidth, "title " + d.title);
	for (let e of d.body.querySelectorAll("*"))
		if (!e.closest("svg") && !e.closest(".scroll table") && e.getBoundingClientRect().right > WIDTH + 0.5)
			out.push("over " + e.tagName + " " + e.textContent.slice(0, 40));
	for (let chart of d.querySelectorAll("svg.chart")) {
		let box = chart.getBoundingClientRect();
		out.push("chart " + chart.querySelectorAll(".mark").length + " " + chart.querySelector("title").textContent);
		for (let mark of chart.querySelectorAll(".mark")) {
			let b = mark.getBoundingClientRect();
			if (!(b.width + b.height > 0) || getComputedStyle(mark).fill == "" ) out.push("unseen " + mark.outerHTML);
		}
		for (let text of chart.querySelectorAll("text:not(svg svg text)")) {
			let b = text.getBoundingClientRect();
			if (b.width > 0 && (b.left < box.left - 1 || b.right > box.right + 1 || b.top < box.top - 1 || b.bottom > box.bottom + 1))
				out.push("cut " + text.textContent);
		}
	}
	out.push("scripts " + d.scripts.length + " images " + d.images.length, "paper " + getComputedStyle(d.body).backgroundColor);
	found.textContent = out.join("\n") + "\nend";
};
</script></body></html>
END

# What the browser finds in a page at a width, as lines; and what it says on its console.
sub look_at
{
	my ($name, $width, @options) = @_;
	my ($out, $err);

	append_to_file("$folder/$name-$width.html", $look =~ s/WIDTH/$width/gr =~ s/PAGE/$name/r);
	IPC::Run::run(
		[
			$browser, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--allow-file-access-from-files',
			'--hide-scrollbars', '--enable-logging=stderr', "--user-data-dir=$folder/profile", "--window-size=1600,1200",
			'--virtual-time-budget=10000', @options, '--dump-dom', "file://$folder/$name-$width.html"
		],
		'>' => \$out, '2>' => \$err, IPC::Run::timeout(3 * $PostgreSQL::Test::Utils::timeout_default));
	my ($found) = $out =~ m{<pre id="found">(.*?)</pre>}s;
	my @console = grep { /CONSOLE/ } split /\n/, $err;
	return ($found // '', @console);
}

for my $name (sort keys %pages)
{
	append_to_file("$folder/$name.html", $pages{$name});
}

SKIP:
{
	skip 'no Chromium here (Debian: chromium): the page was not looked at in a browser', 1 unless $browser;
	for my $name (sort keys %pages)
	{
		for my $width (400, 1400)
		{
			my ($found, @console) = look_at($name, $width);
			my @charts = $found =~ /^(chart .*)$/mg;

			unlink "$folder/$name-$width.html";
			like($found, qr/^end$/m, "$name, $width wide: the browser has read it") or next;
			is_deeply(\@console, [], 'no error on the console');
			is_deeply([ $found =~ /^(?:width|opened) (.*)$/mg ], [ $width, $width ], 'as wide as its window, also with all details');
			is_deeply([ $found =~ /^(?:over|cut|unseen) .*$/mg ], [], 'nothing overflows or is cut off');
			cmp_ok(scalar @charts, '>', 5, 'charts');
			is_deeply([ grep { /^chart 0/ } @charts ], [], 'with marks');
			like($found, qr/^scripts 0 images 0$/m, 'no scripts, no images');
			like($found, qr/^title .* - model report$/m, 'the title is its own');
		}
	}
	my ($light) = look_at('usual', 1400);
	my ($dark) = look_at('usual', 1400, '--blink-settings=preferredColorScheme=0');
	my ($on_light) = $light =~ /^paper rgb\((\d+)/m;
	my ($on_dark) = $dark =~ /^paper rgb\((\d+)/m;
	cmp_ok($on_light, '>', 200, 'light paper');
	cmp_ok($on_dark, '<', 60, 'dark paper');
}

$node->stop;
done_testing();
