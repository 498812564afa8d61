/*
 * codec_formats.h - what the formats of embedding rows share; only codec*.c include this.
 */
#ifndef METASD_CODEC_FORMATS_H
#define METASD_CODEC_FORMATS_H

#include <stdbool.h>

#include "codec.h"

/* Where a decoder leaves the kept weights: as two arrays, or in their places in a row of zeros. */
typedef struct MetasdSink {
    uint32_t *positions;
    float *values;
    float *row; /* NULL: the arrays */
} MetasdSink;

/* One version of the format. */
typedef struct MetasdFormat {
    uint8_t version;
    /* Width and kept, both in bounds, from bytes of this version. */
    bool (*header)(const uint8_t *bytes, size_t n, size_t *width, size_t *kept);
    /* The header has been accepted, and the sink has room for what it announces. */
    bool (*body)(const uint8_t *bytes, size_t n, const MetasdSink *sink);
} MetasdFormat;

extern const MetasdFormat metasd_format_1, metasd_format_2, metasd_format_3;

/* CRC-32C of the n bytes after those that `crc` is of; 0 to begin with. */
extern uint32_t metasd_crc32c(uint32_t crc, const uint8_t *bytes, size_t n);

static inline void
metasd_put_u32(uint8_t *out, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(x >> (8 * i));
}

static inline uint32_t
metasd_get_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* An unsigned LEB128: bytes of 7 bits, the lowest first, of which all but the last have bit 7. */
static inline size_t
metasd_put_leb(uint8_t *out, uint32_t x)
{
    size_t n = 0;

    for (; x >= 0x80; x >>= 7)
        out[n++] = (uint8_t)(x | 0x80);
    out[n++] = (uint8_t)x;
    return n;
}

#define METASD_MAX_LEB 5 /* 7 bits each hold 32 */

/* Reads one from [*at, end); false unless it is whole, fits 32 bits and is at its shortest. */
static inline bool
metasd_get_leb(const uint8_t **at, const uint8_t *end, uint32_t *value)
{
    uint64_t x = 0;

    for (int i = 0; i < METASD_MAX_LEB && *at < end; i++) {
        uint8_t byte = *(*at)++;

        x |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        *value = (uint32_t)x;
        return x <= UINT32_MAX && (byte != 0 || i == 0);
    }
    return false;
}

#endif
