/*
 * Columns of codes are added up to the same bits by every instruction set of this processor, and
 * those are the bits of plain sums.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/serve/dense_columns.h"
#include "core/serve/postings.h"
#include "core/base/random.h"

#define STREAM 82
#define TILES ((size_t)3)
#define COLUMNS ((size_t)7)
#define CODES (TILES * COLUMNS * METASD_WORD)
#define ENTITIES (TILES * METASD_WORD)

/* The same numbers as codes of every kind; whole ones, as all can hold. */
typedef struct Fixture {
    int8_t int8[CODES];
    int16_t int16[CODES];
    float real[CODES];
    float scales[ENTITIES];
    MetasdDenseColumn asked[COLUMNS];
    float expected[ENTITIES], scores[ENTITIES];
} Fixture;

static Fixture *
make(uint64_t seed, size_t asked)
{
    Fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    for (size_t i = 0; i < CODES; i++) {
        int code = (int)metasd_random_below(seed, STREAM, i, 255) - 127;

        f->int8[i] = (int8_t)code;
        f->int16[i] = (int16_t)code;
        f->real[i] = (float)code;
    }
    for (size_t e = 0; e < ENTITIES; e++)
        f->scales[e] = (float)fabs(metasd_random_normal(seed, STREAM + 1, e));
    for (size_t i = 0; i < asked; i++)
        f->asked[i] =
            (MetasdDenseColumn){.number = (uint32_t)(COLUMNS - asked + i),
                                .weight = (float)metasd_random_normal(seed, STREAM + 2, i)};
    for (size_t e = 0; e < ENTITIES; e++) {
        for (size_t i = 0; i < asked; i++) {
            size_t at =
                (e / METASD_WORD * COLUMNS + f->asked[i].number) * METASD_WORD + e % METASD_WORD;
            volatile float product = f->asked[i].weight * f->real[at]; /* rounded */

            f->expected[e] += product;
        }
        f->expected[e] *= f->scales[e];
    }
    return f;
}

static void
sums_are_the_same_bits(void **state)
{
    (void)state;
    for (size_t asked = 0; asked <= COLUMNS; asked++) {
        Fixture *f = make(asked, asked);
        const void *codes[METASD_CODES] = {f->int8, f->int16, f->real};

        for (int i = 0; metasd_dense_kernels_at(i); i++)
            for (int kind = 0; kind < METASD_CODES; kind++) {
                MetasdDenseColumns columns = {codes[kind], COLUMNS, f->scales};

                memset(f->scores, 0xff, sizeof(f->scores));
                metasd_dense_kernels_at(i)->scores[kind](&columns, TILES, f->asked, asked,
                                                         f->scores);
                assert_memory_equal(f->scores, f->expected, sizeof(f->scores));
            }
        free(f);
    }
}

/* A score that would be -0 is 0, whatever lists add to it. */
static void
no_score_is_minus_zero(void **state)
{
    static const float zero = 0;
    Fixture *f = make(1, 1);
    MetasdDenseColumns columns = {f->real, COLUMNS, f->scales};

    (void)state;
    for (size_t i = 0; i < CODES; i++)
        f->real[i] = -0x1p-100f;
    for (size_t e = 0; e < ENTITIES; e++)
        f->scales[e] = 0x1p-60f;
    f->asked[0].weight = 1;
    for (int i = 0; metasd_dense_kernels_at(i); i++) {
        metasd_dense_kernels_at(i)->scores[METASD_CODES_FLOAT](&columns, TILES, f->asked, 1,
                                                               f->scores);
        for (size_t e = 0; e < ENTITIES; e++)
            assert_memory_equal(&f->scores[e], &zero, sizeof(zero));
    }
    free(f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_the_same_bits),
        cmocka_unit_test(no_score_is_minus_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
