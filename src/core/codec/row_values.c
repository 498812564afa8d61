#include "core/codec/row_values.h"

#include <math.h>
#include <string.h>

#include "core/base/simd.h"

typedef struct Kind {
    uint32_t levels; /* of magnitudes; 0: floats */
    /*
     * The magnitude of level q is 1 + apart x q units, so no level is 0. Two apart, they are the
     * middles of equal steps from 0 on. One apart, they are whole steps: where levels are many, the
     * first one is hardly ever missed, and codes of 8 bits hold them all.
     */
    uint32_t apart;
    /*
     * The highest level is one of so many parts of the largest magnitude, TOP_STEP apart: down to
     * .41 of it where levels are few. Where they are many, it is the largest magnitude itself.
     */
    int tops;
    unsigned top_bits;    /* of the highest level, as stored: the upper ones of a float */
    unsigned lowest_bits; /* of the lowest level in use; 0: it counts as 0 */
    unsigned least_bits;  /* of a value, at least */
} Kind;

static const Kind kinds[METASD_STORAGES] = {
    [METASD_FLOAT32] = {.least_bits = 32},
    [METASD_INT8] =
        {.levels = 127, .apart = 1, .tops = 1, .top_bits = 32, .lowest_bits = 8, .least_bits = 1},
    [METASD_INT6] =
        {.levels = 32, .apart = 2, .tops = 1, .top_bits = 32, .lowest_bits = 8, .least_bits = 1},
    [METASD_INT4] = {
        .levels = 8, .apart = 2, .tops = 20, .top_bits = 16, .lowest_bits = 0, .least_bits = 4}};

#define TOP_STEP 0x1p-5

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

/* The number of kept weights, their largest and their smallest magnitude. */
static MetasdStatus
measure_magnitudes(size_t width, const float *row, MetasdRowRange *range)
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

static inline int
code_of(uint32_t level, uint32_t apart)
{
    return 1 + (int)(apart * level);
}

/* The code of the highest level, whose magnitude is `top`. */
int
metasd_row_values_most_code(MetasdStorage storage)
{
    const Kind *kind = &kinds[storage];

    return kind->levels > 0 ? code_of(kind->levels - 1, kind->apart) : 0;
}

unsigned
metasd_row_values_scale_bytes(MetasdStorage storage)
{
    return (kinds[storage].top_bits + kinds[storage].lowest_bits) / 8;
}

unsigned
metasd_row_values_least_bits(MetasdStorage storage)
{
    return kinds[storage].least_bits;
}

/* The levels of a row: how a weight becomes the number of its level, and the way back. */
typedef struct Levels {
    double per_weight, shift; /* the level is per_weight x magnitude + shift, towards 0 */
    double highest;
    double apart, unit; /* the magnitude is (1 + apart x level) x unit */
} Levels;

static Levels
levels_up_to(MetasdStorage storage, float top)
{
    int most_code = metasd_row_values_most_code(storage);
    double apart = kinds[storage].apart;

    return (Levels){.per_weight = most_code / (apart * (double)top),
                    .shift = 0.5 - 1 / apart,
                    .highest = kinds[storage].levels - 1,
                    .apart = apart,
                    .unit = (double)top / most_code};
}

/* The level that a weight is rounded to. This is the only place that decides it. */
static inline uint32_t
level_of(const Levels *levels, float weight)
{
    double level = fabs((double)weight) * levels->per_weight + levels->shift;

    return (uint32_t)(int32_t)(level < levels->highest ? level : levels->highest);
}

static inline float
magnitude_of(const Levels *levels, uint32_t level)
{
    return (float)((levels->apart * (int32_t)level + 1) * levels->unit);
}

/* The sum of the squared differences that rounding makes. */
METASD_VECTORISE static double
sum_squares(const Levels *levels_, size_t width, const float *row)
{
    const Levels levels = *levels_;
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (size_t j = 0; j < width; j++) {
        float magnitude = magnitude_of(&levels, level_of(&levels, row[j]));
        double less = row[j] == 0 ? 0 : fabs((double)row[j]) - (double)magnitude;

        sum += less * less;
    }
    return sum;
}

/* The bits of a highest level that are not stored; they are 0. */
static unsigned
spare_bits(MetasdStorage storage)
{
    return 32 - kinds[storage].top_bits;
}

/* The largest highest level that can be stored and is at most so high. */
static float
top_within(MetasdStorage storage, double high)
{
    float top = float_of(bits_of((float)high) >> spare_bits(storage) << spare_bits(storage));

    return top < METASD_LEAST_SCALE ? METASD_LEAST_SCALE : top;
}

/*
 * The highest level of least error, the larger of two as good. Some weight reaches it, whichever it
 * is. So the first candidate of a row that was rounded before is the level it was rounded with: its
 * error is 0, and it is found again.
 */
static float
find_top(MetasdStorage storage, size_t width, const float *row, const MetasdRowRange *range)
{
    double least = INFINITY;
    float best = 0;

    for (int i = 0; i < kinds[storage].tops && least > 0; i++) {
        double high = (1 - i * TOP_STEP) * (double)float_of(range->high);
        float top = top_within(storage, high);
        Levels levels;
        double error;

        if (kinds[storage].tops == 1)
            return top;
        levels = levels_up_to(storage, top);
        error = sum_squares(&levels, width, row);
        if (error < least) {
            least = error;
            best = top;
        }
    }
    return best;
}

MetasdStatus
metasd_row_values_measure(MetasdStorage storage, size_t width, const float *row,
                          MetasdRowRange *range)
{
    METASD_TRY(measure_magnitudes(width, row, range));
    if (kinds[storage].levels > 0)
        range->top = find_top(storage, width, row, range);
    return METASD_OK;
}

METASD_VECTORISE static void
round_all(const Levels *levels_, size_t n, const float *weights, float *rounded)
{
    const Levels levels = *levels_;

#pragma omp simd
    for (size_t j = 0; j < n; j++) {
        float magnitude = magnitude_of(&levels, level_of(&levels, weights[j]));

        rounded[j] = weights[j] == 0 ? weights[j] : copysignf(magnitude, weights[j]);
    }
}

void
metasd_row_values_round(MetasdStorage storage, float top, size_t n, const float *weights,
                        float *rounded)
{
    Levels levels = levels_up_to(storage, top);

    round_all(&levels, n, weights, rounded);
}

/* ---- writing ---- */

/* The level that values are told above. */
static uint32_t
lowest_level(MetasdStorage storage, const MetasdRowRange *range)
{
    Levels levels = levels_up_to(storage, range->top);

    return kinds[storage].lowest_bits > 0 ? level_of(&levels, float_of(range->low)) : 0;
}

void
metasd_row_values_put_scale(MetasdBitWriter *writer, MetasdStorage storage,
                            const MetasdRowRange *range)
{
    if (kinds[storage].levels == 0)
        return;
    metasd_bits_put(writer, bits_of(range->top) >> spare_bits(storage), kinds[storage].top_bits);
    metasd_bits_put(writer, lowest_level(storage, range), kinds[storage].lowest_bits);
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
    Levels levels = levels_up_to(storage, range->top);
    uint32_t lowest = lowest_level(storage, range);
    MetasdMinimal code = metasd_bits_minimal(2 * (kinds[storage].levels - lowest));

    for (size_t j = 0; j < width; j++)
        if (row[j] != 0) {
            uint32_t above = level_of(&levels, row[j]) - lowest;

            metasd_bits_put_minimal(writer, &code, 2 * above + (row[j] < 0));
        }
}

void
metasd_row_values_put(MetasdBitWriter *writer, MetasdStorage storage, size_t width,
                      const float *row, const MetasdRowRange *range)
{
    if (kinds[storage].levels > 0)
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

/* A highest level, as bits of a float, and the lowest level. */
static void
get_scale(MetasdStorage storage, const uint8_t *scale, uint32_t *top, uint32_t *lowest)
{
    if (kinds[storage].top_bits == 16)
        *top = ((uint32_t)scale[0] | (uint32_t)scale[1] << 8) << 16;
    else
        *top = metasd_bits_u32(scale);
    *lowest = kinds[storage].lowest_bits > 0 ? scale[kinds[storage].top_bits / 8] : 0;
}

static bool
get_integers(MetasdBitReader *reader_, MetasdStorage storage, const uint8_t *scale, size_t kept,
             const MetasdRowValues *to, double *step)
{
    MetasdBitReader reader =
        *reader_; /* no store to the codes can change it: it stays in registers */
    uint32_t levels = kinds[storage].levels, apart = kinds[storage].apart;
    uint32_t top, lowest;
    uint32_t least = UINT32_MAX, most = 0; /* of the numbers read */
    float *next = to->row;
    int8_t *codes = to->codes;
    MetasdMinimal code;
    Levels scaled;

    get_scale(storage, scale, &top, &lowest);
    if (top < bits_of(METASD_LEAST_SCALE) || top >= INFINITE || lowest >= levels)
        return false;
    scaled = levels_up_to(storage, float_of(top));
    *step = scaled.unit;
    code = metasd_bits_minimal(2 * (levels - lowest));
    for (size_t i = 0; i < kept; i++) {
        uint32_t x = metasd_bits_get_minimal(&reader, &code), level = lowest + x / 2;

        least = x < least ? x : least;
        most = x > most ? x : most;
        if (next) {
            float magnitude = magnitude_of(&scaled, level);

            next = put_weight(next, x & 1 ? -magnitude : magnitude);
        } else
            codes[i] = (int8_t)(x & 1 ? -code_of(level, apart) : code_of(level, apart));
    }
    *reader_ = reader;
    /* Range and scale must be those of the values, not wider. */
    return (least < 2 || kinds[storage].lowest_bits == 0) &&
           (most / 2 + lowest == levels - 1 || top == bits_of(METASD_LEAST_SCALE));
}

bool
metasd_row_values_get(MetasdBitReader *reader, MetasdStorage storage, const uint8_t *scale,
                      size_t kept, const MetasdRowValues *to, double *step)
{
    return kinds[storage].levels > 0 ? get_integers(reader, storage, scale, kept, to, step)
                                     : get_floats(reader, kept, to);
}
