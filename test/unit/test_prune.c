/* The cut is the element a full sort would find, for every sparsity, ties and zeros included. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>

#include "prune.h"
#include "random.h"

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
    MetasdRun runs[2] = {{0, m / 3}, {m / 3, m}};
    uint64_t *bins = calloc(METASD_PRUNE_BINS, sizeof(*bins));
    float *sorted = malloc(m * sizeof(*sorted)), cut;
    size_t at = (size_t)ceil(sparsity * (double)m);

    for (size_t i = 0; i < m; i++)
        sorted[i] = fabsf(weights[i]);
    qsort(sorted, m, sizeof(*sorted), ascending);
    assert_int_equal(metasd_prune_cut(&team, weights, m, runs, 2, sparsity, bins, &cut), METASD_OK);
    assert_true(cut == sorted[at < m ? at : m - 1]);
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

static void
refuses_nonsense(void **state)
{
    MetasdTeam team = metasd_team_of_one();
    static uint64_t bins[METASD_PRUNE_BINS];
    MetasdRun run = {0, 1};
    float weight = 1, cut;

    (void)state;
    assert_int_equal(metasd_prune_cut(&team, &weight, 1, &run, 1, 1.5, bins, &cut), METASD_INVALID);
    assert_int_equal(metasd_prune_cut(&team, &weight, 1, &run, 1, NAN, bins, &cut), METASD_INVALID);
    assert_int_equal(metasd_prune_cut(&team, &weight, 0, &run, 1, 0.5, bins, &cut), METASD_INVALID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_equals_sort),
        cmocka_unit_test(refuses_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
