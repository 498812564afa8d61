/* Searches of clusters: with all of them the answers are exact; with some, their scores are. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/exp.h"
#include "core/base/random.h"
#include "core/ranking/above.h"
#include "core/ranking/best_first.h"
#include "core/ranking/rank_counts.h"
#include "core/serve/clusters.h"
#include "core/serve/search.h"
#include "small_image.h"
#include "tools.h"

#define STREAM 97
#define WIDTH 12
#define GROUP 40

/* How entities keep their weights: in columns, in lists, in some of both. */
typedef enum Shape { COLUMNS, LISTS, BOTH, SHAPES } Shape;

typedef struct World {
    MetasdImage image;
    void *memory, *search_memory, *scratch;
    uint32_t n;
    float *rows, *scores, *found;
    uint32_t *ids, *order;
    MetasdSearch search;
} World;

/* Groups of rows around a center; every seventh row is that of the entity before, so they tie. */
static void
make_rows(World *w, Shape shape, double spread)
{
    for (uint32_t e = 0; e < w->n; e++)
        for (uint32_t j = 0; j < WIDTH; j++) {
            uint64_t at = (uint64_t)e * WIDTH + j;
            double center = metasd_random_normal(1, STREAM, e / GROUP * WIDTH + j);
            bool rare = shape == BOTH && j % 3 == 0;

            w->rows[at] = (float)(center + spread * metasd_random_normal(2, STREAM, at));
            if (metasd_random(3, STREAM, at) % 100 < (rare ? 97 : 40))
                w->rows[at] = 0;
            if (e % 7 == 6)
                w->rows[at] = w->rows[at - WIDTH];
        }
}

static void
make_world(World *w, uint32_t n, uint32_t clusters, MetasdStorage storage, Shape shape,
           double spread)
{
    *w = (World){.n = n,
                 .rows = tools_alloc((size_t)n * WIDTH * sizeof(float)),
                 .scores = tools_alloc(n * sizeof(float)),
                 .found = tools_alloc((n + METASD_WORD) * sizeof(float)),
                 .ids = tools_alloc((n + METASD_WORD) * sizeof(uint32_t)),
                 .order = tools_alloc((2 * n + 1) * sizeof(uint32_t)),
                 .scratch = tools_alloc(metasd_query_scratch_bytes(WIDTH))};
    make_rows(w, shape, spread);
    w->memory =
        small_clustered_image(&w->image, w->rows, n, WIDTH, storage, shape != LISTS, clusters);
    w->search_memory = tools_alloc(metasd_search_bytes(&w->image.plan));
    metasd_search_start(&w->search, &w->image, w->search_memory);
}

static void
free_world(World *w)
{
    free(w->memory);
    free(w->search_memory);
    free(w->scratch);
    free(w->rows);
    free(w->scores);
    free(w->found);
    free(w->ids);
    free(w->order);
}

/* A relation that is not in the image. */
static MetasdGiven
make_relation(float *row, uint64_t number, bool irreflexive)
{
    for (uint32_t j = 0; j < WIDTH; j++)
        row[j] = (float)metasd_random_normal(4, STREAM, number * WIDTH + j);
    return (MetasdGiven){.row = row, .irreflexive = irreflexive};
}

/* All entities that were found have the scores of query.h, bit by bit, and none comes twice. */
static void
check_found(World *w, uint32_t found)
{
    bool *seen = calloc(w->n, sizeof(*seen));

    for (uint32_t i = 0; i < found; i++) {
        assert_true(w->ids[i] < w->n && !seen[w->ids[i]]);
        seen[w->ids[i]] = true;
        assert_memory_equal(&w->found[i], &w->scores[w->ids[i]], sizeof(float));
    }
    free(seen);
}

/* The best come in the same order from both, those that tie included. */
static void
check_order(const World *w, uint32_t found)
{
    uint32_t *order = tools_alloc(w->n * sizeof(*order)), id, other;
    MetasdTopk topk;
    MetasdBestFirst best;
    float score, other_score;

    metasd_topk_start(&topk, w->n, w->scores, order);
    metasd_best_first_start(&best, found, w->found, w->ids, w->order);
    while (metasd_topk_next(&topk, &id, &score)) {
        assert_true(metasd_best_first_next(&best, &other, &other_score));
        assert_int_equal(id, other);
        assert_true(score == other_score);
    }
    assert_false(metasd_best_first_next(&best, &other, &other_score));
    free(order);
}

static void
ask_all(World *w, uint64_t number, uint32_t least)
{
    float row[WIDTH];
    MetasdGiven head = metasd_given((uint32_t)metasd_random_below(5, STREAM, number, w->n));
    MetasdGiven relation = make_relation(row, number, number % 2 == 0);
    size_t room;
    uint32_t found;

    metasd_query_scores_tails_of(&w->image, head, relation, w->scores, w->scratch);
    room = metasd_search_tails_of(&w->search, head, relation, least);
    assert_true(room <= w->n + METASD_WORD);
    found = metasd_search_scores(&w->search, w->found, w->ids);
    assert_true(found >= (least < w->n ? least : w->n) && found <= room);
    check_found(w, found);
    if (found == w->n) {
        check_order(w, found);
        assert_true(metasd_search_rest(&w->search, 0) == 0);
    }
    for (uint32_t e = 0; e < w->n; e++)
        w->order[e] = e;
    metasd_search_scores_of(&w->search, w->order, w->n, w->found);
    assert_memory_equal(w->found, w->scores, w->n * sizeof(float));

    metasd_query_scores_similar_of(&w->image, head, w->scores, w->scratch);
    (void)metasd_search_similar_of(&w->search, head, least);
    found = metasd_search_scores(&w->search, w->found, w->ids);
    check_found(w, found);
    if (found == w->n)
        check_order(w, found);
}

static void
answers_are_exact_with_all_clusters(void **state)
{
    static const uint32_t sizes[] = {1, 63, 64, 65, 500, 1337};
    static const MetasdStorage storages[] = {METASD_INT8, METASD_FLOAT32};

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
        for (int shape = 0; shape < SHAPES; shape++)
            for (int k = 0; k < 2; k++) {
                uint32_t n = sizes[s], clusters = n < 30 ? 1 : s % 2 ? 30 : 7;
                World w;

                make_world(&w, n, clusters, storages[k], (Shape)shape, 0.3);
                assert_int_equal(w.image.cluster.count, clusters);
                if (shape == BOTH && n > 500 && k == 0)
                    assert_true(w.image.plan.columns > 0 && w.image.plan.columns < WIDTH);
                for (uint64_t i = 0; i < 4; i++) {
                    ask_all(&w, i, n);
                    ask_all(&w, i, UINT32_MAX);
                    ask_all(&w, i, n / 5 + 1);
                }
                free_world(&w);
            }
}

/* Of groups that are apart the best ones are found in a few clusters. */
static void
the_best_are_among_the_first(void **state)
{
    World w;
    uint32_t hits = 0, order[4000];
    double off = 0;

    (void)state;
    make_world(&w, 4000, 120, METASD_INT8, COLUMNS, 0.05);
    for (uint64_t i = 0; i < 50; i++) {
        float row[WIDTH];
        MetasdGiven head = metasd_given((uint32_t)(i * 79)), relation;
        MetasdTopk topk;
        uint32_t id, found;
        float score;
        double exact, guess;

        relation = make_relation(row, i, false);
        metasd_query_scores_tails_of(&w.image, head, relation, w.scores, w.scratch);
        (void)metasd_search_tails_of(&w.search, head, relation, 400);
        found = metasd_search_scores(&w.search, w.found, w.ids);
        assert_true(found < 1000);
        metasd_topk_start(&topk, w.n, w.scores, order);
        for (int k = 0; k < 10; k++) {
            bool hit = false;

            assert_true(metasd_topk_next(&topk, &id, &score));
            for (uint32_t f = 0; f < found; f++)
                hit |= w.ids[f] == id;
            hits += hit;
        }
        score = metasd_above_most(w.n, w.scores);
        exact = metasd_exp_sum(w.n, w.scores, score);
        guess = metasd_exp_sum(found, w.found, score) + metasd_search_rest(&w.search, score);
        off = fmax(off, fabs(log(guess / exact)));
    }
    assert_true(hits >= 460);
    assert_true(off < 0.2);
    free_world(&w);
}

static void
large_models_have_clusters(void **state)
{
    (void)state;
    assert_int_equal(metasd_clusters_default(0), 0);
    assert_int_equal(metasd_clusters_default(METASD_CLUSTERS_FROM - 1), 0);
    assert_int_equal(metasd_clusters_default(METASD_CLUSTERS_FROM), 512);
    assert_int_equal(metasd_clusters_default(10000000), 6324);
    assert_true(metasd_clusters_default(UINT32_MAX - 1) < UINT32_MAX / 1000);
}

/* A plan that is too large for any host, as a damaged header may have it. */
static void
sizes_do_not_wrap(void **state)
{
    MetasdImagePlan plan = {.family = &metasd_family_complex,
                            .entities = UINT32_MAX - 1,
                            .width = UINT32_MAX - 1,
                            .columns = UINT32_MAX - 1,
                            .clusters = UINT32_MAX - 1};

    (void)state;
    assert_true(metasd_image_bytes(&plan) == SIZE_MAX);
    plan.entities = plan.clusters = UINT32_C(1) << 31;
    for (plan.columns = 1; plan.columns < plan.width / 2; plan.columns *= 2)
        assert_true(metasd_image_bytes(&plan) > (uint64_t)plan.columns * plan.entities);
    plan.clusters = plan.entities + 1;
    assert_true(metasd_image_bytes(&plan) == SIZE_MAX);
}

/* The same rows give the same image. */
static void
clusters_are_deterministic(void **state)
{
    World a;
    MetasdImage other;
    void *memory;

    (void)state;
    make_world(&a, 900, 25, METASD_INT8, BOTH, 0.4);
    memory = small_clustered_image(&other, a.rows, a.n, WIDTH, METASD_INT8, true, 25);
    assert_memory_equal(memory, a.memory, metasd_image_bytes(&a.image.plan));
    free(memory);
    free_world(&a);
}

/* ---- damage ---- */

static void
check_refused(const World *w)
{
    MetasdTeam team = metasd_team_of_one();

    assert_int_equal(metasd_clusters_check(&w->image, &team), METASD_CORRUPT);
}

static void
damage_is_found(void **state)
{
    World w;
    MetasdClusters *clusters = &w.image.cluster;
    MetasdTeam team = metasd_team_of_one();
    uint32_t id, size;
    float mean, variance, length;

    (void)state;
    make_world(&w, 700, 20, METASD_INT8, COLUMNS, 0.4);
    id = clusters->ids[0];
    size = clusters->sizes[0];
    mean = clusters->means[3];
    variance = clusters->variances[3];
    length = clusters->lengths[2];
    assert_int_equal(metasd_clusters_check(&w.image, &team), METASD_OK);
    clusters->ids[0] = w.n;
    check_refused(&w);
    clusters->ids[0] = id == 0 ? 1 : 0;
    check_refused(&w);
    clusters->ids[0] = id;
    clusters->sizes[0] = size + 1;
    check_refused(&w);
    clusters->sizes[0] = size;
    clusters->start[1]++;
    check_refused(&w);
    clusters->start[1] = UINT64_MAX;
    check_refused(&w);
    clusters->start[1] = clusters->start[0] + metasd_words(size);
    clusters->means[3] = NAN;
    check_refused(&w);
    clusters->means[3] = mean;
    clusters->variances[3] = -1;
    check_refused(&w);
    clusters->variances[3] = variance;
    clusters->lengths[2] = NAN;
    check_refused(&w);
    clusters->lengths[2] = length;
    ((uint8_t *)clusters->codes)[0]++;
    check_refused(&w);
    ((uint8_t *)clusters->codes)[0]--;
    clusters->scales[0] *= 2;
    check_refused(&w);
    clusters->scales[0] /= 2;
    assert_int_equal(metasd_clusters_check(&w.image, &team), METASD_OK);
    free_world(&w);
}

/* An image that is damaged after it was opened: searches stay inside it, and ids in range. */
static void
searches_stay_inside(void **state)
{
    World w;
    MetasdClusters *clusters = &w.image.cluster;
    size_t bytes;
    char *copy;

    (void)state;
    make_world(&w, 700, 20, METASD_INT8, BOTH, 0.4);
    bytes = (size_t)((char *)clusters->codes - (char *)clusters->start);
    copy = tools_alloc(bytes);
    memcpy(copy, clusters->start, bytes);
    for (uint64_t i = 0; i < 300; i++) {
        float row[WIDTH];
        uint32_t found;
        size_t room;

        for (uint64_t k = 0; k < 30; k++) {
            uint32_t word = (uint32_t)metasd_random(6, STREAM, 100 * i + k);
            /* mostly the first words: places and sizes */
            size_t most = k % 2 ? bytes / 4 : 60;
            size_t at = 4 * metasd_random_below(7, STREAM, 100 * i + k, most);

            memcpy((char *)clusters->start + at, &word, 4);
        }
        if (i == 0)
            memset(clusters->start, 0xff, bytes);
        room = metasd_search_tails_of(&w.search, metasd_given(1), make_relation(row, i, true), 300);
        w.found = realloc(w.found, (room + 1) * sizeof(float));
        w.ids = realloc(w.ids, (room + 1) * sizeof(uint32_t));
        found = metasd_search_scores(&w.search, w.found, w.ids);
        assert_true(found <= room);
        for (uint32_t f = 0; f < found; f++)
            assert_true(w.ids[f] < w.n);
        (void)metasd_search_rest(&w.search, 0);
        memcpy(clusters->start, copy, bytes);
    }
    free(copy);
    free_world(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_exact_with_all_clusters),
        cmocka_unit_test(the_best_are_among_the_first),
        cmocka_unit_test(large_models_have_clusters),
        cmocka_unit_test(sizes_do_not_wrap),
        cmocka_unit_test(clusters_are_deterministic),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(searches_stay_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
