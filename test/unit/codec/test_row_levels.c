/* The levels of rows in 4 bits: their shapes, and how they are fitted to a row. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/codec/row_codec.h"
#include "rows.h"
#include "tools.h"

#define STREAM 72
#define WIDEST 500

static const int shapes[4][8] = {{6, 18, 31, 44, 58, 75, 96, 127},
                                 {19, 29, 39, 51, 64, 79, 98, 127},
                                 {32, 41, 50, 59, 71, 84, 101, 127},
                                 {52, 57, 63, 72, 80, 91, 106, 127}};

/* The magnitude of a shape that is nearest to another one, by the definition. */
static double
nearest(double magnitude, double top, const int *shape)
{
    double best = INFINITY;

    for (int q = 0; q < 8; q++) {
        double level = shape[q] * top / 127;

        if (fabs(level - magnitude) < fabs(best - magnitude))
            best = level;
    }
    return best;
}

static double
squared_error(size_t width, const float *row, double top, const int *shape)
{
    double sum = 0;

    for (size_t j = 0; j < width; j++) {
        double magnitude = fabs((double)row[j]), less = magnitude - nearest(magnitude, top, shape);

        sum += magnitude > 0 ? less * less : 0;
    }
    return sum;
}

/* The least error of all shapes and highest levels, and the shape. */
static double
least_error(size_t width, const float *row, double high, int *best)
{
    double least = INFINITY;

    for (int shape = 0; shape < 4; shape++)
        for (int i = 0; i < 20; i++) {
            double error = squared_error(width, row, high * (32 - i) / 32, shapes[shape]);

            if (error < least) {
                least = error;
                *best = shape;
            }
        }
    return least;
}

/* Is each weight as near as a shape has it? */
static bool
is_rounded_by(size_t width, const float *row, const float *rounded, double top, const int *shape)
{
    for (size_t j = 0; j < width; j++) {
        double magnitude = fabs((double)row[j]), level = nearest(magnitude, top, shape);
        double away = fabs(fabs((double)rounded[j]) - magnitude);

        if (row[j] != 0 && away > fabs(level - magnitude) + 1e-6 * top)
            return false;
    }
    return true;
}

/* The error is near the least there is, but for rows of few weights. */
static void
levels_fit_the_row(void **state)
{
    float row[WIDEST], rounded[WIDEST];
    uint64_t rounds = tools_quick() ? 200 : 2000;
    double errors = 0, leasts = 0;
    int seen[4] = {0};

    (void)state;
    for (uint64_t seed = 0; seed < rounds; seed++) {
        size_t width = 1 + metasd_random_below(seed, STREAM, 3, WIDEST);
        double error = 0, high = 0, top = 0, least;
        int best = 0;
        bool found = false;

        rows_random_tails(row, width, 1, seed);
        for (size_t j = 0; j < width; j++) /* as pruning leaves them */
            row[j] = fabs((double)row[j]) < 0.5 * (double)(seed % 4) ? 0 : row[j];
        memcpy(rounded, row, width * sizeof(*row));
        assert_int_equal(metasd_row_round(METASD_INT4, width, rounded), METASD_OK);
        for (size_t j = 0; j < width; j++) {
            double less = (double)row[j] - (double)rounded[j];

            error += less * less;
            high = fmax(high, fabs((double)row[j]));
            top = fmax(top, fabs((double)rounded[j]));
        }
        if (high == 0)
            continue;
        for (int shape = 0; shape < 4; shape++)
            found = found || is_rounded_by(width, row, rounded, top, shapes[shape]);
        assert_true(found);
        if (width < 100)
            continue;
        least = least_error(width, row, high, &best);
        assert_true(error <= 2.5 * least);
        errors += error;
        leasts += least;
        seen[best]++;
    }
    assert_true(errors <= 1.05 * leasts);
    for (int shape = 0; shape < 4; shape++)
        assert_true(seen[shape] > 0);
}

/* The scale in the bytes of a row that is less than 128 weights wide. */
static uint16_t
scale_of(const uint8_t *bytes)
{
    return (uint16_t)(bytes[8] | bytes[9] << 8);
}

/* All shapes are the same to weights that are alike, so no other than the first is accepted. */
static void
rows_of_one_magnitude_have_one_shape(void **state)
{
    float row[20];
    uint8_t bytes[200];
    const char *wrong;
    size_t n;

    (void)state;
    for (int i = 1; i <= 20; i++) {
        for (int j = 0; j < 20; j++)
            row[j] = j < i ? (j % 2 ? -0.75f : 0.75f) : 0;
        assert_int_equal(metasd_row_encode(METASD_INT4, 20, row, bytes, sizeof(bytes), &n),
                         METASD_OK);
        assert_int_equal(scale_of(bytes) & 3, 0);
        assert_true(rows_accepted(bytes, n, 20, &wrong));
        for (int shape = 1; shape < 4; shape++) {
            bytes[8] = (uint8_t)((bytes[8] & ~3) | shape);
            rows_seal(bytes, n);
            assert_false(rows_accepted(bytes, n, 20, &wrong));
            assert_null(wrong);
        }
    }
}

/* Weights below the least scale do not reach the highest level, and come back all the same. */
static void
tiny_rows_come_back(void **state)
{
    (void)state;
    for (int shape = 0; shape < 4; shape++) {
        float row[7], again[7];
        uint8_t bytes[100];
        size_t n;

        for (int q = 0; q < 7; q++)
            row[q] = (float)(shapes[shape][q] * ((double)METASD_LEAST_SCALE / 127));
        memcpy(again, row, sizeof(row));
        assert_int_equal(metasd_row_round(METASD_INT4, 7, again), METASD_OK);
        assert_memory_equal(again, row, sizeof(row));
        assert_int_equal(metasd_row_encode(METASD_INT4, 7, row, bytes, sizeof(bytes), &n),
                         METASD_OK);
        assert_int_equal(scale_of(bytes) & 3, shape);
        assert_int_equal(metasd_row_decode_dense(bytes, n, 7, again), METASD_OK);
        assert_memory_equal(again, row, sizeof(row));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_fit_the_row),
        cmocka_unit_test(rows_of_one_magnitude_have_one_shape),
        cmocka_unit_test(tiny_rows_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
