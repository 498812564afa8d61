#include "core/codec/row_values.h"

#include <math.h>

#include "core/base/float_bits.h"

/* What is stored of a row besides the levels of its weights. */
typedef struct Kind {
    unsigned lowest_bits; /* of the lowest level in use; 0: it counts as 0 */
    unsigned least_bits;  /* of a value, at least */
} Kind;

static const Kind kinds[METASD_STORAGES] = {[METASD_FLOAT32] = {.least_bits = 32},
                                            [METASD_INT8] = {.lowest_bits = 8, .least_bits = 1},
                                            [METASD_INT6] = {.lowest_bits = 8, .least_bits = 1},
                                            [METASD_INT4] = {.lowest_bits = 0, .least_bits = 4}};

/* In the bits of a float: all but the sign, and an infinite magnitude. */
#define MAGNITUDE 0x7fffffffu
#define INFINITE 0x7f800000u

/* The number of kept weights, their largest and their smallest magnitude. */
static MetasdStatus
measure_magnitudes(size_t width, const float *row, MetasdRowRange *range)
{
    *range = (MetasdRowRange){.low = INFINITE};
    if (width == 0 || width > UINT32_MAX)
        return METASD_INVALID;
    for (size_t j = 0; j < width; j++) {
        uint32_t magnitude = metasd_float_bits(row[j]) & MAGNITUDE;

        if (magnitude >= INFINITE)
            return METASD_NON_FINITE;
        if (magnitude == 0)
            continue;
        range->kept++;
        range->high = magnitude > range->high ? magnitude : range->high;
        range->low = magnitude < range->low ? magnitude : range->low;
    }
    return METASD_OK;
}

unsigned
metasd_row_values_scale_bytes(MetasdStorage storage)
{
    return (metasd_row_levels_scale_bits(storage) + kinds[storage].lowest_bits) / 8;
}

unsigned
metasd_row_values_least_bits(MetasdStorage storage)
{
    return kinds[storage].least_bits;
}

MetasdStatus
metasd_row_values_measure(MetasdStorage storage, size_t width, const float *row,
                          MetasdRowRange *range)
{
    METASD_TRY(measure_magnitudes(width, row, range));
    if (metasd_row_levels_count(storage) > 0)
        range->scale = metasd_row_levels_fit(storage, width, row, metasd_float_of_bits(range->high),
                                             metasd_float_of_bits(range->low));
    return METASD_OK;
}

/* ---- writing ---- */

/* The level that values are told above. */
static uint32_t
lowest_level(MetasdStorage storage, const MetasdRowRange *range)
{
    MetasdRowLevels levels = metasd_row_levels(storage, range->scale);

    return kinds[storage].lowest_bits > 0
               ? metasd_row_levels_find(&levels, metasd_float_of_bits(range->low))
               : 0;
}

void
metasd_row_values_put_scale(MetasdBitWriter *writer, MetasdStorage storage,
                            const MetasdRowRange *range)
{
    if (metasd_row_levels_count(storage) == 0)
        return;
    metasd_bits_put(writer, metasd_row_levels_pack_scale(storage, range->scale),
                    metasd_row_levels_scale_bits(storage));
    metasd_bits_put(writer, lowest_level(storage, range), kinds[storage].lowest_bits);
}

static void
put_floats(MetasdBitWriter *writer, size_t width, const float *row)
{
    for (size_t j = 0; j < width; j++)
        if (row[j] != 0)
            metasd_bits_put(writer, metasd_float_bits(row[j]), 32);
}

static void
put_integers(MetasdBitWriter *writer, MetasdStorage storage, size_t width, const float *row,
             const MetasdRowRange *range)
{
    MetasdRowLevels levels = metasd_row_levels(storage, range->scale);
    uint32_t lowest = lowest_level(storage, range);
    MetasdMinimal code = metasd_bits_minimal(2 * (levels.count - lowest));

    for (size_t j = 0; j < width; j++)
        if (row[j] != 0) {
            uint32_t above = metasd_row_levels_find(&levels, row[j]) - lowest;

            metasd_bits_put_minimal(writer, &code, 2 * above + (row[j] < 0));
        }
}

void
metasd_row_values_put(MetasdBitWriter *writer, MetasdStorage storage, size_t width,
                      const float *row, const MetasdRowRange *range)
{
    if (metasd_row_levels_count(storage) > 0)
        put_integers(writer, storage, width, row, range);
    else
        put_floats(writer, width, row);
}

/* ---- reading ---- */

/* Replaces the next weight of a row that is not 0. */
static inline float *
put_weight(float *next, float weight)
{
    while (*next == 0)
        next++;
    *next = weight;
    return next + 1;
}

static bool
get_floats(MetasdBitReader *reader, size_t kept, const MetasdRowValues *to)
{
    float *next = to->row;

    for (size_t i = 0; i < kept; i++) {
        uint32_t bits = metasd_bits_get(reader, 32);

        if ((bits & MAGNITUDE) == 0 || (bits & MAGNITUDE) >= INFINITE)
            return false;
        if (next)
            next = put_weight(next, metasd_float_of_bits(bits));
        else
            to->values[i] = metasd_float_of_bits(bits);
    }
    return true;
}

/* A scale as it is stored, and the lowest level. */
static void
get_scale(MetasdStorage storage, const uint8_t *bytes, uint32_t *scale, uint32_t *lowest)
{
    unsigned n = metasd_row_levels_scale_bits(storage) / 8;

    *scale = n == 2 ? (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 : metasd_bits_u32(bytes);
    *lowest = kinds[storage].lowest_bits > 0 ? bytes[n] : 0;
}

static bool
get_integers(MetasdBitReader *reader_, MetasdStorage storage, const uint8_t *bytes, size_t kept,
             const MetasdRowValues *to, double *step)
{
    MetasdBitReader reader =
        *reader_; /* no store to the codes can change it: it stays in registers */
    uint32_t bits, lowest;
    uint32_t least = UINT32_MAX, most = 0; /* of the numbers read */
    float *next = to->row, scale;
    int8_t *codes = to->codes;
    MetasdMinimal minimal;
    MetasdRowLevels levels;

    get_scale(storage, bytes, &bits, &lowest);
    scale = metasd_row_levels_unpack_scale(storage, bits);
    if (isnan(scale) || lowest >= metasd_row_levels_count(storage))
        return false;
    levels = metasd_row_levels(storage, scale);
    *step = levels.unit;
    minimal = metasd_bits_minimal(2 * (levels.count - lowest));
    for (size_t i = 0; i < kept; i++) {
        uint32_t x = metasd_bits_get_minimal(&reader, &minimal), level = lowest + x / 2;
        int code = metasd_row_levels_code(&levels, level);

        least = x < least ? x : least;
        most = x > most ? x : most;
        if (next) {
            float magnitude = (float)(code * levels.unit);

            next = put_weight(next, x & 1 ? -magnitude : magnitude);
        } else
            codes[i] = (int8_t)(x & 1 ? -code : code);
    }
    *reader_ = reader;
    /* Range and scale must be those of the values, not wider. */
    return (least < 2 || kinds[storage].lowest_bits == 0) &&
           metasd_row_levels_fits(storage, scale, lowest + least / 2, lowest + most / 2);
}

bool
metasd_row_values_get(MetasdBitReader *reader, MetasdStorage storage, const uint8_t *scale,
                      size_t kept, const MetasdRowValues *to, double *step)
{
    return metasd_row_levels_count(storage) > 0
               ? get_integers(reader, storage, scale, kept, to, step)
               : get_floats(reader, kept, to);
}
