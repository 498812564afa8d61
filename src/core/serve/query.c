/*
 * query.c - the scores of questions to an image.
 *
 * An image is read in full once, and may then be mapped from a file for days. If a bit of it
 * changes, an answer is wrong. But every number from the image is checked against its bound before
 * it is used as a place; that costs nothing beside the access to memory.
 */
#include "core/serve/query.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "core/ranking/rank_counts.h"
#include "core/serve/dense_columns.h"
#include "core/serve/image_internal.h"
#include "core/serve/postings.h"

/* The scratch memory of a query: three rows, and the columns that it reads. */
typedef struct Scratch {
    float *query;
    float *first, *second; /* the rows that the query is composed of */
    MetasdDenseQuery asked;
} Scratch;

size_t
metasd_query_scratch_bytes(uint32_t width)
{
    return width * (3 * sizeof(float) + sizeof(MetasdDenseColumn)) +
           metasd_dense_quads(width) * sizeof(MetasdDenseQuad);
}

static Scratch
divide_scratch(void *memory, size_t width)
{
    float *rows = memory;
    MetasdDenseColumn *columns = (MetasdDenseColumn *)(void *)(rows + 3 * width);

    return (Scratch){
        .query = rows,
        .first = rows + width,
        .second = rows + 2 * width,
        .asked = {.columns = columns, .quads = (MetasdDenseQuad *)(void *)(columns + width)}};
}

static uint64_t
row_end(const MetasdSparse *sparse, uint64_t number)
{
    uint64_t end = sparse->start[number + 1];

    return end < sparse->kept ? end : sparse->kept;
}

static void
densify(const MetasdSparse *sparse, uint64_t number, uint32_t width, float *row)
{
    uint64_t end = row_end(sparse, number);

    memset(row, 0, width * sizeof(*row));
    for (uint64_t i = sparse->start[number]; i < end; i++)
        if (sparse->ids[i] < width)
            row[sparse->ids[i]] = sparse->values[i];
}

static MetasdDenseColumns
all_columns(const MetasdImage *image)
{
    return (MetasdDenseColumns){.kind = image->plan.codes,
                                .codes = image->dimension.codes,
                                .columns = image->plan.columns,
                                .scales = image->scales};
}

/* The row of an entity: from its codes, and its weights in lists. */
static void
densify_entity(const MetasdImage *image, uint32_t entity, float *row)
{
    MetasdDenseColumns columns = all_columns(image);

    densify(&image->entity, entity, image->plan.width, row);
    for (uint32_t j = 0; j < image->plan.width; j++)
        if (image->dimension.place[j] < columns.columns)
            row[j] = metasd_dense_weight(&columns, entity, image->dimension.place[j]);
}

/* <row, dense>, summed in ascending order of positions. */
static float
sparse_dot(const MetasdSparse *sparse, uint64_t number, uint32_t width, const float *dense)
{
    uint64_t end = row_end(sparse, number);
    float sum = 0;

    for (uint64_t i = sparse->start[number]; i < end; i++)
        if (sparse->ids[i] < width)
            sum += dense[sparse->ids[i]] * sparse->values[i];
    return sum;
}

/*
 * Lists are added GROUP at a time, with their sums in registers (more streams from memory are
 * slower), over BLOCK words of scores, which stay in a cache until all LISTS have been added.
 */
#define LISTS 64
#define GROUP 4
#define BLOCK ((size_t)256)

/* Adds lists to the scores of all entities. */
static void
add_lists(const MetasdImage *image, MetasdPosting *lists, size_t count, float *scores)
{
    const MetasdPostingKernels *kernels = metasd_postings_kernels();
    size_t whole = image->plan.entities / METASD_WORD, rest = image->plan.entities % METASD_WORD;
    float last[METASD_WORD] = {0};

    for (size_t w = 0; w < whole; w += BLOCK)
        for (size_t i = 0; i < count; i += GROUP)
            kernels->add(whole - w < BLOCK ? whole - w : BLOCK, lists + i,
                         count - i < GROUP ? count - i : GROUP, scores + w * METASD_WORD);
    if (rest == 0)
        return;
    memcpy(last, scores + whole * METASD_WORD, rest * sizeof(*last));
    kernels->add(1, lists, count, last);
    memcpy(scores + whole * METASD_WORD, last, rest * sizeof(*last));
}

/* Chooses the columns that a query reads: those of its non-zero components. */
static void
ask_columns(const MetasdImage *image, Scratch *scratch)
{
    const MetasdDimensions *dimensions = &image->dimension;
    const MetasdImagePlan *plan = &image->plan;
    MetasdDenseQuery *asked = &scratch->asked;

    asked->count = 0;
    /* Which components are zero cannot be foreseen: so there is no branch on it. */
    for (uint32_t j = 0; j < plan->width && asked->count < plan->columns; j++) {
        asked->columns[asked->count] =
            (MetasdDenseColumn){.number = dimensions->place[j], .weight = scratch->query[j]};
        asked->count += (size_t)(scratch->query[j] != 0) & (dimensions->place[j] < plan->columns);
    }
    metasd_dense_prepare(metasd_dense_kernels(), plan->codes, asked);
}

/* Sets the scores of tiles FIRST to END - 1 to the sums over the columns. */
static void
score_tiles(const MetasdImage *image, const MetasdDenseQuery *asked, size_t first, size_t end,
            float *scores)
{
    const MetasdImagePlan *plan = &image->plan;
    size_t whole = plan->entities / METASD_WORD, rest = plan->entities % METASD_WORD;
    size_t bytes = plan->columns * METASD_WORD * metasd_dense_code_bytes[plan->codes];
    MetasdDenseColumns tiles = all_columns(image);
    float last[METASD_WORD];

    tiles.codes = (const char *)tiles.codes + first * bytes;
    tiles.scales += first * METASD_WORD;
    if (end <= whole || rest == 0) {
        metasd_dense_scores(metasd_dense_kernels(), &tiles, end - first, asked,
                            scores + first * METASD_WORD);
        return;
    }
    metasd_dense_scores(metasd_dense_kernels(), &tiles, whole - first, asked,
                        scores + first * METASD_WORD);
    tiles.codes = (const char *)tiles.codes + (whole - first) * bytes;
    tiles.scales += (whole - first) * METASD_WORD;
    metasd_dense_scores(metasd_dense_kernels(), &tiles, 1, asked, last);
    memcpy(scores + whole * METASD_WORD, last, rest * sizeof(*last));
}

/* Adds the lists of the query's non-zero components to the scores. */
static void
score_lists(const MetasdImage *image, const float *query, float *scores)
{
    const MetasdDimensions *dimensions = &image->dimension;
    const MetasdImagePlan *plan = &image->plan;
    MetasdPosting lists[LISTS];
    size_t count = 0;

    for (uint32_t j = 0; j < plan->width; j++) {
        uint64_t list = (uint64_t)dimensions->place[j] - plan->columns, start;

        if (query[j] == 0 || list >= dimensions->lists) /* j is a column */
            continue;
        start = dimensions->start[list];
        lists[count++] = (MetasdPosting){
            .bits = dimensions->bits + list * dimensions->words,
            .at = dimensions->values + (start < dimensions->kept ? start : dimensions->kept),
            .end = dimensions->values + dimensions->kept,
            .weight = query[j]};
        if (count == LISTS) {
            add_lists(image, lists, count, scores);
            count = 0;
        }
    }
    add_lists(image, lists, count, scores);
}

/*
 * scores[N] = <query, every entity>, from the columns and lists of the query's non-zero components.
 */
static void
score_all(const MetasdImage *image, Scratch *scratch, float *scores)
{
    ask_columns(image, scratch);
    score_tiles(image, &scratch->asked, 0, metasd_words(image->plan.entities), scores);
    score_lists(image, scratch->query, scores);
}

float
metasd_query_add_lists(const MetasdImage *image, const float *query, const MetasdSparse *rows,
                       uint64_t number, float score)
{
    const MetasdDimensions *dimensions = &image->dimension;
    uint64_t columns = image->plan.columns, end = row_end(rows, number);

    for (uint64_t i = rows->start[number]; i < end; i++) {
        uint32_t j = rows->ids[i];

        if (j < image->plan.width && dimensions->place[j] >= columns)
            score += query[j] * rows->values[i];
    }
    return score;
}

/* <query, one entity>, for a query whose columns are chosen: the same bits as in score_all. */
static float
score_one(const MetasdImage *image, const Scratch *scratch, uint32_t entity)
{
    MetasdDenseColumns tiles = all_columns(image);

    return metasd_query_add_lists(image, scratch->query, &image->entity, entity,
                                  metasd_dense_score(&tiles, entity, &scratch->asked));
}

/* ---- what a question gives ---- */

/* The row of an entity that a question gives: where it is, or read into SPACE. */
static const float *
entity_row(const MetasdImage *image, MetasdGiven entity, float *space)
{
    if (entity.row)
        return entity.row;
    densify_entity(image, entity.id, space);
    return space;
}

static const float *
relation_row(const MetasdImage *image, MetasdGiven relation, float *space)
{
    if (relation.row)
        return relation.row;
    densify(&image->relation, metasd_relation_row(image, relation.id), image->plan.width, space);
    return space;
}

static bool
is_same_entity(MetasdGiven a, MetasdGiven b)
{
    return a.row || b.row ? a.row == b.row : a.id == b.id;
}

/* Composes the query of (head, relation). */
static void
compose_query(const MetasdImage *image, MetasdGiven head, MetasdGiven relation,
              const Scratch *scratch)
{
    image->plan.family->compose(image->plan.width, entity_row(image, head, scratch->first),
                                relation_row(image, relation, scratch->second), scratch->query);
}

bool
metasd_query_is_irreflexive(const MetasdImage *image, MetasdGiven relation)
{
    return relation.row ? relation.irreflexive
                        : image->irreflexive[relation.id % image->plan.relations] != 0;
}

/* ---- questions ---- */

void
metasd_query_scores_tails_of(const MetasdImage *image, MetasdGiven head, MetasdGiven relation,
                             float *scores, void *scratch)
{
    Scratch rows = divide_scratch(scratch, image->plan.width);

    compose_query(image, head, relation, &rows);
    score_all(image, &rows, scores);
    if (!head.row && metasd_query_is_irreflexive(image, relation))
        scores[head.id] = METASD_IMPOSSIBLE;
}

/* Scratch memory of a question of a batch, with its Scratch at the start. */
static size_t
batch_stride(uint32_t width)
{
    size_t align = _Alignof(max_align_t);

    return (sizeof(Scratch) + metasd_query_scratch_bytes(width) + align - 1) / align * align;
}

size_t
metasd_query_batch_bytes(uint32_t width, size_t n)
{
    return n * batch_stride(width);
}

static Scratch *
batch_scratch(const MetasdImage *image, void *scratch, size_t i)
{
    return (Scratch *)(void *)((char *)scratch + i * batch_stride(image->plan.width));
}

/*
 * Do N questions share tiles? A tile is read into a cache whole, while a question alone reads only
 * its own columns, and foresees those of the next tile. So each column must have several readers,
 * and a tile must leave room in a cache.
 */
#define READERS 5
#define MOST_SHARED_BYTES ((size_t)512 << 10)

static bool
shares_tiles(const MetasdImage *image, void *scratch, size_t n)
{
    const MetasdImagePlan *plan = &image->plan;
    size_t read = 0;

    for (size_t i = 0; i < n; i++)
        read += batch_scratch(image, scratch, i)->asked.count;
    return plan->columns > 0 && read >= (size_t)READERS * plan->columns &&
           plan->columns * METASD_WORD * metasd_dense_code_bytes[plan->codes] <= MOST_SHARED_BYTES;
}

void
metasd_query_scores_tails_of_batch(const MetasdImage *image, const MetasdAsk *asks, size_t n,
                                   void *scratch)
{
    size_t words = metasd_words(image->plan.entities), step = words;
    MetasdDenseColumns tiles = all_columns(image);

    for (size_t i = 0; i < n; i++) {
        Scratch *rows = batch_scratch(image, scratch, i);

        *rows = divide_scratch(rows + 1, image->plan.width);
        compose_query(image, asks[i].head, asks[i].relation, rows);
        ask_columns(image, rows);
    }
    if (shares_tiles(image, scratch, n))
        step = 1;
    for (size_t tile = 0; tile < words; tile += step) {
        if (step == 1)
            metasd_dense_touch(&tiles, tile);
        for (size_t i = 0; i < n; i++)
            score_tiles(image, &batch_scratch(image, scratch, i)->asked, tile, tile + step,
                        asks[i].scores);
    }
    for (size_t i = 0; i < n; i++) {
        score_lists(image, batch_scratch(image, scratch, i)->query, asks[i].scores);
        if (!asks[i].head.row && metasd_query_is_irreflexive(image, asks[i].relation))
            asks[i].scores[asks[i].head.id] = METASD_IMPOSSIBLE;
    }
}

void
metasd_query_scores_composed(const MetasdImage *image, const float *query, uint32_t head,
                             uint32_t relation, float *scores, void *scratch)
{
    Scratch rows = divide_scratch(scratch, image->plan.width);

    memcpy(rows.query, query, image->plan.width * sizeof(*query));
    score_all(image, &rows, scores);
    if (metasd_query_is_irreflexive(image, metasd_given(relation)))
        scores[head] = METASD_IMPOSSIBLE;
}

MetasdSigmoid
metasd_query_sigmoid(const MetasdImage *image, uint32_t relation)
{
    return image->sigmoids[metasd_sigmoid_place(image, relation)];
}

MetasdSigmoid
metasd_query_mean_sigmoid(const MetasdImage *image)
{
    uint32_t n = 2 * image->plan.relations;
    double slope = 0, offset = 0;
    MetasdSigmoid mean = metasd_uncalibrated;

    for (uint32_t r = 0; r < n; r++) {
        slope += (double)image->sigmoids[r].slope / n;
        offset += (double)image->sigmoids[r].offset / n;
    }
    if (n > 0) { /* base and steepness are the model's */
        mean = image->sigmoids[0];
        mean.slope = (float)slope;
        mean.offset = (float)offset;
    }
    return mean;
}

float
metasd_query_score_of(const MetasdImage *image, MetasdGiven head, MetasdGiven relation,
                      MetasdGiven tail, void *scratch)
{
    Scratch rows = divide_scratch(scratch, image->plan.width);
    float score = 0;

    if (is_same_entity(head, tail) && metasd_query_is_irreflexive(image, relation))
        return METASD_IMPOSSIBLE;
    compose_query(image, head, relation, &rows);
    if (!tail.row) {
        ask_columns(image, &rows);
        return score_one(image, &rows, tail.id);
    }
    for (uint32_t j = 0; j < image->plan.width; j++)
        score += rows.query[j] * tail.row[j];
    return score;
}

void
metasd_query_products(const MetasdImage *image, const float *query, const uint32_t *ids, size_t n,
                      float *products, void *scratch)
{
    Scratch rows = divide_scratch(scratch, image->plan.width);

    memcpy(rows.query, query, image->plan.width * sizeof(*query));
    ask_columns(image, &rows);
    for (size_t i = 0; i < n; i++)
        products[i] = score_one(image, &rows, ids[i]);
}

void
metasd_query_scores_relations_of(const MetasdImage *image, MetasdGiven head, MetasdGiven tail,
                                 float *scores, void *scratch)
{
    uint32_t width = image->plan.width;
    Scratch rows = divide_scratch(scratch, width);
    const float *first = entity_row(image, head, rows.first);
    const float *second = entity_row(image, tail, rows.second);
    bool same = is_same_entity(head, tail);

    memset(rows.query, 0, width * sizeof(*rows.query));
    image->plan.family->adjoint_relation(width, first, second, rows.query);
    for (uint32_t r = 0; r < image->plan.relations; r++)
        scores[r] =
            same && metasd_query_is_irreflexive(image, metasd_given(r))
                ? METASD_IMPOSSIBLE
                : sparse_dot(&image->relation, metasd_relation_row(image, r), width, rows.query);
}

/* The Euclidean norm of an entity's row. */
static float
norm_of(const MetasdImage *image, MetasdGiven entity)
{
    double sum = 0;

    if (!entity.row)
        return image->norms[entity.id];
    for (uint32_t j = 0; j < image->plan.width; j++)
        sum += (double)entity.row[j] * (double)entity.row[j];
    return (float)sqrt(sum);
}

/* Scaled to a unit vector first, so that products of tiny or huge weights stay in range. */
static void
compose_direction(const MetasdImage *image, MetasdGiven entity, const Scratch *scratch)
{
    const float *row = entity_row(image, entity, scratch->first);
    float norm = norm_of(image, entity);

    for (uint32_t j = 0; j < image->plan.width; j++)
        scratch->query[j] = norm > 0 ? row[j] / norm : row[j];
}

void
metasd_query_scores_similar_of(const MetasdImage *image, MetasdGiven entity, float *scores,
                               void *scratch)
{
    Scratch rows = divide_scratch(scratch, image->plan.width);

    compose_direction(image, entity, &rows);
    score_all(image, &rows, scores);
    for (uint32_t e = 0; e < image->plan.entities; e++)
        scores[e] = metasd_cosine(scores[e], image->norms[e]);
}

/* ---- prepared queries ---- */

static MetasdPrepared
prepare(const MetasdImage *image, Scratch *scratch, uint32_t impossible)
{
    ask_columns(image, scratch);
    return (MetasdPrepared){
        .query = scratch->query, .asked = scratch->asked, .impossible = impossible};
}

MetasdPrepared
metasd_query_prepare_tails(const MetasdImage *image, MetasdGiven head, MetasdGiven relation,
                           void *scratch)
{
    Scratch rows = divide_scratch(scratch, image->plan.width);

    compose_query(image, head, relation, &rows);
    return prepare(image, &rows,
                   !head.row && metasd_query_is_irreflexive(image, relation) ? head.id
                                                                             : UINT32_MAX);
}

MetasdPrepared
metasd_query_prepare_similar(const MetasdImage *image, MetasdGiven entity, void *scratch)
{
    Scratch rows = divide_scratch(scratch, image->plan.width);

    compose_direction(image, entity, &rows);
    return prepare(image, &rows, UINT32_MAX);
}

float
metasd_query_prepared_score(const MetasdImage *image, const MetasdPrepared *prepared,
                            uint32_t entity)
{
    MetasdDenseColumns tiles = all_columns(image);

    return metasd_query_add_lists(image, prepared->query, &image->entity, entity,
                                  metasd_dense_score(&tiles, entity, &prepared->asked));
}

void
metasd_query_embedding(const MetasdImage *image, uint32_t entity, float *row)
{
    densify_entity(image, entity, row);
}

void
metasd_query_relation_row(const MetasdImage *image, uint32_t relation, float *row)
{
    densify(&image->relation, metasd_relation_row(image, relation), image->plan.width, row);
}
