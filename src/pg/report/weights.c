#include "pg/report/weights.h"

#include "core/serve/sparsity.h"
#include "pg/report/chart.h"

#define MOST_BARS 40    /* of a histogram */
#define MOST_POINTS 240 /* of a line */

static MetasdSparsity
count_weights(const MetasdReport *report)
{
    MetasdArena arena = metasd_arena_measure();
    MetasdSparsity sparsity;
    size_t bytes;

    metasd_sparsity_take(&sparsity, &arena, &report->image->plan);
    bytes = metasd_arena_ok(&arena) ? arena.used + METASD_ALIGN : SIZE_MAX;
    arena = metasd_arena_over(palloc_extended(bytes, MCXT_ALLOC_HUGE), bytes);
    metasd_sparsity_take(&sparsity, &arena, &report->image->plan);
    if (metasd_sparsity_count(&sparsity, report->team, report->image) != METASD_OK)
        elog(ERROR, "could not count the weights of an image");
    return sparsity;
}

/* The fewest and the most weights that an entity keeps. */
static void
find_ends(const MetasdSparsity *sparsity, uint32 *least, uint32 *most)
{
    *least = 0;
    *most = sparsity->width;
    while (*least < sparsity->width && sparsity->rows[*least] == 0)
        (*least)++;
    while (*most > *least && sparsity->rows[*most] == 0)
        (*most)--;
}

static void
draw_rows(const MetasdReport *report, const MetasdSparsity *sparsity)
{
    MetasdChart chart = {.html = report->html,
                         .x = {.name = "kept weights of an entity", .exact = true, .whole = true},
                         .y = {.name = "entities", .whole = true}};
    uint32 least, most, wide, bars;
    double *counts;

    find_ends(sparsity, &least, &most);
    wide = (most - least) / MOST_BARS + 1;
    bars = (most - least) / wide + 1;
    counts = palloc0(bars * sizeof(*counts));
    for (uint32 kept = least; kept <= most; kept++)
        counts[(kept - least) / wide] += sparsity->rows[kept];
    for (uint32 i = 0; i < bars; i++)
        chart.y.high = Max(chart.y.high, counts[i]);
    chart.x.low = least - (bars == 1 ? 1.0 : 0.0);
    chart.x.high = least + (double)bars * wide + (bars == 1 ? 1.0 : 0.0);
    metasd_chart_begin(&chart, "Kept weights of an entity",
                       "A histogram of the entities by the number of weights that they keep.", NULL,
                       0);
    for (uint32 i = 0; i < bars; i++) {
        uint32 from = least + i * wide, to = Min(from + wide - 1, most);

        if (counts[i] > 0)
            metasd_chart_bar(
                &chart, 1, from + 0.06 * wide, from + 0.94 * wide, counts[i],
                from == to ? psprintf("%u weights: %s", from, metasd_html_count((int64)counts[i]))
                           : psprintf("%u to %u weights: %s", from, to,
                                      metasd_html_count((int64)counts[i])));
    }
    metasd_chart_end(&chart);
}

static void
draw_columns(const MetasdReport *report, const MetasdSparsity *sparsity)
{
    double entities = Max(report->image->plan.entities, 1);
    int n = (int)Min(sparsity->width, MOST_POINTS);
    double *x = palloc((size_t)(n + 1) * sizeof(double)), *y = palloc((size_t)(n + 1) * sizeof(*y));
    MetasdChart chart = {.html = report->html,
                         .x = {.name = "columns, the most used first",
                               .high = sparsity->width,
                               .exact = true,
                               .whole = true},
                         .y = {.name = "entities that keep a weight there",
                               .high = 1,
                               .exact = true,
                               .notation = METASD_PERCENT}};

    for (int i = 0; i < n; i++) {
        uint32 column = (uint32)((uint64)i * sparsity->width / (uint64)n);

        x[i] = column;
        y[i] = sparsity->columns[column] / entities;
    }
    x[n] = sparsity->width;
    y[n] = n > 0 ? y[n - 1] : 0;
    metasd_chart_begin(&chart, "Use of the columns",
                       "The share of the entities that keep a weight in each column, the most used "
                       "column first.",
                       NULL, 0);
    metasd_chart_area(&chart, 1, n + 1, x, y);
    metasd_chart_end(&chart);
}

static MetasdRow
row_of_bytes(const char *name, double bytes)
{
    return (MetasdRow){.label = {.data = name, .len = (uint32)strlen(name)},
                       .value = bytes,
                       .text = metasd_html_bytes(bytes),
                       .tip = psprintf(": %s bytes", metasd_html_count((int64)bytes))};
}

static void
draw_bytes(const MetasdReport *report)
{
    const MetasdFigures *f = &report->figures;
    MetasdRow rows[2] = {row_of_bytes("dense float32", f->dense_bytes),
                         row_of_bytes("as stored", f->bytes)};

    metasd_chart_rows(report->html, 3, "Bytes of all embeddings",
                      "Two bars: the bytes of the embeddings as dense rows of float32, and as they "
                      "are stored.",
                      rows, 2, Max(f->dense_bytes, f->bytes));
}

void
metasd_weights_write(const MetasdReport *report)
{
    const MetasdFigures *f = &report->figures;
    MetasdSparsity sparsity = count_weights(report);
    double entities = report->image->plan.entities;
    MetasdHtml *html = report->html;

    metasd_html_markup(html, "<section id=\"size\"><h2>Size</h2>\n<p class=\"soft\">");
    metasd_html_print(html, "An entity has %u weights, of which it keeps %.1f on average",
                      sparsity.width, (double)sparsity.kept / Max(entities, 1));
    if (f->storage) {
        metasd_html_markup(html, ", stored as ");
        metasd_html_text(html, f->storage);
    }
    metasd_html_markup(html, ".</p>\n");
    if (f->bytes > 0 && f->dense_bytes > 0) {
        metasd_html_markup(html, "<div class=\"narrow\">\n");
        draw_bytes(report);
        metasd_html_markup(html, "</div>\n");
    }
    metasd_html_markup(html, "<div class=\"figures\">\n");
    draw_rows(report, &sparsity);
    draw_columns(report, &sparsity);
    metasd_html_markup(html, "</div></section>\n");
}
