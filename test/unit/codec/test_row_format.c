/* The format of rows is what it was; nothing but an encoded row is ever accepted. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/codec/row_codec.h"
#include "core/base/random.h"
#include "rows.h"
#include "tools.h"

#define STREAM 71

static bool
accepted(const uint8_t *bytes, size_t n, size_t width)
{
    const char *wrong;
    bool ok = rows_accepted(bytes, n, width, &wrong);

    assert_null(wrong);
    return ok;
}

/* ---- the format ---- */

/* As golden/rows.py prints them, a program that has nothing of the codec. */
static const struct Golden {
    size_t width;
    size_t n;
    uint8_t bytes[48];
} golden[2][METASD_STORAGES] = {
    {
        {300, 34, {0x01, 0x01, 0xa4, 0xe8, 0xdd, 0x5e, 0xac, 0x02, 0x05, 0x45, 0x91, 0x0f,
                   0x80, 0x0b, 0x00, 0x00, 0xf0, 0x47, 0x33, 0x33, 0xd3, 0x17, 0x00, 0x00,
                   0xe8, 0x67, 0x66, 0x66, 0xf6, 0x07, 0x00, 0x00, 0x00, 0x18}},
        {300, 24, {0x01, 0x02, 0xdd, 0xd4, 0xdb, 0x05, 0xac, 0x02, 0x05, 0x00, 0x00, 0x00,
                   0x40, 0x12, 0x45, 0x91, 0x0f, 0x80, 0x0b, 0x28, 0x00, 0x93, 0xf5, 0x0f}},
        {300, 23, {0x01, 0x03, 0xb8, 0x88, 0x3a, 0x80, 0xac, 0x02, 0x05, 0x00, 0x00, 0x00,
                   0x40, 0x04, 0x45, 0x91, 0x0f, 0x80, 0xeb, 0x09, 0x8b, 0xf5, 0x03}},
        {300,
         19,
         {0x01, 0x04, 0x1f, 0x36, 0xea, 0x79, 0xac, 0x02, 0x05, 0x00, 0x40, 0x45, 0x91, 0x0f, 0x80,
          0xcb, 0x86, 0xf4, 0x01}},
    },
    {
        {9, 41, {0x01, 0x01, 0x5c, 0x40, 0xa7, 0xe8, 0x09, 0x08, 0x02, 0x00, 0x00, 0xf0, 0x03, 0x00,
                 0x00, 0xf2, 0x0b, 0x00, 0x00, 0xf4, 0x03, 0x00, 0x00, 0xf6, 0x0b, 0x00, 0x00, 0xf8,
                 0x03, 0x00, 0x00, 0xf9, 0x0b, 0x00, 0x00, 0xfb, 0x0b, 0x00, 0x00, 0xfc, 0x03}},
        {9, 21, {0x01, 0x02, 0x9a, 0x5c, 0xdc, 0x78, 0x09, 0x08, 0x00, 0x00, 0xc0,
                 0x3f, 0x29, 0x02, 0xb8, 0xb0, 0x82, 0x55, 0xdf, 0xf4, 0x7f}},
        {9,
         19,
         {0x01, 0x03, 0x4d, 0x3d, 0x60, 0x3a, 0x09, 0x08, 0x00, 0x00, 0xc0, 0x3f, 0x0a, 0x02, 0x8e,
          0x8a, 0xd5, 0xcd, 0x7f}},
        {9,
         15,
         {0x01, 0x04, 0x52, 0x99, 0xdb, 0xed, 0x09, 0x08, 0xba, 0x3f, 0x42, 0x67, 0xa9, 0xfb,
          0x0e}},
    }};

/* A decoded row is what rounding makes of the weights, and no weight is -0. */
static void
assert_rounded(MetasdStorage storage, size_t width, const float *row, const float *decoded)
{
    float rounded[300];

    assert_true(width <= 300);
    for (size_t j = 0; j < width; j++)
        rounded[j] = row[j] == 0 ? 0 : row[j];
    assert_int_equal(metasd_row_round(storage, width, rounded), METASD_OK);
    assert_memory_equal(decoded, rounded, width * sizeof(*decoded));
}

static void
the_format_is_what_it_was(void **state)
{
    float rows[2][300] = {
        {[2] = 1, [5] = -0.3f, [40] = 0.75f, [41] = 1.4f, [100] = -0.0f, [299] = -2},
        {0.5f, -0.625f, 0.75f, -0.875f, 1, -1.125f, 0, -1.375f, 1.5f},
    };

    (void)state;
    for (int i = 0; i < 2; i++)
        for (int s = 0; s < METASD_STORAGES; s++) {
            const struct Golden *row = &golden[i][s];
            float decoded[300];
            size_t n;
            uint8_t *bytes = rows_encode(rows_storages[s], row->width, rows[i], &n);

            assert_int_equal(n, row->n);
            assert_memory_equal(bytes, row->bytes, n);
            assert_int_equal(metasd_row_decode_dense(row->bytes, row->n, row->width, decoded),
                             METASD_OK);
            assert_rounded(rows_storages[s], row->width, rows[i], decoded);
            free(bytes);
        }
}

/* A row whose halves keep the same, as float32 and as int8; and told twice: no encoding. */
static const struct Golden alike[] = {
    {16, 25, {0x01, 0x81, 0xeb, 0x3f, 0x3e, 0x82, 0x10, 0x04, 0x12, 0x00, 0x00, 0xe0, 0x0f,
              0x00, 0x00, 0xc0, 0x2f, 0x00, 0x00, 0xa0, 0x0f, 0x00, 0x00, 0x00, 0x30}},
    {16,
     18,
     {0x01, 0x82, 0x8b, 0x1f, 0xdd, 0x72, 0x10, 0x04, 0x00, 0x00, 0x00, 0x40, 0x0f, 0x12, 0x10,
      0x28, 0xe0, 0x1f}},
    {16, 26, {0x01, 0x01, 0x14, 0x2c, 0x93, 0x0d, 0x10, 0x04, 0x12, 0x09, 0x00, 0x00, 0xf0,
              0x07, 0x00, 0x00, 0xe0, 0x17, 0x00, 0x00, 0xd0, 0x07, 0x00, 0x00, 0x00, 0x18}},
};

static void
halves_alike_are_told_once(void **state)
{
    static const MetasdStorage stored_as[] = {METASD_FLOAT32, METASD_INT8};
    float row[16] = {[2] = 1, [5] = -0.5f, [10] = 0.25f, [13] = -2}, decoded[16];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t n;
        uint8_t *bytes = rows_encode(stored_as[i], 16, row, &n);

        assert_int_equal(n, alike[i].n);
        assert_memory_equal(bytes, alike[i].bytes, n);
        assert_true(accepted(alike[i].bytes, alike[i].n, 16));
        assert_int_equal(metasd_row_decode_dense(alike[i].bytes, alike[i].n, 16, decoded),
                         METASD_OK);
        assert_rounded(stored_as[i], 16, row, decoded);
        free(bytes);
    }
    assert_false(accepted(alike[2].bytes, alike[2].n, 16));
}

/* ---- what is no row ---- */

static void
damage_is_seen(void **state)
{
    static const size_t widths[] = {1, 30, 400};
    float row[400];

    (void)state;
    for (size_t w = 0; w < (tools_quick() ? 2 : 3); w++)
        for (int d = 0; d <= 4 * METASD_STORAGES; d++) {
            size_t n;
            uint8_t *bytes, *longer;

            rows_random(row, widths[w], d / METASD_STORAGES * 0.3, w + 1);
            bytes = rows_encode(rows_storages[d % METASD_STORAGES], widths[w], row, &n);
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

/* A right checksum does not make a row right: what is accepted is an encoding, and the only one. */
static void
forged_rows_are_refused(void **state)
{
    static const struct {
        int golden, storage;
        int at;
        uint8_t byte;
    } forgeries[] = {
        {0, 0, 0, 0},     {0, 0, 0, 2},    {0, 0, 0, 255},  /* versions */
        {0, 0, 1, 0},     {0, 0, 1, 5},    {0, 0, 1, 0x41}, /* kinds */
        {0, 0, 1, 0x80},  {0, 0, 1, 0x81}, {0, 0, 1, 0x85}, /* halves alike */
        {0, 0, 8, 6},     {0, 0, 8, 4},    {0, 0, 8, 0x85}, /* numbers of kept ones */
        {0, 0, 33, 0x38}, {0, 0, 33, 0},                    /* a bit that fills; a weight of 0 */
        {0, 1, 12, 0xc0}, {0, 1, 12, 0},                    /* scales: -2, tiny */
        {0, 1, 13, 127},  {0, 1, 13, 255},                  /* lowest levels */
        {0, 2, 13, 32},   {0, 2, 22, 0},   {0, 3, 10, 0xc0}, {0, 3, 10, 0}, /* scales: -2, tiny */
        {0, 3, 18, 0},    {0, 3, 18, 3}, /* no value of the highest level; a bit that fills */
    };
    uint8_t bad[48];

    (void)state;
    for (size_t i = 0; i < sizeof(forgeries) / sizeof(*forgeries); i++) {
        const struct Golden *good = &golden[forgeries[i].golden][forgeries[i].storage];

        memcpy(bad, good->bytes, good->n);
        bad[forgeries[i].at] = forgeries[i].byte;
        rows_seal(bad, good->n);
        assert_false(accepted(bad, good->n, good->width));
    }
    /* of halves alike: 4 of 16, no odd number, none, all */
    for (size_t kept = 0; kept < 128; kept++)
        if (kept != 4) {
            memcpy(bad, alike[1].bytes, alike[1].n);
            bad[7] = (uint8_t)kept;
            rows_seal(bad, alike[1].n);
            assert_false(accepted(bad, alike[1].n, 16));
        }
    for (int s = 0; s < METASD_STORAGES; s++) /* a byte more, or the width in one more */
        for (int more = 0; more < 2; more++) {
            const struct Golden *good = &golden[1][s];

            memcpy(bad, good->bytes, good->n);
            bad[good->n] = 0;
            if (more) {
                memmove(bad + 7, bad + 6, good->n - 6);
                bad[6] = 0x89;
                bad[7] = 0;
            }
            rows_seal(bad, good->n + 1);
            assert_false(accepted(bad, good->n + 1, good->width));
        }
}

/* Every single bit of rows wrong, two bytes wrong: accepted() looks at what comes of it. */
static void
what_is_accepted_has_one_encoding(void **state)
{
    float row[100];
    uint64_t rounds = tools_quick() ? 1 : 12;

    (void)state;
    for (uint64_t seed = 0; seed < rounds * METASD_STORAGES; seed++) {
        size_t width = 1 + metasd_random_below(seed, STREAM, 0, 100), n;
        uint8_t *bytes;

        rows_random(row, width, (double)(seed % 10) / 9, seed);
        if (seed % 3 == 0)
            rows_mirror(row, width);
        bytes = rows_encode(rows_storages[seed % METASD_STORAGES], width, row, &n);
        for (size_t bit = 0; bit < 8 * n; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            rows_seal(bytes, n);
            accepted(bytes, n, width);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (uint64_t i = 0; i < 200; i++) {
            uint8_t *copy = malloc(n);

            memcpy(copy, bytes, n);
            for (uint64_t b = 0; b < 2; b++)
                copy[metasd_random_below(seed, STREAM + 1, 4 * i + b, n)] =
                    (uint8_t)metasd_random(seed, STREAM + 1, 4 * i + 2 + b);
            rows_seal(copy, n);
            accepted(copy, n, width);
            free(copy);
        }
        free(bytes);
    }
}

static void
garbage_is_refused(void **state)
{
    uint8_t bytes[96];
    uint64_t rounds = tools_quick() ? 2000 : 100000;

    (void)state;
    for (uint64_t seed = 0; seed < rounds; seed++) {
        size_t n = metasd_random_below(seed, STREAM, 0, sizeof(bytes) + 1);
        size_t width = 1 + metasd_random_below(seed, STREAM, 1, 64);

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)metasd_random(seed, STREAM + 1, i);
        if (seed % 4 > 0 && n >= 8) { /* most of them: past the first checks */
            bytes[0] = 1;
            bytes[1] = (uint8_t)((bytes[1] & 0x80) + 1 + bytes[1] % METASD_STORAGES);
            bytes[6] = (uint8_t)width;
            bytes[7] = (uint8_t)(bytes[7] % (width + 1));
            if (seed % 4 > 1)
                rows_seal(bytes, n);
        }
        if (accepted(bytes, n, width)) /* only what a real row might have been */
            assert_true(seed % 4 > 1);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_format_is_what_it_was),
        cmocka_unit_test(halves_alike_are_told_once),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(forged_rows_are_refused),
        cmocka_unit_test(what_is_accepted_has_one_encoding),
        cmocka_unit_test(garbage_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
