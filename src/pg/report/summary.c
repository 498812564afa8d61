#include "pg/report/summary.h"

#include <math.h>

#include "catalog/pg_type.h"

#include "pg/catalog/statement.h"

/* ---- the head ---- */

/* One of the figures at the top; DETAIL may be NULL. */
static void
write_tile(MetasdHtml *html, const char *name, const char *value, const char *detail)
{
    metasd_html_markup(html, "<div><dt>");
    metasd_html_text(html, name);
    metasd_html_markup(html, "</dt><dd>");
    metasd_html_text(html, value);
    if (detail) {
        metasd_html_markup(html, " <small>");
        metasd_html_text(html, detail);
        metasd_html_markup(html, "</small>");
    }
    metasd_html_markup(html, "</dd></div>\n");
}

static char *
count_or_dash(double count)
{
    return isnan(count) ? pstrdup("-") : metasd_html_count((int64)count);
}

static void
write_tiles(const MetasdReport *report)
{
    const MetasdFigures *f = &report->figures;
    MetasdHtml *html = report->html;

    metasd_html_markup(html, "<dl class=\"tiles\">\n");
    write_tile(html, "Facts", count_or_dash(f->triples), NULL);
    write_tile(html, "Entities", count_or_dash(f->entities), NULL);
    write_tile(html, "Relations", count_or_dash(f->relations), NULL);
    if (!isnan(f->mrr))
        write_tile(html, "MRR", psprintf("%.3f", f->mrr),
                   isnan(f->hits_10) ? NULL
                                     : psprintf("%.0f%% in the first ten", 100 * f->hits_10));
    if (!isnan(f->bytes))
        write_tile(html, "Stored", metasd_html_bytes(f->bytes),
                   f->bytes > 0 && f->dense_bytes > 0
                       ? psprintf("1/%.1f of dense float32", f->dense_bytes / f->bytes)
                       : NULL);
    if (!isnan(f->seconds))
        write_tile(html, "Trained for", metasd_html_seconds(f->seconds), f->finished);
    metasd_html_markup(html, "</dl>\n");
}

static void
write_head(const MetasdReport *report)
{
    MetasdHtml *html = report->html;

    metasd_html_markup(html, "<header><p class=\"kind\">Knowledge-graph model</p>\n<h1>");
    metasd_html_name(html, report->model->name, 2 * METASD_LABEL_COLUMNS);
    metasd_html_print(html, "</h1>\n<p class=\"soft\">Version " INT64_FORMAT ", %s ",
                      report->model->serving,
                      report->figures.imported ? "imported, with the facts of" : "trained from");
    metasd_html_name(html, report->model->serving_source.name, 2 * METASD_LABEL_COLUMNS);
    metasd_html_markup(
        html, ".</p>\n<nav aria-label=\"Sections\"><a href=\"#training\">Training</a> "
              "<a href=\"#accuracy\">Accuracy</a> <a href=\"#probabilities\">Probabilities</a> "
              "<a href=\"#discoveries\">Discoveries</a> <a href=\"#suspects\">Suspects</a> "
              "<a href=\"#map\">Map</a> <a href=\"#size\">Size</a> "
              "<a href=\"#versions\">Versions</a></nav>\n");
    write_tiles(report);
    metasd_html_markup(html, "</header>\n");
}

/* ---- what it was trained on ---- */

static void
open_facts(MetasdHtml *html)
{
    metasd_html_markup(html, "<div class=\"scroll\"><table class=\"facts\"><tbody>\n");
}

static void
close_facts(MetasdHtml *html)
{
    metasd_html_markup(html, "</tbody></table></div>\n");
}

static void
open_fact(MetasdHtml *html, const char *name)
{
    metasd_html_markup(html, "<tr><th scope=\"row\">");
    metasd_html_text(html, name);
    metasd_html_markup(html, "</th><td>");
}

static void
close_fact(MetasdHtml *html)
{
    metasd_html_markup(html, "</td></tr>\n");
}

/* A row of the table, unless there is no value. */
static void
write_fact(MetasdHtml *html, const char *name, const char *value)
{
    if (!value)
        return;
    open_fact(html, name);
    metasd_html_text(html, value);
    close_fact(html);
}

static void
write_source(const MetasdReport *report)
{
    MetasdHtml *html = report->html;
    const MetasdModel *model = report->model;

    open_fact(html, "Source");
    metasd_html_name(html, model->serving_source.name, METASD_LABEL_COLUMNS);
    if (!OidIsValid(model->serving_source.oid))
        metasd_html_markup(html, ", which has been dropped since");
    close_fact(html);
    open_fact(html, "Columns");
    for (int i = 0; i < 3; i++) {
        metasd_html_markup(html, i > 0 ? ", " : "");
        metasd_html_name(html, model->serving_column[i], METASD_LABEL_COLUMNS);
    }
    close_fact(html);
    open_fact(html, "Validated with");
    if (model->serving_validation.given)
        metasd_html_name(html, model->serving_validation.name, METASD_LABEL_COLUMNS);
    else if (report->figures.held_out > 0)
        metasd_html_print(html, "%.3g%% of the facts, which the training held out",
                          100 * report->figures.held_out);
    else
        metasd_html_markup(html, "nothing");
    close_fact(html);
}

static void
write_training(const MetasdReport *report)
{
    const MetasdFigures *f = &report->figures;
    MetasdHtml *html = report->html;

    open_facts(html);
    write_source(report);
    write_fact(html, "Imported from", f->imported);
    write_fact(html, "Facts", count_or_dash(f->triples));
    if (f->skipped > 0)
        write_fact(html, "Rows left out",
                   psprintf("%s, without one of the three", metasd_html_count((int64)f->skipped)));
    write_fact(html, "Entities", count_or_dash(f->entities));
    write_fact(html, "Relations", count_or_dash(f->relations));
    close_facts(html);
    open_facts(html);
    write_fact(html, "Started", f->started);
    write_fact(html, "Finished", f->finished);
    if (!isnan(f->seconds))
        write_fact(html, "Time", metasd_html_seconds(f->seconds));
    if (!isnan(f->workers))
        write_fact(html, "Workers", metasd_html_count((int64)f->workers));
    if (!isnan(f->peak_memory))
        write_fact(html, "Memory of the leader", metasd_html_bytes(f->peak_memory));
    if (f->warm_start)
        write_fact(html, "Warm start", psprintf("from version %s", f->warm_start));
    write_fact(html, "Note", f->note);
    close_facts(html);
}

static void
write_parameters(const MetasdReport *report)
{
    static MetasdStatement look = {
        "SELECT p.key, p.value, m.params ? p.key FROM metasd.run r JOIN metasd.model m ON m.name = "
        "r.model, jsonb_each_text(r.params) p WHERE r.id = $1 ORDER BY p.key COLLATE \"C\"",
        1,
        {INT8OID},
        NULL};
    static const char *const columns[] = {"Parameter", "Value"};
    Datum value = Int64GetDatum(report->model->serving);
    uint64 n = metasd_statement_execute(&look, &value, NULL, true);
    MetasdHtml *html = report->html;

    for (uint64 half = 0; half < 2; half++) {
        metasd_html_open_table(html, NULL, columns, lengthof(columns));
        for (uint64 i = half * ((n + 1) / 2); i < (half > 0 ? n : (n + 1) / 2); i++) {
            bool isnull, given = DatumGetBool(metasd_statement_value(i, 3, &isnull));
            char *parameter = metasd_statement_text(i, 1), *text = metasd_statement_text(i, 2);

            metasd_html_markup(html, "<tr><td>");
            metasd_html_name(html, parameter, METASD_LABEL_COLUMNS);
            metasd_html_markup(html, given && !isnull
                                         ? " <span class=\"soft\">given</span></td><td>"
                                         : "</td><td>");
            metasd_html_name(html, text ? text : "-", METASD_LABEL_COLUMNS);
            metasd_html_markup(html, "</td></tr>\n");
        }
        metasd_html_close_table(html);
    }
}

void
metasd_summary_write(const MetasdReport *report)
{
    MetasdHtml *html = report->html;

    write_head(report);
    metasd_html_markup(html, "<section id=\"training\"><h2>Training</h2>\n");
    metasd_html_markup(html, "<div class=\"two\">\n");
    write_training(report);
    metasd_html_markup(html, "</div>\n");
    metasd_html_markup(html, "<details><summary>Parameters</summary><div class=\"two\">\n");
    write_parameters(report);
    metasd_html_markup(html, "</div></details>\n");
}
