#include "pg/report/map.h"

#include <math.h>

#include "catalog/pg_type.h"

#include "core/serve/projection.h"
#include "pg/catalog/statement.h"

/* Entities that are dots with a label to point at, in bytes at most; and mere specks. */
#define MOST_DOTS 2500
#define MOST_DOT_BYTES 400000
#define MOST_SPECKS 20000

#define WIDTH 720.0
#define HEIGHT 540.0
#define MARGIN 26.0

/* Written labels, and candidates for these. */
#define MOST_WRITTEN 48
#define MOST_TRIED 300
#define WRITTEN_COLUMNS 26
#define MAJOR_WRITTEN 14 /* those that are written where there is little room, too */

#define SHADES 7

typedef struct Spot {
    uint32 entity;
    double degree;
    double x, y;  /* in the chart's units */
    double depth; /* along the third component */
} Spot;

typedef struct Map {
    const MetasdReport *report;
    MetasdProjection projection;
    Spot *spots; /* the most frequent first */
    int count, dots;
    double depth; /* of the dots: its standard deviation */
} Map;

/* A box that a label takes, or tries to. */
typedef struct Box {
    double left, top, right, bottom;
} Box;

static void
find_components(Map *map)
{
    const MetasdReport *report = map->report;
    MetasdArena arena = metasd_arena_measure();
    size_t bytes;

    metasd_projection_take(&map->projection, &arena, &report->image->plan);
    bytes = metasd_arena_ok(&arena) ? arena.used + METASD_ALIGN : SIZE_MAX;
    arena = metasd_arena_over(palloc_extended(bytes, MCXT_ALLOC_HUGE), bytes);
    metasd_projection_take(&map->projection, &arena, &report->image->plan);
    if (metasd_projection_find(&map->projection, report->team, report->image) != METASD_OK)
        elog(ERROR, "could not find the components of an image");
}

/* The most frequent entities. */
static void
read_spots(Map *map)
{
    static MetasdStatement look = {"SELECT id, degree::float8 FROM metasd.entity WHERE run = $1 "
                                   "ORDER BY degree DESC, id LIMIT $2",
                                   2,
                                   {INT8OID, INT8OID},
                                   NULL};
    Datum values[2] = {Int64GetDatum(map->report->model->serving),
                       Int64GetDatum(MOST_DOTS + MOST_SPECKS)};
    uint64 n = metasd_statement_execute(&look, values, NULL, true);

    map->spots = palloc((n + 1) * sizeof(*map->spots));
    for (uint64 i = 0; i < n; i++) {
        bool isnull;
        int32 id = DatumGetInt32(metasd_statement_value(i, 1, &isnull));

        if (id >= 0 && (uint32)id < map->report->image->plan.entities)
            map->spots[map->count++] =
                (Spot){.entity = (uint32)id, .degree = metasd_figures_number(i, 2)};
    }
    SPI_freetuptable(SPI_tuptable);
    map->dots = Min(map->count, MOST_DOTS);
}

/* Places all spots, and stretches both axes to the size of the chart. */
static void
place_spots(Map *map)
{
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY}, sum = 0;

    for (int i = 0; i < map->count; i++) {
        Spot *spot = &map->spots[i];
        double place[METASD_COMPONENTS];

        metasd_projection_place(&map->projection, map->report->image, spot->entity, place);
        spot->x = place[0];
        spot->y = place[1];
        spot->depth = place[2];
        for (int c = 0; c < 2; c++) {
            low[c] = Min(low[c], place[c]);
            high[c] = Max(high[c], place[c]);
        }
        sum += i < map->dots ? place[2] * place[2] : 0;
        CHECK_FOR_INTERRUPTS();
    }
    map->depth = sqrt(sum / Max(map->dots, 1));
    for (int i = 0; i < map->count; i++) {
        Spot *spot = &map->spots[i];
        double width = high[0] - low[0], height = high[1] - low[1];

        spot->x = width > 1e-9 ? (spot->x - low[0]) / width : 0.5;
        spot->y = height > 1e-9 ? (spot->y - low[1]) / height : 0.5;
        spot->x = MARGIN + spot->x * (WIDTH - 2 * MARGIN);
        spot->y = HEIGHT - MARGIN - spot->y * (HEIGHT - 2 * MARGIN);
    }
}

static double
radius_of(const Map *map, const Spot *spot)
{
    double most = Max(map->spots[0].degree, 2);

    return 2.2 + 5.3 * sqrt(Max(spot->degree, 0) / most);
}

/* The shade of the third component: 0 is most below the mean, SHADES - 1 most above. */
static int
shade_of(const Map *map, const Spot *spot)
{
    double step = map->depth > 1e-9 ? spot->depth / map->depth : 0;

    return (int)Min(Max(floor(SHADES / 2.0 + step * 1.6), 0), SHADES - 1);
}

/* All other entities: one path of short strokes. */
static void
draw_specks(const Map *map)
{
    MetasdHtml *html = map->report->html;

    if (map->count == map->dots)
        return;
    metasd_html_markup(html, "<path class=\"rest\" d=\"");
    for (int i = map->dots; i < map->count; i++)
        metasd_html_print(html, "M%.0f,%.0fh0", map->spots[i].x, map->spots[i].y);
    metasd_html_markup(html, "\"/>\n");
}

static MetasdLabel
label_of(const Map *map, const Spot *spot)
{
    size_t len;
    const char *data = metasd_label_get(&map->report->image->entity_labels, spot->entity, &len);

    return (MetasdLabel){.data = data, .len = (uint32)len};
}

/* The least frequent first, so that the others lie above them. */
static void
draw_dots(Map *map)
{
    MetasdHtml *html = map->report->html;
    int start = html->page.len;

    for (int i = map->dots - 1; i >= 0; i--) {
        const Spot *spot = &map->spots[i];
        MetasdLabel label = label_of(map, spot);

        metasd_html_print(html,
                          "<circle class=\"mark dot m%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\">",
                          shade_of(map, spot), spot->x, spot->y, radius_of(map, spot));
        /* Where labels are long only those of the most frequent entities are there. */
        if (html->page.len - start < MOST_DOT_BYTES || i < MOST_WRITTEN) {
            metasd_html_markup(html, "<title>");
            (void)metasd_html_cut(html, label.data, label.len, METASD_LABEL_COLUMNS);
            metasd_html_print(html, ": %s fact%s</title>", metasd_html_count((int64)spot->degree),
                              spot->degree == 1 ? "" : "s");
        }
        metasd_html_markup(html, "</circle>\n");
        CHECK_FOR_INTERRUPTS();
    }
}

static bool
overlap(const Box *a, const Box *b)
{
    return a->left < b->right && b->left < a->right && a->top < b->bottom && b->top < a->bottom;
}

/* How a label lies: its box grows from where it is anchored if letters are larger. */
typedef struct PlacedLabel {
    Box box;
    const char *anchor;
    double x, y; /* of its text */
} PlacedLabel;

/* Letters of a label, in the chart's units: those of the page where there is little room. */
typedef struct Letters {
    double width, height;
} Letters;

static const Letters small_letters = {7, 16}, large_letters = {11.8, 25};

/* Finds room for a label beside its dot: right, left, above or below. */
static bool
find_room(const Map *map, const Spot *spot, double width, double height, const PlacedLabel *taken,
          int n, PlacedLabel *label)
{
    static const char *const anchors[] = {"start", "end", "middle", "middle"};
    double r = radius_of(map, spot) + 4;
    const double left[] = {spot->x + r, spot->x - r - width, spot->x - width / 2,
                           spot->x - width / 2};
    const double x[] = {spot->x + r, spot->x - r, spot->x, spot->x};
    const double top[] = {spot->y - height / 2, spot->y - height / 2, spot->y - r - height + 2,
                          spot->y + r - 2};

    for (int side = 0; side < 4; side++) {
        Box box = {left[side], top[side], left[side] + width, top[side] + height};
        bool is_free =
            box.left > 2 && box.right < WIDTH - 2 && box.top > 2 && box.bottom < HEIGHT - 2;

        for (int i = 0; is_free && i < n; i++)
            is_free = !overlap(&box, &taken[i].box);
        *label = (PlacedLabel){box, anchors[side], x[side], box.top + height * 0.74};
        if (is_free)
            return true;
    }
    return false;
}

/* Writes the labels of the most frequent entities, as far as there is room. */
static void
draw_labels(const Map *map)
{
    MetasdHtml *html = map->report->html;
    PlacedLabel placed[MOST_WRITTEN];
    int n = 0;

    for (int i = 0; i < Min(map->dots, MOST_TRIED) && n < MOST_WRITTEN; i++) {
        const Spot *spot = &map->spots[i];
        MetasdLabel label = label_of(map, spot);
        MetasdHtml *text = metasd_html_begin();
        int columns = metasd_html_cut(text, label.data, label.len, WRITTEN_COLUMNS);
        const Letters *letters = n < MAJOR_WRITTEN ? &large_letters : &small_letters;

        if (columns > 0 && find_room(map, spot, columns * letters->width + 4, letters->height,
                                     placed, n, &placed[n])) {
            metasd_html_print(html,
                              "<text class=\"label%s\" text-anchor=\"%s\" x=\"%.1f\" "
                              "y=\"%.1f\">",
                              n < MAJOR_WRITTEN ? "" : " minor", placed[n].anchor, placed[n].x,
                              placed[n].y);
            metasd_html_markup(html, text->page.data);
            metasd_html_markup(html, "</text>\n");
            n++;
        }
        pfree(text->page.data);
        pfree(text);
    }
}

static void
draw_map(Map *map)
{
    MetasdHtml *html = map->report->html;
    const MetasdProjection *p = &map->projection;
    int number = ++html->figures;

    metasd_html_print(html,
                      "<figure class=\"map\">\n<svg class=\"chart\" role=\"img\" "
                      "aria-labelledby=\"t%d d%d\" viewBox=\"0 0 %.0f %.0f\"><title id=\"t%d\">"
                      "Map of the entities</title><desc id=\"d%d\">The entities as dots at their "
                      "first two principal components. The labels of the most frequent ones are "
                      "written beside them.</desc>\n",
                      number, number, WIDTH, HEIGHT, number, number);
    draw_specks(map);
    draw_dots(map);
    draw_labels(map);
    metasd_html_markup(html, "</svg></figure>\n");
    if (p->total > 0)
        metasd_html_print(html,
                          "<p class=\"soft\">The three components have %.0f%%, %.0f%% and %.0f%% "
                          "of the variance",
                          100 * p->variance[0] / p->total, 100 * p->variance[1] / p->total,
                          100 * p->variance[2] / p->total);
    if (p->total > 0 && p->sample < map->report->image->plan.entities)
        metasd_html_print(html, " of a sample of %s entities", metasd_html_count((int64)p->sample));
    if (p->total > 0)
        metasd_html_markup(html, ".</p>\n");
}

void
metasd_map_write(const MetasdReport *report)
{
    Map map = {.report = report};
    MetasdHtml *html = report->html;
    double all = report->image->plan.entities;

    metasd_html_markup(
        html, "<section id=\"map\"><h2>Map of the entities</h2>\n<p class=\"soft\">Entities with "
              "similar embeddings lie near each other. Across and up are the first two principal "
              "components, the colour is the third, and a larger dot is an entity with more "
              "facts. Point at a dot to read its label.");
    find_components(&map);
    read_spots(&map);
    if (map.dots < all)
        metasd_html_print(html, " These are the %s most frequent entities",
                          metasd_html_count(map.dots));
    if (map.dots < all && map.count < all)
        metasd_html_print(html, "; specks are the next %s of %s",
                          metasd_html_count(map.count - map.dots), metasd_html_count((int64)all));
    else if (map.dots < all)
        metasd_html_markup(html, "; specks are the others");
    metasd_html_markup(html, map.dots < all ? ".</p>\n" : "</p>\n");
    if (map.count > 0) {
        place_spots(&map);
        draw_map(&map);
    }
    metasd_html_markup(html, "</section>\n");
}
