/* Rows survive the trip through bytes; nothing but an encoded row is ever accepted. */
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "random.h"

#define STREAM 70

static void
random_row(float *row, size_t width, double density, uint64_t seed)
{
    for (size_t j = 0; j < width; j++) {
        uint64_t kept = metasd_random_below(seed, STREAM, 2 * j, 1000000);

        row[j] =
            (double)kept < density * 1e6 ? (float)metasd_random_normal(seed, STREAM + 1, j) : 0.0f;
    }
}

/* A copy in memory of its own, so that a read past its end is seen by the sanitizer. */
static uint8_t *
exact_copy(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);

    assert_non_null(copy);
    if (n > 0)
        memcpy(copy, bytes, n);
    return copy;
}

static uint8_t *
encode(size_t width, const float *row, size_t *n)
{
    size_t size = metasd_codec_bytes(width, row);
    uint8_t *bytes = malloc(size);

    assert_int_equal(metasd_encode(width, row, bytes, size, n), METASD_OK);
    assert_int_equal(*n, size);
    return bytes;
}

static void
check_round_trip(size_t width, const float *row)
{
    size_t n, stored, kept, again, next = 0;
    uint8_t *bytes = encode(width, row, &n);
    float *dense = malloc(width * sizeof(*dense)), *values;
    uint32_t *positions;

    assert_int_equal(metasd_decode_header(bytes, n, &stored, &kept), METASD_OK);
    assert_int_equal(stored, width);
    positions = malloc((kept + 1) * sizeof(*positions));
    values = malloc((kept + 1) * sizeof(*values));
    memset(dense, 0xff, width * sizeof(*dense));
    assert_int_equal(metasd_decode_dense(bytes, n, width, dense), METASD_OK);
    assert_int_equal(metasd_decode_sparse(bytes, n, width, positions, values, kept, &again),
                     METASD_OK);
    assert_int_equal(again, kept);
    for (size_t j = 0; j < width; j++) {
        assert_true(dense[j] == row[j]);
        if (row[j] == 0)
            continue;
        assert_int_equal(positions[next], j);
        assert_memory_equal(&values[next], &row[j], sizeof(float));
        next++;
    }
    assert_int_equal(next, kept);

    assert_int_equal(metasd_decode_dense(bytes, n, width + 1, dense), METASD_CORRUPT);
    if (kept > 0) {
        assert_int_equal(metasd_decode_sparse(bytes, n, width, positions, values, kept - 1, &again),
                         METASD_INVALID);
        assert_int_equal(metasd_encode(width, row, bytes, n - 1, &again), METASD_INVALID);
    }
    free(bytes);
    free(dense);
    free(positions);
    free(values);
}

static void
rows_come_back_as_they_were(void **state)
{
    static const size_t widths[] = {1, 2, 7, 64, 127, 128, 129, 400, 1000, 4000, 20000};
    static const double densities[] = {0, 0.001, 0.01, 0.1, 0.5, 1};
    static float row[20000];
    uint64_t seed = 0;

    (void)state;
    for (size_t w = 0; w < sizeof(widths) / sizeof(*widths); w++)
        for (size_t d = 0; d < sizeof(densities) / sizeof(*densities); d++) {
            random_row(row, widths[w], densities[d], ++seed);
            check_round_trip(widths[w], row);
        }
    memset(row, 0, sizeof(row)); /* gaps of one, two and three bytes, and the extremes */
    row[127] = FLT_MAX;
    row[127 + 129] = -FLT_TRUE_MIN;
    row[19999] = -FLT_MAX;
    check_round_trip(20000, row);
}

static void
the_format_is_what_the_header_says(void **state)
{
    /* width 300, weights 1 at 2 and -2 at 299; the checksum was computed apart from this code */
    const uint8_t expected[] = {1, 1, 0x2c, 1, 0, 0, 2,    0,    0, 0, 0, 0,   0,
                                0, 2, 0xa8, 2, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0};
    float row[300] = {0};
    size_t n;
    uint8_t *bytes;

    (void)state;
    row[2] = 1;
    row[299] = -2;
    row[5] = -0.0f;
    bytes = encode(300, row, &n);
    assert_int_equal(n, sizeof(expected));
    assert_memory_equal(bytes, expected, 10);
    assert_memory_equal(bytes + 14, expected + 14, n - 14);
    assert_int_equal(bytes[10] | bytes[11] << 8 | bytes[12] << 16 | (uint32_t)bytes[13] << 24,
                     0xa23cec0e);
    free(bytes);
}

static void
what_cannot_be_stored_is_refused(void **state)
{
    float row[3] = {1, NAN, 0};
    uint8_t out[64];
    size_t used;

    (void)state;
    assert_int_equal(metasd_encode(3, row, out, sizeof(out), &used), METASD_NON_FINITE);
    row[1] = -INFINITY;
    assert_int_equal(metasd_encode(3, row, out, sizeof(out), &used), METASD_NON_FINITE);
    assert_int_equal(metasd_encode(0, row, out, sizeof(out), &used), METASD_INVALID);
    row[1] = 0;
    assert_int_equal(metasd_encode(3, row, out, 13, &used), METASD_INVALID);
}

#define MAX_KEPT 4096

/* All three decoders; the header alone may accept what the others refuse. */
static bool
accepted(const uint8_t *bytes, size_t n, size_t width)
{
    static uint32_t positions[MAX_KEPT];
    static float values[MAX_KEPT], row[MAX_KEPT];
    uint8_t *copy = exact_copy(bytes, n);
    size_t kept, stored;
    MetasdStatus header = metasd_decode_header(copy, n, &stored, &kept);
    MetasdStatus sparse = metasd_decode_sparse(copy, n, width, positions, values, MAX_KEPT, &kept);
    MetasdStatus dense = metasd_decode_dense(copy, n, width, row);

    free(copy);
    assert_true(width <= MAX_KEPT);
    assert_true(sparse == METASD_OK || sparse == METASD_CORRUPT);
    assert_int_equal(sparse, dense);
    assert_true(header == METASD_OK || sparse != METASD_OK);
    return sparse == METASD_OK;
}

static void
damage_is_seen(void **state)
{
    static const size_t widths[] = {1, 30, 400};
    float row[400];

    (void)state;
    for (size_t w = 0; w < 3; w++)
        for (int d = 0; d <= 2; d++) {
            size_t n;
            uint8_t *bytes, *longer;

            random_row(row, widths[w], d * 0.3, w + 1);
            bytes = encode(widths[w], row, &n);
            assert_true(accepted(bytes, n, widths[w]));
            for (size_t cut = 0; cut < n; cut++)
                assert_false(accepted(bytes, cut, widths[w]));
            for (size_t i = 0; i < n; i++)
                for (unsigned flip = 1; flip < 256; flip = flip < 128 ? 2 * flip : flip + 127) {
                    bytes[i] ^= (uint8_t)flip;
                    assert_false(accepted(bytes, n, widths[w]));
                    bytes[i] ^= (uint8_t)flip;
                }
            longer = calloc(1, n + 8);
            memcpy(longer, bytes, n);
            for (size_t more = 1; more <= 8; more++)
                assert_false(accepted(longer, n + more, widths[w]));
            free(longer);
            free(bytes);
        }
}

/* CRC-32C bit by bit: another way to the same number than the codec's. */
static void
seal(uint8_t *bytes, size_t n)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < n; i++) {
        if (i >= 10 && i < 14)
            continue;
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    for (int i = 0; i < 4; i++)
        bytes[10 + i] = (uint8_t)(~crc >> (8 * i));
}

/* A right checksum does not make a row right. */
static void
forged_rows_are_refused(void **state)
{
    uint8_t good[] = {1, 1, 8, 0, 0, 0, 2,    0,    0, 0, 0,    0,
                      0, 0, 1, 2, 0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x3f};
    uint8_t longgap[] = {1, 1, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0, 0, 0x80, 0x3f};
    uint8_t bad[sizeof(good)];
    static const struct {
        int at;
        uint8_t byte;
    } forgeries[] = {
        {0, 0},     {0, 2}, {1, 0}, {1, 2},    {2, 4},     /* width below the last position */
        {2, 0},     {6, 1}, {6, 3}, {9, 0x80}, {14, 0x81}, /* a gap that takes the next one in */
        {15, 0x80},                                        /* a gap that never ends */
        {15, 6},                                           /* position 8 */
    };

    (void)state;
    seal(good, sizeof(good));
    assert_true(accepted(good, sizeof(good), 8));
    for (size_t i = 0; i < sizeof(forgeries) / sizeof(*forgeries); i++) {
        memcpy(bad, good, sizeof(good));
        bad[forgeries[i].at] = forgeries[i].byte;
        seal(bad, sizeof(bad));
        assert_false(accepted(bad, sizeof(bad), bad[2]));
    }
    memcpy(bad, good, sizeof(good)); /* infinity, NaN, zero, minus zero */
    for (int v = 0; v < 4; v++) {
        static const uint8_t tops[4][2] = {{0x80, 0x7f}, {0xc0, 0xff}, {0, 0}, {0, 0x80}};

        memcpy(bad + 18, tops[v], 2);
        seal(bad, sizeof(bad));
        assert_false(accepted(bad, sizeof(bad), 8));
    }
    seal(longgap, sizeof(longgap)); /* two bytes for the gap 1 */
    assert_false(accepted(longgap, sizeof(longgap), 8));
}

static void
garbage_is_refused(void **state)
{
    uint8_t bytes[96];

    (void)state;
    for (uint64_t seed = 0; seed < 100000; seed++) {
        size_t n = metasd_random_below(seed, STREAM, 0, sizeof(bytes) + 1);
        size_t width = 1 + metasd_random_below(seed, STREAM, 1, 64);

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)metasd_random(seed, STREAM + 1, i);
        if (seed % 4 > 0 &&
            n >= 14) { /* most of them: past the first checks, and the checksum too */
            uint8_t start[10] = {1, 1, (uint8_t)width, 0, 0, 0, bytes[6] % 16};

            memcpy(bytes, start, sizeof(start));
            if (seed % 4 > 1)
                for (size_t i = 14; i < n; i++)
                    bytes[i] &= 0x07;
            if (seed % 4 > 2)
                seal(bytes, n);
        }
        if (accepted(bytes, n, width)) /* only what a real row might have been */
            assert_int_equal(seed % 4, 3);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_as_they_were),
        cmocka_unit_test(the_format_is_what_the_header_says),
        cmocka_unit_test(what_cannot_be_stored_is_refused),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(forged_rows_are_refused),
        cmocka_unit_test(garbage_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
