/*
 * Questions lack answers as the numbers of their relation say.
 */
#include "unit.h"

#include <math.h>

#include "core/model/growth.h"

/* A relation of which every question has one answer: what has it lacks nothing. */
static void
functions_lack_what_has_none(void **state)
{
    MetasdGrowth growth;

    (void)state;
    metasd_growth_start(&growth);
    for (int i = 0; i < 990; i++)
        metasd_growth_count(&growth, 1);
    metasd_growth_complete(&growth, 1000);
    assert_true(metasd_growth_of(&growth, 0) > 50);
    assert_true(metasd_growth_of(&growth, 1) < 0.01);
}

/* As many questions of every number of answers: each lacks about as many as it has. */
static void
others_lack_in_proportion(void **state)
{
    MetasdGrowth growth;

    (void)state;
    metasd_growth_start(&growth);
    for (uint32_t answers = 1; answers <= 400; answers++)
        for (int i = 0; i < 10; i++)
            metasd_growth_count(&growth, answers);
    metasd_growth_complete(&growth, 1000000);
    for (uint32_t answers = 1; answers < 200; answers++) {
        double lacks = metasd_growth_of(&growth, answers);

        assert_true(lacks > 0.6 * answers && lacks < 2.1 * answers + 1);
    }
    assert_true(metasd_growth_of(&growth, 0) < 1e-4);
    assert_true(metasd_growth_of(&growth, 100) > 5 * metasd_growth_of(&growth, 10));
}

/* Finite and above 0 for any number, also if nothing was counted. */
static void
every_number_has_one(void **state)
{
    static const uint32_t numbers[] = {
        0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 1 << 20, UINT32_MAX - 1, UINT32_MAX};
    MetasdGrowth growth;

    (void)state;
    metasd_growth_start(&growth);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
            double lacks = metasd_growth_of(&growth, numbers[i]);

            assert_true(isfinite(lacks) && lacks > 0);
            if (round == 0 && numbers[i] > 0)
                metasd_growth_count(&growth, numbers[i]);
        }
        metasd_growth_complete(&growth, UINT32_MAX);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_lack_what_has_none),
        cmocka_unit_test(others_lack_in_proportion),
        cmocka_unit_test(every_number_has_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
