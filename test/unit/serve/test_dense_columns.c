/*
 * Columns of codes are added up to the same bits by every instruction set of this processor. Those
 * of floats are the bits of plain sums, those of whole codes are near the exact sums.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/serve/dense_columns.h"
#include "core/base/random.h"

#define STREAM 82
#define TILES ((size_t)3)
#define ENTITIES (TILES * METASD_WORD)

/* The same numbers as codes of every kind; whole ones, as all can hold. */
typedef struct Fixture {
    size_t columns;
    uint8_t *stored;
    float *real;
    double scales[ENTITIES];
    MetasdDenseQuery query;
    float scores[ENTITIES], first[ENTITIES]; /* of one instruction set, and of the first */
} Fixture;

static void *
take(size_t count, size_t width)
{
    void *memory = calloc(count + 1, width);

    assert_non_null(memory);
    return memory;
}

/* Codes from -127 to 127, or all the same; some columns are left out. */
static Fixture *
make(uint64_t seed, size_t columns, size_t asked, int same)
{
    Fixture *f = take(1, sizeof(*f));
    size_t codes = TILES * columns * METASD_WORD;

    f->columns = columns;
    f->stored = take(codes, sizeof(*f->stored));
    f->real = take(codes, sizeof(*f->real));
    f->query.columns = take(asked, sizeof(*f->query.columns));
    f->query.quads = take(metasd_dense_quads(asked), sizeof(*f->query.quads));
    f->query.count = asked;
    for (size_t i = 0; i < codes; i++) {
        int code = same != 0 ? same : (int)metasd_random_below(seed, STREAM, i, 255) - 127;

        f->stored[i] = (uint8_t)(METASD_CODE_ZERO + code);
        f->real[i] = (float)code;
    }
    for (size_t e = 0; e < ENTITIES; e++)
        f->scales[e] = fabs(metasd_random_normal(seed, STREAM + 1, e));
    for (size_t i = 0; i < asked; i++)
        f->query.columns[i] = (MetasdDenseColumn){
            .number = (uint32_t)(columns - asked + i),
            .weight = same != 0 ? 1 : (float)metasd_random_normal(seed, STREAM + 2, i)};
    return f;
}

static void
free_fixture(Fixture *f)
{
    free(f->stored);
    free(f->real);
    free(f->query.columns);
    free(f->query.quads);
    free(f);
}

static MetasdDenseColumns
columns_of(const Fixture *f, MetasdCodes kind)
{
    return (MetasdDenseColumns){.kind = kind,
                                .codes =
                                    kind == METASD_CODES_INT8 ? (void *)f->stored : (void *)f->real,
                                .columns = f->columns,
                                .scales = f->scales};
}

static float
code_at(const Fixture *f, size_t e, size_t i)
{
    return f->real[(e / METASD_WORD * f->columns + f->query.columns[i].number) * METASD_WORD +
                   e % METASD_WORD];
}

/* In double, with scales if codes are whole. And the sum of the magnitudes. */
static double
exact_score(const Fixture *f, size_t e, double *magnitude)
{
    double sum = 0, largest = 0;

    *magnitude = 0;
    for (size_t i = 0; i < f->query.count; i++) {
        sum += (double)f->query.columns[i].weight * (double)code_at(f, e, i);
        *magnitude += fabs((double)code_at(f, e, i));
        largest = fmax(largest, fabs((double)f->query.columns[i].weight));
    }
    *magnitude *= largest * f->scales[e];
    return sum * f->scales[e];
}

/* By the definition. */
static float
float_score(const Fixture *f, size_t e)
{
    volatile float sum = 0, product;

    for (size_t i = 0; i < f->query.count; i++) {
        product = f->query.columns[i].weight * code_at(f, e, i); /* rounded */
        sum += product;
    }
    return sum + 0.0f;
}

/* All instruction sets, and each entity alone, give the bits of the first. */
static void
compare_scores(Fixture *f, MetasdCodes kind)
{
    MetasdDenseColumns columns = columns_of(f, kind);

    for (int i = 0; metasd_dense_kernels_at(i); i++) {
        const MetasdDenseKernels *kernels = metasd_dense_kernels_at(i);

        memset(f->scores, 0xff, sizeof(f->scores));
        metasd_dense_prepare(kernels, kind, &f->query);
        metasd_dense_scores(kernels, &columns, TILES, &f->query, f->scores);
        if (i == 0)
            memcpy(f->first, f->scores, sizeof(f->scores));
        assert_memory_equal(f->scores, f->first, sizeof(f->scores));
        for (size_t e = 0; e < ENTITIES; e++) {
            float alone = metasd_dense_score(&columns, e, &f->query);

            assert_memory_equal(&alone, &f->scores[e], sizeof(alone));
        }
    }
}

static void
check_sums(Fixture *f)
{
    compare_scores(f, METASD_CODES_FLOAT);
    for (size_t e = 0; e < ENTITIES; e++) {
        float expected = float_score(f, e);

        assert_memory_equal(&f->scores[e], &expected, sizeof(expected));
    }
    compare_scores(f, METASD_CODES_INT8);
    for (size_t e = 0; e < ENTITIES; e++) {
        double magnitude, exact = exact_score(f, e, &magnitude);

        assert_true(fabs((double)f->scores[e] - exact) <=
                    magnitude * (0.5001 / METASD_DENSE_MOST) + fabs(exact) * 0x1p-24);
    }
}

static void
sums_are_the_same_bits(void **state)
{
    (void)state;
    for (size_t asked = 0; asked <= 11; asked++) {
        Fixture *f = make(asked, 11, asked, 0);

        check_sums(f);
        free_fixture(f);
    }
    for (size_t asked = 190; asked < 400; asked += 53) { /* more than are prefetched */
        Fixture *f = make(asked, 400, asked, 0);

        check_sums(f);
        free_fixture(f);
    }
}

/* More quads than are added in 32 bits, with the largest sums there are. */
static void
many_columns_do_not_overflow(void **state)
{
    static const int codes[] = {127, -127, 0};

    (void)state;
    for (int c = 0; c < 3; c++) {
        Fixture *f = make(1, 4 * METASD_DENSE_BLOCK + 5, 4 * METASD_DENSE_BLOCK + 5, codes[c]);

        check_sums(f);
        for (size_t i = 0; i < f->query.count; i++)
            f->query.columns[i].weight = -1;
        check_sums(f);
        free_fixture(f);
    }
}

/* Weights of a query may be of any size. */
static void
queries_have_any_magnitude(void **state)
{
    (void)state;
    for (int power = -149; power <= 90; power += 7) {
        Fixture *f = make((uint64_t)(power + 200), 20, 15, 0);

        for (size_t i = 0; i < f->query.count; i++)
            f->query.columns[i].weight = (float)ldexp(i % 2 ? 1 : -0.75, power - (int)i % 3);
        compare_scores(f, METASD_CODES_INT8);
        for (size_t e = 0; e < ENTITIES; e++) {
            double magnitude, exact = exact_score(f, e, &magnitude);

            assert_true(fabs((double)f->scores[e] - exact) <=
                        magnitude * (0.5001 / METASD_DENSE_MOST) + fabs(exact) * 0x1p-24 +
                            0x1p-149);
        }
        free_fixture(f);
    }
}

/* A score that would be -0 is 0, whatever lists add to it. */
static void
no_score_is_minus_zero(void **state)
{
    static const float zero = 0;
    Fixture *f = make(1, 7, 1, 0);

    (void)state;
    for (size_t i = 0; i < TILES * f->columns * METASD_WORD; i++) {
        f->real[i] = -0x1p-100f;
        f->stored[i] = METASD_CODE_ZERO - 1;
    }
    for (size_t e = 0; e < ENTITIES; e++)
        f->scales[e] = 0x1p-60;
    for (int kind = 0; kind < METASD_CODES; kind++) {
        f->query.columns[0].weight = 0x1p-100f;
        compare_scores(f, (MetasdCodes)kind);
        for (size_t e = 0; e < ENTITIES; e++)
            assert_memory_equal(&f->scores[e], &zero, sizeof(zero));
    }
    free_fixture(f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_the_same_bits),
        cmocka_unit_test(many_columns_do_not_overflow),
        cmocka_unit_test(queries_have_any_magnitude),
        cmocka_unit_test(no_score_is_minus_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
