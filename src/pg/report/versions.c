#include "pg/report/versions.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "pg/access/access.h"
#include "pg/catalog/statement.h"
#include "pg/report/chart.h"

/* Versions in the table and the chart, the latest. */
#define MOST_VERSIONS 20

typedef struct Version {
    int64 run;
    char *finished, *note;
    double triples, mrr, bytes, seconds;
} Version;

/* ---- drift ---- */

static void
write_drift(const MetasdReport *report)
{
    static MetasdStatement look = {
        "SELECT (metrics #>> '{drift,version}')::float8, (metrics #>> '{drift,queries}')::float8, "
        "(metrics #>> '{drift,mrr_before}')::float8, (metrics #>> '{drift,mrr}')::float8, "
        "(metrics #>> '{drift,top10_overlap}')::float8 FROM metasd.run WHERE id = $1 AND metrics ? "
        "'drift'",
        1,
        {INT8OID},
        NULL};
    Datum value = Int64GetDatum(report->model->serving);
    MetasdHtml *html = report->html;

    if (metasd_statement_execute(&look, &value, NULL, true) == 0) {
        metasd_html_markup(html, "<p class=\"soft\">There was no version before this one that it "
                                 "was compared with.</p>\n");
        return;
    }
    metasd_html_print(html, "<p>Compared with version %.0f, which served before",
                      metasd_figures_number(0, 1));
    if (!isnan(metasd_figures_number(0, 4)))
        metasd_html_print(html,
                          ": on %.0f answers that both held out its MRR is %.3f, and that of "
                          "the version before was %.3f",
                          metasd_figures_number(0, 2), metasd_figures_number(0, 4),
                          metasd_figures_number(0, 3));
    if (!isnan(metasd_figures_number(0, 5)))
        metasd_html_print(html,
                          ". Of the ten best answers to a question, %.0f%% are the same on "
                          "average",
                          100 * metasd_figures_number(0, 5));
    metasd_html_markup(html, ".</p>\n");
}

/* ---- the versions ---- */

/* The versions of the model that the caller may ask, from old to new. */
static int
read_versions(const MetasdReport *report, Version versions[MOST_VERSIONS])
{
    static MetasdStatement look = {
        "SELECT id, to_char(finished, 'YYYY-MM-DD HH24:MI'), triples::float8, "
        "(coalesce(metrics -> 'stored', metrics -> 'validation') ->> 'mrr')::float8, "
        "bytes::float8, extract(epoch FROM finished - coalesce(resumed, started))::float8, note, "
        "source, head, relation, tail FROM metasd.run WHERE model = $1 AND status = 'succeeded' "
        "ORDER BY id DESC LIMIT $2",
        2,
        {TEXTOID, INT8OID},
        NULL};
    Datum values[2] = {CStringGetTextDatum(report->model->name), Int64GetDatum(MOST_VERSIONS)};
    uint64 n = metasd_statement_execute(&look, values, NULL, true);
    SPITupleTable *rows = SPI_tuptable;
    int count = 0;

    for (uint64 i = n; i-- > 0;) {
        MetasdModel asked = *report->model;
        bool isnull;

        SPI_tuptable = rows; /* the check of rights may have used another */
        asked.serving_source = metasd_statement_relation(i, 8);
        for (int c = 0; c < 3; c++)
            asked.serving_column[c] = metasd_statement_text(i, 9 + c);
        versions[count] = (Version){
            .run = DatumGetInt64(metasd_statement_value(i, 1, &isnull)),
            .finished = metasd_statement_text(i, 2),
            .triples = metasd_figures_number(i, 3),
            .mrr = metasd_figures_number(i, 4),
            .bytes = metasd_figures_number(i, 5),
            .seconds = metasd_figures_number(i, 6),
            .note = metasd_statement_text(i, 7),
        };
        count += metasd_access_may_ask(&asked);
    }
    return count;
}

static void
draw_versions(const MetasdReport *report, const Version *versions, int n)
{
    MetasdChart chart = {.html = report->html,
                         .x = {.name = "version", .count = n},
                         .y = {.name = "MRR", .high = 0}};
    const char *places[MOST_VERSIONS];
    double x[MOST_VERSIONS], y[MOST_VERSIONS];
    int known = 0;

    for (int i = 0; i < n; i++) {
        places[i] = psprintf(INT64_FORMAT, versions[i].run);
        x[i] = i;
        y[i] = versions[i].mrr;
        chart.y.high = isnan(y[i]) ? chart.y.high : Max(chart.y.high, y[i]);
        known += !isnan(y[i]);
    }
    if (known < 2)
        return;
    chart.x.places = places;
    metasd_html_markup(report->html, "<div class=\"figures\">\n");
    metasd_chart_begin(&chart, "Validation MRR of the versions",
                       "The mean reciprocal rank of each version on its validation facts.", NULL,
                       0);
    metasd_chart_line(&chart, 1, n, x, y);
    for (int i = 0; i < n; i++)
        if (!isnan(y[i]))
            metasd_chart_dot(&chart, versions[i].run == report->model->serving ? 2 : 1, x[i], y[i],
                             versions[i].run == report->model->serving ? 6 : 4,
                             psprintf("version " INT64_FORMAT ": MRR %.3f%s", versions[i].run, y[i],
                                      versions[i].run == report->model->serving ? ", serves" : ""));
    metasd_chart_end(&chart);
    metasd_html_markup(report->html, "</div>\n");
}

static void
list_versions(const MetasdReport *report, const Version *versions, int n)
{
    static const char *const columns[] = {"#Version", "finished", "#facts", "#MRR",
                                          "#stored",  "#time",    "note"};
    MetasdHtml *html = report->html;

    metasd_html_open_table(html, NULL, columns, lengthof(columns));
    for (int i = n - 1; i >= 0; i--) {
        const Version *v = &versions[i];

        metasd_html_print(html, "<tr><td class=\"number\">" INT64_FORMAT "</td><td>", v->run);
        metasd_html_text(html, v->finished ? v->finished : "-");
        metasd_html_markup(html, "</td>");
        metasd_html_count_cell(html, isnan(v->triples) ? 0 : (int64)v->triples);
        metasd_html_number_cell(html, v->mrr, 3);
        metasd_html_print(html, "<td class=\"number\">%s</td><td class=\"number\">%s</td><td>",
                          isnan(v->bytes) ? "-" : metasd_html_bytes(v->bytes),
                          isnan(v->seconds) ? "-" : metasd_html_seconds(v->seconds));
        if (v->run == report->model->serving)
            metasd_html_markup(html, v->note ? "serves. " : "serves");
        if (v->note)
            metasd_html_text(html, v->note);
        metasd_html_markup(html, "</td></tr>\n");
    }
    metasd_html_close_table(html);
}

void
metasd_versions_write(const MetasdReport *report)
{
    Version versions[MOST_VERSIONS];
    MetasdHtml *html = report->html;
    int n;

    metasd_html_markup(html, "<section id=\"versions\"><h2>Versions</h2>\n");
    write_drift(report);
    n = read_versions(report, versions);
    draw_versions(report, versions, n);
    list_versions(report, versions, n);
    metasd_html_markup(html, "</section>\n");
}
