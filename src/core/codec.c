#include "codec.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define VERSION 1
#define KIND_SPARSE_FLOAT32 1

#define WIDTH_AT 2
#define KEPT_AT 6
#define CHECKSUM_AT 10
#define PAYLOAD_AT 14
#define VALUE_BYTES 4
#define MAX_GAP_BYTES 5 /* 7 bits each hold 32 */

/* ---- bytes ---- */

static void
put_u32(uint8_t *out, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(x >> (8 * i));
}

static uint32_t
get_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static void
put_float(uint8_t *out, float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    put_u32(out, bits);
}

static float
get_float(const uint8_t *bytes)
{
    uint32_t bits = get_u32(bytes);
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

static size_t
gap_bytes(uint32_t gap)
{
    size_t n = 1;

    while (gap >>= 7)
        n++;
    return n;
}

static size_t
put_gap(uint8_t *out, uint32_t gap)
{
    size_t n = 0;

    for (; gap >= 0x80; gap >>= 7)
        out[n++] = (uint8_t)(gap | 0x80);
    out[n++] = (uint8_t)gap;
    return n;
}

/* Reads one gap from [*at, end); false unless it is whole, fits 32 bits and is at its shortest. */
static bool
get_gap(const uint8_t **at, const uint8_t *end, uint32_t *gap)
{
    uint64_t x = 0;

    for (int i = 0; i < MAX_GAP_BYTES && *at < end; i++) {
        uint8_t byte = *(*at)++;

        x |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        *gap = (uint32_t)x;
        return x <= UINT32_MAX && (byte != 0 || i == 0);
    }
    return false;
}

/*
 * CRC-32C, half a byte at a time: a table of 64 bytes stays in cache beside the
 * rows, and detects every error of up to 32 adjacent bits.
 */
static uint32_t
crc32c(uint32_t crc, const uint8_t *bytes, size_t n)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static uint32_t
checksum(const uint8_t *bytes, size_t n)
{
    uint32_t crc = crc32c(0, bytes, CHECKSUM_AT);

    return crc32c(crc, bytes + PAYLOAD_AT, n - PAYLOAD_AT);
}

/* ---- kind: sparse float32 ---- */

/* Where a decoder leaves the kept weights: as two arrays, or in their places in a row of zeros. */
typedef struct Sink {
    uint32_t *positions;
    float *values;
    float *row; /* NULL: the arrays */
} Sink;

static bool
sparse_header(const uint8_t *bytes, size_t n, size_t *width, size_t *kept)
{
    uint64_t payload;

    if (n < PAYLOAD_AT)
        return false;
    payload = n - PAYLOAD_AT;
    *width = get_u32(bytes + WIDTH_AT);
    *kept = get_u32(bytes + KEPT_AT);
    /* In 64 bits, so that a count of any size cannot wrap. */
    return *width > 0 && *kept <= *width && payload >= (uint64_t)*kept * (1 + VALUE_BYTES) &&
           payload <= (uint64_t)*kept * (MAX_GAP_BYTES + VALUE_BYTES);
}

/* The header has been accepted, and the sink has room for what it announces. */
static bool
sparse_body(const uint8_t *bytes, size_t n, size_t width, size_t kept, const Sink *sink)
{
    const uint8_t *at = bytes + PAYLOAD_AT, *values = bytes + n - kept * VALUE_BYTES;
    uint64_t next = 0; /* the lowest position still free */

    if (checksum(bytes, n) != get_u32(bytes + CHECKSUM_AT))
        return false;
    for (size_t i = 0; i < kept; i++) {
        float value = get_float(values + i * VALUE_BYTES);
        uint32_t gap;

        if (!get_gap(&at, values, &gap) || next + gap >= width || !isfinite(value) || value == 0)
            return false;
        next += gap;
        if (sink->row)
            sink->row[next] = value;
        else {
            sink->positions[i] = (uint32_t)next;
            sink->values[i] = value;
        }
        next++;
    }
    return at == values;
}

/* ---- the one place that knows which kinds there are ---- */

typedef struct Format {
    uint8_t version, kind;
    bool (*header)(const uint8_t *bytes, size_t n, size_t *width, size_t *kept);
    bool (*body)(const uint8_t *bytes, size_t n, size_t width, size_t kept, const Sink *sink);
} Format;

static const Format formats[] = {
    {VERSION, KIND_SPARSE_FLOAT32, sparse_header, sparse_body},
};

static const Format *
find_format(const uint8_t *bytes, size_t n)
{
    if (n < 2)
        return NULL;
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
        if (formats[i].version == bytes[0] && formats[i].kind == bytes[1])
            return &formats[i];
    return NULL;
}

size_t
metasd_codec_bytes(size_t width, const float *row)
{
    size_t bytes = PAYLOAD_AT, next = 0;

    for (size_t j = 0; j < width; j++) {
        if (row[j] == 0)
            continue;
        bytes += gap_bytes((uint32_t)(j - next)) + VALUE_BYTES;
        next = j + 1;
    }
    return bytes;
}

MetasdStatus
metasd_encode(size_t width, const float *row, uint8_t *out, size_t size, size_t *used)
{
    size_t bytes, kept = 0, next = 0;
    uint8_t *at, *values;

    if (width == 0 || width > UINT32_MAX)
        return METASD_INVALID;
    for (size_t j = 0; j < width; j++) {
        if (!isfinite(row[j]))
            return METASD_NON_FINITE;
        kept += row[j] != 0;
    }
    bytes = metasd_codec_bytes(width, row);
    if (bytes > size)
        return METASD_INVALID;

    out[0] = VERSION;
    out[1] = KIND_SPARSE_FLOAT32;
    put_u32(out + WIDTH_AT, (uint32_t)width);
    put_u32(out + KEPT_AT, (uint32_t)kept);
    at = out + PAYLOAD_AT;
    values = out + bytes - kept * VALUE_BYTES;
    for (size_t j = 0; j < width; j++) {
        if (row[j] == 0)
            continue;
        at += put_gap(at, (uint32_t)(j - next));
        put_float(values, row[j]);
        values += VALUE_BYTES;
        next = j + 1;
    }
    put_u32(out + CHECKSUM_AT, checksum(out, bytes));
    *used = bytes;
    return METASD_OK;
}

MetasdStatus
metasd_decode_header(const uint8_t *bytes, size_t n, size_t *width, size_t *kept)
{
    const Format *format = find_format(bytes, n);

    return format && format->header(bytes, n, width, kept) ? METASD_OK : METASD_CORRUPT;
}

MetasdStatus
metasd_decode_sparse(const uint8_t *bytes, size_t n, size_t width, uint32_t *positions,
                     float *values, size_t capacity, size_t *kept)
{
    const Format *format = find_format(bytes, n);
    Sink sink = {.positions = positions, .values = values};
    size_t stored;

    if (!format || !format->header(bytes, n, &stored, kept) || stored != width)
        return METASD_CORRUPT;
    if (*kept > capacity)
        return METASD_INVALID;
    return format->body(bytes, n, width, *kept, &sink) ? METASD_OK : METASD_CORRUPT;
}

MetasdStatus
metasd_decode_dense(const uint8_t *bytes, size_t n, size_t width, float *row)
{
    const Format *format = find_format(bytes, n);
    Sink sink = {.row = row};
    size_t stored, kept;

    if (!format || !format->header(bytes, n, &stored, &kept) || stored != width)
        return METASD_CORRUPT;
    memset(row, 0, width * sizeof(*row));
    return format->body(bytes, n, width, kept, &sink) ? METASD_OK : METASD_CORRUPT;
}
