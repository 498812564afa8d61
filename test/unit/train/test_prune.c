/*
 * The threshold is the element that a full sort finds, for every sparsity, ties and zeros included.
 */
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/train/prune.h"
#include "core/base/random.h"

#define WEIGHTS 5000

static int
ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y;
}

static void
check_cut(const float *weights, size_t m, double sparsity)
{
    MetasdTeam team = metasd_team_of_one();
    MetasdSpan runs[2] = {{0, m / 3}, {m / 3, m}};
    uint64_t *bins = calloc(METASD_PRUNE_BINS, sizeof(*bins));
    float *sorted = malloc(m * sizeof(*sorted));
    uint32_t *keys = malloc(m * sizeof(*keys)), threshold;
    size_t at = (size_t)ceil(sparsity * (double)m);

    for (size_t i = 0; i < m; i++) {
        sorted[i] = fabsf(weights[i]);
        keys[i] = metasd_prune_key((double)sorted[i], 0);
    }
    qsort(sorted, m, sizeof(*sorted), ascending);
    assert_int_equal(metasd_prune_threshold(&team, keys, m, runs, 2, sparsity, bins, &threshold),
                     METASD_OK);
    assert_true(metasd_prune_size(threshold) == (double)sorted[at < m ? at : m - 1]);
    free(keys);
    free(sorted);
    free(bins);
}

static void
cut_equals_sort(void **state)
{
    static float weights[WEIGHTS];

    (void)state;
    for (size_t i = 0; i < WEIGHTS; i++) {
        weights[i] = (float)metasd_random_normal(1, METASD_STREAM_WEIGHTS, i);
        if (i % 7 == 0)
            weights[i] = 0.5f * (float)(i % 3) - 0.5f;
    }
    for (int percent = 0; percent <= 100; percent++)
        check_cut(weights, WEIGHTS, percent / 100.0);
    for (size_t m = 1; m < 12; m++)
        check_cut(weights, m, 0.6);
}

/* Keys of floats that weights may be are these floats. */
static void
keys_hold_floats(void **state)
{
    static const float floats[] = {0,       FLT_TRUE_MIN,     3 * FLT_TRUE_MIN,
                                   FLT_MIN, 0x1.fffffep-127f, 0.1f,
                                   1,       0x1.fffffep0f,    3.25f,
                                   1e9f,    1.8e22f,          0x1.fffffep73f};

    (void)state;
    for (size_t i = 0; i < sizeof(floats) / sizeof(*floats); i++) {
        uint32_t key = metasd_prune_key((double)floats[i], 0);

        assert_true(metasd_prune_size(key) == (double)floats[i]);
        assert_true(metasd_prune_size(key | METASD_PRUNE_MUST) == (double)floats[i]);
        assert_int_equal(metasd_prune_key(ldexp((double)floats[i], -9), 9), key);
        if (i > 0 && floats[i] > floats[i - 1])
            assert_true(key > metasd_prune_key((double)floats[i - 1], 0));
    }
    /* To the nearest float, and of two to the even one. */
    assert_true(metasd_prune_size(metasd_prune_key(1 + 0x1p-24, 0)) == 1);
    assert_true(metasd_prune_size(metasd_prune_key(1 + 0x1.8p-23, 0)) == 1 + 0x1p-22);
}

/* However small or large: the order stays, and the size is right to about 1 in 2,000. */
static void
keys_have_the_order_of_sizes(void **state)
{
    uint32_t before = 0;

    (void)state;
    for (int exponent = -60000; exponent <= 60000; exponent++)
        for (double size = 1; size < 2; size += 0.25) {
            uint32_t key = metasd_prune_key(size, exponent);
            double there = metasd_prune_size(key), here = ldexp(size, exponent);

            assert_true(key > before && key < METASD_PRUNE_MUST);
            assert_true(fabs(there - fmin(here, DBL_MAX)) <= 0.0005 * fmin(here, DBL_MAX));
            before = key;
        }
    assert_int_equal(metasd_prune_key(0, 5), 0);
    assert_int_equal(metasd_prune_key(1, -1000000), 1);
    assert_int_equal(metasd_prune_key(1, 1000000), METASD_PRUNE_MUST - 1);
    assert_int_equal(metasd_prune_key(INFINITY, -1000000), METASD_PRUNE_MUST - 1);
}

static void
refuses_nonsense(void **state)
{
    MetasdTeam team = metasd_team_of_one();
    static uint64_t bins[METASD_PRUNE_BINS];
    MetasdSpan run = {0, 1};
    uint32_t key = 1, threshold;

    (void)state;
    assert_int_equal(metasd_prune_threshold(&team, &key, 1, &run, 1, 1.5, bins, &threshold),
                     METASD_INVALID);
    assert_int_equal(metasd_prune_threshold(&team, &key, 1, &run, 1, NAN, bins, &threshold),
                     METASD_INVALID);
    assert_int_equal(metasd_prune_threshold(&team, &key, 0, &run, 1, 0.5, bins, &threshold),
                     METASD_INVALID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_equals_sort),
        cmocka_unit_test(keys_hold_floats),
        cmocka_unit_test(keys_have_the_order_of_sizes),
        cmocka_unit_test(refuses_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
