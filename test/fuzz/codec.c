/*
 * codec.c - bytes of all sorts for the decoders of rows, and rows of all sorts for the encoders.
 *
 *   build/unit-sanitize/fuzz_codec [ROUNDS [SEED]]    changes encoded rows at random
 *   build/fuzz/codec [...]                            libFuzzer chooses (make fuzz; needs clang)
 *
 * Ends by abort where a decoder accepts what it must not, or a row does not come back.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/codec/row_codec.h"
#include "core/base/random.h"
#include "rows.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
fail(const char *wrong, const uint8_t *bytes, size_t n)
{
    fprintf(stderr, "%s:", wrong);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, " %02x", bytes[i]);
    fprintf(stderr, "\n");
    abort();
}

/* The width that bytes announce, if they do and rows are so wide. */
static size_t
width_of(const uint8_t *bytes, size_t n)
{
    size_t width, kept;

    if (metasd_row_decode_header(bytes, n, &width, &kept) != METASD_OK || width > ROWS_WIDEST)
        return 1;
    return width;
}

static void
check_bytes(const uint8_t *bytes, size_t n)
{
    const char *wrong;

    rows_accepted(bytes, n, width_of(bytes, n), &wrong);
    if (wrong)
        fail(wrong, bytes, n);
}

/* A row in every kind: it is accepted, and the same weights are kept, with their signs. */
static void
check_row(const float *row, size_t width)
{
    static uint8_t bytes[ROWS_BYTES];
    static float decoded[ROWS_WIDEST], rounded[ROWS_WIDEST];

    for (int s = 0; s < METASD_STORAGES; s++) {
        size_t n = 0;
        const char *wrong = NULL;
        MetasdStatus status =
            metasd_row_encode((MetasdStorage)s, width, row, bytes, sizeof(bytes), &n);

        if (status == METASD_NON_FINITE)
            continue;
        if (status != METASD_OK || n > metasd_row_bound(width))
            fail("a row is not encoded", (const uint8_t *)row, width * sizeof(*row));
        if (!rows_accepted(bytes, n, width, &wrong) || wrong)
            fail(wrong ? wrong : "an encoded row is refused", bytes, n);
        if (metasd_row_decode_dense(bytes, n, width, decoded) != METASD_OK)
            fail("an encoded row is refused", bytes, n);
        for (size_t j = 0; j < width; j++)
            if ((row[j] > 0) != (decoded[j] > 0) || (row[j] < 0) != (decoded[j] < 0))
                fail("other weights are kept", bytes, n);
        memcpy(rounded, row, width * sizeof(*row));
        if (metasd_row_round((MetasdStorage)s, width, rounded) != METASD_OK)
            fail("a row is not rounded", (const uint8_t *)row, width * sizeof(*row));
        for (size_t j = 0; j < width; j++)
            if (rounded[j] != decoded[j])
                fail("a row is rounded to another than is decoded", bytes, n);
    }
}

/* The bytes as they are, with a right checksum, and as the weights of a row. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t sealed[ROWS_BYTES];
    static float row[ROWS_WIDEST];

    if (n > sizeof(sealed))
        return 0;
    check_bytes(data, n);
    if (n > 0)
        memcpy(sealed, data, n);
    rows_seal(sealed, n);
    check_bytes(sealed, n);
    if (n >= sizeof(*row) && n <= sizeof(row)) {
        memcpy(row, data, n / sizeof(*row) * sizeof(*row));
        check_row(row, n / sizeof(*row));
    }
    return 0;
}

#ifndef METASD_LIBFUZZER

#define STREAM 80

/* Wider than that, a row has more of the same. */
#define WIDEST 200

/* Numbers of one round of a seed, one after the other. */
typedef struct Dice {
    uint64_t seed, round, thrown;
} Dice;

static size_t
throw_below(Dice *dice, size_t bound)
{
    return metasd_random_below(dice->seed, STREAM + dice->round, dice->thrown++, bound);
}

/* An encoded row of any kind, of weights alike or of all sizes. */
static size_t
make_bytes(Dice *dice, uint8_t *bytes)
{
    static float row[WIDEST];
    size_t width = 1 + throw_below(dice, WIDEST), used = 0;
    int power = (int)throw_below(dice, 250) - 130;
    bool alike = throw_below(dice, 3) > 0;

    rows_random(row, width, (double)throw_below(dice, 11) / 10,
                metasd_random(dice->seed, STREAM, dice->round));
    if (throw_below(dice, 3) == 0)
        rows_mirror(row, width);
    for (size_t j = 0; j < width; j++)
        row[j] = (float)ldexp((double)row[j], alike ? power : (int)throw_below(dice, 250) - 130);
    if (metasd_row_encode((MetasdStorage)throw_below(dice, METASD_STORAGES), width, row, bytes,
                          ROWS_BYTES, &used) != METASD_OK)
        abort();
    return used;
}

/* One change: a bit, a byte, a run of one byte, some bytes less, or more. */
static size_t
change(Dice *dice, uint8_t *bytes, size_t n)
{
    static const uint8_t special[] = {0, 1, 2, 0x7f, 0x80, 0xff};
    size_t at = throw_below(dice, n), room = n - at;
    size_t some = 1 + throw_below(dice, room < 8 ? room : 8);

    switch (throw_below(dice, 5)) {
        case 0:
            bytes[at] ^= (uint8_t)(1 << throw_below(dice, 8));
            return n;
        case 1:
            bytes[at] = (uint8_t)throw_below(dice, 256);
            return n;
        case 2:
            memset(bytes + at, special[throw_below(dice, sizeof(special))], some);
            return n;
        case 3:
            memmove(bytes + at, bytes + at + some, room - some);
            return n - some;
        default:
            if (n + some > ROWS_BYTES)
                return n;
            memmove(bytes + at + some, bytes + at, room);
            return n + some;
    }
}

int
main(int argc, char **argv)
{
    static uint8_t bytes[ROWS_BYTES];
    uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 40000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

    for (uint64_t round = 1; round <= rounds; round++) {
        Dice dice = {.seed = seed, .round = round};
        size_t n = make_bytes(&dice, bytes), changes = 1 + throw_below(&dice, 4);

        for (size_t i = 0; i < changes && n > 0; i++) {
            n = change(&dice, bytes, n);
            LLVMFuzzerTestOneInput(bytes, n);
        }
    }
    printf("[       OK ] %llu changed rows\n", (unsigned long long)rounds);
    return 0;
}

#endif
