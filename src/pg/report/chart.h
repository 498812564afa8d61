/*
 * chart.h - charts as inline SVG: lines, bars and dots over two axes, and bars in rows.
 *
 * Colours and fonts are those of the page (style.c): series 1 to 4 differ in colour, and lines in
 * their dashes, too. All marks have the class "mark", and what pointing at them shows.
 */
#ifndef METASD_PG_REPORT_CHART_H
#define METASD_PG_REPORT_CHART_H

#include "pg/base/compat.h"

#include "pg/report/html.h"

/* How numbers of an axis are written. */
typedef enum MetasdNotation { METASD_PLAIN, METASD_PERCENT } MetasdNotation;

typedef struct MetasdAxis {
    const char *name;
    double low, high; /* what it shows; widened to whole steps unless `exact` */
    bool exact;
    bool whole; /* there is nothing between whole numbers */
    MetasdNotation notation;
    const char *const *places; /* names instead of numbers, at 0, 1, 2 ... count - 1; or NULL */
    int count;
} MetasdAxis;

typedef struct MetasdChart {
    MetasdHtml *html;
    MetasdAxis x, y;
} MetasdChart;

/* Text and a series that it belongs to. */
typedef struct MetasdKey {
    int series;
    const char *name;
} MetasdKey;

/* Begins a figure: its title, keys if there are any, and the axes. DESCRIPTION is for who hears. */
extern void metasd_chart_begin(MetasdChart *chart, const char *title, const char *description,
                               const MetasdKey *keys, int nkeys);
extern void metasd_chart_end(MetasdChart *chart);

/* A line through N points, with gaps where y is NaN; a point between gaps is a dot. */
extern void metasd_chart_line(MetasdChart *chart, int series, int n, const double *x,
                              const double *y);

/* The area between a line and the x axis. */
extern void metasd_chart_area(MetasdChart *chart, int series, int n, const double *x,
                              const double *y);

/* A bar of the width from x0 to x1. */
extern void metasd_chart_bar(MetasdChart *chart, int series, double x0, double x1, double y,
                             const char *tip);

/* A dot of a radius in pixels. */
extern void metasd_chart_dot(MetasdChart *chart, int series, double x, double y, double radius,
                             const char *tip);

/* A thin line from one place to another; `dashed`: one that guides the eye. */
extern void metasd_chart_rule(MetasdChart *chart, bool dashed, double x0, double y0, double x1,
                              double y1);

/* A note at a place, above it. */
extern void metasd_chart_note(MetasdChart *chart, double x, double y, const char *note);

/* One of some bars below each other. */
typedef struct MetasdRow {
    MetasdLabel label;
    double value; /* NaN: there is none */
    char *text;   /* of the value */
    char *tip;    /* behind the label */
} MetasdRow;

/* A figure of bars, the longest as wide as MOST would be. */
extern void metasd_chart_rows(MetasdHtml *html, int series, const char *title,
                              const char *description, const MetasdRow *rows, int n, double most);

#endif
