/*
 * Standings are what counting by hand gives: with ties, with answers that are equal, few or many.
 */
#include "unit.h"

#include <stdlib.h>

#include "core/base/random.h"
#include "core/ranking/rank_counts.h"

#define SCORES 1000
#define MOST_ANSWERS 40

static int
lowest_first(const void *a, const void *b)
{
    float x = ((const MetasdRankCounts *)a)->score, y = ((const MetasdRankCounts *)b)->score;

    return x < y ? -1 : x > y;
}

static void
check(size_t n, const float *scores, size_t m, uint64_t seed)
{
    MetasdRankCounts answers[MOST_ANSWERS];

    for (size_t a = 0; a < m; a++) /* some are no score of any candidate */
        answers[a].score = n > 0 && a % 5 ? scores[(seed * 31 + a * a * 7) % n] : (float)a / 3 - 1;
    for (size_t a = 0; a < m; a++)
        if (answers[a].score == METASD_LEFT_OUT)
            answers[a].score = 0;
    qsort(answers, m, sizeof(*answers), lowest_first);
    metasd_rank_counts(n, scores, m, answers);
    for (size_t a = 0; a < m; a++) {
        uint32_t higher = 0, same = 0;

        for (size_t i = 0; i < n; i++) {
            higher += scores[i] > answers[a].score;
            same += scores[i] == answers[a].score;
        }
        assert_int_equal(answers[a].higher, higher);
        assert_int_equal(answers[a].same, same);
    }
}

/* Coarse scores tie, a fifth is left out. */
static void
counts_equal_those_of_a_loop(void **state)
{
    static float scores[SCORES];

    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        for (size_t i = 0; i < SCORES; i++) {
            float x = (float)metasd_random_normal(seed, METASD_STREAM_WEIGHTS, i);

            scores[i] = i % 5 == 0 ? METASD_LEFT_OUT : seed % 2 ? x : (float)(int)(2 * x) / 2;
        }
        for (size_t m = 0; m <= MOST_ANSWERS; m++)
            check(SCORES, scores, m, seed);
    }
}

static void
few_candidates(void **state)
{
    float scores[3] = {1, METASD_LEFT_OUT, 1};

    (void)state;
    for (size_t n = 0; n <= 3; n++)
        for (size_t m = 0; m <= MOST_ANSWERS; m++)
            check(n, scores, m, n);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_equal_those_of_a_loop),
                                       cmocka_unit_test(few_candidates)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
