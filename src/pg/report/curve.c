#include "pg/report/curve.h"

#include <math.h>

#include "catalog/pg_type.h"

#include "pg/catalog/statement.h"
#include "pg/report/chart.h"

/* Points of a line at most: of longer trainings every so many epochs are shown, and the last. */
#define MOST_POINTS 400

enum { EPOCH, MRR_FULL, MRR_PRUNED, LOSS_FULL, LOSS_PRUNED, SPARSITY, REGROWN, DROPPED, COLUMNS };

typedef struct Curve {
    int n;
    double *column[COLUMNS];
} Curve;

static Curve
read_curve(int64 run)
{
    static MetasdStatement look = {
        "SELECT x.epoch::float8, x.mrr_full, x.mrr_pruned, x.loss_full, x.loss_pruned, x.sparsity, "
        "x.regrown::float8, x.dropped::float8 "
        "FROM (SELECT e.*, row_number() OVER w AS n, count(*) OVER () AS all_of_them "
        "FROM metasd.epoch e WHERE e.run = $1 WINDOW w AS (ORDER BY e.epoch)) x "
        "WHERE x.n % ((x.all_of_them + $2 - 1) / $2) = 0 OR x.n = x.all_of_them "
        "ORDER BY x.epoch",
        2,
        {INT8OID, INT8OID},
        NULL};
    Datum values[2] = {Int64GetDatum(run), Int64GetDatum(MOST_POINTS)};
    Curve curve = {.n = (int)metasd_statement_execute(&look, values, NULL, true)};

    for (int c = 0; c < COLUMNS; c++) {
        curve.column[c] = palloc((size_t)(curve.n + 1) * sizeof(double));
        for (int i = 0; i < curve.n; i++)
            curve.column[c][i] = metasd_figures_number((uint64)i, c + 1);
    }
    return curve;
}

/* Widens a range to what is in a column; false if nothing is. */
static bool
find_range(const Curve *curve, int column, double *low, double *high)
{
    bool found = false;

    for (int i = 0; i < curve->n; i++)
        if (isfinite(curve->column[column][i])) {
            *low = Min(*low, curve->column[column][i]);
            *high = Max(*high, curve->column[column][i]);
            found = true;
        }
    return found;
}

/* One of the lines of a chart. */
typedef struct Line {
    MetasdKey key;
    int column;
} Line;

/* A chart of one or two lines over the epochs; none if there are no figures for them. */
static void
draw_lines(const MetasdReport *report, const Curve *curve, const char *title,
           const char *description, MetasdAxis y, const Line lines[2])
{
    MetasdChart chart = {
        .html = report->html, .x = {.name = "epoch", .exact = true, .whole = true}, .y = y};
    MetasdKey keys[2];
    int columns[2], n = 0;

    for (int i = 0; i < 2 && lines[i].column; i++)
        if (find_range(curve, lines[i].column, &chart.y.low, &chart.y.high)) {
            keys[n] = lines[i].key;
            columns[n++] = lines[i].column;
        }
    if (n == 0)
        return;
    chart.x.low = curve->column[EPOCH][0];
    chart.x.high = curve->column[EPOCH][curve->n - 1];
    metasd_chart_begin(&chart, title, description, keys, n > 1 ? n : 0);
    if (report->figures.best_epoch >= chart.x.low && report->figures.best_epoch <= chart.x.high) {
        double best = report->figures.best_epoch;

        metasd_chart_rule(&chart, true, best, chart.y.low, best, chart.y.high);
        metasd_chart_note(&chart, best, chart.y.high, "stored epoch");
    }
    for (int i = 0; i < n; i++)
        metasd_chart_line(&chart, keys[i].series, curve->n, curve->column[EPOCH],
                          curve->column[columns[i]]);
    metasd_chart_end(&chart);
}

/* Does a figure of the column differ from another, or from 0 where LOW is 0? */
static bool
varies(const Curve *curve, int column, double low)
{
    double high = -INFINITY;

    return find_range(curve, column, &low, &high) && high > low;
}

/* How the mask changes, of a model that is pruned. */
static void
draw_mask(const MetasdReport *report, const Curve *curve)
{
    static const Line sparsity[2] = {{{1, "pruned"}, SPARSITY}};
    static const Line changes[2] = {{{1, "regrown"}, REGROWN}, {{2, "dropped"}, DROPPED}};

    if (varies(curve, SPARSITY, INFINITY))
        draw_lines(report, curve, "Pruned weights",
                   "The share of the weights that are pruned after each epoch.",
                   (MetasdAxis){.name = "share of the weights", .notation = METASD_PERCENT},
                   sparsity);
    if (varies(curve, REGROWN, 0) || varies(curve, DROPPED, 0))
        draw_lines(report, curve, "Changes of the mask",
                   "The weights that each pruning brings back, and those that it prunes and the "
                   "one before did not.",
                   (MetasdAxis){.name = "weights", .whole = true}, changes);
}

void
metasd_curve_write(const MetasdReport *report)
{
    MetasdKey stored = {1, report->figures.sparsity > 0 ? "pruned model, which is stored"
                                                        : "model, which is stored"};
    MetasdKey full = {2, "full model"};
    const Line mrr[2] = {{stored, MRR_PRUNED}, {full, MRR_FULL}};
    const Line loss[2] = {{stored, LOSS_PRUNED}, {full, LOSS_FULL}};
    Curve curve = read_curve(report->model->serving);
    MetasdHtml *html = report->html;
    int figures = html->figures;

    metasd_html_markup(html, "<h3>Learning curve</h3>\n<div class=\"figures\">\n");
    draw_lines(report, &curve, "Validation MRR",
               "The mean reciprocal rank of the validation facts after each epoch.",
               (MetasdAxis){.name = "MRR"}, mrr);
    draw_lines(report, &curve, "Loss", "The mean loss in each epoch.",
               (MetasdAxis){.name = "loss", .low = INFINITY, .high = -INFINITY}, loss);
    draw_mask(report, &curve);
    metasd_html_markup(html, "</div>\n");
    if (html->figures == figures)
        metasd_html_markup(html, "<p class=\"soft\">This version has no learning curve.</p>\n");
    metasd_html_markup(html, "</section>\n");
}
