#include "core/codec/row_codec.h"

#include <stdbool.h>
#include <string.h>

#include "core/codec/bits.h"
#include "core/codec/crc32c.h"
#include "core/codec/row_positions.h"

#define VERSION 1
#define REPEATED 0x80u /* in the byte of the kind: both halves keep the same weights */
#define CHECKSUM_AT 2
#define WIDTH_AT 6

/* ---- numbers in bytes ---- */

static void
put_u32(uint8_t *out, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(x >> (8 * i));
}

/* An unsigned LEB128: bytes of 7 bits, the lowest first, of which all but the last have bit 7. */
static size_t
put_leb(uint8_t *out, uint32_t x)
{
    size_t n = 0;

    for (; x >= 0x80; x >>= 7)
        out[n++] = (uint8_t)(x | 0x80);
    out[n++] = (uint8_t)x;
    return n;
}

#define MAX_LEB 5 /* 7 bits each hold 32 */

/* Reads one from [*at, end); false unless it is whole, fits 32 bits and is at its shortest. */
static bool
get_leb(const uint8_t **at, const uint8_t *end, uint32_t *value)
{
    uint64_t x = 0;

    for (int i = 0; i < MAX_LEB && *at < end; i++) {
        uint8_t byte = *(*at)++;

        x |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        *value = (uint32_t)x;
        return x <= UINT32_MAX && (byte != 0 || i == 0);
    }
    return false;
}

static uint32_t
checksum(const uint8_t *bytes, size_t n)
{
    uint32_t crc = metasd_crc32c(0, bytes, CHECKSUM_AT);

    return metasd_crc32c(crc, bytes + WIDTH_AT, n - WIDTH_AT);
}

/* ---- writing a row ---- */

/* All but the checksum. */
static void
put_row(MetasdBitWriter *writer, MetasdStorage storage, size_t width, const float *row,
        const MetasdRowRange *range)
{
    bool repeated = metasd_row_positions_repeat(width, row, range->kept);
    uint8_t counts[2 * MAX_LEB];
    size_t n = put_leb(counts, (uint32_t)width);

    n += put_leb(counts + n, (uint32_t)range->kept);
    metasd_bits_put(writer, VERSION, 8);
    metasd_bits_put(writer, ((uint32_t)storage + 1) | (repeated ? REPEATED : 0), 8);
    metasd_bits_put(writer, 0, 32);
    for (size_t i = 0; i < n; i++)
        metasd_bits_put(writer, counts[i], 8);
    if (range->kept == 0)
        return;
    metasd_row_values_put_scale(writer, storage, range);
    metasd_row_positions_put(writer, width, row, range->kept, repeated);
    metasd_row_values_put(writer, storage, width, row, range);
    metasd_bits_put_end(writer);
}

size_t
metasd_row_bound(size_t width)
{
    /*
     * Of n positions with divisor d, n at most half of the width: a bit each, (width - n) / d of
     * quotients and log2 of d, rounded up, of remainders. That is less than 2 bits a weight for
     * any n.
     */
    uint64_t weights = width > UINT32_MAX ? UINT32_MAX : width, bits = weights * (32 + 2);

    return WIDTH_AT + 2 * MAX_LEB + METASD_SCALE_BYTES + (size_t)(bits / 8) + 1;
}

MetasdStatus
metasd_row_encode(MetasdStorage storage, size_t width, const float *row, uint8_t *out, size_t size,
                  size_t *used)
{
    MetasdBitWriter writer = {.out = out, .size = size};
    MetasdRowRange range;

    METASD_TRY(metasd_row_values_measure(storage, width, row, &range));
    put_row(&writer, storage, width, row, &range);
    if (writer.bytes > size)
        return METASD_INVALID;
    put_u32(out + CHECKSUM_AT, checksum(out, writer.bytes));
    *used = writer.bytes;
    return METASD_OK;
}

MetasdStatus
metasd_row_round(MetasdStorage storage, size_t width, float *row)
{
    MetasdRowRange range;

    METASD_TRY(metasd_row_values_measure(storage, width, row, &range));
    if (metasd_row_levels_most_code(storage) > 0)
        metasd_row_levels_round(storage, range.scale, width, row, row);
    return METASD_OK;
}

MetasdStatus
metasd_row_fit(MetasdStorage storage, size_t width, const float *row, float *scale)
{
    MetasdRowRange range;

    METASD_TRY(metasd_row_values_measure(storage, width, row, &range));
    *scale = range.scale;
    return METASD_OK;
}

/* ---- reading a row ---- */

typedef struct Header {
    MetasdStorage storage;
    bool repeated;
    size_t width, kept;
    const uint8_t *end; /* of the header */
} Header;

/* Has the header as many bytes behind it as its counts need at least? */
static bool
has_room(const Header *header, const uint8_t *end)
{
    uint64_t bits = 8 * (uint64_t)(end - header->end);

    return bits >= 8 * (uint64_t)metasd_row_values_scale_bytes(header->storage) +
                       (uint64_t)header->kept * metasd_row_values_least_bits(header->storage) +
                       metasd_row_positions_bits(header->width, header->kept, header->repeated);
}

static bool
get_header(const uint8_t *bytes, size_t n, Header *header)
{
    uint32_t number, counts[2];

    if (n <= WIDTH_AT || bytes[0] != VERSION)
        return false;
    number = bytes[1] & ~REPEATED;
    if (number < 1 || number > METASD_STORAGES)
        return false;
    *header = (Header){.storage = (MetasdStorage)(number - 1),
                       .repeated = bytes[1] & REPEATED,
                       .end = bytes + WIDTH_AT};
    for (int i = 0; i < 2; i++)
        if (!get_leb(&header->end, bytes + n, &counts[i]))
            return false;
    header->width = counts[0];
    header->kept = counts[1];
    if (header->width == 0 || header->kept > header->width)
        return false;
    if (header->repeated && (header->width % 2 > 0 || header->kept % 2 > 0 || header->kept == 0 ||
                             header->kept == header->width))
        return false;
    return header->kept == 0 ? header->end == bytes + n : has_room(header, bytes + n);
}

static bool
has_checksum(const uint8_t *bytes, size_t n)
{
    return checksum(bytes, n) == metasd_bits_u32(bytes + CHECKSUM_AT);
}

/* Reads what follows the header; the results have room for the counts in it. VALUES may be NULL. */
static bool
get_row(const uint8_t *bytes, size_t n, const Header *header, const MetasdRowPositions *positions,
        const MetasdRowValues *values, double *step)
{
    MetasdBitReader reader = {.at = header->end + metasd_row_values_scale_bytes(header->storage),
                              .end = bytes + n};

    if (header->kept == 0)
        return true;
    return metasd_row_positions_get(&reader, header->width, header->kept, header->repeated,
                                    positions) &&
           (!values || (metasd_row_values_get(&reader, header->storage, header->end, header->kept,
                                              values, step) &&
                        metasd_bits_get_end(&reader)));
}

MetasdStatus
metasd_row_decode_header(const uint8_t *bytes, size_t n, size_t *width, size_t *kept)
{
    Header header;

    if (!get_header(bytes, n, &header) || !has_checksum(bytes, n))
        return METASD_CORRUPT;
    *width = header.width;
    *kept = header.kept;
    return METASD_OK;
}

static MetasdStatus
decode_sparse(const uint8_t *bytes, size_t n, size_t width, MetasdRowSpace space,
              const MetasdRowValues *values, MetasdSparseRow *row)
{
    MetasdRowPositions positions = {.list = space.positions};
    Header header;

    if (!get_header(bytes, n, &header) || header.width != width)
        return METASD_CORRUPT;
    *row = (MetasdSparseRow){.positions = space.positions,
                             .values = space.values,
                             .kept = header.kept,
                             .codes = space.codes,
                             .most_code = metasd_row_levels_most_code(header.storage),
                             .step = 1};
    if (header.kept > space.capacity)
        return METASD_INVALID;
    return get_row(bytes, n, &header, &positions, values, &row->step) ? METASD_OK : METASD_CORRUPT;
}

MetasdStatus
metasd_row_decode_sparse(const uint8_t *bytes, size_t n, size_t width, MetasdRowSpace space,
                         MetasdSparseRow *row)
{
    MetasdRowValues values = {.values = space.values, .codes = space.codes};

    if (n > WIDTH_AT && !has_checksum(bytes, n))
        return METASD_CORRUPT;
    return decode_sparse(bytes, n, width, space, &values, row);
}

MetasdStatus
metasd_row_decode_positions(const uint8_t *bytes, size_t n, size_t width, MetasdRowSpace space,
                            MetasdSparseRow *row)
{
    return decode_sparse(bytes, n, width, space, NULL, row);
}

MetasdStatus
metasd_row_decode_dense(const uint8_t *bytes, size_t n, size_t width, float *row)
{
    MetasdRowPositions positions = {.row = row};
    MetasdRowValues values = {.row = row};
    Header header;
    double step;

    if (!get_header(bytes, n, &header) || header.width != width)
        return METASD_CORRUPT;
    if (!has_checksum(bytes, n))
        return METASD_CORRUPT;
    memset(row, 0, width * sizeof(*row));
    return get_row(bytes, n, &header, &positions, &values, &step) ? METASD_OK : METASD_CORRUPT;
}
