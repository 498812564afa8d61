/* Rows survive the trip through bytes, rounded as their storage says. */
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/codec/row_codec.h"
#include "core/base/random.h"
#include "rows.h"
#include "tools.h"

#define STREAM 71

/* ---- there and back ---- */

static size_t
encoded_bytes(MetasdStorage storage, size_t width, const float *row)
{
    size_t n;

    free(rows_encode(storage, width, row, &n));
    return n;
}

/* How far a weight may be from what it was; one below half a step farther. */
static double
tolerance(MetasdStorage storage, float high, float weight)
{
    double largest = fmax((double)high, (double)METASD_LEAST_SCALE), rounding = 0x1p-23 * largest;
    bool below = fabs((double)weight) < largest / 254;

    switch (storage) {
        case METASD_FLOAT32:
            return 0;
        case METASD_INT8:
            return largest / (below ? 127 : 254) + rounding;
        case METASD_INT6:
            return largest / 63 + rounding;
        case METASD_INT4: /* those above the highest level, which is at least 13/32 */
            return largest * (1 - 13.0 / 32 * (1 - 0x1p-7)) + rounding;
    }
    return -1;
}

static void
check_weights(MetasdStorage storage, size_t width, const float *row, const float *decoded)
{
    float high = 0;

    for (size_t j = 0; j < width; j++)
        high = fmaxf(high, fabsf(row[j]));
    for (size_t j = 0; j < width; j++) {
        assert_int_equal(row[j] != 0, decoded[j] != 0);
        if (row[j] == 0)
            continue;
        assert_int_equal(row[j] < 0, decoded[j] < 0);
        assert_true(fabs((double)decoded[j] - (double)row[j]) <= tolerance(storage, high, row[j]));
    }
}

/* Codes are odd but for int8, and at most the largest of their storage; floats have none. */
static void
check_codes(MetasdStorage storage, const MetasdSparseRow *row)
{
    static const int most[METASD_STORAGES] = {0, 127, 63, 15};

    assert_int_equal(row->most_code, most[storage]);
    for (size_t i = 0; i < row->kept && row->most_code > 0; i++)
        assert_true(abs(row->codes[i]) <= row->most_code &&
                    (storage == METASD_INT8 ? row->codes[i] != 0 : row->codes[i] % 2 != 0));
}

static void
check_round_trip(MetasdStorage storage, size_t width, const float *row)
{
    size_t n, stored, kept, again, next = 0;
    uint8_t *bytes = rows_encode(storage, width, row, &n), *twice;
    float *dense = malloc(width * sizeof(*dense)), *rounded = malloc(width * sizeof(*rounded));
    MetasdRowSpace space;
    MetasdSparseRow sparse;

    assert_int_equal(metasd_row_decode_header(bytes, n, &stored, &kept), METASD_OK);
    assert_int_equal(stored, width);
    space = (MetasdRowSpace){.capacity = kept,
                             .positions = malloc((kept + 1) * sizeof(uint32_t)),
                             .values = malloc((kept + 1) * sizeof(float)),
                             .codes = malloc((kept + 1) * sizeof(int8_t))};
    memset(dense, 0xff, width * sizeof(*dense));
    assert_int_equal(metasd_row_decode_dense(bytes, n, width, dense), METASD_OK);
    check_weights(storage, width, row, dense);
    for (size_t j = 0; j < width; j++)
        rounded[j] = row[j] == 0 ? 0 : row[j]; /* no -0 */
    assert_int_equal(metasd_row_round(storage, width, rounded), METASD_OK);
    assert_memory_equal(rounded, dense, width * sizeof(*dense));
    assert_int_equal(metasd_row_decode_sparse(bytes, n, width, space, &sparse), METASD_OK);
    assert_int_equal(sparse.kept, kept);
    check_codes(storage, &sparse);
    for (size_t j = 0; j < width; j++)
        if (dense[j] != 0) {
            float weight = metasd_row_weight(&sparse, next);

            assert_int_equal(sparse.positions[next], j);
            assert_memory_equal(&weight, &dense[j], sizeof(float));
            next++;
        }
    assert_int_equal(next, kept);

    twice = rows_encode(storage, width, dense, &again); /* what was rounded stays as it is */
    assert_int_equal(again, n);
    assert_memory_equal(twice, bytes, n);

    assert_int_equal(metasd_row_decode_dense(bytes, n, width + 1, dense), METASD_CORRUPT);
    space.capacity--;
    if (kept > 0)
        assert_int_equal(metasd_row_decode_sparse(bytes, n, width, space, &sparse), METASD_INVALID);
    assert_int_equal(metasd_row_encode(storage, width, row, bytes, n - 1, &again), METASD_INVALID);
    free(bytes);
    free(twice);
    free(dense);
    free(rounded);
    free(space.positions);
    free(space.values);
    free(space.codes);
}

static void
check_all_kinds(size_t width, const float *row)
{
    for (int s = 0; s < METASD_STORAGES; s++)
        check_round_trip(rows_storages[s], width, row);
}

static void
rows_come_back(void **state)
{
    static const size_t widths[] = {1, 2, 7, 64, 127, 128, 129, 400, 1000, 4000, 20000};
    static const double densities[] = {0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.99, 1};
    static float row[20000];
    uint64_t seed = 0;

    (void)state;
    for (size_t w = 0; w < sizeof(widths) / sizeof(*widths); w++)
        for (size_t d = 0; d < sizeof(densities) / sizeof(*densities); d++) {
            rows_random(row, widths[w], densities[d], ++seed);
            check_all_kinds(widths[w], row);
            rows_mirror(row, widths[w]);
            check_all_kinds(widths[w], row);
        }
}

/* Magnitudes of all sizes there are, side by side or all alike. */
static void
extreme_weights_come_back(void **state)
{
    static const float extremes[] = {FLT_MAX,
                                     -FLT_MAX,
                                     65504,
                                     65520,
                                     0x1.ffdp127f,
                                     0x1.fffp15f,
                                     -0x1.fffp-15f,
                                     FLT_MIN,
                                     -FLT_MIN / 2,
                                     FLT_TRUE_MIN,
                                     -3 * FLT_TRUE_MIN,
                                     0x1.ffcp-127f,
                                     METASD_LEAST_SCALE,
                                     METASD_LEAST_SCALE / 127,
                                     METASD_LEAST_SCALE / 255,
                                     1e-3f,
                                     1};
    static float row[20000];
    size_t n = sizeof(extremes) / sizeof(*extremes);

    (void)state;
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < n; b++) {
            float two[40] = {[3] = extremes[a], [4] = extremes[b], [5] = extremes[a] / 3};

            check_all_kinds(4, two);
            check_all_kinds(40, two);
        }
    check_all_kinds(n, extremes);
    for (int power = -149; power < 128; power++) { /* rows of one magnitude, and of some */
        for (size_t j = 0; j < 50; j++)
            row[j] =
                (float)ldexp(1 + (double)metasd_random_below(5, STREAM, j, 4096) / 4097, power);
        check_all_kinds(1, row);
        check_all_kinds(50, row);
    }
    memset(row, 0, sizeof(row)); /* long gaps, and the last position */
    row[127] = FLT_MAX;
    row[127 + 129] = -FLT_TRUE_MIN;
    row[19999] = -FLT_MAX;
    check_all_kinds(20000, row);
    for (size_t j = 0; j < 20000; j++) /* the same of pruned ones */
        row[j] = j == 0 || j == 300 || j == 19999 ? 0.0f : -1.0f;
    check_all_kinds(20000, row);
}

/* ---- fitted levels ---- */

/* The error of a row in 4 bits with a highest level, by the definition. */
static double
squared_error(size_t width, const float *row, double top)
{
    double half = top / 15, sum = 0;

    for (size_t j = 0; j < width; j++) {
        double level = fmin(floor(fabs((double)row[j]) / (2 * half)), 7);
        double less =
            row[j] == 0 ? 0 : fabs((double)row[j]) - (double)(float)((2 * level + 1) * half);

        sum += less * less;
    }
    return sum;
}

/* Normal weights of which some are far larger, so that there are rows for each highest level. */
static void
random_tails(float *row, size_t width, double density, uint64_t seed)
{
    rows_random(row, width, density, seed);
    for (size_t j = 0; j < width; j++)
        if (metasd_random_below(seed, STREAM + 2, j, 50) == 0)
            row[j] *= 1 + (float)(seed % 8) / 4;
}

/* No candidate has less error; only saturated weights are farther away than half a step. */
static void
four_bits_fit_the_row(void **state)
{
    float row[500], rounded[500];
    uint64_t rounds = tools_quick() ? 500 : 5000;
    int parts[33] = {0}, seen = 0;

    (void)state;
    for (uint64_t seed = 0; seed < rounds; seed++) {
        size_t width = 1 + metasd_random_below(seed, STREAM, 3, 500);
        double error = 0, high = 0, top = 0;

        random_tails(row, width, seed % 2 ? 1 : 0.3, seed);
        memcpy(rounded, row, width * sizeof(*row));
        assert_int_equal(metasd_row_round(METASD_INT4, width, rounded), METASD_OK);
        for (size_t j = 0; j < width; j++) {
            double less = (double)row[j] - (double)rounded[j];

            error += less * less;
            high = fmax(high, fabs((double)row[j]));
            top = fmax(top, fabs((double)rounded[j]));
        }
        for (size_t j = 0; j < width; j++)
            assert_true(fabs((double)row[j]) >= top
                            ? fabs((double)rounded[j]) == top
                            : fabs((double)(row[j] - rounded[j])) <= (top / 15) * (1 + 1e-6));
        for (int i = 0; i < 20 && high > 0; i++) {
            float candidate = (float)(high * (32 - i) / 32);
            uint32_t bits;

            memcpy(&bits, &candidate, sizeof(bits));
            bits &= 0xffff0000; /* as they are stored */
            memcpy(&candidate, &bits, sizeof(bits));
            assert_true(error <= squared_error(width, row, (double)candidate) * (1 + 1e-9));
        }
        if (high > 0)
            parts[(int)round(32 * top / high)]++;
    }
    for (int part = 13; part <= 32; part++)
        seen += parts[part] > 0;
    assert_true(seen > (tools_quick() ? 10 : 14)); /* so that the rows have tried most of them */
}

/* Rounding a row again changes no weight, and so no byte. */
static void
rounded_rows_stay(void **state)
{
    float row[300], again[300];
    uint64_t rounds = tools_quick() ? 2000 : 50000;

    (void)state;
    for (uint64_t seed = 0; seed < rounds; seed++) {
        MetasdStorage storage = rows_storages[seed % 8 == 0 ? seed / 8 % METASD_STORAGES : 3];
        size_t width = 1 + metasd_random_below(seed, STREAM, 3, 300), n, m;
        uint8_t *bytes, *twice;

        random_tails(row, width, (double)(1 + seed % 5) / 5, seed);
        for (size_t j = 0; j < width; j++)
            row[j] = (float)ldexp((double)row[j], (int)(seed % 230) - 125);
        bytes = rows_encode(storage, width, row, &n);
        assert_int_equal(metasd_row_round(storage, width, row), METASD_OK);
        memcpy(again, row, width * sizeof(*row));
        assert_int_equal(metasd_row_round(storage, width, again), METASD_OK);
        assert_memory_equal(again, row, width * sizeof(*row));
        twice = rows_encode(storage, width, row, &m);
        assert_int_equal(n, m);
        assert_memory_equal(twice, bytes, n);
        free(bytes);
        free(twice);
    }
}

/* Kept weights side by side, or at equal distances. */
static void
any_mask_comes_back(void **state)
{
    float row[600];

    (void)state;
    for (size_t run = 1; run <= 300; run += run < 10 ? 1 : 97)
        for (size_t pause = 1; pause <= 300; pause += pause < 10 ? 1 : 97) {
            for (size_t j = 0; j < 600; j++)
                row[j] = j % (run + pause) < run ? 1.0f + (float)j : 0;
            check_all_kinds(600, row);
        }
}

/*
 * 0.47 bits a weight for which are kept, and the values; whatever is rarer, kept or pruned. Half of
 * that where halves keep the same.
 */
static void
rows_are_near_their_entropy(void **state)
{
    static const double densities[] = {0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.98};
    static const double bits[METASD_STORAGES] = {32, 8, 6, 4}; /* a value, at most */
    static float row[4000];

    (void)state;
    for (size_t d = 0; d < sizeof(densities) / sizeof(*densities); d++) {
        double p = densities[d], entropy = -p * log2(p) - (1 - p) * log2(1 - p);

        for (int s = 0; s < METASD_STORAGES; s++) {
            double bytes = 0, kept = 0;

            for (uint64_t seed = 1; seed <= 20; seed++) {
                rows_random(row, 4000, p, seed);
                bytes += (double)encoded_bytes(rows_storages[s], 4000, row);
                for (size_t j = 0; j < 4000; j++)
                    kept += row[j] != 0;
            }
            /* a Golomb code's worst is 4 % away, at a half; 16 bytes for what comes before */
            assert_true(bytes - 20 * 16 <= (bits[s] * kept + 1.04 * entropy * 4000 * 20) / 8);
            rows_mirror(row, 4000);
            for (size_t j = kept = 0; j < 4000; j++)
                kept += row[j] != 0;
            bytes = (double)encoded_bytes(rows_storages[s], 4000, row);
            assert_true(bytes - 32 <= (bits[s] * kept + 1.08 * entropy * 2000) / 8);
        }
    }
}

/* ---- what is refused ---- */

static void
what_cannot_be_stored_is_refused(void **state)
{
    float row[3] = {1, NAN, 0};
    uint8_t out[64];
    size_t used;

    (void)state;
    for (int s = 0; s < METASD_STORAGES; s++) {
        row[1] = NAN;
        assert_int_equal(metasd_row_encode(rows_storages[s], 3, row, out, sizeof(out), &used),
                         METASD_NON_FINITE);
        assert_int_equal(metasd_row_round(rows_storages[s], 3, row), METASD_NON_FINITE);
        row[1] = -INFINITY;
        assert_int_equal(metasd_row_encode(rows_storages[s], 3, row, out, sizeof(out), &used),
                         METASD_NON_FINITE);
        assert_int_equal(metasd_row_encode(rows_storages[s], 0, row, out, sizeof(out), &used),
                         METASD_INVALID);
        assert_int_equal(metasd_row_round(rows_storages[s], 0, row), METASD_INVALID);
        row[1] = 0;
        for (size_t size = 0; size < encoded_bytes(rows_storages[s], 3, row); size++)
            assert_int_equal(metasd_row_encode(rows_storages[s], 3, row, out, size, &used),
                             METASD_INVALID);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back),
        cmocka_unit_test(extreme_weights_come_back),
        cmocka_unit_test(four_bits_fit_the_row),
        cmocka_unit_test(rounded_rows_stay),
        cmocka_unit_test(any_mask_comes_back),
        cmocka_unit_test(rows_are_near_their_entropy),
        cmocka_unit_test(what_cannot_be_stored_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
