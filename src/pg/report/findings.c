#include "pg/report/findings.h"

#include <math.h>

#include "pg/report/search.h"

/* A triple as a sentence. */
static void
write_triple(MetasdHtml *html, char *const label[3])
{
    for (int i = 0; i < 3; i++) {
        metasd_html_markup(html, i == 1 ? " <em>" : i == 2 ? "</em> " : "");
        metasd_html_name(html, label[i], METASD_LABEL_COLUMNS);
    }
}

/* The facts that speak for a finding, or those that speak against it. */
static void
write_reasons(MetasdHtml *html, const MetasdFinding *finding, bool against, const char *intro)
{
    int n = 0;

    for (int i = 0; i < finding->reasons; i++) {
        const MetasdReason *reason = &finding->reason[i];

        if ((reason->share < 0) != against)
            continue;
        if (n++ == 0) {
            metasd_html_markup(html, against ? "<p class=\"why against\">" : "<p class=\"why\">");
            metasd_html_text(html, intro);
            metasd_html_markup(html, " ");
        } else
            metasd_html_markup(html, "; ");
        write_triple(html, reason->label);
        metasd_html_print(html, " <small>%.0f%%</small>", 100 * fabs(reason->share));
    }
    if (n > 0)
        metasd_html_markup(html, "</p>");
}

static void
open_finding(MetasdHtml *html, const MetasdFinding *finding)
{
    metasd_html_markup(html, "<li><p class=\"find\"><span>");
    write_triple(html, finding->label);
    metasd_html_markup(html, "</span>");
}

static void
write_error(MetasdHtml *html, const char *error)
{
    metasd_html_markup(html, "<p class=\"soft\">The source could not be searched: ");
    metasd_html_text(html, error);
    metasd_html_markup(html, ".</p>\n");
}

/* ---- discoveries ---- */

static void
introduce_discoveries(MetasdHtml *html, const MetasdFindings *findings)
{
    if (findings->large)
        metasd_html_markup(html, "<p class=\"soft\">The graph is too large to search it for a "
                                 "page. <code>kg_discover</code> does.</p>\n");
    else if (findings->error)
        write_error(html, findings->error);
    else if (findings->count == 0)
        metasd_html_markup(html, "<p class=\"soft\">There is nothing to add.</p>\n");
    else if (findings->questions > 0)
        metasd_html_print(html,
                          "<p class=\"soft\">Facts that the source does not hold, with the "
                          "probability that <code>kg_predict</code> gives them. The graph is "
                          "large: these are the best answers to %s questions that were drawn from "
                          "its facts. <code>kg_discover</code> searches all of it.</p>\n",
                          metasd_html_count(findings->questions));
    else
        metasd_html_markup(html, "<p class=\"soft\">The facts that the source does not hold and "
                                 "that are most probable, with their probability.</p>\n");
}

static void
write_discoveries(MetasdReport *report)
{
    MetasdHtml *html = report->html;
    MetasdFindings findings;

    metasd_search_discoveries(report, &findings);
    metasd_html_markup(html, "<section id=\"discoveries\"><h2>Discoveries</h2>\n");
    introduce_discoveries(html, &findings);
    if (findings.count > 0)
        metasd_html_markup(html, "<ol class=\"finds\">\n");
    for (int i = 0; i < findings.count; i++) {
        const MetasdFinding *finding = &findings.finding[i];
        double percent = isnan(finding->probability) ? 0 : 100 * finding->probability;

        open_finding(html, finding);
        metasd_html_print(html,
                          "<span class=\"odds\"><span class=\"meter\"><span "
                          "style=\"width:%.0f%%\"></span></span> %.*f%%</span></p>",
                          percent, percent < 1 ? 2 : 0, percent);
        write_reasons(html, finding, false, "Because");
        write_reasons(html, finding, true, "Against it:");
        metasd_html_markup(html, "</li>\n");
    }
    metasd_html_markup(html, findings.count > 0 ? "</ol></section>\n" : "</section>\n");
}

/* ---- suspects ---- */

static void
introduce_suspects(MetasdHtml *html, const MetasdFindings *findings)
{
    if (findings->large)
        metasd_html_markup(html, "<p class=\"soft\">The graph is too large to search it for a "
                                 "page. <code>kg_suspects</code> does.</p>\n");
    else if (findings->error)
        write_error(html, findings->error);
    else if (findings->count == 0)
        metasd_html_markup(html, "<p class=\"soft\">There is nothing to doubt.</p>\n");
    else if (findings->relation) {
        metasd_html_markup(html, "<p class=\"soft\">The facts that the others support least, the "
                                 "least one first. The graph is large: these are facts of the "
                                 "relation ");
        metasd_html_name(html, findings->relation, METASD_LABEL_COLUMNS);
        metasd_html_markup(html, ". <code>kg_suspects</code> searches all of it.</p>\n");
    } else
        metasd_html_markup(html, "<p class=\"soft\">The facts of the source that its other facts "
                                 "support least, the least one first.</p>\n");
}

static void
write_suspects(MetasdReport *report)
{
    MetasdHtml *html = report->html;
    MetasdFindings findings;

    metasd_search_suspects(report, &findings);
    metasd_html_markup(html, "<section id=\"suspects\"><h2>Suspects</h2>\n");
    introduce_suspects(html, &findings);
    if (findings.count > 0)
        metasd_html_markup(html, "<ol class=\"finds\">\n");
    for (int i = 0; i < findings.count; i++) {
        const MetasdFinding *finding = &findings.finding[i];

        open_finding(html, finding);
        if (finding->best_tail && !isnan(finding->tail_rank)) {
            metasd_html_print(html,
                              "<span class=\"odds\">tail ranked %s</span></p><p "
                              "class=\"why\">The model would rather have ",
                              metasd_html_count((int64)finding->tail_rank));
            metasd_html_name(html, finding->best_tail, METASD_LABEL_COLUMNS);
            metasd_html_markup(html, "</p>");
        } else
            metasd_html_markup(html, "</p>");
        write_reasons(html, finding, true, "Against it:");
        write_reasons(html, finding, false, "For it:");
        metasd_html_markup(html, "</li>\n");
    }
    metasd_html_markup(html, findings.count > 0 ? "</ol></section>\n" : "</section>\n");
}

void
metasd_findings_write(MetasdReport *report)
{
    write_discoveries(report);
    write_suspects(report);
}
