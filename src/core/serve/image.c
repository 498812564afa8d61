#include "core/serve/image.h"

#include <math.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/serve/clusters.h"
#include "core/serve/image_internal.h"
#include "core/serve/postings.h"
#include "core/serve/transpose.h"

#define MAGIC "metasdIX"
#define VERSION 1
#define BYTE_ORDER_MARK 0x01020304u

/* The start of the image; its counts determine all other places. */
typedef struct Header {
    char magic[8];
    uint32_t version;
    uint32_t byte_order;
    uint64_t bytes;    /* of the whole image */
    uint64_t checksum; /* of everything behind the header */
    char family[24];   /* its name, ended by a zero */
    uint32_t codes, clusters;
    uint32_t entities, relations, width, columns;
    uint64_t column_kept, entity_kept, relation_kept, entity_label_bytes, relation_label_bytes;
    uint64_t header_checksum; /* of this struct with 0 here */
} Header;

_Static_assert(sizeof(Header) == 2 * METASD_ALIGN, "no padding, inside or behind");

/* ---- checksums ---- */

/*
 * Over a multiple of 32 bytes. Every step is a bijection of its lane, so damage
 * within one word is always found; four lanes keep the multiplier busy.
 */
static MetasdStatus
checksum(const void *memory, size_t bytes, MetasdTeam *team, uint64_t *sum)
{
    const char *at = memory;
    uint64_t lanes[4] = {1, 2, 3, 4}, word[4];

    for (size_t i = 0; i < bytes; i += sizeof(word)) {
        memcpy(word, at + i, sizeof(word));
        for (int lane = 0; lane < 4; lane++)
            lanes[lane] = metasd_mix(lanes[lane], word[lane]);
        METASD_TRY(metasd_team_work(team, 4));
    }
    *sum = metasd_mix(metasd_mix(metasd_mix(metasd_mix(bytes, lanes[0]), lanes[1]), lanes[2]),
                      lanes[3]);
    return METASD_OK;
}

static uint64_t
header_checksum(Header header)
{
    MetasdTeam alone = metasd_team_of_one();
    uint64_t sum = 0;

    header.header_checksum = 0;
    (void)checksum(&header, sizeof(header), &alone, &sum);
    return sum;
}

/* ---- layout ---- */

/* Half as many slots again as labels: probes are short, and an empty slot ends each. */
static uint64_t
slot_count(uint32_t labels)
{
    return labels + (uint64_t)labels / 2 + 2;
}

/* METASD_TAKE for a 64-bit count; `used` before it is the place in the image. */
static void *
take_array(MetasdArena *arena, uint64_t count, size_t width)
{
    if (count > SIZE_MAX) {
        arena->overflowed = true;
        return NULL;
    }
    return metasd_arena_take(arena, (size_t)count, width);
}

static MetasdSparse
take_sparse(MetasdArena *arena, uint64_t rows, uint64_t kept)
{
    MetasdSparse sparse = {.kept = kept};

    sparse.start = take_array(arena, rows + 1, sizeof(*sparse.start));
    sparse.ids = take_array(arena, kept, sizeof(*sparse.ids));
    sparse.values = take_array(arena, kept, sizeof(*sparse.values));
    return sparse;
}

static MetasdDimensions
take_dimensions(MetasdArena *arena, const MetasdImagePlan *plan)
{
    MetasdDimensions dimensions = {.words = metasd_words(plan->entities),
                                   .lists = plan->width - plan->columns,
                                   .kept = plan->entity_kept - plan->column_kept};
    uint64_t tiles = dimensions.words * METASD_WORD;

    dimensions.place = take_array(arena, plan->width, sizeof(*dimensions.place));
    dimensions.start = take_array(arena, dimensions.lists + 1, sizeof(*dimensions.start));
    dimensions.bits =
        take_array(arena, dimensions.lists * dimensions.words, sizeof(*dimensions.bits));
    dimensions.values =
        take_array(arena, dimensions.kept + METASD_WORD, sizeof(*dimensions.values));
    /* the last part but the clusters: metasd_transpose_add clears it */
    dimensions.codes =
        take_array(arena, tiles * plan->columns, metasd_dense_code_bytes[plan->codes]);
    return dimensions;
}

static MetasdClusters
take_clusters(MetasdArena *arena, const MetasdImagePlan *plan)
{
    uint64_t count = plan->clusters, tiles = metasd_words(plan->entities) + count, codes;
    MetasdClusters clusters = {.count = plan->clusters, .tiles = tiles};

    if (count == 0)
        return (MetasdClusters){0};
    clusters.start = take_array(arena, count + 1, sizeof(*clusters.start));
    clusters.sizes = take_array(arena, count, sizeof(*clusters.sizes));
    clusters.lengths = take_array(arena, count, sizeof(*clusters.lengths));
    clusters.means = take_array(arena, plan->width * count, sizeof(*clusters.means));
    clusters.variances = take_array(arena, plan->width * count, sizeof(*clusters.variances));
    clusters.ids = take_array(arena, tiles * METASD_WORD, sizeof(*clusters.ids));
    clusters.scales = take_array(arena, tiles * METASD_WORD, sizeof(*clusters.scales));
    if (plan->entity_kept > plan->column_kept)
        clusters.rows =
            take_sparse(arena, tiles * METASD_WORD, plan->entity_kept - plan->column_kept);
    if (__builtin_mul_overflow(tiles * METASD_WORD, plan->columns, &codes))
        arena->overflowed = true;
    else
        clusters.codes = take_array(arena, codes, metasd_dense_code_bytes[plan->codes]);
    return clusters;
}

static MetasdLabelTable
take_labels(MetasdArena *arena, uint32_t count, uint64_t bytes)
{
    MetasdLabelTable labels = {.count = count, .size = bytes, .slot_count = slot_count(count)};

    labels.start = take_array(arena, (uint64_t)count + 1, sizeof(*labels.start));
    labels.slots = take_array(arena, labels.slot_count, sizeof(*labels.slots));
    labels.bytes = take_array(arena, bytes, 1);
    return labels;
}

/*
 * Lays out an image of that plan at BASE (NULL: measures only). The arena is set here, because
 * metasd_arena_over would skip to an aligned address, which differs between mappings, and the
 * places of an image must not.
 */
static bool
lay_out(const MetasdImagePlan *plan, void *base, size_t size, MetasdImage *image, size_t *bytes)
{
    MetasdArena arena = {.base = base, .size = size};

    if (!plan->family || plan->entities >= UINT32_MAX || plan->relations > INT32_MAX ||
        plan->width == 0 || plan->width % plan->family->reals_per_rank != 0 ||
        plan->columns > plan->width || plan->codes >= METASD_CODES ||
        plan->clusters > plan->entities || plan->column_kept > plan->entity_kept ||
        strlen(plan->family->name) >= sizeof(((Header *)0)->family))
        return false;
    image->plan = *plan;
    (void)take_array(&arena, 1, sizeof(Header));
    image->entity = take_sparse(&arena, plan->entities, plan->entity_kept - plan->column_kept);
    image->relation = take_sparse(&arena, 2 * (uint64_t)plan->relations, plan->relation_kept);
    image->sigmoids =
        take_array(&arena, 2 * (uint64_t)plan->relations + 1, sizeof(*image->sigmoids));
    image->norms = take_array(&arena, plan->entities, sizeof(*image->norms));
    image->scales =
        take_array(&arena, metasd_words(plan->entities) * METASD_WORD, sizeof(*image->scales));
    image->irreflexive = take_array(&arena, plan->relations, sizeof(*image->irreflexive));
    image->entity_labels = take_labels(&arena, plan->entities, plan->entity_label_bytes);
    image->relation_labels = take_labels(&arena, plan->relations, plan->relation_label_bytes);
    image->dimension = take_dimensions(&arena, plan);
    image->cluster = take_clusters(&arena, plan);
    *bytes = arena.used;
    return metasd_arena_ok(&arena);
}

size_t
metasd_image_bytes(const MetasdImagePlan *plan)
{
    MetasdImage image;
    size_t bytes;

    return lay_out(plan, NULL, SIZE_MAX, &image, &bytes) ? bytes : SIZE_MAX;
}

/* ---- building ---- */

void
metasd_image_choose_columns(MetasdImagePlan *plan, MetasdCodes codes, const uint32_t *counts)
{
    plan->codes = codes;
    metasd_transpose_choose_columns(plan, counts);
}

MetasdStatus
metasd_image_begin(MetasdImageWriter *writer, const MetasdImagePlan *plan, uint32_t *counts,
                   void *memory)
{
    size_t bytes = metasd_image_bytes(plan);
    MetasdImage *image = &writer->image;

    if (bytes == SIZE_MAX || (uintptr_t)memory % METASD_IMAGE_ALIGN != 0)
        return METASD_INVALID;
    *writer = (MetasdImageWriter){.memory = memory, .counts = counts};
    (void)lay_out(plan, memory, bytes, image, &bytes);
    /* Slots and first starts must be zero, and padding, so that equal rows give equal bytes. */
    memset(memory, 0, (size_t)((char *)image->dimension.codes - (char *)memory));
    for (uint64_t row = 0; row <= 2 * (uint64_t)plan->relations; row++)
        image->sigmoids[row] = metasd_uncalibrated;
    for (uint64_t e = 0; e < image->dimension.words * METASD_WORD; e++)
        image->scales[e] = 1;
    if (plan->clusters > 0) /* none has an entity until metasd_clusters_make */
        memset(image->cluster.sizes, 0, plan->clusters * sizeof(*image->cluster.sizes));
    return metasd_transpose_begin(image, counts);
}

static bool
has_valid_positions(const MetasdSparseRow *row, uint32_t width)
{
    bool ok = true;

    for (size_t i = 1; i < row->kept; i++)
        ok &= row->positions[i] > row->positions[i - 1];
    return ok && (row->kept == 0 || row->positions[row->kept - 1] < width);
}

/* Codes within the largest one, of which none is 0 and none becomes a weight of 0 or too large. */
static bool
has_valid_codes(const MetasdSparseRow *row)
{
    int least = INT8_MAX, most = 0;

    if (row->most_code > INT8_MAX || !((float)row->step > 0) ||
        !(row->step * row->most_code <= (double)METASD_IMAGE_MAX_WEIGHT))
        return false;
    for (size_t i = 0; i < row->kept; i++) {
        int magnitude = row->codes[i] < 0 ? -row->codes[i] : row->codes[i];

        least = magnitude < least ? magnitude : least;
        most = magnitude > most ? magnitude : most;
    }
    return least > 0 && most <= row->most_code;
}

static bool
has_valid_weights(const MetasdSparseRow *row)
{
    if (row->most_code != 0)
        return has_valid_codes(row);
    for (size_t i = 0; i < row->kept; i++)
        if (!metasd_weight_ok(row->values[i]))
            return false;
    return true;
}

static bool
is_valid_row(const MetasdSparseRow *row, uint32_t width)
{
    return row->kept == 0 || (has_valid_positions(row, width) && has_valid_weights(row));
}

static double
norm_of(const MetasdSparseRow *row)
{
    double square = 0;
    int64_t codes = 0;

    for (size_t i = 0; i < row->kept && row->most_code != 0; i++)
        codes += row->codes[i] * row->codes[i];
    for (size_t i = 0; i < row->kept && row->most_code == 0; i++)
        square += (double)row->values[i] * (double)row->values[i];
    return row->most_code != 0 ? row->step * sqrt((double)codes) : sqrt(square);
}

/* Appends a row to `sparse`, which has room for `capacity` weights in all. */
static MetasdStatus
add_row(MetasdSparse *sparse, uint64_t capacity, uint64_t number, uint32_t width,
        const MetasdSparseRow *row)
{
    uint64_t start = sparse->start[number];

    if (row->kept > capacity - start || !is_valid_row(row, width))
        return METASD_INVALID;
    for (size_t i = 0; i < row->kept; i++) {
        sparse->ids[start + i] = row->positions[i];
        sparse->values[start + i] = metasd_row_weight(row, i);
    }
    sparse->start[number + 1] = start + row->kept;
    return METASD_OK;
}

MetasdStatus
metasd_image_add_entity(MetasdImageWriter *writer, uint32_t id, const char *label, size_t len,
                        MetasdSparseRow row)
{
    MetasdImage *image = &writer->image;
    const MetasdImagePlan *plan = &image->plan;

    if (id != writer->entities || id >= plan->entities)
        return METASD_INVALID;
    if (!is_valid_row(&row, plan->width))
        return METASD_INVALID;
    METASD_TRY(metasd_label_add(&image->entity_labels, plan->entity_label_bytes, id, label, len));
    METASD_TRY(metasd_transpose_add(image, writer->counts, id, &row));
    image->norms[id] = (float)norm_of(&row);
    writer->entities++;
    return METASD_OK;
}

MetasdStatus
metasd_image_add_relation(MetasdImageWriter *writer, uint32_t id, const char *label, size_t len,
                          MetasdSparseRow forward, MetasdSparseRow reciprocal)
{
    MetasdImage *image = &writer->image;
    const MetasdImagePlan *plan = &image->plan;
    uint64_t row = 2 * (uint64_t)id;

    if (id != writer->relations || id >= plan->relations)
        return METASD_INVALID;
    METASD_TRY(add_row(&image->relation, plan->relation_kept, row, plan->width, &forward));
    METASD_TRY(add_row(&image->relation, plan->relation_kept, row + 1, plan->width, &reciprocal));
    METASD_TRY(
        metasd_label_add(&image->relation_labels, plan->relation_label_bytes, id, label, len));
    writer->relations++;
    return METASD_OK;
}

MetasdStatus
metasd_image_set_sigmoid(MetasdImageWriter *writer, uint32_t relation, MetasdSigmoid sigmoid)
{
    MetasdImage *image = &writer->image;

    if (relation > 2 * image->plan.relations || !metasd_probability_sigmoid_ok(sigmoid))
        return METASD_INVALID;
    image->sigmoids[metasd_sigmoid_place(image, relation)] = sigmoid;
    return METASD_OK;
}

MetasdStatus
metasd_image_set_irreflexive(MetasdImageWriter *writer, uint32_t id)
{
    if (id >= writer->image.plan.relations)
        return METASD_INVALID;
    writer->image.irreflexive[id] = 1;
    return METASD_OK;
}

static bool
is_complete(const MetasdImageWriter *writer)
{
    const MetasdImage *image = &writer->image;
    const MetasdImagePlan *plan = &image->plan;

    return writer->entities == plan->entities && writer->relations == plan->relations &&
           metasd_transpose_is_complete(image, writer->counts) &&
           metasd_clusters_are_complete(image) &&
           image->relation.start[2 * (uint64_t)plan->relations] == plan->relation_kept &&
           image->entity_labels.start[plan->entities] == plan->entity_label_bytes &&
           image->relation_labels.start[plan->relations] == plan->relation_label_bytes;
}

MetasdStatus
metasd_image_finish(MetasdImageWriter *writer, MetasdTeam *team)
{
    const MetasdImagePlan *plan = &writer->image.plan;
    size_t bytes = metasd_image_bytes(plan);
    Header header = {.version = VERSION,
                     .byte_order = BYTE_ORDER_MARK,
                     .bytes = bytes,
                     .codes = plan->codes,
                     .clusters = plan->clusters,
                     .entities = plan->entities,
                     .relations = plan->relations,
                     .width = plan->width,
                     .columns = plan->columns,
                     .column_kept = plan->column_kept,
                     .entity_kept = plan->entity_kept,
                     .relation_kept = plan->relation_kept,
                     .entity_label_bytes = plan->entity_label_bytes,
                     .relation_label_bytes = plan->relation_label_bytes};

    if (!is_complete(writer))
        return METASD_INVALID;
    METASD_TRY(checksum((char *)writer->memory + sizeof(Header), bytes - sizeof(Header), team,
                        &header.checksum));
    memcpy(header.magic, MAGIC, sizeof(header.magic));
    memcpy(header.family, plan->family->name, strlen(plan->family->name));
    header.header_checksum = header_checksum(header);
    memcpy(writer->memory, &header, sizeof(header));
    return METASD_OK;
}

/* ---- opening ---- */

static MetasdStatus
check_sparse(const MetasdSparse *sparse, uint64_t rows, uint64_t kept, uint32_t bound,
             MetasdTeam *team)
{
    if (sparse->start[0] != 0 || sparse->start[rows] != kept)
        return METASD_CORRUPT;
    for (uint64_t r = 0; r < rows; r++) {
        uint64_t first = sparse->start[r], end = sparse->start[r + 1];
        bool ok = true;

        if (first > end || end > kept)
            return METASD_CORRUPT;
        for (uint64_t i = first; i < end; i++)
            ok &= sparse->ids[i] < bound && (i == first || sparse->ids[i] > sparse->ids[i - 1]) &&
                  metasd_weight_ok(sparse->values[i]);
        if (!ok)
            return METASD_CORRUPT;
        METASD_TRY(metasd_team_work(team, 1 + end - first));
    }
    return METASD_OK;
}

MetasdStatus
metasd_image_attach(const void *memory, size_t bytes, MetasdImage *image)
{
    Header header;
    MetasdImagePlan plan;
    size_t planned;

    if ((uintptr_t)memory % METASD_IMAGE_ALIGN != 0)
        return METASD_INVALID;
    if (bytes < sizeof(header))
        return METASD_CORRUPT;
    memcpy(&header, memory, sizeof(header));
    if (memcmp(header.magic, MAGIC, sizeof(header.magic)) != 0 || header.version != VERSION ||
        header.byte_order != BYTE_ORDER_MARK || header.bytes != bytes ||
        header.header_checksum != header_checksum(header) ||
        !memchr(header.family, '\0', sizeof(header.family)))
        return METASD_CORRUPT;
    plan = (MetasdImagePlan){.family = metasd_family(header.family),
                             .entities = header.entities,
                             .relations = header.relations,
                             .width = header.width,
                             .entity_kept = header.entity_kept,
                             .relation_kept = header.relation_kept,
                             .entity_label_bytes = header.entity_label_bytes,
                             .relation_label_bytes = header.relation_label_bytes,
                             .columns = header.columns,
                             .codes = header.codes,
                             .clusters = header.clusters,
                             .column_kept = header.column_kept};
    if (metasd_image_bytes(&plan) != bytes)
        return METASD_CORRUPT;
    return lay_out(&plan, (void *)memory, bytes, image, &planned) ? METASD_OK : METASD_CORRUPT;
}

MetasdStatus
metasd_image_open(const void *memory, size_t bytes, MetasdTeam *team, MetasdImage *image)
{
    const MetasdImagePlan *plan = &image->plan;
    Header header;
    uint64_t sum;

    METASD_TRY(metasd_image_attach(memory, bytes, image));
    memcpy(&header, memory, sizeof(header));
    METASD_TRY(checksum((const char *)memory + sizeof(header), bytes - sizeof(header), team, &sum));
    if (sum != header.checksum)
        return METASD_CORRUPT;
    /* A checksum does not tell who wrote the image: all bounds of loops are checked, too. */
    METASD_TRY(check_sparse(&image->entity, plan->entities, image->entity.kept, plan->width, team));
    METASD_TRY(check_sparse(&image->relation, 2 * (uint64_t)plan->relations, plan->relation_kept,
                            plan->width, team));
    METASD_TRY(metasd_transpose_check(image, team));
    METASD_TRY(metasd_clusters_check(image, team));
    for (uint64_t row = 0; row <= 2 * (uint64_t)plan->relations; row++)
        if (!metasd_probability_sigmoid_ok(image->sigmoids[row]))
            return METASD_CORRUPT;
    METASD_TRY(metasd_label_check(&image->entity_labels, plan->entity_label_bytes, team));
    return metasd_label_check(&image->relation_labels, plan->relation_label_bytes, team);
}
