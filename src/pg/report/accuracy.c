#include "pg/report/accuracy.h"

#include <math.h>

#include "catalog/pg_type.h"

#include "pg/catalog/statement.h"
#include "pg/report/chart.h"

#define MOST_BARS 20
#define MOST_RELATIONS 200 /* in the table */

static const char *
plural(double n)
{
    return n == 1 ? "" : "s";
}

/* ---- in all ---- */

/* Ranks of the full model if there is one, of the model that is stored, and of that as stored. */
static void
write_ranks(const MetasdReport *report)
{
    static MetasdStatement look = {
        "SELECT n.name, (m.x ->> 'mrr')::float8, (m.x ->> 'hits_1')::float8, (m.x ->> "
        "'hits_3')::float8, (m.x ->> 'hits_10')::float8, (m.x ->> 'mean_rank')::float8, (m.x ->> "
        "'queries')::float8 FROM metasd.run r, (VALUES (1, 'full', 'full model'), (2, "
        "'validation', CASE WHEN $2 THEN 'pruned model' ELSE 'model' END), (3, 'stored', 'as "
        "stored')) n (place, key, name), LATERAL (SELECT r.metrics -> n.key) m (x) WHERE r.id = $1 "
        "AND m.x IS NOT NULL ORDER BY n.place",
        2,
        {INT8OID, BOOLOID},
        NULL};
    static const char *const columns[] = {"",         "#MRR",       "#Hits@1", "#Hits@3",
                                          "#Hits@10", "#mean rank", "#answers"};
    Datum values[2] = {Int64GetDatum(report->model->serving),
                       BoolGetDatum(report->figures.sparsity > 0)};
    uint64 n = metasd_statement_execute(&look, values, NULL, true);
    MetasdHtml *html = report->html;

    metasd_html_open_table(html, NULL, columns, lengthof(columns));
    for (uint64 i = 0; i < n; i++) {
        metasd_html_markup(html, "<tr><td>");
        metasd_html_text(html, metasd_statement_text(i, 1));
        metasd_html_markup(html, "</td>");
        for (int c = 2; c <= 5; c++)
            metasd_html_number_cell(html, metasd_figures_number(i, c), 3);
        metasd_html_number_cell(html, metasd_figures_number(i, 6), 1);
        metasd_html_number_cell(html, metasd_figures_number(i, 7), 0);
        metasd_html_markup(html, "</tr>\n");
    }
    metasd_html_close_table(html);
}

/* ---- by relation ---- */

/* The relations with the most validation facts, or if nobody may know those with the most facts. */
static uint64
read_relations(const MetasdReport *report)
{
    static MetasdStatement look = {
        "SELECT l.label, l.count::float8, CASE WHEN $2 THEN l.held_out END::float8, CASE WHEN $2 "
        "THEN l.mrr END, l.irreflexive, l.tail_slope IS NOT NULL, (SELECT count(*) FROM "
        "metasd.relation a WHERE a.run = $1)::float8 FROM metasd.relation l WHERE l.run = $1 "
        "ORDER BY CASE WHEN $2 THEN l.held_out END DESC NULLS LAST, l.count DESC, l.id LIMIT $3",
        3,
        {INT8OID, BOOLOID, INT8OID},
        NULL};
    Datum values[3] = {Int64GetDatum(report->model->serving), BoolGetDatum(report->shown),
                       Int64GetDatum(MOST_RELATIONS)};

    return metasd_statement_execute(&look, values, NULL, true);
}

static MetasdLabel
label_at(uint64 row, int column)
{
    char *text = metasd_statement_text(row, column);

    return (MetasdLabel){.data = text, .len = (uint32)strlen(text)};
}

/* The best first. */
static int
compare_rows(const void *a, const void *b)
{
    double x = ((const MetasdRow *)a)->value, y = ((const MetasdRow *)b)->value;

    return (x < y) - (x > y);
}

static void
draw_relations(const MetasdReport *report, uint64 n)
{
    MetasdRow rows[MOST_BARS];
    int bars = 0;

    for (uint64 i = 0; i < n && bars < MOST_BARS; i++) {
        double mrr = metasd_figures_number(i, 4), held_out = metasd_figures_number(i, 3);

        if (isnan(mrr))
            continue;
        rows[bars++] =
            (MetasdRow){.label = label_at(i, 1),
                        .value = mrr,
                        .text = psprintf("%.3f", mrr),
                        .tip = psprintf(": MRR %.3f of %s validation fact%s", mrr,
                                        metasd_html_count((int64)held_out), plural(held_out))};
    }
    qsort(rows, (size_t)bars, sizeof(*rows), compare_rows);
    if (bars > 0)
        metasd_chart_rows(report->html, 1, "MRR by relation",
                          "Bars of the mean reciprocal rank of the relations with the most "
                          "validation facts.",
                          rows, bars, 1);
}

static void
list_relations(const MetasdReport *report, uint64 n)
{
    static const char *const columns[] = {"Relation", "#facts", "#held out", "#MRR",
                                          "probabilities fitted to"};
    MetasdHtml *html = report->html;
    double all = n > 0 ? metasd_figures_number(0, 7) : 0;

    metasd_html_markup(html, "<details><summary>All figures of the relations</summary>\n");
    metasd_html_open_table(html,
                           all > (double)n ? psprintf("The first %d of %s relations",
                                                      MOST_RELATIONS, metasd_html_count((int64)all))
                                           : NULL,
                           columns, lengthof(columns));
    for (uint64 i = 0; i < n; i++) {
        bool isnull, own = DatumGetBool(metasd_statement_value(i, 6, &isnull));

        metasd_html_markup(html, "<tr><td>");
        metasd_html_label(html, label_at(i, 1), METASD_LABEL_COLUMNS);
        metasd_html_markup(html, "</td>");
        metasd_html_count_cell(html, (int64)metasd_figures_number(i, 2));
        metasd_html_number_cell(html, metasd_figures_number(i, 3), 0);
        metasd_html_number_cell(html, metasd_figures_number(i, 4), 3);
        metasd_html_markup(html,
                           own ? "<td>its own facts</td></tr>\n" : "<td>all relations</td></tr>\n");
    }
    metasd_html_close_table(html);
    metasd_html_markup(html, "</details>\n");
}

/* ---- by degree ---- */

#define MOST_RANGES 40

/* The names of ranges of degrees, which double: 0, 1, 2+, 4+ and so on. */
static const char *
name_range(int64 from)
{
    if (from >= 1024)
        return psprintf(INT64_FORMAT "k+", from / 1024);
    return psprintf(INT64_FORMAT "%s", from, from < 2 ? "" : "+");
}

/* The range in words. */
static const char *
describe_range(int64 from)
{
    if (from < 2)
        return psprintf(INT64_FORMAT " fact%s", from, plural((double)from));
    return psprintf("%s to %s facts", metasd_html_count(from), metasd_html_count(2 * from - 1));
}

/* Bars over ranges of degrees; column 1 has the ranges, 2 the numbers, 3 the MRR or nothing. */
static void
draw_degrees(const MetasdReport *report, uint64 n, bool mrr)
{
    const char *places[MOST_RANGES];
    MetasdChart chart = {
        .html = report->html,
        .x = {.places = places, .count = (int)Min(n, MOST_RANGES)},
        .y = {.name = mrr ? "MRR" : "entities", .high = mrr ? 1 : 0, .whole = !mrr}};

    chart.x.name = "facts of the entity in the training";
    for (int i = 0; i < chart.x.count; i++) {
        places[i] = name_range((int64)metasd_figures_number((uint64)i, 1));
        if (!mrr)
            chart.y.high = Max(chart.y.high, metasd_figures_number((uint64)i, 2));
    }
    if (mrr)
        metasd_chart_begin(&chart, "MRR by how often the answer occurs",
                           "Bars of the mean reciprocal rank over the number of facts that the "
                           "training had of the entity to be found.",
                           NULL, 0);
    else
        metasd_chart_begin(&chart, "The long tail",
                           "Bars of the number of entities over the number of their facts.", NULL,
                           0);
    for (int i = 0; i < chart.x.count; i++) {
        double count = metasd_figures_number((uint64)i, 2);
        double height = mrr ? metasd_figures_number((uint64)i, 3) : count;
        const char *range = describe_range((int64)metasd_figures_number((uint64)i, 1));
        char *what = metasd_html_count((int64)count);

        metasd_chart_bar(
            &chart, mrr ? 1 : 3, i - 0.38, i + 0.38, height,
            mrr ? psprintf("%s: MRR %.3f of %s answer%s", range, height, what, plural(count))
                : psprintf("%s: %s entit%s", range, what, count == 1 ? "y" : "ies"));
    }
    metasd_chart_end(&chart);
}

static void
write_degrees(const MetasdReport *report)
{
    static MetasdStatement ranks = {
        "SELECT (d.x ->> 'from')::float8, (d.x ->> 'queries')::float8, (d.x ->> 'mrr')::float8 "
        "FROM metasd.run r, jsonb_array_elements(r.metrics -> 'degrees') d (x) WHERE r.id = $1 "
        "AND $2 ORDER BY 1",
        2,
        {INT8OID, BOOLOID},
        NULL};
    static MetasdStatement entities = {
        "SELECT CASE WHEN x.bits = 0 THEN 0 ELSE 2 ^ (x.bits - 1) END::float8, count(*)::float8 "
        "FROM (SELECT length(ltrim(degree::bit(64)::text, '0')) AS bits FROM metasd.entity WHERE "
        "run = $1) x GROUP BY x.bits "
        "ORDER BY x.bits",
        1,
        {INT8OID},
        NULL};
    Datum values[2] = {Int64GetDatum(report->model->serving), BoolGetDatum(report->shown)};
    uint64 n = metasd_statement_execute(&ranks, values, NULL, true);

    if (n > 0)
        draw_degrees(report, n, true);
    n = metasd_statement_execute(&entities, values, NULL, true);
    if (n > 0)
        draw_degrees(report, n, false);
}

/* ---- probabilities ---- */

/* The interval of a share of N (Wilson 1927). */
static void
find_interval(double share, double n, double *middle, double *half)
{
    const double z = 1.96, z2 = z * z;

    *middle = (share + z2 / (2 * n)) / (1 + z2 / n);
    *half = z / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n));
}

static void
draw_reliability(const MetasdReport *report, uint64 n)
{
    static const MetasdKey keys[] = {{1, "share of the answers that hold, with its 95% interval"}};
    MetasdChart chart = {
        .html = report->html,
        .x = {.name = "probability that the model gives",
              .high = 1,
              .exact = true,
              .notation = METASD_PERCENT},
        .y = {.name = "share that holds", .high = 1, .exact = true, .notation = METASD_PERCENT}};

    metasd_chart_begin(&chart, "Reliability",
                       "Dots of the share of answers that hold over the probability that the model "
                       "gives them, for each tenth of probability. On the diagonal both are the "
                       "same.",
                       keys, 1);
    metasd_chart_rule(&chart, true, 0, 0, 1, 1);
    for (uint64 i = 0; i < n; i++) {
        double answers = metasd_figures_number(i, 1), claimed = metasd_figures_number(i, 2);
        double holding = metasd_figures_number(i, 3), middle, half;

        if (!(answers > 0))
            continue;
        claimed /= answers;
        holding /= answers;
        find_interval(holding, answers, &middle, &half);
        metasd_chart_rule(&chart, false, claimed, middle - half, claimed, middle + half);
        metasd_chart_dot(&chart, 1, claimed, holding, 5,
                         psprintf("%s answers: %.1f%% claimed, %.1f%% hold",
                                  metasd_html_count((int64)answers), 100 * claimed, 100 * holding));
    }
    metasd_chart_end(&chart);
}

static void
list_reliability(const MetasdReport *report, uint64 n)
{
    static const char *const columns[] = {"Probability", "#answers", "#claimed to hold", "#hold"};
    MetasdHtml *html = report->html;

    metasd_html_open_table(html, "Answers by the probability that the model gives them", columns,
                           lengthof(columns));
    for (uint64 i = 0; i < n; i++) {
        metasd_html_print(html, "<tr><td>%d to %d%%</td>", (int)i * 10, (int)i * 10 + 10);
        metasd_html_count_cell(html, (int64)metasd_figures_number(i, 1));
        metasd_html_number_cell(html, metasd_figures_number(i, 2), 1);
        metasd_html_count_cell(html, (int64)metasd_figures_number(i, 3));
        metasd_html_markup(html, "</tr>\n");
    }
    metasd_html_close_table(html);
}

static void
write_reliability(const MetasdReport *report)
{
    static MetasdStatement look = {
        "SELECT (t.x ->> 'answers')::float8, (t.x ->> 'claimed')::float8, (t.x ->> "
        "'facts')::float8 FROM metasd.run r, jsonb_array_elements(r.metrics #> "
        "'{calibration,tenths}') WITH ORDINALITY t (x, n) WHERE r.id = $1 AND $2 ORDER BY t.n "
        "LIMIT 10",
        2,
        {INT8OID, BOOLOID},
        NULL};
    Datum values[2] = {Int64GetDatum(report->model->serving), BoolGetDatum(report->shown)};
    uint64 n = metasd_statement_execute(&look, values, NULL, true);
    MetasdHtml *html = report->html;

    metasd_html_markup(html, "<section id=\"probabilities\"><h2>Probabilities</h2>\n");
    if (n == 0)
        metasd_html_markup(html, "<p class=\"soft\">There are no figures of how far the "
                                 "probabilities of this version hold.</p>\n");
    else {
        metasd_html_markup(
            html, "<p class=\"soft\">All answers to the questions of the validation facts, by the "
                  "probability that the model gives them. Where the model says 80%, about 80% "
                  "should hold. The probabilities were fitted to these same facts; "
                  "<code>kg_evaluate</code> judges them by others.</p>\n<div class=\"figures\">\n");
        draw_reliability(report, n);
        list_reliability(report, n);
        metasd_html_markup(html, "</div>\n");
    }
    metasd_html_markup(html, "</section>\n");
}

void
metasd_accuracy_write(const MetasdReport *report)
{
    MetasdHtml *html = report->html;
    uint64 n;

    metasd_html_markup(html, "<section id=\"accuracy\"><h2>Accuracy</h2>\n");
    if (isnan(report->figures.mrr))
        metasd_html_markup(html,
                           "<p class=\"soft\">No facts were held out of this training, so nothing "
                           "is known of its accuracy. <code>kg_evaluate</code> measures it with "
                           "facts that it has not seen.</p>\n");
    else {
        metasd_html_markup(html,
                           "<p class=\"soft\">The model ranks the head and the tail of each "
                           "validation fact among all entities; other known facts do not count. "
                           "MRR is the mean of 1/rank: 1 is best.</p>\n");
        write_ranks(report);
    }
    if (!report->shown)
        metasd_html_markup(html, "<p class=\"soft\">Figures by relation and by how often "
                                 "entities occur are for those who may read the validation "
                                 "relation.</p>\n");
    metasd_html_markup(html, "<div class=\"figures\">\n");
    n = read_relations(report);
    draw_relations(report, n);
    metasd_html_markup(html, "<div class=\"stack\">\n");
    write_degrees(report);
    metasd_html_markup(html, "</div></div>\n");
    n = read_relations(report);
    list_relations(report, n);
    metasd_html_markup(html, "</section>\n");
    write_reliability(report);
}
