#include "core/codec/row_values.h"

#include <math.h>
#include <string.h>

/* The levels of magnitudes; 0: floats. */
static const uint32_t level_counts[METASD_STORAGES] = {
    [METASD_FLOAT32] = 0, [METASD_INT8] = 128, [METASD_INT6] = 32};

/* ---- floats as bits ---- */

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

/* In the bits of a float: all but the sign, and an infinite magnitude. */
#define MAGNITUDE 0x7fffffffu
#define INFINITE 0x7f800000u

MetasdStatus
metasd_row_values_measure(size_t width, const float *row, MetasdRowRange *range)
{
    *range = (MetasdRowRange){.low = INFINITE};
    if (width == 0 || width > UINT32_MAX)
        return METASD_INVALID;
    for (size_t j = 0; j < width; j++) {
        uint32_t magnitude = bits_of(row[j]) & MAGNITUDE;

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

/* ---- integers: a scale and levels ---- */

/* The magnitude of the highest level. */
static float
high_of(const MetasdRowRange *range)
{
    float high = float_of(range->high);

    return high < METASD_LEAST_SCALE ? METASD_LEAST_SCALE : high;
}

/* The highest level, q = levels - 1, is `high`: (q + 1/2) steps, an odd number of half steps. */
int
metasd_row_values_most_code(MetasdStorage storage)
{
    return level_counts[storage] > 0 ? (int)(2 * level_counts[storage]) - 1 : 0;
}

unsigned
metasd_row_values_scale_bytes(MetasdStorage storage)
{
    return level_counts[storage] > 0 ? METASD_SCALE_BYTES : 0;
}

unsigned
metasd_row_values_least_bits(MetasdStorage storage)
{
    return level_counts[storage] > 0 ? 1 : 32;
}

static double
half_step(MetasdStorage storage, float high)
{
    return (double)high / metasd_row_values_most_code(storage);
}

static uint32_t
level_of(MetasdStorage storage, float high, float weight)
{
    double steps =
        fabs((double)weight) * (metasd_row_values_most_code(storage) / (2.0 * (double)high));

    return steps >= level_counts[storage] ? level_counts[storage] - 1 : (uint32_t)steps;
}

static float
magnitude_of(uint32_t level, double half_step)
{
    return (float)((2.0 * level + 1) * half_step);
}

void
metasd_row_values_round(MetasdStorage storage, size_t width, float *row,
                        const MetasdRowRange *range)
{
    float high = high_of(range);
    double step;

    if (level_counts[storage] == 0)
        return;
    step = half_step(storage, high);
    for (size_t j = 0; j < width; j++)
        if (row[j] != 0) {
            float magnitude = magnitude_of(level_of(storage, high, row[j]), step);

            row[j] = row[j] < 0 ? -magnitude : magnitude;
        }
}

/* ---- writing ---- */

void
metasd_row_values_put_scale(MetasdBitWriter *writer, MetasdStorage storage,
                            const MetasdRowRange *range)
{
    float high = high_of(range);

    if (level_counts[storage] == 0)
        return;
    metasd_bits_put(writer, bits_of(high), 32);
    metasd_bits_put(writer, level_of(storage, high, float_of(range->low)), 8);
}

static void
put_floats(MetasdBitWriter *writer, size_t width, const float *row)
{
    for (size_t j = 0; j < width; j++)
        if (row[j] != 0)
            metasd_bits_put(writer, bits_of(row[j]), 32);
}

static void
put_integers(MetasdBitWriter *writer, MetasdStorage storage, size_t width, const float *row,
             const MetasdRowRange *range)
{
    float high = high_of(range);
    uint32_t lowest = level_of(storage, high, float_of(range->low));
    MetasdMinimal code = metasd_bits_minimal(2 * (level_counts[storage] - lowest));

    for (size_t j = 0; j < width; j++)
        if (row[j] != 0) {
            uint32_t above = level_of(storage, high, row[j]) - lowest;

            metasd_bits_put_minimal(writer, &code, 2 * above + (row[j] < 0));
        }
}

void
metasd_row_values_put(MetasdBitWriter *writer, MetasdStorage storage, size_t width,
                      const float *row, const MetasdRowRange *range)
{
    if (level_counts[storage] > 0)
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
            next = put_weight(next, float_of(bits));
        else
            to->values[i] = float_of(bits);
    }
    return true;
}

static bool
get_integers(MetasdBitReader *reader, MetasdStorage storage, const uint8_t *scale, size_t kept,
             const MetasdRowValues *to, double *step)
{
    uint32_t levels = level_counts[storage];
    uint32_t high = metasd_bits_u32(scale), lowest = scale[4];
    uint32_t least = UINT32_MAX, most = 0; /* of the numbers read */
    float *next = to->row;
    MetasdMinimal code;

    if (high < bits_of(METASD_LEAST_SCALE) || high >= INFINITE || lowest >= levels)
        return false;
    *step = half_step(storage, float_of(high));
    code = metasd_bits_minimal(2 * (levels - lowest));
    for (size_t i = 0; i < kept; i++) {
        uint32_t x = metasd_bits_get_minimal(reader, &code), level = lowest + x / 2;

        least = x < least ? x : least;
        most = x > most ? x : most;
        if (next) {
            float magnitude = magnitude_of(level, *step);

            next = put_weight(next, x & 1 ? -magnitude : magnitude);
        } else
            to->codes[i] = (int16_t)(x & 1 ? -(int)(2 * level + 1) : (int)(2 * level + 1));
    }
    /* Range and scale must be those of the values, not wider. */
    return least < 2 && (most / 2 + lowest == levels - 1 || high == bits_of(METASD_LEAST_SCALE));
}

bool
metasd_row_values_get(MetasdBitReader *reader, MetasdStorage storage, const uint8_t *scale,
                      size_t kept, const MetasdRowValues *to, double *step)
{
    return level_counts[storage] > 0 ? get_integers(reader, storage, scale, kept, to, step)
                                     : get_floats(reader, kept, to);
}
