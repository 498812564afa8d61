/* The best of scores whose ids come in no order: by score, and those that tie by id. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/random.h"
#include "core/ranking/best_first.h"
#include "tools.h"

#define STREAM 98
#define MOST 3000

/* Deals ids 0, 3, 6 ... at random, with scores of so many kinds. */
static void
check_order(uint32_t n, uint32_t kinds)
{
    uint32_t *ids = tools_alloc(MOST * sizeof(*ids)),
             *scratch = tools_alloc(2 * MOST * sizeof(*ids));
    float *scores = tools_alloc(MOST * sizeof(*scores)), score, last_score = INFINITY;
    uint32_t id, last = 0;
    double sum = 0;
    MetasdBestFirst best;

    for (uint32_t i = 0; i < n; i++)
        ids[i] = 3 * i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t other = (uint32_t)metasd_random_below(kinds, STREAM, i, i), id_there = ids[other];

        ids[other] = ids[i - 1];
        ids[i - 1] = id_there;
    }
    for (uint32_t i = 0; i < n; i++)
        scores[i] = (float)(metasd_random(kinds, STREAM + 1, ids[i]) % kinds);
    metasd_best_first_start(&best, n, scores, ids, scratch);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(metasd_best_first_next(&best, &id, &score));
        assert_true(id % 3 == 0 && score == (float)(metasd_random(kinds, STREAM + 1, id) % kinds));
        assert_true(i == 0 || score < last_score || (score == last_score && id > last));
        last = id;
        last_score = score;
        sum += id;
    }
    assert_true(sum == 1.5 * n * (n - 1.0));
    assert_false(metasd_best_first_next(&best, &id, &score));
    assert_false(metasd_best_first_next(&best, &id, &score));
    free(ids);
    free(scratch);
    free(scores);
}

static void
ids_come_in_order(void **state)
{
    static const uint32_t sizes[] = {0, 1, 2, 31, 32, 33, 64, 200, MOST};

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        check_order(sizes[s], 1);
        check_order(sizes[s], 3);
        check_order(sizes[s], 1000000);
    }
}

/* Without ids it is topk. */
static void
places_are_ids(void **state)
{
    static const float scores[] = {1, 3, 3, 2};
    static const uint32_t expected[] = {1, 2, 3, 0};
    uint32_t scratch[4], id;
    MetasdBestFirst best;
    float score;

    (void)state;
    metasd_best_first_start(&best, 4, scores, NULL, scratch);
    for (int i = 0; i < 4; i++) {
        assert_true(metasd_best_first_next(&best, &id, &score));
        assert_int_equal(id, expected[i]);
    }
    assert_false(metasd_best_first_next(&best, &id, &score));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_come_in_order),
        cmocka_unit_test(places_are_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
