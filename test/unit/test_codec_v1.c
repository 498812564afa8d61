/* Rows that version 1 of the format stored are read, and nothing else in their place. */
#include "unit.h"

#include <string.h>

#include "codec.h"
#include "random.h"
#include "rows.h"

#define STREAM 72

static bool
accepted(const uint8_t *bytes, size_t n, size_t width)
{
    const char *wrong;
    bool ok = rows_accepted(bytes, n, width, &wrong);

    assert_null(wrong);
    return ok;
}

/* width 300, weights 1 at 2 and -2 at 299; the checksum was computed apart from the codec */
static const uint8_t stored[] = {0x01, 0x01, 0x2c, 0x01, 0x00, 0x00, 0x02, 0x00, 0x00,
                                 0x00, 0x0e, 0xec, 0x3c, 0xa2, 0x02, 0xa8, 0x02, 0x00,
                                 0x00, 0x80, 0x3f, 0x00, 0x00, 0x00, 0xc0};

static void
old_rows_are_read(void **state)
{
    float row[300], values[2];
    uint32_t positions[2];
    size_t kept, width;

    (void)state;
    assert_int_equal(metasd_decode_header(stored, sizeof(stored), &width, &kept), METASD_OK);
    assert_int_equal(width, 300);
    assert_int_equal(kept, 2);
    assert_int_equal(metasd_decode_sparse(stored, sizeof(stored), 300, positions, values, 2, &kept),
                     METASD_OK);
    assert_int_equal(kept, 2);
    assert_int_equal(positions[0], 2);
    assert_int_equal(positions[1], 299);
    assert_true(values[0] == 1 && values[1] == -2);
    assert_int_equal(metasd_decode_dense(stored, sizeof(stored), 300, row), METASD_OK);
    for (size_t j = 0; j < 300; j++)
        assert_true(row[j] == (j == 2 ? 1 : j == 299 ? -2 : 0));
    assert_int_equal(metasd_decode_dense(stored, sizeof(stored), 301, row), METASD_CORRUPT);
    assert_int_equal(metasd_decode_sparse(stored, sizeof(stored), 300, positions, values, 1, &kept),
                     METASD_INVALID);
}

static void
damage_is_seen(void **state)
{
    uint8_t bytes[sizeof(stored) + 8] = {0};

    (void)state;
    memcpy(bytes, stored, sizeof(stored));
    assert_true(accepted(bytes, sizeof(stored), 300));
    for (size_t cut = 0; cut < sizeof(stored); cut++)
        assert_false(accepted(bytes, cut, 300));
    for (size_t more = 1; more <= 8; more++)
        assert_false(accepted(bytes, sizeof(stored) + more, 300));
    for (size_t i = 0; i < sizeof(stored); i++)
        for (unsigned flip = 1; flip < 256; flip++) {
            bytes[i] ^= (uint8_t)flip;
            assert_false(accepted(bytes, sizeof(stored), 300));
            bytes[i] ^= (uint8_t)flip;
        }
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
    rows_seal(good, sizeof(good));
    assert_true(accepted(good, sizeof(good), 8));
    for (size_t i = 0; i < sizeof(forgeries) / sizeof(*forgeries); i++) {
        memcpy(bad, good, sizeof(good));
        bad[forgeries[i].at] = forgeries[i].byte;
        rows_seal(bad, sizeof(bad));
        assert_false(accepted(bad, sizeof(bad), bad[2]));
    }
    memcpy(bad, good, sizeof(good)); /* infinity, NaN, zero, minus zero */
    for (int v = 0; v < 4; v++) {
        static const uint8_t tops[4][2] = {{0x80, 0x7f}, {0xc0, 0xff}, {0, 0}, {0, 0x80}};

        memcpy(bad + 18, tops[v], 2);
        rows_seal(bad, sizeof(bad));
        assert_false(accepted(bad, sizeof(bad), 8));
    }
    rows_seal(longgap, sizeof(longgap)); /* two bytes for the gap 1 */
    assert_false(accepted(longgap, sizeof(longgap), 8));
}

static void
garbage_is_refused(void **state)
{
    uint8_t bytes[96];

    (void)state;
    for (uint64_t seed = 0; seed < 50000; seed++) {
        size_t n = metasd_random_below(seed, STREAM, 0, sizeof(bytes) + 1);
        size_t width = 1 + metasd_random_below(seed, STREAM, 1, 64);

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)metasd_random(seed, STREAM + 1, i);
        if (seed % 4 > 0 && n >= 14) { /* past the first checks, and the checksum too */
            uint8_t start[10] = {1, 1, (uint8_t)width, 0, 0, 0, bytes[6] % 16};

            memcpy(bytes, start, sizeof(start));
            if (seed % 4 > 1)
                for (size_t i = 14; i < n; i++)
                    bytes[i] &= 0x07;
            if (seed % 4 > 2)
                rows_seal(bytes, n);
        }
        if (accepted(bytes, n, width)) /* only what a real row might have been */
            assert_int_equal(seed % 4, 3);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_rows_are_read),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(forged_rows_are_refused),
        cmocka_unit_test(garbage_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
