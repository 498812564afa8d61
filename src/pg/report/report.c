/*
 * report.c - kg_report: a page about the version of a model that serves.
 *
 * The page is one file that needs no other: charts are inline SVG, there are no scripts, and a
 * policy in its head forbids any. Who may ask the model may have the page. What is known of the
 * validation facts by parts is for those who may read the validation relation, too, as in the view
 * metasd.relations.
 */
#include "pg/base/compat.h"

#include <time.h>

#include "executor/spi.h"
#include "pgtime.h"
#include "utils/builtins.h"

#include "pg/access/access.h"
#include "pg/base/interruptible.h"
#include "pg/base/settings.h"
#include "pg/catalog/subscription.h"
#include "pg/report/accuracy.h"
#include "pg/report/curve.h"
#include "pg/report/findings.h"
#include "pg/report/map.h"
#include "pg/report/style.h"
#include "pg/report/summary.h"
#include "pg/report/versions.h"
#include "pg/report/weights.h"

PG_FUNCTION_INFO_V1(metasd_kg_report);

/* May the caller see what is known of the facts that the version was validated with? */
static bool
may_see_validation(const MetasdModel *model)
{
    MetasdModel validation = *model;

    validation.serving_source = model->serving_validation;
    return !model->serving_validation.given || metasd_access_may_ask(&validation);
}

static void
open_page(const MetasdReport *report)
{
    MetasdHtml *html = report->html;

    metasd_html_markup(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
        "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
        "'unsafe-inline'\"/>\n<title>");
    (void)metasd_html_cut(html, report->model->name, strlen(report->model->name),
                          METASD_LABEL_COLUMNS);
    metasd_html_markup(html, " - model report</title>\n<style>\n");
    metasd_html_markup(html, metasd_style_sheet);
    metasd_html_markup(html, "</style></head>\n<body><div class=\"page\">\n");
}

static void
close_page(const MetasdReport *report)
{
    MetasdHtml *html = report->html;
    pg_time_t now = (pg_time_t)time(NULL);
    char text[64];

    pg_strftime(text, sizeof(text), "%Y-%m-%d %H:%M %Z", pg_localtime(&now, session_timezone));
    metasd_html_markup(html, "<footer>Written by <code>kg_report</code> of the extension metasd, ");
    metasd_html_text(html, text);
    metasd_html_markup(html, ".</footer>\n</div></body></html>\n");
}

static void
write_page(MetasdReport *report)
{
    metasd_figures_read(report->model, &report->figures);
    open_page(report);
    metasd_summary_write(report);
    metasd_curve_write(report);
    metasd_accuracy_write(report);
    metasd_findings_write(report);
    metasd_map_write(report);
    metasd_weights_write(report);
    metasd_versions_write(report);
    close_page(report);
}

/* kg_report(model text) returns text */
Datum
metasd_kg_report(PG_FUNCTION_ARGS)
{
    char *name = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
    MetasdTeam team = metasd_interruptible_team();
    MetasdReport report = {.html = metasd_html_begin(), .team = &team};

    report.model = metasd_access_model_to_ask(name);
    report.image = metasd_image_cache_get(report.model, metasd_image_cache_size);
    metasd_subscription_check_copied(report.model->serving);
    report.shown = may_see_validation(report.model);
    SPI_connect();
    write_page(&report);
    SPI_finish();
    PG_RETURN_TEXT_P(cstring_to_text_with_len(report.html->page.data, report.html->page.len));
}
