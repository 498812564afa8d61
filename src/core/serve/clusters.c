#include "core/serve/clusters.h"

#include <math.h>
#include <string.h>

#include "core/serve/image_internal.h"
#include "core/serve/kmeans.h"
#include "core/serve/postings.h"

/* Rows of the sample: so many a cluster, but no more floats than that. */
#define SAMPLE_ROWS 24
#define SAMPLE_FLOATS ((uint64_t)24 << 20)

/* A coarse cluster is divided into so many times the number of coarse clusters, at most. */
#define MOST_PARTS 4

uint32_t
metasd_clusters_default(uint32_t entities)
{
    return entities < METASD_CLUSTERS_FROM ? 0 : (uint32_t)(2 * sqrt((double)entities));
}

/* ---- memory ---- */

typedef struct Making {
    MetasdImage *image;
    MetasdTeam *team;
    uint32_t *dimension_of;   /* D: of the columns */
    MetasdKmeansRow *rows;    /* METASD_WORD: of a tile */
    uint32_t sample;          /* rows in the sample */
    MetasdKmeansRow *sampled; /* sample */
    uint32_t *coarse_of;      /* sample: their coarse clusters */
    uint32_t *fine_of;        /* sample: for k-means */
    MetasdKmeansRow *members; /* sample: of one coarse cluster */
    MetasdCenters coarse;
    MetasdCenters *fine;    /* of each coarse cluster */
    uint32_t *first;        /* of each: the number of its first cluster */
    uint32_t *cluster_of;   /* N */
    uint64_t *next;         /* C: the next free place */
    double *sums, *squares; /* C x width: of the weights of all entities */
} Making;

static uint32_t
coarse_count(uint32_t clusters)
{
    uint32_t count = (uint32_t)sqrt((double)clusters);

    return count > 0 ? count : 1;
}

static uint32_t
sample_rows(const MetasdImagePlan *plan)
{
    uint64_t rows = (uint64_t)plan->clusters * SAMPLE_ROWS, room = SAMPLE_FLOATS / plan->width;

    rows = rows < room ? rows : room;
    rows = rows > plan->clusters ? rows : plan->clusters;
    return (uint32_t)(rows < plan->entities ? rows : plan->entities);
}

static void
take_rows(MetasdArena *arena, MetasdKmeansRow *rows, uint32_t count, uint32_t width)
{
    size_t floats = (size_t)count * width;
    uint32_t *positions = METASD_TAKE(arena, uint32_t, floats);
    float *weights = METASD_TAKE(arena, float, floats);

    for (uint32_t i = 0; i < count && rows && weights; i++)
        rows[i] = (MetasdKmeansRow){.positions = positions + (size_t)i * width,
                                    .weights = weights + (size_t)i * width};
}

static void
take_memory(Making *making, MetasdArena *arena, const MetasdImagePlan *plan)
{
    uint32_t coarse = coarse_count(plan->clusters), width = plan->width;
    size_t all = (size_t)plan->clusters * width;
    /* Each fine cluster is in one of the coarse ones, whose strides are rounded up. */
    size_t parts = plan->clusters + coarse * METASD_KMEANS_BLOCK;
    float *weights, *halves;

    making->sample = sample_rows(plan);
    making->dimension_of = METASD_TAKE(arena, uint32_t, plan->columns);
    making->rows = METASD_TAKE(arena, MetasdKmeansRow, METASD_WORD);
    take_rows(arena, making->rows, METASD_WORD, width);
    making->sampled = METASD_TAKE(arena, MetasdKmeansRow, making->sample);
    take_rows(arena, making->sampled, making->sample, width);
    making->coarse_of = METASD_TAKE(arena, uint32_t, making->sample);
    making->fine_of = METASD_TAKE(arena, uint32_t, making->sample);
    making->members = METASD_TAKE(arena, MetasdKmeansRow, making->sample);
    making->coarse = metasd_kmeans_take(arena, coarse, width);
    making->fine = METASD_TAKE(arena, MetasdCenters, coarse);
    making->first = METASD_TAKE(arena, uint32_t, coarse);
    weights = METASD_TAKE(arena, float, parts *width);
    halves = METASD_TAKE(arena, float, parts);
    making->cluster_of = METASD_TAKE(arena, uint32_t, plan->entities);
    making->next = METASD_TAKE(arena, uint64_t, plan->clusters);
    making->sums = METASD_TAKE(arena, double, all);
    making->squares = METASD_TAKE(arena, double, all);
    if (weights && metasd_arena_ok(arena))
        making->fine[0] = (MetasdCenters){.weights = weights, .halves = halves};
}

size_t
metasd_clusters_bytes(const MetasdImagePlan *plan)
{
    MetasdArena arena = metasd_arena_measure();
    Making making;

    take_memory(&making, &arena, plan);
    return metasd_arena_ok(&arena) && arena.used <= SIZE_MAX - METASD_ALIGN
               ? arena.used + METASD_ALIGN
               : SIZE_MAX;
}

/* ---- rows of the image ---- */

static size_t
code_bytes(const MetasdImage *image)
{
    return metasd_dense_code_bytes[image->plan.codes];
}

/* Adds weights in columns to the rows of a tile; n entities. */
static void
read_codes(const Making *making, uint64_t tile, uint32_t n)
{
    const MetasdImage *image = making->image;
    size_t columns = image->plan.columns, first = tile * columns * METASD_WORD;
    const double *scales = image->scales + tile * METASD_WORD;

    for (size_t column = 0; column < columns; column++, first += METASD_WORD) {
        const uint8_t *codes = (const uint8_t *)image->dimension.codes + first;
        const float *floats = (const float *)image->dimension.codes + first;

        for (uint32_t e = 0; e < n; e++) {
            MetasdKmeansRow *row = &making->rows[e];
            float weight = image->plan.codes == METASD_CODES_FLOAT
                               ? floats[e]
                               : (float)((codes[e] - METASD_CODE_ZERO) * scales[e]);

            row->positions[row->kept] = making->dimension_of[column];
            row->weights[row->kept] = weight;
            row->kept += weight != 0;
        }
    }
}

/* Reads the rows of a tile; returns their number. */
static uint32_t
read_tile(const Making *making, uint64_t tile)
{
    const MetasdImage *image = making->image;
    uint64_t left = image->plan.entities - tile * METASD_WORD;
    uint32_t n = (uint32_t)(left < METASD_WORD ? left : METASD_WORD);

    for (uint32_t e = 0; e < n; e++)
        making->rows[e].kept = 0;
    read_codes(making, tile, n);
    for (uint32_t e = 0; e < n; e++) {
        MetasdKmeansRow *row = &making->rows[e];
        uint64_t first = image->entity.start[tile * METASD_WORD + e];
        uint64_t end = image->entity.start[tile * METASD_WORD + e + 1];

        for (uint64_t i = first; i < end; i++, row->kept++) {
            row->positions[row->kept] = image->entity.ids[i];
            row->weights[row->kept] = image->entity.values[i];
        }
    }
    return n;
}

/* The entity that row I of the sample is: evenly over all. */
static uint64_t
sampled_entity(const Making *making, uint32_t i)
{
    return (uint64_t)i * making->image->plan.entities / making->sample;
}

static MetasdStatus
read_sample(Making *making)
{
    uint64_t read = UINT64_MAX;

    for (uint32_t i = 0; i < making->sample; i++) {
        uint64_t entity = sampled_entity(making, i);
        const MetasdKmeansRow *row = &making->rows[entity % METASD_WORD];
        MetasdKmeansRow *to = &making->sampled[i];

        if (entity / METASD_WORD != read) {
            read = entity / METASD_WORD;
            (void)read_tile(making, read);
            METASD_TRY(metasd_team_work(making->team, METASD_WORD * making->image->plan.width));
        }
        to->kept = row->kept;
        memcpy(to->positions, row->positions, row->kept * sizeof(*row->positions));
        memcpy(to->weights, row->weights, row->kept * sizeof(*row->weights));
    }
    return METASD_OK;
}

/* ---- two levels ---- */

/* Rows of the sample in a coarse cluster; also gathers them. */
static uint32_t
gather_members(Making *making, uint32_t coarse)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < making->sample; i++)
        if (making->coarse_of[i] == coarse)
            making->members[n++] = making->sampled[i];
    return n;
}

/*
 * The number of clusters that a coarse cluster with N rows of the sample is divided into: its part
 * of those that are left when each coarse cluster has one.
 */
static uint32_t
part_count(const Making *making, uint32_t n)
{
    uint32_t coarse = making->coarse.count;
    uint64_t left = making->image->plan.clusters - coarse;
    uint64_t count = 1 + left * n / making->sample;

    count = count < (uint64_t)MOST_PARTS * coarse ? count : (uint64_t)MOST_PARTS * coarse;
    return (uint32_t)(count < n ? count : n > 0 ? n : 1);
}

static MetasdStatus
divide_coarse(Making *making)
{
    MetasdCenters at = making->fine[0];
    uint32_t clusters = 0, width = making->image->plan.width;

    for (uint32_t s = 0; s < making->coarse.count; s++) {
        uint32_t n = gather_members(making, s);

        at.count = part_count(making, n);
        at.stride = metasd_kmeans_stride(at.count);
        making->first[s] = clusters;
        making->fine[s] = at;
        METASD_TRY(metasd_kmeans_find(&making->fine[s], width, making->members, n, making->fine_of,
                                      making->next, making->team));
        clusters += at.count;
        at.weights += at.stride * width;
        at.halves += at.stride;
        METASD_TRY(metasd_team_work(making->team, making->sample));
    }
    return METASD_OK;
}

static MetasdStatus
find_clusters(Making *making)
{
    METASD_TRY(metasd_kmeans_find(&making->coarse, making->image->plan.width, making->sampled,
                                  making->sample, making->coarse_of, making->next, making->team));
    return divide_coarse(making);
}

/* ---- all entities ---- */

/* Assigns an entity, and adds its weights to the sums of its cluster. */
static MetasdStatus
assign_entity(Making *making, uint32_t id, const MetasdKmeansRow *row)
{
    uint32_t coarse = metasd_kmeans_nearest(row, &making->coarse);
    const MetasdCenters *parts = &making->fine[coarse];
    uint32_t cluster = making->first[coarse] + metasd_kmeans_nearest(row, parts);
    double *sums = making->sums + (size_t)cluster * making->image->plan.width;
    double *squares = making->squares + (size_t)cluster * making->image->plan.width;

    making->cluster_of[id] = cluster;
    making->image->cluster.sizes[cluster]++;
    for (size_t i = 0; i < row->kept; i++) {
        double weight = (double)row->weights[i];

        sums[row->positions[i]] += weight;
        squares[row->positions[i]] += weight * weight;
    }
    return metasd_team_work(making->team, metasd_kmeans_work(row, &making->coarse) +
                                              metasd_kmeans_work(row, parts) + 4 * row->kept);
}

static MetasdStatus
assign_all(Making *making)
{
    const MetasdImagePlan *plan = &making->image->plan;
    size_t all = (size_t)plan->clusters * plan->width;

    memset(making->sums, 0, all * sizeof(*making->sums));
    memset(making->squares, 0, all * sizeof(*making->squares));
    for (uint64_t tile = 0; tile < metasd_words(plan->entities); tile++) {
        uint32_t n = read_tile(making, tile);

        for (uint32_t e = 0; e < n; e++)
            METASD_TRY(assign_entity(making, (uint32_t)(tile * METASD_WORD) + e, &making->rows[e]));
        METASD_TRY(metasd_team_work(making->team, METASD_WORD * plan->width));
    }
    return METASD_OK;
}

/* Means, variances and lengths of the clusters; 0 of one without entities. */
static MetasdStatus
describe_clusters(Making *making)
{
    const MetasdImagePlan *plan = &making->image->plan;
    MetasdClusters *clusters = &making->image->cluster;

    for (size_t c = 0; c < clusters->count; c++) {
        double n = clusters->sizes[c] > 0 ? clusters->sizes[c] : 1, length = 0;

        for (size_t j = 0; j < plan->width; j++) {
            double mean = making->sums[c * plan->width + j] / n;
            double square = making->squares[c * plan->width + j] / n;

            clusters->means[j * clusters->count + c] = (float)mean;
            clusters->variances[j * clusters->count + c] = (float)fmax(square - mean * mean, 0);
            length += square;
        }
        clusters->lengths[c] = (float)sqrt(length);
        METASD_TRY(metasd_team_work(making->team, METASD_FAR_WORK * plan->width));
    }
    return METASD_OK;
}

/* Gives each cluster its tiles; clears the places that stay free. */
static void
place_clusters(Making *making)
{
    const MetasdImage *image = making->image;
    const MetasdClusters *clusters = &image->cluster;
    size_t bytes = image->plan.columns * METASD_WORD * code_bytes(image);
    uint64_t tile = 0;

    for (uint32_t c = 0; c < clusters->count; c++) {
        uint64_t tiles = metasd_words(clusters->sizes[c]);

        clusters->start[c] = tile;
        making->next[c] = tile * METASD_WORD;
        tile += tiles;
        if (tiles > 0)
            memset((char *)clusters->codes + (tile - 1) * bytes, 0, bytes);
    }
    clusters->start[clusters->count] = tile;
    memset((char *)clusters->codes + tile * bytes, 0, (clusters->tiles - tile) * bytes);
}

/* Copies the codes of an entity to a place. */
static void
copy_codes(const MetasdImage *image, uint64_t id, uint64_t place)
{
    size_t columns = image->plan.columns;
    size_t from = (id / METASD_WORD * columns) * METASD_WORD + id % METASD_WORD;
    size_t to = (place / METASD_WORD * columns) * METASD_WORD + place % METASD_WORD;

    if (image->plan.codes == METASD_CODES_FLOAT)
        for (size_t i = 0; i < columns * METASD_WORD; i += METASD_WORD)
            ((float *)image->cluster.codes)[to + i] = ((float *)image->dimension.codes)[from + i];
    else
        for (size_t i = 0; i < columns * METASD_WORD; i += METASD_WORD)
            ((uint8_t *)image->cluster.codes)[to + i] =
                ((uint8_t *)image->dimension.codes)[from + i];
}

/* Copies the weights in lists, row after row of places. */
static MetasdStatus
copy_lists(const MetasdImage *image, MetasdTeam *team)
{
    const MetasdClusters *clusters = &image->cluster;
    const MetasdSparse *from = &image->entity, *to = &clusters->rows;
    uint64_t place = 0, at = 0, places = clusters->tiles * METASD_WORD;

    for (uint32_t c = 0; c < clusters->count && to->start; c++)
        for (uint64_t i = 0, n = clusters->sizes[c]; i < metasd_words((uint32_t)n) * METASD_WORD;
             i++) {
            uint64_t first = i < n ? from->start[clusters->ids[place]] : 0;
            uint64_t kept = i < n ? from->start[clusters->ids[place] + (uint64_t)1] - first : 0;

            to->start[place++] = at;
            memcpy(to->ids + at, from->ids + first, kept * sizeof(*to->ids));
            memcpy(to->values + at, from->values + first, kept * sizeof(*to->values));
            at += kept;
            METASD_TRY(metasd_team_work(team, METASD_FAR_WORK + kept));
        }
    while (to->start && place <= places)
        to->start[place++] = at;
    return METASD_OK;
}

static MetasdStatus
copy_all(Making *making)
{
    const MetasdImage *image = making->image;
    const MetasdClusters *clusters = &image->cluster;

    for (uint64_t id = 0; id < image->plan.entities; id++) {
        uint64_t place = making->next[making->cluster_of[id]]++;

        clusters->ids[place] = (uint32_t)id;
        clusters->scales[place] = image->scales[id];
        copy_codes(image, id, place);
        METASD_TRY(metasd_team_work(making->team, METASD_FAR_WORK + 4 * image->plan.columns));
    }
    return METASD_OK;
}

MetasdStatus
metasd_clusters_make(MetasdImage *image, void *memory, MetasdTeam *team)
{
    size_t bytes = metasd_clusters_bytes(&image->plan);
    MetasdArena arena = metasd_arena_over(memory, bytes);
    MetasdClusters *clusters = &image->cluster;
    Making making = {.image = image, .team = team};

    if (clusters->count == 0)
        return METASD_OK;
    take_memory(&making, &arena, &image->plan);
    if (!metasd_arena_ok(&arena))
        return METASD_INVALID;
    memset(clusters->start, 0, (size_t)((char *)clusters->codes - (char *)clusters->start));
    for (uint32_t j = 0; j < image->plan.width; j++)
        if (image->dimension.place[j] < image->plan.columns)
            making.dimension_of[image->dimension.place[j]] = j;
    METASD_TRY(read_sample(&making));
    METASD_TRY(find_clusters(&making));
    METASD_TRY(assign_all(&making));
    METASD_TRY(describe_clusters(&making));
    place_clusters(&making);
    METASD_TRY(copy_all(&making));
    return copy_lists(image, team);
}

bool
metasd_clusters_are_complete(const MetasdImage *image)
{
    uint64_t entities = 0;

    for (uint32_t c = 0; c < image->cluster.count; c++)
        entities += image->cluster.sizes[c];
    return image->cluster.count == 0 || entities == image->plan.entities;
}

/* ---- checking ---- */

/* A cluster with room for its entities, of which all ids and codes are possible. */
static bool
is_possible(const MetasdImage *image, uint32_t c)
{
    const MetasdClusters *clusters = &image->cluster;
    uint64_t tiles = metasd_words(clusters->sizes[c]), first = clusters->start[c] * METASD_WORD;
    bool ok = true;

    if (clusters->start[c] > clusters->tiles || clusters->start[c + 1] > clusters->tiles ||
        clusters->start[c + 1] != clusters->start[c] + tiles)
        return false;
    for (uint64_t i = first; i < first + clusters->sizes[c]; i++)
        ok &= clusters->ids[i] < image->plan.entities &&
              (i == first || clusters->ids[i] > clusters->ids[i - 1]) &&
              clusters->scales[i] == image->scales[clusters->ids[i]];
    return ok;
}

/* Are the weights in lists of a place those of its entity, which have been checked? */
static bool
has_lists_of(const MetasdImage *image, uint64_t id, uint64_t place)
{
    const MetasdSparse *a = &image->entity, *b = &image->cluster.rows;
    uint64_t first = a->start[id], kept = a->start[id + 1] - first, at;

    if (!b->start)
        return kept == 0;
    at = b->start[place];
    return at <= b->kept && b->start[place + 1] - at == kept && kept <= b->kept - at &&
           memcmp(a->ids + first, b->ids + at, kept * sizeof(*a->ids)) == 0 &&
           memcmp(a->values + first, b->values + at, kept * sizeof(*a->values)) == 0;
}

/* The same of its codes. */
static bool
has_codes_of(const MetasdImage *image, uint64_t id, uint64_t place)
{
    size_t columns = image->plan.columns, bytes = code_bytes(image), step = METASD_WORD * bytes;
    const char *a = (const char *)image->dimension.codes + id / METASD_WORD * columns * step +
                    id % METASD_WORD * bytes;
    const char *b = (const char *)image->cluster.codes + place / METASD_WORD * columns * step +
                    place % METASD_WORD * bytes;
    bool same = true;

    for (size_t i = 0; i < columns; i++)
        same &= memcmp(a + i * step, b + i * step, bytes) == 0;
    return same;
}

/* Means, variances and lengths that give no infinite number. */
static MetasdStatus
check_descriptions(const MetasdImage *image, MetasdTeam *team)
{
    const MetasdClusters *clusters = &image->cluster;
    float most = METASD_IMAGE_MAX_WEIGHT * 1.001f, square = most * most;

    for (size_t i = 0; i < (size_t)clusters->count * image->plan.width; i++) {
        if (!(fabsf(clusters->means[i]) <= most) ||
            !(clusters->variances[i] >= 0 && clusters->variances[i] <= square))
            return METASD_CORRUPT;
        METASD_TRY(metasd_team_work(team, 1));
    }
    for (uint32_t c = 0; c < clusters->count; c++)
        if (!(clusters->lengths[c] >= 0 && clusters->lengths[c] <= INFINITY))
            return METASD_CORRUPT;
    return METASD_OK;
}

MetasdStatus
metasd_clusters_check(const MetasdImage *image, MetasdTeam *team)
{
    const MetasdClusters *clusters = &image->cluster;

    if (clusters->count == 0)
        return METASD_OK;
    if (clusters->start[0] != 0 || !metasd_clusters_are_complete(image))
        return METASD_CORRUPT;
    for (uint32_t c = 0; c < clusters->count; c++) {
        uint64_t place = clusters->start[c] * METASD_WORD;

        if (!is_possible(image, c))
            return METASD_CORRUPT;
        for (uint32_t i = 0; i < clusters->sizes[c]; i++) {
            if (!has_codes_of(image, clusters->ids[place + i], place + i) ||
                !has_lists_of(image, clusters->ids[place + i], place + i))
                return METASD_CORRUPT;
            METASD_TRY(metasd_team_work(team, METASD_FAR_WORK + 4 * image->plan.columns));
        }
    }
    return check_descriptions(image, team);
}
