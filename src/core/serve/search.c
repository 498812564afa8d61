#include "core/serve/search.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/simd.h"
#include "core/ranking/rank_counts.h"
#include "core/ranking/topk.h"
#include "core/serve/image_internal.h"
#include "core/serve/postings.h"

static void
take_memory(MetasdSearch *search, MetasdArena *arena, const MetasdImagePlan *plan)
{
    size_t count = plan->clusters;

    search->scratch = metasd_arena_take(arena, metasd_query_scratch_bytes(plan->width), 1);
    search->means = METASD_TAKE(arena, float, count);
    search->deviations = METASD_TAKE(arena, float, count);
    search->promises = METASD_TAKE(arena, float, count);
    search->chosen = METASD_TAKE(arena, uint32_t, count);
    search->order = METASD_TAKE(arena, uint32_t, count);
}

size_t
metasd_search_bytes(const MetasdImagePlan *plan)
{
    MetasdArena arena = metasd_arena_measure();
    MetasdSearch search;

    take_memory(&search, &arena, plan);
    return arena.used + METASD_ALIGN;
}

void
metasd_search_start(MetasdSearch *search, const MetasdImage *image, void *memory)
{
    MetasdArena arena = metasd_arena_over(memory, metasd_search_bytes(&image->plan));

    *search = (MetasdSearch){.image = image};
    take_memory(search, &arena, &image->plan);
}

/* ---- the choice of clusters ---- */

/* sums[c] += factor x weights[c] */
METASD_VECTORISE static void
add_scaled(size_t n, float factor, const float *restrict weights, float *restrict sums)
{
#pragma omp simd
    for (size_t c = 0; c < n; c++)
        sums[c] += factor * weights[c];
}

/* The distribution of each cluster's scores: of normal numbers, independent in each dimension. */
static void
describe_scores(MetasdSearch *search)
{
    const MetasdClusters *clusters = &search->image->cluster;
    size_t count = clusters->count;

    memset(search->means, 0, count * sizeof(float));
    memset(search->deviations, 0, count * sizeof(float));
    for (size_t j = 0; j < search->image->plan.width; j++) {
        float weight = search->query.query[j];

        if (weight == 0)
            continue;
        add_scaled(count, weight, clusters->means + j * count, search->means);
        add_scaled(count, weight * weight, clusters->variances + j * count, search->deviations);
    }
    for (size_t c = 0; c < count; c++)
        search->deviations[c] = sqrtf(search->deviations[c]);
}

/* About how many deviations the largest of N normal numbers is above their mean. */
static float
most_deviations(uint32_t n)
{
    return n > 1 ? sqrtf(2 * logf((float)n)) : 0;
}

/* A promise within the finite numbers: weights may be huge, and those of a damaged image NaN. */
static float
bound_promise(float promise)
{
    return promise > -FLT_MAX ? fminf(promise, FLT_MAX) : -FLT_MAX;
}

static void
weigh_promises(MetasdSearch *search)
{
    const MetasdClusters *clusters = &search->image->cluster;

    describe_scores(search);
    for (uint32_t c = 0; c < clusters->count; c++) {
        float promise =
            search->means[c] + search->deviations[c] * most_deviations(clusters->sizes[c]);

        if (search->cosines && clusters->lengths[c] > 0)
            promise /= clusters->lengths[c];
        search->promises[c] = clusters->sizes[c] > 0 ? bound_promise(promise) : -INFINITY;
    }
}

/* The number of entities of cluster C; within the image even if that is damaged. */
static uint32_t
size_of(const MetasdClusters *clusters, uint32_t c)
{
    uint64_t start = clusters->start[c];
    uint64_t room = start < clusters->tiles ? (clusters->tiles - start) * METASD_WORD : 0;

    return clusters->sizes[c] < room ? clusters->sizes[c] : (uint32_t)room;
}

/* Chooses the most promising clusters, of LEAST entities; returns the room for their scores. */
static size_t
choose_clusters(MetasdSearch *search, uint32_t least)
{
    const MetasdClusters *clusters = &search->image->cluster;
    size_t room = 0;
    MetasdTopk topk;
    uint32_t c;
    float promise;

    weigh_promises(search);
    search->visited = 0;
    metasd_topk_start(&topk, clusters->count, search->promises, search->order);
    while (room < least && metasd_topk_next(&topk, &c, &promise) && promise >= -FLT_MAX) {
        search->chosen[search->visited++] = c;
        room += size_of(clusters, c);
    }
    for (uint32_t i = 0; i < search->visited; i++) /* metasd_search_rest leaves them out */
        search->promises[search->chosen[i]] = INFINITY;
    return room + METASD_WORD; /* the last tile may have free places */
}

/* Does the query have weights in lists, and do entities? */
static bool
asks_lists(const MetasdSearch *search)
{
    const MetasdImage *image = search->image;

    for (uint32_t j = 0; j < image->plan.width && image->cluster.rows.start; j++)
        if (search->query.query[j] != 0 && image->dimension.place[j] >= image->plan.columns)
            return true;
    return false;
}

size_t
metasd_search_tails_of(MetasdSearch *search, MetasdGiven head, MetasdGiven relation, uint32_t least)
{
    search->query = metasd_query_prepare_tails(search->image, head, relation, search->scratch);
    search->cosines = false;
    search->lists = asks_lists(search);
    return choose_clusters(search, least);
}

size_t
metasd_search_similar_of(MetasdSearch *search, MetasdGiven entity, uint32_t least)
{
    search->query = metasd_query_prepare_similar(search->image, entity, search->scratch);
    search->cosines = true;
    search->lists = asks_lists(search);
    return choose_clusters(search, least);
}

/* ---- scores ---- */

/* The score of an entity whose product with the query is known. */
static float
finish_score(const MetasdSearch *search, uint32_t id, float score)
{
    if (search->cosines)
        return metasd_cosine(score, search->image->norms[id]);
    return id == search->query.impossible ? METASD_IMPOSSIBLE : score;
}

/* Copies the ids of N places; those of a damaged image become ones that exist. */
static void
copy_ids(const MetasdImage *image, const uint32_t *from, uint32_t n, uint32_t *ids)
{
    uint32_t last = image->plan.entities - 1;

    for (uint32_t i = 0; i < n; i++)
        ids[i] = from[i] < last ? from[i] : last;
}

/* Scores the entities of a cluster; writes whole tiles. */
static uint32_t
score_cluster(const MetasdSearch *search, uint32_t c, float *scores, uint32_t *ids)
{
    const MetasdImage *image = search->image;
    const MetasdClusters *clusters = &image->cluster;
    uint32_t n = size_of(clusters, c);
    size_t place = n > 0 ? clusters->start[c] * METASD_WORD : 0;
    size_t code = metasd_dense_code_bytes[image->plan.codes];
    MetasdDenseColumns tiles = {.kind = image->plan.codes,
                                .codes = (const char *)clusters->codes +
                                         place * image->plan.columns * code,
                                .columns = image->plan.columns,
                                .scales = clusters->scales + place};

    metasd_dense_scores(metasd_dense_kernels(), &tiles, metasd_words(n), &search->query.asked,
                        scores);
    copy_ids(image, clusters->ids + place, n, ids);
    for (uint32_t i = 0; i < n && search->lists; i++)
        scores[i] = metasd_query_add_lists(image, search->query.query, &clusters->rows, place + i,
                                           scores[i]);
    for (uint32_t i = 0; i < n; i++)
        scores[i] = finish_score(search, ids[i], scores[i]);
    return n;
}

uint32_t
metasd_search_scores(const MetasdSearch *search, float *scores, uint32_t *ids)
{
    uint32_t n = 0;

    /* A cluster's scores overwrite those of the free places of the one before. */
    for (uint32_t i = 0; i < search->visited; i++)
        n += score_cluster(search, search->chosen[i], scores + n, ids + n);
    return n;
}

void
metasd_search_scores_of(const MetasdSearch *search, const uint32_t *ids, size_t n, float *scores)
{
    for (size_t i = 0; i < n; i++)
        scores[i] = finish_score(
            search, ids[i], metasd_query_prepared_score(search->image, &search->query, ids[i]));
}

/* ---- what is not visited ---- */

/*
 * The logarithm of the expected sum of exponentials of N normal numbers. The sum of a few numbers
 * of large deviation is that of the largest, not of the tail of the distribution: from
 * sqrt(2 log N) on it grows with the deviation, and not with its square (Derrida 1981).
 */
static double
log_sum(double mean, double deviation, uint32_t n)
{
    double most = sqrt(2 * log((double)n));

    return mean +
           (deviation < most ? log((double)n) + deviation * deviation / 2 : deviation * most);
}

double
metasd_search_rest(const MetasdSearch *search, float first)
{
    const MetasdClusters *clusters = &search->image->cluster;
    double sum = 0;

    for (uint32_t c = 0; c < clusters->count; c++)
        if (clusters->sizes[c] > 0 && search->promises[c] < INFINITY)
            sum += exp(log_sum((double)search->means[c] - (double)first,
                               (double)search->deviations[c], clusters->sizes[c]));
    return sum < DBL_MAX ? sum : DBL_MAX;
}
