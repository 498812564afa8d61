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

/* A chart of one or two columns over the epochs; none if nothing is in them. */
static void
draw_columns(const MetasdReport *report, const Curve *curve, const char *title,
             const char *description, MetasdAxis y, const MetasdKey *keys, const int *columns,
             int n)
{
    MetasdChart chart = {
        .html = report->html, .x = {.name = "epoch", .exact = true, .whole = true}, .y = y};
    bool found = false;

    if (curve->n == 0)
        return;
    chart.x.low = curve->column[EPOCH][0];
    chart.x.high = curve->column[EPOCH][curve->n - 1];
    for (int i = 0; i < n; i++)
        found |= find_range(curve, columns[i], &chart.y.low, &chart.y.high);
    if (!found)
        return;
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

void
metasd_curve_write(const MetasdReport *report)
{
    static const MetasdKey keys[] = {{1, "pruned model, which is stored"},
                                     {2, "full model, its teacher"}};
    static const int mrr[] = {MRR_PRUNED, MRR_FULL}, loss[] = {LOSS_PRUNED, LOSS_FULL};
    static const int sparsity[] = {SPARSITY}, mask[] = {REGROWN, DROPPED};
    static const MetasdKey changes[] = {{1, "regrown"}, {2, "dropped"}};
    Curve curve = read_curve(report->model->serving);
    MetasdHtml *html = report->html;
    double low = INFINITY, high = -INFINITY;
    int figures = html->figures;

    metasd_html_markup(html, "<h3>Learning curve</h3>\n<div class=\"figures\">\n");
    draw_columns(report, &curve, "Validation MRR",
                 "The mean reciprocal rank of the validation facts after each epoch, of the pruned "
                 "model and of the full model.",
                 (MetasdAxis){.name = "MRR", .low = 0, .high = 0}, keys, mrr, 2);
    draw_columns(report, &curve, "Loss",
                 "The mean loss in each epoch, of the pruned model and of the full model.",
                 (MetasdAxis){.name = "loss", .low = INFINITY, .high = -INFINITY}, keys, loss, 2);
    if (find_range(&curve, SPARSITY, &low, &high) && high > low)
        draw_columns(
            report, &curve, "Pruned weights",
            "The share of the weights that are pruned after each epoch.",
            (MetasdAxis){
                .name = "share of the weights", .low = 0, .high = 0, .notation = METASD_PERCENT},
            keys, sparsity, 1);
    if (find_range(&curve, REGROWN, &low, &high) && find_range(&curve, DROPPED, &low, &high))
        draw_columns(report, &curve, "Changes of the mask",
                     "The weights that each pruning brings back, and those that it prunes and the "
                     "one before did not.",
                     (MetasdAxis){.name = "weights", .low = 0, .high = 0, .whole = true}, changes,
                     mask, 2);
    metasd_html_markup(html, "</div>\n");
    if (html->figures == figures)
        metasd_html_markup(html, "<p class=\"soft\">This version has no learning curve.</p>\n");
    metasd_html_markup(html, "</section>\n");
}
