/* codec_v2.c - versions 2 and 3 of the row format, which codec.h describes. */
#include "codec_formats.h"

#include <math.h>
#include <string.h>

#include "bits.h"

#define VERSION 2
#define VERSION_ALIKE 3 /* the same, but for positions: both halves of the row keep the same */
#define CHECKSUM_AT 2
#define WIDTH_AT 6

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

/* ---- which weights are kept ---- */

/*
 * The divisor of gaps between n of `width` positions, n at most half of them: ln 2 times the mean
 * distance less a half, rounded. It is the best one for positions at random.
 */
static MetasdMinimal
gap_divisor(uint64_t width, uint64_t n)
{
    return metasd_minimal((uint32_t)(((2 * width - n) * 355 + 512 * n) / (1024 * n)));
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
            metasd_put_golomb(writer, &divisor, (uint32_t)(j - next));
            next = j + 1;
        }
}

/* Notes positions [first, end) as kept, *kept before them: those of a row of zeros as ones. */
static void
keep(const MetasdSink *sink, size_t first, size_t end, size_t *kept)
{
    for (size_t j = first; j < end; j++)
        if (sink->row)
            sink->row[j] = 1;
        else
            sink->positions[(*kept)++] = (uint32_t)j;
}

static bool
get_positions(MetasdBitReader *reader, size_t width, size_t kept, const MetasdSink *sink)
{
    bool listed = lists_kept(width, kept);
    size_t n = listed ? kept : width - kept, next = 0, found = 0;
    MetasdMinimal divisor = {0};

    if (n > 0)
        divisor = gap_divisor(width, n);
    for (size_t i = 0; i < n; i++) {
        /* as far as all that are still to come have room */
        size_t at = next + metasd_get_golomb(reader, &divisor, (uint32_t)(width - next - (n - i)));

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
keep_alike(const MetasdSink *sink, size_t half, size_t kept)
{
    if (sink->row)
        memcpy(sink->row + half, sink->row, half * sizeof(*sink->row));
    else
        for (size_t i = 0; i < kept; i++)
            sink->positions[kept + i] = sink->positions[i] + (uint32_t)half;
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
places_of(const MetasdSink *sink)
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
    unsigned scale_bytes;
    unsigned least_bits; /* that a value takes */
    uint32_t levels;     /* of magnitudes; 0: not integers */
    void (*put_scale)(MetasdBitWriter *writer, const struct Kind *kind, const Row *row);
    void (*put)(MetasdBitWriter *writer, const struct Kind *kind, const Row *row);
    /* false where no row is encoded so; that all bits are there is for the caller to look at */
    bool (*get)(MetasdBitReader *reader, const struct Kind *kind, const uint8_t *scale, size_t kept,
                Places places);
} Kind;

/* ---- float32 ---- */

static void
put_float32(MetasdBitWriter *writer, const Kind *kind, const Row *row)
{
    (void)kind;
    for (size_t j = 0; j < row->width; j++)
        if (row->weights[j] != 0)
            metasd_put_bits(writer, bits_of(row->weights[j]), 32);
}

static bool
get_float32(MetasdBitReader *reader, const Kind *kind, const uint8_t *scale, size_t kept,
            Places places)
{
    (void)kind;
    (void)scale;
    for (size_t i = 0; i < kept; i++) {
        uint32_t bits = metasd_get_bits(reader, 32);

        if ((bits & MAGNITUDE) == 0 || (bits & MAGNITUDE) >= INFINITE)
            return false;
        place(&places, float_of(bits));
    }
    return true;
}

/* ---- float16 ---- */

/* A float's exponent as its bits have it; that of denormal ones is the lowest there is. */
#define LEAST_EXPONENT 1
#define MOST_EXPONENT 254

/* A half's, in bits 10 .. 14; its magnitude in bits 0 .. 14. */
#define HALF_MAGNITUDE 0x7fff
#define HALF_HIGHEST 0x7bff /* that is finite */
#define HALF_HIGH 0x7800    /* the lowest with the largest exponent */

/*
 * A half times 2^(exponent - 142) is a weight: the largest one, of about 2^(exponent - 127), is
 * about 2^15 as a half. The exponent is that of the largest weight once it is rounded.
 */
static int
half_exponent(uint32_t high)
{
    uint32_t rounded = (high + 0xfff + (high >> 13 & 1)) >> 23;

    return rounded < LEAST_EXPONENT  ? LEAST_EXPONENT
           : rounded > MOST_EXPONENT ? MOST_EXPONENT
                                     : (int)rounded;
}

/* The magnitude of a half nearest to that of a weight, even where two are; above 0. */
static uint32_t
half_of(float weight, int exponent)
{
    double magnitude = ldexp(fabs((double)weight), 142 - exponent);
    int power = magnitude < 0x1p-14 ? -14 : ilogb(magnitude);
    /* What rounds up to the next power of two counts the exponent up. */
    uint32_t half = ((uint32_t)(power + 14) << 10) + (uint32_t)rint(ldexp(magnitude, 10 - power));

    return half < 1 ? 1 : half > HALF_HIGHEST ? HALF_HIGHEST : half;
}

static void
put_exponent(MetasdBitWriter *writer, const Kind *kind, const Row *row)
{
    (void)kind;
    metasd_put_bits(writer, (uint32_t)half_exponent(row->high), 8);
}

static void
put_float16(MetasdBitWriter *writer, const Kind *kind, const Row *row)
{
    int exponent = half_exponent(row->high);

    (void)kind;
    for (size_t j = 0; j < row->width; j++)
        if (row->weights[j] != 0) {
            uint32_t sign = signbit(row->weights[j]) ? HALF_MAGNITUDE + 1 : 0;

            metasd_put_bits(writer, sign | half_of(row->weights[j], exponent), 16);
        }
}

static bool
get_float16(MetasdBitReader *reader, const Kind *kind, const uint8_t *scale, size_t kept,
            Places places)
{
    int exponent = scale[0];
    /* a half's bits in a float's places are a float 2^-112 times it, the lowest halves as well */
    double factor = ldexp(1, 112 + exponent - 142);
    uint32_t highest = 0;

    (void)kind;
    if (exponent < LEAST_EXPONENT || exponent > MOST_EXPONENT)
        return false;
    for (size_t i = 0; i < kept; i++) {
        uint32_t half = metasd_get_bits(reader, 16), magnitude = half & HALF_MAGNITUDE;
        double value = (double)float_of(magnitude << 13) * factor;

        /* what a float cannot be was no weight */
        if (magnitude == 0 || magnitude > HALF_HIGHEST || (double)(float)value != value)
            return false;
        highest = magnitude > highest ? magnitude : highest;
        place(&places, half > HALF_MAGNITUDE ? -(float)value : (float)value);
    }
    return highest >= HALF_HIGH || exponent == LEAST_EXPONENT;
}

/* ---- integers ---- */

/* The magnitude that the highest level stands for. */
static float
high_of(const Row *row)
{
    float high = float_of(row->high);

    return high < METASD_LEAST_SCALE ? METASD_LEAST_SCALE : high;
}

/* Levels are (q + 1/2) steps: the highest one, q = levels - 1, is `high`. */
static uint32_t
level_of(const Kind *kind, float high, float weight)
{
    double steps = fabs((double)weight) * ((2.0 * kind->levels - 1) / (2.0 * (double)high));

    return steps >= kind->levels ? kind->levels - 1 : (uint32_t)steps;
}

static void
put_range(MetasdBitWriter *writer, const Kind *kind, const Row *row)
{
    float high = high_of(row);

    metasd_put_bits(writer, bits_of(high), 32);
    metasd_put_bits(writer, level_of(kind, high, float_of(row->low)), 8);
}

static void
put_integers(MetasdBitWriter *writer, const Kind *kind, const Row *row)
{
    float high = high_of(row);
    uint32_t lowest = level_of(kind, high, float_of(row->low));
    MetasdMinimal code = metasd_minimal(2 * (kind->levels - lowest));

    for (size_t j = 0; j < row->width; j++)
        if (row->weights[j] != 0) {
            uint32_t above = level_of(kind, high, row->weights[j]) - lowest;

            metasd_put_minimal(writer, &code, 2 * above + (row->weights[j] < 0));
        }
}

static bool
get_integers(MetasdBitReader *reader, const Kind *kind, const uint8_t *scale, size_t kept,
             Places places)
{
    uint32_t high = metasd_get_u32(scale), lowest = scale[4];
    uint32_t least = UINT32_MAX, most = 0; /* codes there are */
    double half_step;
    MetasdMinimal code;

    if (high < bits_of(METASD_LEAST_SCALE) || high >= INFINITE || lowest >= kind->levels)
        return false;
    half_step = (double)float_of(high) / (2.0 * kind->levels - 1);
    code = metasd_minimal(2 * (kind->levels - lowest));
    for (size_t i = 0; i < kept; i++) {
        uint32_t x = metasd_get_minimal(reader, &code);
        float value = (float)((double)(x - (x & 1) + 2 * lowest + 1) * half_step);

        least = x < least ? x : least;
        most = x > most ? x : most;
        place(&places, x & 1 ? -value : value);
    }
    /* Range and scale are those of the values, not wider. */
    return least < 2 &&
           (most / 2 + lowest == kind->levels - 1 || high == bits_of(METASD_LEAST_SCALE));
}

/* ---- the whole row ---- */

static const Kind kinds[METASD_STORAGES] = {
    [METASD_FLOAT32] = {.least_bits = 32, .put = put_float32, .get = get_float32},
    [METASD_FLOAT16] = {.scale_bytes = 1,
                        .least_bits = 16,
                        .put_scale = put_exponent,
                        .put = put_float16,
                        .get = get_float16},
    [METASD_INT8] = {.scale_bytes = 5,
                     .least_bits = 1,
                     .levels = 128,
                     .put_scale = put_range,
                     .put = put_integers,
                     .get = get_integers},
    [METASD_INT6] = {.scale_bytes = 5,
                     .least_bits = 1,
                     .levels = 32,
                     .put_scale = put_range,
                     .put = put_integers,
                     .get = get_integers},
};

static const Kind *
find_kind(uint8_t number)
{
    return number >= 1 && number <= METASD_STORAGES ? &kinds[number - 1] : NULL;
}

static MetasdStatus
look_at(size_t width, const float *weights, Row *row)
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
    uint8_t counts[2 * METASD_MAX_LEB];
    size_t n = metasd_put_leb(counts, (uint32_t)row->width);

    n += metasd_put_leb(counts + n, (uint32_t)row->kept);
    metasd_put_bits(writer, row->alike ? VERSION_ALIKE : VERSION, 8);
    metasd_put_bits(writer, (uint32_t)storage + 1, 8);
    metasd_put_bits(writer, 0, 32);
    for (size_t i = 0; i < n; i++)
        metasd_put_bits(writer, counts[i], 8);
    if (row->kept == 0)
        return;
    if (kind->put_scale)
        kind->put_scale(writer, kind, row);
    put_positions(writer, row->width / parts, row->weights, row->kept / parts);
    kind->put(writer, kind, row);
    metasd_put_end(writer);
}

static uint32_t
checksum(const uint8_t *bytes, size_t n)
{
    uint32_t crc = metasd_crc32c(0, bytes, CHECKSUM_AT);

    return metasd_crc32c(crc, bytes + WIDTH_AT, n - WIDTH_AT);
}

size_t
metasd_codec_bytes(MetasdStorage storage, size_t width, const float *weights)
{
    MetasdBitWriter writer = {0};
    Row row;

    if (look_at(width, weights, &row) != METASD_OK)
        return 0;
    put_row(&writer, storage, &row);
    return writer.bytes;
}

MetasdStatus
metasd_encode(MetasdStorage storage, size_t width, const float *weights, uint8_t *out, size_t size,
              size_t *used)
{
    MetasdBitWriter writer = {.out = out, .size = size};
    Row row;

    METASD_TRY(look_at(width, weights, &row));
    put_row(&writer, storage, &row);
    if (writer.bytes > size)
        return METASD_INVALID;
    metasd_put_u32(out + CHECKSUM_AT, checksum(out, writer.bytes));
    *used = writer.bytes;
    return METASD_OK;
}

/* Kind and counts; *after = where they end. */
static bool
get_header(const uint8_t *bytes, size_t n, const Kind **kind, size_t *width, size_t *kept,
           const uint8_t **after)
{
    bool alike = bytes[0] == VERSION_ALIKE;
    uint32_t counts[2];
    uint64_t bits, listed;

    if (n <= WIDTH_AT || !(*kind = find_kind(bytes[1])))
        return false;
    *after = bytes + WIDTH_AT;
    for (int i = 0; i < 2; i++)
        if (!metasd_get_leb(after, bytes + n, &counts[i]))
            return false;
    *width = counts[0];
    *kept = counts[1];
    if (*width == 0 || *kept > *width)
        return false;
    if (alike && (*width % 2 > 0 || *kept % 2 > 0 || *kept == 0 || *kept == *width))
        return false;
    if (*kept == 0)
        return *after == bytes + n;
    /* What there is at least: no count can be more than a multiple of the bytes. */
    listed = lists_kept(*width, *kept) ? *kept : *width - *kept;
    bits = 8 * (uint64_t)(bytes + n - *after);
    return bits >= 8 * (*kind)->scale_bytes + (uint64_t)*kept * (*kind)->least_bits +
                       (alike ? listed / 2 : listed);
}

static bool
header(const uint8_t *bytes, size_t n, size_t *width, size_t *kept)
{
    const uint8_t *after;
    const Kind *kind;

    return get_header(bytes, n, &kind, width, kept, &after);
}

static bool
body(const uint8_t *bytes, size_t n, const MetasdSink *sink)
{
    MetasdBitReader reader = {.end = bytes + n};
    const uint8_t *scale;
    const Kind *kind;
    size_t width, kept, parts = bytes[0] == VERSION_ALIKE ? 2 : 1;

    if (!get_header(bytes, n, &kind, &width, &kept, &scale) ||
        checksum(bytes, n) != metasd_get_u32(bytes + CHECKSUM_AT))
        return false;
    if (kept == 0)
        return true;
    reader.at = scale + kind->scale_bytes;
    if (!get_positions(&reader, width / parts, kept / parts, sink))
        return false;
    if (parts > 1)
        keep_alike(sink, width / 2, kept / 2);
    return kind->get(&reader, kind, scale, kept, places_of(sink)) && metasd_get_end(&reader);
}

const MetasdFormat metasd_format_2 = {.version = VERSION, .header = header, .body = body};
const MetasdFormat metasd_format_3 = {.version = VERSION_ALIKE, .header = header, .body = body};
