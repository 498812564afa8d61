/*
 * The scores above a bound are those that a plain loop finds, at any place and number of scores.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/random.h"
#include "core/ranking/above.h"
#include "core/ranking/rank_counts.h"

#define MOST 700

static void
check(uint32_t n, const float *scores, float least)
{
    uint32_t ids[MOST], count = metasd_above_ids(n, scores, least, ids), expected = 0;

    for (uint32_t i = 0; i < n; i++)
        if (scores[i] >= least) {
            assert_true(expected < count);
            assert_int_equal(ids[expected++], i);
        }
    assert_int_equal(count, expected);
}

static void
scores_above_are_found(void **state)
{
    static const uint32_t sizes[] = {0, 1, 63, 64, 65, 128, 129, MOST};

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        uint32_t n = sizes[s];
        float scores[MOST], most = -INFINITY;

        for (uint32_t i = 0; i < n; i++) {
            scores[i] = i % 11 == 3   ? METASD_LEFT_OUT
                        : i % 13 == 5 ? METASD_IMPOSSIBLE
                                      : (float)metasd_random_normal(n, METASD_STREAM_WEIGHTS, i);
            most = scores[i] > most ? scores[i] : most;
        }
        assert_true(metasd_above_most(n, scores) == most);
        for (float least = -3; least < 4; least += 0.5f)
            check(n, scores, least);
        for (uint32_t i = 0; i < n; i += 17) /* exactly a score, and just above it */
            check(n, scores, scores[i]);
        check(n, scores, most);
        check(n, scores, nextafterf(most, INFINITY));
        check(n, scores, nextafterf(METASD_IMPOSSIBLE, INFINITY));
        check(n, scores, METASD_IMPOSSIBLE);
        check(n, scores, INFINITY);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(scores_above_are_found)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
