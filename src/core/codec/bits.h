/*
 * bits.h - a stream of bits, and three codes for whole numbers in it.
 *
 * Bits fill each byte from its lowest one on. A number below a bound takes a minimal binary code:
 * floor(log2(bound)) bits, or one more for those that do not fit. A number without a bound, likely
 * to be small, takes a Golomb code (Golomb 1966): its quotient by a divisor in unary, that many
 * zeros and a one, then the remainder in minimal binary. Each number has one code, and no reader
 * accepts another.
 *
 * A writer without room only counts; a reader at its end returns zeros and notes the failure.
 */
#ifndef METASD_CORE_CODEC_BITS_H
#define METASD_CORE_CODEC_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct MetasdBitWriter {
    uint8_t *out;
    size_t size;      /* of out: bytes beyond it are counted, and not written */
    size_t bytes;     /* so far */
    uint64_t pending; /* `count` bits, fewer than 8 between calls, that fill no byte yet */
    unsigned count;
} MetasdBitWriter;

typedef struct MetasdBitReader {
    const uint8_t *at, *end;
    uint64_t pending; /* the next `count` bits; those above are bits of *at, or 0 */
    unsigned count;
    bool failed; /* more was read than there is */
} MetasdBitReader;

/* Numbers below `bound`, in `bits` bits where they are below `brief`, and one more otherwise. */
typedef struct MetasdMinimal {
    uint32_t bound;
    uint32_t brief;
    unsigned bits;
} MetasdMinimal;

/* ---- writing ---- */

static inline void
metasd_bits_put_byte(MetasdBitWriter *writer, uint8_t byte)
{
    if (writer->bytes < writer->size)
        writer->out[writer->bytes] = byte;
    writer->bytes++;
}

/* The lowest n <= 32 bits of x, which has no others. */
static inline void
metasd_bits_put(MetasdBitWriter *writer, uint32_t x, unsigned n)
{
    writer->pending |= (uint64_t)x << writer->count;
    for (writer->count += n; writer->count >= 8; writer->count -= 8) {
        metasd_bits_put_byte(writer, (uint8_t)writer->pending);
        writer->pending >>= 8;
    }
}

extern void metasd_bits_put_minimal(MetasdBitWriter *writer, const MetasdMinimal *code, uint32_t x);
extern void metasd_bits_put_golomb(MetasdBitWriter *writer, const MetasdMinimal *divisor,
                                   uint32_t x);

/* Fills the last byte with zeros. */
extern void metasd_bits_put_end(MetasdBitWriter *writer);

/* ---- reading ---- */

/* Four bytes as a number, little-endian. */
static inline uint32_t
metasd_bits_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* A code for numbers below bound >= 1. */
extern MetasdMinimal metasd_bits_minimal(uint32_t bound);

/* Loads bits until there are at least 32, if there are so many; far from the end with one load. */
static inline void
metasd_bits_refill(MetasdBitReader *reader)
{
    if (reader->end - reader->at >= 8) {
        uint64_t next = 0;

        for (int i = 0; i < 8; i++)
            next |= (uint64_t)reader->at[i] << (8 * i);
        reader->pending |= next << reader->count;
        reader->at += (63 - reader->count) >> 3;
        reader->count |= 56;
        return;
    }
    for (; reader->count <= 56 && reader->at < reader->end; reader->count += 8)
        reader->pending |= (uint64_t)*reader->at++ << reader->count;
}

/* The next n <= 32 bits. */
static inline uint32_t
metasd_bits_get(MetasdBitReader *reader, unsigned n)
{
    uint32_t x;

    if (reader->count < n) {
        metasd_bits_refill(reader);
        if (reader->count < n) {
            reader->failed = true;
            return 0;
        }
    }
    x = (uint32_t)(reader->pending & (((uint64_t)1 << n) - 1));
    reader->pending >>= n;
    reader->count -= n;
    return x;
}

static inline uint32_t
metasd_bits_get_minimal(MetasdBitReader *reader, const MetasdMinimal *code)
{
    uint32_t x = metasd_bits_get(reader, code->bits);

    if (x < code->brief)
        return x;
    return (uint32_t)(2 * (uint64_t)x + metasd_bits_get(reader, 1) - code->brief);
}

/* The number of zeros before the next one; takes that, too. */
static inline uint64_t
metasd_bits_get_unary(MetasdBitReader *reader)
{
    uint64_t zeros = 0;

    for (;;) {
        unsigned run = reader->pending ? (unsigned)__builtin_ctzll(reader->pending) : 64;

        if (run < reader->count) {
            /* in two steps: together they may be all 64 bits */
            reader->pending = reader->pending >> run >> 1;
            reader->count -= run + 1;
            return zeros + run;
        }
        zeros += reader->count;
        reader->pending = 0;
        reader->count = 0;
        metasd_bits_refill(reader);
        if (reader->count == 0) {
            reader->failed = true;
            return 0;
        }
    }
}

/* At most `most`, or the reader has failed. */
static inline uint32_t
metasd_bits_get_golomb(MetasdBitReader *reader, const MetasdMinimal *divisor, uint32_t most)
{
    uint64_t quotient = metasd_bits_get_unary(reader), x;

    if (quotient > most) { /* before it overflows */
        reader->failed = true;
        return 0;
    }
    x = quotient * divisor->bound + metasd_bits_get_minimal(reader, divisor);
    if (x > most) {
        reader->failed = true;
        return 0;
    }
    return (uint32_t)x;
}

/* Is all read, but for the zeros that fill the last byte? */
extern bool metasd_bits_get_end(MetasdBitReader *reader);

#endif
