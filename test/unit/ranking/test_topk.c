/* The best of many scores come in order, and all of them once. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/random.h"
#include "core/ranking/topk.h"

#define STREAM 80

/* Takes n ids, each strictly after the one before: so all of them, once. */
static void
check_order(uint32_t n, const float *scores)
{
    uint32_t *scratch = malloc(n * sizeof(*scratch)), id, last = 0;
    MetasdTopk topk;
    float score;

    metasd_topk_start(&topk, n, scores, scratch);
    for (uint32_t i = 0; i < n; i++, last = id) {
        assert_true(metasd_topk_next(&topk, &id, &score));
        assert_true(id < n && score == scores[id]);
        assert_true(i == 0 || score < scores[last] || (score == scores[last] && id > last));
    }
    assert_false(metasd_topk_next(&topk, &id, &score));
    assert_false(metasd_topk_next(&topk, &id, &score));
    free(scratch);
}

static void
candidates_come_in_order_and_all(void **state)
{
    static const uint32_t sizes[] = {1, 2, 63, 64, 65, 127, 128, 320, 321, 1000, 5000};
    float scores[5000];

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
        for (int shape = 0; shape < 6; shape++) {
            uint32_t n = sizes[s];

            for (uint32_t i = 0; i < n; i++) {
                float x = (float)metasd_random_normal(s, STREAM, i);
                float shapes[] = {x, 0, truncf(x), (float)i, -(float)i, x < 1.5f ? 0 : x};

                scores[i] = shapes[shape];
            }
            if (shape == 2 && n > 2) {
                scores[n / 2] = INFINITY;
                scores[n - 1] = -INFINITY;
                scores[n / 3] = -0.0f;
            }
            check_order(n, scores);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(candidates_come_in_order_and_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
