#include "pg/report/chart.h"

#include <math.h>

/* A chart in its own units, which are pixels where it is shown 480 wide. */
#define WIDTH 480.0
#define HEIGHT 280.0
#define LEFT 52.0
#define RIGHT 24.0
#define TOP 30.0
#define BOTTOM 46.0
#define BASE (HEIGHT - BOTTOM)

#define MOST_STEPS 6
#define MOST_PLACES 10 /* names below an axis */
#define LEAST_PLACES 6 /* that there is room for, so that bars are no walls */

/* ---- axes ---- */

/* A step of 1, 2 or 5 times a power of ten, of which the range has MOST_STEPS at most. */
static double
find_step(const MetasdAxis *axis)
{
    double least = Max((axis->high - axis->low) / MOST_STEPS, 1e-9);
    double power = pow(10, floor(log10(least))), step = power;

    if (axis->whole && least < 1)
        return 1;
    for (int i = 0; step < least * (1 - 1e-9); i++)
        step = (i == 0 ? 2 : i == 1 ? 5 : 10) * power;
    return step;
}

/* The range of an axis on which something is to be seen, in whole steps unless it is exact. */
static void
settle_axis(MetasdAxis *axis)
{
    double step;

    if (axis->places) {
        double middle = (Max(axis->count, 1) - 1) / 2.0, span = Max(axis->count, LEAST_PLACES);

        axis->low = middle - span / 2;
        axis->high = middle + span / 2;
        return;
    }
    if (!isfinite(axis->low) || !isfinite(axis->high) || axis->low > axis->high)
        axis->low = axis->high = 0;
    if (axis->high - axis->low < 1e-9 * Max(fabs(axis->high), 1)) {
        axis->high = axis->low + (axis->whole ? 1 : Max(fabs(axis->low) / 10, 1e-3));
        if (axis->whole && axis->exact)
            axis->low -= 1;
    }
    step = find_step(axis);
    if (axis->exact)
        return;
    axis->low = step * floor(axis->low / step + 1e-9);
    axis->high = step * ceil(axis->high / step - 1e-9);
}

static double
place_x(const MetasdChart *chart, double x)
{
    return LEFT + (x - chart->x.low) / (chart->x.high - chart->x.low) * (WIDTH - LEFT - RIGHT);
}

static double
place_y(const MetasdChart *chart, double y)
{
    double share = (y - chart->y.low) / (chart->y.high - chart->y.low);

    return BASE - Min(Max(share, 0), 1) * (BASE - TOP);
}

static char *
write_number(const MetasdAxis *axis, double value, double step)
{
    const char *unit = "";
    double scale = 1;

    if (axis->notation == METASD_PERCENT) {
        scale = 100;
        unit = "%";
    } else if (axis->high >= 1e6) {
        scale = 1e-6;
        unit = "M";
    } else if (axis->high >= 1e4) {
        scale = 1e-3;
        unit = "k";
    }
    if (fabs(value) < step / 1000)
        return psprintf("0%s", axis->notation == METASD_PERCENT ? unit : "");
    return psprintf("%.*f%s", Max(0, (int)ceil(-log10(step * scale) - 1e-9)), value * scale, unit);
}

static void
write_text(MetasdHtml *html, const char *class, const char *anchor, double x, double y,
           const char *text)
{
    metasd_html_print(html, "<text class=\"%s\" text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">", class,
                      anchor, x, y);
    metasd_html_text(html, text);
    metasd_html_markup(html, "</text>");
}

static void
draw_y_axis(const MetasdChart *chart)
{
    double step = find_step(&chart->y), first = step * ceil(chart->y.low / step - 1e-9);

    for (double v = first; v <= chart->y.high + step * 1e-6; v += step) {
        double y = place_y(chart, v);

        metasd_html_print(chart->html, "<path class=\"grid\" d=\"M%.1f,%.1fH%.1f\"/>", LEFT, y,
                          WIDTH - RIGHT);
        write_text(chart->html, "tick", "end", LEFT - 7, y + 4, write_number(&chart->y, v, step));
    }
    write_text(chart->html, "axis", "start", 2, 15, chart->y.name);
}

static void
draw_x_axis(const MetasdChart *chart)
{
    const MetasdAxis *axis = &chart->x;
    double step = find_step(axis), first = step * ceil(axis->low / step - 1e-9);
    int every = (axis->count + MOST_PLACES - 1) / MOST_PLACES;

    metasd_html_print(chart->html, "<path class=\"base\" d=\"M%.1f,%.1fH%.1f\"/>", LEFT, BASE,
                      WIDTH - RIGHT);
    if (axis->places)
        for (int i = 0; i < axis->count; i += every)
            write_text(chart->html, "tick", "middle", place_x(chart, i), BASE + 19,
                       axis->places[i]);
    else
        for (double v = first; v <= axis->high + step * 1e-6; v += step)
            write_text(chart->html, "tick", "middle", place_x(chart, v), BASE + 19,
                       write_number(axis, v, step));
    write_text(chart->html, "axis", "middle", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, axis->name);
}

/* ---- figures ---- */

static void
open_figure(MetasdHtml *html, const char *title, const char *description, const MetasdKey *keys,
            int nkeys, double height)
{
    int number = ++html->figures;

    metasd_html_markup(html, "<figure><figcaption>");
    metasd_html_text(html, title);
    metasd_html_markup(html, "</figcaption>");
    if (nkeys > 0)
        metasd_html_markup(html, "<p class=\"keys\">");
    for (int i = 0; i < nkeys; i++) {
        metasd_html_print(html,
                          "<span><svg class=\"key\" viewBox=\"0 0 26 10\" aria-hidden=\"true\">"
                          "<path class=\"line s%d\" d=\"M1,5H25\"/></svg>",
                          keys[i].series);
        metasd_html_text(html, keys[i].name);
        metasd_html_markup(html, "</span> ");
    }
    if (nkeys > 0)
        metasd_html_markup(html, "</p>");
    metasd_html_print(html,
                      "\n<svg class=\"chart\" role=\"img\" aria-labelledby=\"t%d d%d\" "
                      "viewBox=\"0 0 %.0f %.0f\"><title id=\"t%d\">",
                      number, number, WIDTH, height, number);
    metasd_html_text(html, title);
    metasd_html_print(html, "</title><desc id=\"d%d\">", number);
    metasd_html_text(html, description);
    metasd_html_markup(html, "</desc>\n");
}

static void
close_figure(MetasdHtml *html)
{
    metasd_html_markup(html, "</svg></figure>\n");
}

void
metasd_chart_begin(MetasdChart *chart, const char *title, const char *description,
                   const MetasdKey *keys, int nkeys)
{
    settle_axis(&chart->x);
    settle_axis(&chart->y);
    open_figure(chart->html, title, description, keys, nkeys, HEIGHT);
    draw_y_axis(chart);
    draw_x_axis(chart);
}

void
metasd_chart_end(MetasdChart *chart)
{
    close_figure(chart->html);
}

/* ---- marks ---- */

static void
write_tip(MetasdHtml *html, const char *tip)
{
    metasd_html_markup(html, "<title>");
    metasd_html_text(html, tip);
    metasd_html_markup(html, "</title>");
}

/* The points of a run without gaps, as a path. */
static void
write_points(const MetasdChart *chart, const double *x, const double *y, int first, int end)
{
    for (int i = first; i < end; i++)
        metasd_html_print(chart->html, "%c%.1f,%.1f", i == first ? 'M' : 'L', place_x(chart, x[i]),
                          place_y(chart, y[i]));
}

/* The end of the run of numbers that begins at FIRST. */
static int
end_of_run(int n, const double *y, int first)
{
    while (first < n && !isnan(y[first]))
        first++;
    return first;
}

void
metasd_chart_line(MetasdChart *chart, int series, int n, const double *x, const double *y)
{
    for (int first = 0, end; first < n; first = end + 1) {
        end = end_of_run(n, y, first);
        if (end - first == 1)
            metasd_html_print(chart->html,
                              "<circle class=\"mark dot s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>",
                              series, place_x(chart, x[first]), place_y(chart, y[first]));
        if (end - first < 2)
            continue;
        metasd_html_print(chart->html, "<path class=\"mark line s%d\" d=\"", series);
        write_points(chart, x, y, first, end);
        metasd_html_markup(chart->html, "\"/>\n");
    }
}

void
metasd_chart_area(MetasdChart *chart, int series, int n, const double *x, const double *y)
{
    if (n < 1)
        return;
    metasd_html_print(chart->html, "<path class=\"mark bar s%d\" d=\"", series);
    write_points(chart, x, y, 0, n);
    metasd_html_print(chart->html, "V%.1fH%.1fZ\"/>\n", BASE, place_x(chart, x[0]));
}

void
metasd_chart_bar(MetasdChart *chart, int series, double x0, double x1, double y, const char *tip)
{
    double left = place_x(chart, x0), top = place_y(chart, y);

    metasd_html_print(chart->html,
                      "<rect class=\"mark bar s%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                      "height=\"%.1f\">",
                      series, left, Min(top, BASE - 1), Max(place_x(chart, x1) - left, 0.5),
                      Max(BASE - top, 1));
    write_tip(chart->html, tip);
    metasd_html_markup(chart->html, "</rect>\n");
}

void
metasd_chart_dot(MetasdChart *chart, int series, double x, double y, double radius, const char *tip)
{
    metasd_html_print(chart->html,
                      "<circle class=\"mark dot s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\">", series,
                      place_x(chart, x), place_y(chart, y), radius);
    write_tip(chart->html, tip);
    metasd_html_markup(chart->html, "</circle>\n");
}

void
metasd_chart_rule(MetasdChart *chart, bool dashed, double x0, double y0, double x1, double y1)
{
    metasd_html_print(chart->html, "<path class=\"%s\" d=\"M%.1f,%.1fL%.1f,%.1f\"/>",
                      dashed ? "guide" : "rule", place_x(chart, x0), place_y(chart, y0),
                      place_x(chart, x1), place_y(chart, y1));
}

void
metasd_chart_note(MetasdChart *chart, double x, double y, const char *note)
{
    double at = place_x(chart, x);

    write_text(chart->html, "note",
               at < LEFT + 60            ? "start"
               : at > WIDTH - RIGHT - 60 ? "end"
                                         : "middle",
               at, Max(place_y(chart, y) - 8, 15), note);
}

/* ---- bars in rows ---- */

#define ROW 24.0
#define LABEL 172.0 /* where bars begin */
#define LABEL_COLUMNS 22
#define TEXT 76.0 /* room behind a bar */

void
metasd_chart_rows(MetasdHtml *html, int series, const char *title, const char *description,
                  const MetasdRow *rows, int n, double most)
{
    open_figure(html, title, description, NULL, 0, n * ROW + 6);
    for (int i = 0; i < n; i++) {
        double y = i * ROW, share = most > 0 && !isnan(rows[i].value) ? rows[i].value / most : 0;
        double width = (WIDTH - LABEL - TEXT) * Min(Max(share, 0), 1);

        /* The inner drawing cuts off what is wider than its columns say. */
        metasd_html_print(html,
                          "<g class=\"row\"><svg x=\"0\" y=\"%.1f\" width=\"%.1f\" "
                          "height=\"%.1f\"><text class=\"label\" x=\"0\" y=\"16\">",
                          y, LABEL - 6, ROW);
        (void)metasd_html_cut(html, rows[i].label.data, rows[i].label.len, LABEL_COLUMNS);
        metasd_html_print(html,
                          "</text></svg><rect class=\"mark bar s%d\" x=\"%.1f\" y=\"%.1f\" "
                          "width=\"%.1f\" height=\"%.1f\"/>",
                          series, LABEL, y + 4, Max(width, 1), ROW - 8);
        write_text(html, "value", "start", LABEL + width + 6, y + 16, rows[i].text);
        metasd_html_markup(html, "<title>");
        (void)metasd_html_cut(html, rows[i].label.data, rows[i].label.len, 200);
        metasd_html_text(html, rows[i].tip);
        metasd_html_markup(html, "</title></g>\n");
    }
    close_figure(html);
}
