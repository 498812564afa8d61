#include <string.h>

#include "core/serve/dense_columns.h"
#include "core/serve/image_internal.h"
#include "core/serve/postings.h"
#include "core/ranking/rank_counts.h"

/*
 * ---- asking ----
 *
 * An image is read in full once, and for days after that it may be mapped from a file: where
 * a bit of it goes bad, an answer is wrong. But no number read from it is used as a place
 * without a look at its bound, which costs nothing beside the way to memory.
 */

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

/* <row, dense>, in ascending order of positions. */
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
 * Lists are walked GROUP at a time, whose sums are in registers (more of them come from memory more
 * slowly), and over BLOCK words of scores, which stay in a cache while all lists at hand have their
 * turn.
 */
#define LISTS 64
#define GROUP 4
#define BLOCK ((size_t)256)

/* Adds lists to the scores of all entities. */
static void
add_lists(const MetasdImage *index, MetasdPosting *lists, size_t count, float *scores)
{
    const MetasdPostingKernels *kernels = metasd_postings_kernels();
    size_t whole = index->plan.entities / METASD_WORD, rest = index->plan.entities % METASD_WORD;
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

/* The same for what is in columns, by the query's non-zero components; ASKED has room for D. */
static void
scan_columns(const MetasdImage *index, const float *query, MetasdDenseColumn *asked, float *scores)
{
    const MetasdDimensions *dimensions = &index->dimension;
    const MetasdImagePlan *plan = &index->plan;
    size_t whole = plan->entities / METASD_WORD, rest = plan->entities % METASD_WORD, count = 0;
    MetasdDenseColumns tiles = {
        .codes = dimensions->codes, .columns = plan->columns, .scales = index->scales};
    float last[METASD_WORD];

    for (uint32_t j = 0; j < plan->width && count < plan->columns; j++)
        if (query[j] != 0 && dimensions->place[j] < plan->columns)
            asked[count++] =
                (MetasdDenseColumn){.number = dimensions->place[j], .weight = query[j]};
    metasd_dense_kernels()->scores[plan->codes](&tiles, whole, asked, count, scores);
    if (rest == 0)
        return;
    tiles.codes = (const char *)tiles.codes +
                  whole * plan->columns * METASD_WORD * metasd_dense_code_bytes[plan->codes];
    tiles.scales += whole * METASD_WORD;
    metasd_dense_kernels()->scores[plan->codes](&tiles, 1, asked, count, last);
    memcpy(scores + whole * METASD_WORD, last, rest * sizeof(*last));
}

/*
 * scores[N] = <query, every entity>, where the query is the last third of the scratch: by the
 * columns and lists of its non-zero components. The first two thirds are overwritten.
 */
static void
scan(const MetasdImage *index, float *scratch, float *scores)
{
    const MetasdDimensions *dimensions = &index->dimension;
    const MetasdImagePlan *plan = &index->plan;
    const float *query = scratch + 2 * (size_t)plan->width;
    MetasdPosting lists[LISTS];
    size_t count = 0;

    scan_columns(index, query, (MetasdDenseColumn *)scratch, scores);
    for (uint32_t j = 0; j < plan->width; j++) {
        uint64_t list = (uint64_t)dimensions->place[j] - plan->columns, start;

        if (query[j] == 0 || list >= dimensions->lists) /* as it is where j is a column */
            continue;
        start = dimensions->start[list];
        lists[count++] = (MetasdPosting){
            .bits = dimensions->bits + list * dimensions->words,
            .at = dimensions->values + (start < dimensions->kept ? start : dimensions->kept),
            .end = dimensions->values + dimensions->kept,
            .weight = query[j]};
        if (count == LISTS) {
            add_lists(index, lists, count, scores);
            count = 0;
        }
    }
    add_lists(index, lists, count, scores);
}

/* <query, one entity>: what scan makes of it, bit by bit. */
static float
score_of(const MetasdImage *index, const float *query, uint32_t entity)
{
    const MetasdDimensions *dimensions = &index->dimension;
    const MetasdSparse *rows = &index->entity;
    uint64_t columns = index->plan.columns, end = row_end(rows, entity);
    uint64_t tile = entity / METASD_WORD * columns;
    float score = 0;

    for (uint64_t i = rows->start[entity]; i < end; i++) {
        uint32_t j = rows->ids[i];

        if (j < index->plan.width && dimensions->place[j] < columns)
            score += metasd_dense_code_product(
                index->plan.codes, dimensions->codes,
                (tile + dimensions->place[j]) * METASD_WORD + entity % METASD_WORD, query[j]);
    }
    score = index->scales[entity] * score + 0.0f;
    for (uint64_t i = rows->start[entity]; i < end; i++) {
        uint32_t j = rows->ids[i];

        if (j < index->plan.width && dimensions->place[j] >= columns)
            score += query[j] * rows->values[i];
    }
    return score;
}

/* The query of (head, relation), in the scratch of 3 width floats. */
static const float *
compose(const MetasdImage *index, uint32_t head, uint32_t relation, float *scratch)
{
    size_t width = index->plan.width;
    float *query = scratch + 2 * width;

    densify(&index->entity, head, index->plan.width, scratch);
    densify(&index->relation, metasd_relation_row(index, relation), index->plan.width,
            scratch + width);
    index->plan.family->compose(width, scratch, scratch + width, query);
    return query;
}

/* Of a relation row, 0 .. P - 1. */
static bool
is_irreflexive(const MetasdImage *index, uint32_t relation)
{
    return index->irreflexive[relation % index->plan.relations] != 0;
}

void
metasd_query_scores_tails(const MetasdImage *index, uint32_t head, uint32_t relation, float *scores,
                          float *scratch)
{
    (void)compose(index, head, relation, scratch);
    scan(index, scratch, scores);
    if (is_irreflexive(index, relation))
        scores[head] = METASD_IMPOSSIBLE;
}

MetasdSigmoid
metasd_query_sigmoid(const MetasdImage *index, uint32_t relation)
{
    return index->sigmoids[metasd_sigmoid_place(index, relation)];
}

float
metasd_query_score(const MetasdImage *index, uint32_t head, uint32_t relation, uint32_t tail,
                   float *scratch)
{
    if (head == tail && is_irreflexive(index, relation))
        return METASD_IMPOSSIBLE;
    return score_of(index, compose(index, head, relation, scratch), tail);
}

void
metasd_query_scores_relations(const MetasdImage *index, uint32_t head, uint32_t tail, float *scores,
                              float *scratch)
{
    size_t width = index->plan.width;
    float *query = scratch + 2 * width;

    densify(&index->entity, head, index->plan.width, scratch);
    densify(&index->entity, tail, index->plan.width, scratch + width);
    memset(query, 0, width * sizeof(*query));
    index->plan.family->adjoint_relation(width, scratch, scratch + width, query);
    for (uint32_t r = 0; r < index->plan.relations; r++)
        scores[r] = head == tail && is_irreflexive(index, r)
                        ? METASD_IMPOSSIBLE
                        : sparse_dot(&index->relation, metasd_relation_row(index, r),
                                     index->plan.width, query);
}

void
metasd_query_scores_similar(const MetasdImage *index, uint32_t entity, float *scores,
                            float *scratch)
{
    float norm = index->norms[entity], *query = scratch + 2 * (size_t)index->plan.width;

    /* Made a unit vector first: products of tiny or huge weights stay in range. */
    densify(&index->entity, entity, index->plan.width, query);
    for (uint32_t j = 0; norm > 0 && j < index->plan.width; j++)
        query[j] /= norm;
    scan(index, scratch, scores);
    for (uint32_t e = 0; e < index->plan.entities; e++) {
        float cosine = index->norms[e] > 0 ? scores[e] / index->norms[e] : 0;

        scores[e] = cosine > 1 ? 1 : cosine < -1 ? -1 : cosine; /* rounding may pass the ends */
    }
}

void
metasd_query_embedding(const MetasdImage *index, uint32_t entity, float *row)
{
    densify(&index->entity, entity, index->plan.width, row);
}
