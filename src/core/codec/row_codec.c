#include "core/codec/row_codec.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/codec/bits.h"
#include "core/codec/crc32c.h"

#define VERSION 1
#define ALIKE 0x80u /* in the byte of the kind: both halves keep the same weights */
#define CHECKSUM_AT 2
#define WIDTH_AT 6
#define SCALE_BYTES 5 /* of integers: the largest magnitude, and the lowest level in use */

/* ---- floats by their bits ---- */

static uint32_t
bits_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static float
float_of(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* Of a float by its bits: the magnitude's. */
#define MAGNITUDE 0x7fffffffu
#define INFINITE 0x7f800000u

/* ---- numbers in bytes ---- */

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

/* Where a decoder leaves the kept weights: as two arrays, or in their places in a row of zeros. */
typedef struct Sink {
    uint32_t *positions;
    float *values;
    float *row; /* NULL: the arrays */
} Sink;

/* ---- which weights are kept ---- */

/*
 * The divisor of gaps between n of `width` positions, n at most half of them: ln 2 times the mean
 * distance less a half, rounded. It is the best one for positions at random.
 */
static MetasdMinimal
gap_divisor(uint64_t width, uint64_t n)
{
    return metasd_bits_minimal((uint32_t)(((2 * width - n) * 355 + 512 * n) / (1024 * n)));
}

static bool
lists_kept(size_t width, size_t kept)
{
    return kept <= width - kept;
}

static void
put_positions(MetasdBitWriter *writer, size_t width, const float *row, size_t kept)
{
    bool listed = lists_kept(width, kept);
    size_t n = listed ? kept : width - kept, next = 0;
    MetasdMinimal divisor;

    if (n == 0)
        return;
    divisor = gap_divisor(width, n);
    for (size_t j = 0; j < width; j++)
        if ((row[j] != 0) == listed) {
            metasd_bits_put_golomb(writer, &divisor, (uint32_t)(j - next));
            next = j + 1;
        }
}

/* Notes positions [first, end) as kept, *kept before them: those of a row of zeros as ones. */
static void
keep(const Sink *sink, size_t first, size_t end, size_t *kept)
{
    for (size_t j = first; j < end; j++)
        if (sink->row)
            sink->row[j] = 1;
        else
            sink->positions[(*kept)++] = (uint32_t)j;
}

static bool
get_positions(MetasdBitReader *reader, size_t width, size_t kept, const Sink *sink)
{
    bool listed = lists_kept(width, kept);
    size_t n = listed ? kept : width - kept, next = 0, found = 0;
    MetasdMinimal divisor = {0};

    if (n > 0)
        divisor = gap_divisor(width, n);
    for (size_t i = 0; i < n; i++) {
        /* as far as all that are still to come have room */
        size_t at =
            next + metasd_bits_get_golomb(reader, &divisor, (uint32_t)(width - next - (n - i)));

        if (reader->failed)
            return false;
        if (listed)
            keep(sink, at, at + 1, &found);
        else
            keep(sink, next, at, &found);
        next = at + 1;
    }
    if (!listed)
        keep(sink, next, width, &found);
    return true;
}

/* Do both halves keep the same weights, some of them? */
static bool
halves_alike(size_t width, const float *row, size_t kept)
{
    size_t half = width / 2;

    if (width % 2 > 0 || kept == 0 || kept == width)
        return false;
    for (size_t j = 0; j < half; j++)
        if ((row[j] != 0) != (row[half + j] != 0))
            return false;
    return true;
}

/* Notes as kept in the second half what is in the first: `kept` weights of `half`. */
static void
keep_alike(const Sink *sink, size_t half, size_t kept)
{
    if (sink->row)
        memcpy(sink->row + half, sink->row, half * sizeof(*sink->row));
    else
        for (size_t i = 0; i < kept; i++)
            sink->positions[kept + i] = sink->positions[i] + (uint32_t)half;
}

/* Have all positions been noted of a row whose halves keep the same? Its encoding is another. */
static bool
found_alike(const Sink *sink, size_t width, size_t kept)
{
    size_t half = width / 2;

    if (width % 2 > 0 || kept % 2 > 0 || kept == width)
        return false;
    if (sink->row)
        return memcmp(sink->row, sink->row + half, half * sizeof(*sink->row)) == 0;
    for (size_t i = 0; i < kept / 2; i++)
        if (sink->positions[kept / 2 + i] != sink->positions[i] + half)
            return false;
    return true;
}

/* ---- values: what is common to all kinds ---- */

/* A row to be encoded. */
typedef struct Row {
    size_t width;
    const float *weights;
    size_t kept;
    bool alike;         /* its halves */
    uint32_t high, low; /* bits of the largest magnitude, and of the smallest above 0 */
} Row;

/* The places of kept weights in a sink, one after the other. */
typedef struct Places {
    float *next;
    bool sparse; /* all of them are kept */
} Places;

static Places
places_of(const Sink *sink)
{
    return (Places){.next = sink->row ? sink->row : sink->values, .sparse = !sink->row};
}

static inline void
place(Places *places, float value)
{
    while (!places->sparse && *places->next == 0)
        places->next++;
    *places->next++ = value;
}

typedef struct Kind {
    uint32_t levels; /* of magnitudes; 0: floats */
    unsigned scale_bytes;
    unsigned least_bits; /* that a value takes */
} Kind;

static const Kind kinds[METASD_STORAGES] = {
    [METASD_FLOAT32] = {.levels = 0, .scale_bytes = 0, .least_bits = 32},
    [METASD_INT8] = {.levels = 128, .scale_bytes = SCALE_BYTES, .least_bits = 1},
    [METASD_INT6] = {.levels = 32, .scale_bytes = SCALE_BYTES, .least_bits = 1},
};

/* ---- floats ---- */

static void
put_floats(MetasdBitWriter *writer, const Row *row)
{
    for (size_t j = 0; j < row->width; j++)
        if (row->weights[j] != 0)
            metasd_bits_put(writer, bits_of(row->weights[j]), 32);
}

static bool
get_floats(MetasdBitReader *reader, size_t kept, Places places)
{
    for (size_t i = 0; i < kept; i++) {
        uint32_t bits = metasd_bits_get(reader, 32);

        if ((bits & MAGNITUDE) == 0 || (bits & MAGNITUDE) >= INFINITE)
            return false;
        place(&places, float_of(bits));
    }
    return true;
}

/* ---- integers ---- */

/* The magnitude that the highest level stands for. */
static float
high_of(const Row *row)
{
    float high = float_of(row->high);

    return high < METASD_LEAST_SCALE ? METASD_LEAST_SCALE : high;
}

/* The highest level, q = levels - 1, is `high`: (q + 1/2) steps, an odd number of halves. */
static int
most_code(const Kind *kind)
{
    return (int)(2 * kind->levels) - 1;
}

static double
half_step(const Kind *kind, float high)
{
    return (double)high / most_code(kind);
}

static uint32_t
level_of(const Kind *kind, float high, float weight)
{
    double steps = fabs((double)weight) * (most_code(kind) / (2.0 * (double)high));

    return steps >= kind->levels ? kind->levels - 1 : (uint32_t)steps;
}

static float
magnitude_of(uint32_t level, double half_step)
{
    return (float)((2.0 * level + 1) * half_step);
}

static void
put_integers(MetasdBitWriter *writer, const Kind *kind, const Row *row)
{
    float high = high_of(row);
    uint32_t lowest = level_of(kind, high, float_of(row->low));
    MetasdMinimal code = metasd_bits_minimal(2 * (kind->levels - lowest));

    for (size_t j = 0; j < row->width; j++)
        if (row->weights[j] != 0) {
            uint32_t above = level_of(kind, high, row->weights[j]) - lowest;

            metasd_bits_put_minimal(writer, &code, 2 * above + (row->weights[j] < 0));
        }
}

static bool
get_integers(MetasdBitReader *reader, const Kind *kind, const uint8_t *scale, size_t kept,
             Places places, double *step)
{
    uint32_t high = get_u32(scale), lowest = scale[4];
    uint32_t least = UINT32_MAX, most = 0; /* codes there are */
    MetasdMinimal code;

    if (high < bits_of(METASD_LEAST_SCALE) || high >= INFINITE || lowest >= kind->levels)
        return false;
    *step = half_step(kind, float_of(high));
    code = metasd_bits_minimal(2 * (kind->levels - lowest));
    for (size_t i = 0; i < kept; i++) {
        uint32_t x = metasd_bits_get_minimal(reader, &code);
        float value = magnitude_of(lowest + x / 2, *step);

        least = x < least ? x : least;
        most = x > most ? x : most;
        place(&places, x & 1 ? -value : value);
    }
    /* Range and scale are those of the values, not wider. */
    return least < 2 &&
           (most / 2 + lowest == kind->levels - 1 || high == bits_of(METASD_LEAST_SCALE));
}

/* ---- writing a row ---- */

static MetasdStatus
read_weights(size_t width, const float *weights, Row *row)
{
    *row = (Row){.width = width, .weights = weights, .low = INFINITE};
    if (width == 0 || width > UINT32_MAX)
        return METASD_INVALID;
    for (size_t j = 0; j < width; j++) {
        uint32_t magnitude = bits_of(weights[j]) & MAGNITUDE;

        if (magnitude >= INFINITE)
            return METASD_NON_FINITE;
        if (magnitude == 0)
            continue;
        row->kept++;
        row->high = magnitude > row->high ? magnitude : row->high;
        row->low = magnitude < row->low ? magnitude : row->low;
    }
    row->alike = halves_alike(width, weights, row->kept);
    return METASD_OK;
}

/* All but the checksum. */
static void
put_row(MetasdBitWriter *writer, MetasdStorage storage, const Row *row)
{
    const Kind *kind = &kinds[storage];
    size_t parts = row->alike ? 2 : 1;
    uint8_t counts[2 * MAX_LEB];
    size_t n = put_leb(counts, (uint32_t)row->width);

    n += put_leb(counts + n, (uint32_t)row->kept);
    metasd_bits_put(writer, VERSION, 8);
    metasd_bits_put(writer, ((uint32_t)storage + 1) | (row->alike ? ALIKE : 0), 8);
    metasd_bits_put(writer, 0, 32);
    for (size_t i = 0; i < n; i++)
        metasd_bits_put(writer, counts[i], 8);
    if (row->kept == 0)
        return;
    if (kind->levels > 0) {
        metasd_bits_put(writer, bits_of(high_of(row)), 32);
        metasd_bits_put(writer, level_of(kind, high_of(row), float_of(row->low)), 8);
    }
    put_positions(writer, row->width / parts, row->weights, row->kept / parts);
    if (kind->levels > 0)
        put_integers(writer, kind, row);
    else
        put_floats(writer, row);
    metasd_bits_put_end(writer);
}

static uint32_t
checksum(const uint8_t *bytes, size_t n)
{
    uint32_t crc = metasd_crc32c(0, bytes, CHECKSUM_AT);

    return metasd_crc32c(crc, bytes + WIDTH_AT, n - WIDTH_AT);
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

    return WIDTH_AT + 2 * MAX_LEB + SCALE_BYTES + (size_t)(bits / 8) + 1;
}

MetasdStatus
metasd_row_encode(MetasdStorage storage, size_t width, const float *weights, uint8_t *out,
                  size_t size, size_t *used)
{
    MetasdBitWriter writer = {.out = out, .size = size};
    Row row;

    METASD_TRY(read_weights(width, weights, &row));
    put_row(&writer, storage, &row);
    if (writer.bytes > size)
        return METASD_INVALID;
    put_u32(out + CHECKSUM_AT, checksum(out, writer.bytes));
    *used = writer.bytes;
    return METASD_OK;
}

MetasdStatus
metasd_round_row(MetasdStorage storage, size_t width, float *weights)
{
    const Kind *kind = &kinds[storage];
    double step;
    float high;
    Row row;

    METASD_TRY(read_weights(width, weights, &row));
    if (kind->levels == 0)
        return METASD_OK;
    high = high_of(&row);
    step = half_step(kind, high);
    for (size_t j = 0; j < width; j++)
        if (weights[j] != 0) {
            float magnitude = magnitude_of(level_of(kind, high, weights[j]), step);

            weights[j] = weights[j] < 0 ? -magnitude : magnitude;
        }
    return METASD_OK;
}

/* ---- reading a row ---- */

typedef struct Header {
    const Kind *kind;
    bool alike;
    size_t width, kept;
    const uint8_t *end; /* what follows it */
} Header;

static bool
get_header(const uint8_t *bytes, size_t n, Header *header)
{
    uint32_t number, counts[2];
    uint64_t bits, listed;

    if (n <= WIDTH_AT || bytes[0] != VERSION)
        return false;
    number = bytes[1] & ~ALIKE;
    if (number < 1 || number > METASD_STORAGES)
        return false;
    *header =
        (Header){.kind = &kinds[number - 1], .alike = bytes[1] & ALIKE, .end = bytes + WIDTH_AT};
    for (int i = 0; i < 2; i++)
        if (!get_leb(&header->end, bytes + n, &counts[i]))
            return false;
    header->width = counts[0];
    header->kept = counts[1];
    if (header->width == 0 || header->kept > header->width)
        return false;
    if (header->alike && (header->width % 2 > 0 || header->kept % 2 > 0 || header->kept == 0 ||
                          header->kept == header->width))
        return false;
    if (header->kept == 0)
        return header->end == bytes + n;
    /* What there is at least: no count can be more than a multiple of the bytes. */
    listed = lists_kept(header->width, header->kept) ? header->kept : header->width - header->kept;
    bits = 8 * (uint64_t)(bytes + n - header->end);
    return bits >= 8 * header->kind->scale_bytes +
                       (uint64_t)header->kept * header->kind->least_bits +
                       (header->alike ? listed / 2 : listed);
}

/* The header has been read, and the sink has room for what it announces. */
static bool
get_row(const uint8_t *bytes, size_t n, const Header *header, const Sink *sink, double *step)
{
    const Kind *kind = header->kind;
    MetasdBitReader reader = {.at = header->end + kind->scale_bytes, .end = bytes + n};
    size_t parts = header->alike ? 2 : 1, kept = header->kept;

    if (checksum(bytes, n) != get_u32(bytes + CHECKSUM_AT))
        return false;
    if (kept == 0)
        return true;
    if (!get_positions(&reader, header->width / parts, kept / parts, sink))
        return false;
    if (header->alike)
        keep_alike(sink, header->width / 2, kept / 2);
    else if (found_alike(sink, header->width, kept))
        return false;
    return (kind->levels > 0 ? get_integers(&reader, kind, header->end, kept, places_of(sink), step)
                             : get_floats(&reader, kept, places_of(sink))) &&
           metasd_bits_get_end(&reader);
}

MetasdStatus
metasd_row_decode_header(const uint8_t *bytes, size_t n, size_t *width, size_t *kept)
{
    Header header;

    if (!get_header(bytes, n, &header))
        return METASD_CORRUPT;
    *width = header.width;
    *kept = header.kept;
    return METASD_OK;
}

MetasdStatus
metasd_row_decode_sparse(const uint8_t *bytes, size_t n, size_t width, uint32_t *positions,
                         float *values, size_t capacity, MetasdDecoded *decoded)
{
    Sink sink = {.positions = positions, .values = values};
    Header header;

    if (!get_header(bytes, n, &header) || header.width != width)
        return METASD_CORRUPT;
    *decoded = (MetasdDecoded){.kept = header.kept, .step = 1};
    if (header.kept > capacity)
        return METASD_INVALID;
    if (header.kind->levels > 0)
        decoded->most_code = most_code(header.kind);
    return get_row(bytes, n, &header, &sink, &decoded->step) ? METASD_OK : METASD_CORRUPT;
}

MetasdStatus
metasd_row_decode_dense(const uint8_t *bytes, size_t n, size_t width, float *row)
{
    Sink sink = {.row = row};
    Header header;
    double step;

    if (!get_header(bytes, n, &header) || header.width != width)
        return METASD_CORRUPT;
    memset(row, 0, width * sizeof(*row));
    return get_row(bytes, n, &header, &sink, &step) ? METASD_OK : METASD_CORRUPT;
}
