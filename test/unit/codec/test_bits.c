/* Numbers come back from a stream of bits in which each has one code. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/codec/bits.h"
#include "core/base/random.h"

#define STREAM 74
#define NUMBERS 2000

/* The i-th number and how it is coded: of any size, small ones as often as large ones. */
typedef struct Number {
    bool golomb;
    uint32_t bound, x;
} Number;

static Number
number_at(uint64_t seed, uint64_t i)
{
    uint64_t bits = 1 + metasd_random_below(seed, STREAM, 3 * i, 32);
    uint64_t bound = 1 + metasd_random_below(seed, STREAM, 3 * i + 1, ((uint64_t)1 << bits) - 1);
    bool golomb = metasd_random(seed, STREAM + 1, i) & 1;
    uint64_t most = golomb ? 100 * bound : bound;

    return (Number){
        .golomb = golomb,
        .bound = (uint32_t)bound,
        .x = (uint32_t)metasd_random_below(seed, STREAM, 3 * i + 2,
                                           most < UINT32_MAX ? most : UINT32_MAX),
    };
}

static void
put_numbers(MetasdBitWriter *writer, uint64_t seed)
{
    for (uint64_t i = 0; i < NUMBERS; i++) {
        Number number = number_at(seed, i);
        MetasdMinimal code = metasd_bits_minimal(number.bound);

        if (number.golomb)
            metasd_bits_put_golomb(writer, &code, number.x);
        else
            metasd_bits_put_minimal(writer, &code, number.x);
    }
    metasd_bits_put_end(writer);
}

static void
numbers_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        MetasdBitWriter counter = {0}, writer;
        MetasdBitReader reader;
        uint8_t *bytes;

        put_numbers(&counter, seed);
        bytes = malloc(counter.bytes);
        writer = (MetasdBitWriter){.out = bytes, .size = counter.bytes};
        put_numbers(&writer, seed);
        assert_int_equal(writer.bytes, counter.bytes);
        reader = (MetasdBitReader){.at = bytes, .end = bytes + writer.bytes};
        for (uint64_t i = 0; i < NUMBERS; i++) {
            Number number = number_at(seed, i);
            MetasdMinimal code = metasd_bits_minimal(number.bound);
            uint32_t x = number.golomb ? metasd_bits_get_golomb(&reader, &code, UINT32_MAX)
                                       : metasd_bits_get_minimal(&reader, &code);

            assert_int_equal(x, number.x);
        }
        assert_true(metasd_bits_get_end(&reader));
        free(bytes);
    }
}

/* All numbers below a bound have codes of their own, as short as can be. */
static void
minimal_codes_are_minimal(void **state)
{
    (void)state;
    for (uint32_t bound = 1; bound <= 70; bound++) {
        MetasdMinimal code = metasd_bits_minimal(bound);
        unsigned shorter = 0;

        assert_true((uint32_t)1 << code.bits <= bound && bound < (uint32_t)2 << code.bits);
        for (uint32_t x = 0; x < bound; x++) {
            uint8_t bytes[2] = {0};
            MetasdBitWriter writer = {.out = bytes, .size = sizeof(bytes)};
            MetasdBitReader reader = {.at = bytes, .end = bytes + sizeof(bytes)};

            metasd_bits_put_minimal(&writer, &code, x);
            shorter += 8 * writer.bytes + writer.count == code.bits;
            metasd_bits_put_end(&writer);
            assert_int_equal(metasd_bits_get_minimal(&reader, &code), x);
        }
        /* Kraft: the codes fill the tree. */
        assert_int_equal(2 * shorter + (bound - shorter), (uint64_t)2 << code.bits);
    }
}

static void
a_stream_ends(void **state)
{
    uint8_t bytes[3] = {0, 0, 0x40};
    MetasdMinimal divisor = metasd_bits_minimal(1);
    MetasdBitReader reader = {.at = bytes, .end = bytes + 3};

    (void)state;
    assert_int_equal(metasd_bits_get_golomb(&reader, &divisor, 22), 22);
    assert_true(metasd_bits_get_end(&reader)); /* a zero is left */
    assert_int_equal(metasd_bits_get(&reader, 1), 0);
    assert_true(metasd_bits_get_end(&reader));
    assert_int_equal(metasd_bits_get(&reader, 1), 0);
    assert_true(reader.failed);
    assert_false(metasd_bits_get_end(&reader));

    reader = (MetasdBitReader){.at = bytes, .end = bytes + 3}; /* above what is allowed */
    metasd_bits_get_golomb(&reader, &divisor, 21);
    assert_true(reader.failed);
    reader = (MetasdBitReader){.at = bytes, .end = bytes + 2}; /* no one at all */
    metasd_bits_get_golomb(&reader, &divisor, UINT32_MAX);
    assert_true(reader.failed);
    reader = (MetasdBitReader){.at = bytes, .end = bytes + 3}; /* a byte is left */
    metasd_bits_get(&reader, 16);
    assert_false(metasd_bits_get_end(&reader));
    reader = (MetasdBitReader){.at = bytes, .end = bytes + 3}; /* a one is left */
    metasd_bits_get(&reader, 20);
    assert_false(metasd_bits_get_end(&reader));
    reader = (MetasdBitReader){.at = bytes, .end = bytes};
    metasd_bits_get(&reader, 1);
    assert_true(reader.failed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_back),
        cmocka_unit_test(minimal_codes_are_minimal),
        cmocka_unit_test(a_stream_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
