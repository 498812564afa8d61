#include "core/codec/row_levels.h"

#include <math.h>

#include "core/base/float_bits.h"
#include "core/base/simd.h"

#define SHAPES 4
#define SHAPED_LEVELS 8

typedef struct Kind {
    uint32_t levels; /* of magnitudes; 0: floats */
    /*
     * The code of level q is 1 + apart x q, so no level is 0. Two apart, they are the middles of
     * equal steps from 0 on. One apart, they are whole steps: where levels are many, the first one
     * is hardly ever missed, and codes of 8 bits hold them all. 0: see shapes.
     */
    int apart;
    unsigned scale_bits; /* as stored */
} Kind;

static const Kind kinds[METASD_STORAGES] = {
    [METASD_INT8] = {.levels = 127, .apart = 1, .scale_bits = 32},
    [METASD_INT6] = {.levels = 32, .apart = 2, .scale_bits = 32},
    [METASD_INT4] = {.levels = SHAPED_LEVELS, .apart = 0, .scale_bits = 16}};

/*
 * Weights of a trained row are nearly normally distributed, and what pruning keeps are the tails of
 * that distribution. These are the levels of least squared error (Lloyd 1957; Max 1960) for normal
 * weights of which all are kept, three quarters, a half, and a fifth. The error of equal steps is
 * 1.25 times as large where all are kept, and twice as large with a half.
 *
 * But for the highest one, no code is in two shapes: so a row that was rounded tells its shape.
 */
static const uint8_t shapes[SHAPES][SHAPED_LEVELS] = {{6, 18, 31, 44, 58, 75, 96, 127},
                                                      {19, 29, 39, 51, 64, 79, 98, 127},
                                                      {32, 41, 50, 59, 71, 84, 101, 127},
                                                      {52, 57, 63, 72, 80, 91, 106, 127}};

uint32_t
metasd_row_levels_count(MetasdStorage storage)
{
    return kinds[storage].levels;
}

unsigned
metasd_row_levels_scale_bits(MetasdStorage storage)
{
    return kinds[storage].scale_bits;
}

static bool
is_shaped(MetasdStorage storage)
{
    return kinds[storage].levels > 0 && kinds[storage].apart == 0;
}

int
metasd_row_levels_most_code(MetasdStorage storage)
{
    const Kind *kind = &kinds[storage];

    if (kind->levels == 0)
        return 0;
    return is_shaped(storage) ? shapes[0][SHAPED_LEVELS - 1]
                              : 1 + kind->apart * (int)(kind->levels - 1);
}

/* ---- scales ---- */

#define SHAPE_BITS 2
#define SHAPE_MASK ((1u << SHAPE_BITS) - 1)

/*
 * The lowest bits of a highest level that are not stored. The highest bit is its sign and is not
 * stored either where there are shapes.
 */
static unsigned
spare_bits(MetasdStorage storage)
{
    return is_shaped(storage) ? 31 + SHAPE_BITS - kinds[storage].scale_bits : 0;
}

static unsigned
shape_of(MetasdStorage storage, float scale)
{
    return is_shaped(storage) ? metasd_float_bits(scale) & SHAPE_MASK : 0;
}

static float
top_of(MetasdStorage storage, float scale)
{
    return is_shaped(storage) ? metasd_float_of_bits(metasd_float_bits(scale) & ~SHAPE_MASK)
                              : scale;
}

static float
make_scale(MetasdStorage storage, float top, unsigned shape)
{
    return is_shaped(storage) ? metasd_float_of_bits(metasd_float_bits(top) | shape) : top;
}

uint32_t
metasd_row_levels_pack_scale(MetasdStorage storage, float scale)
{
    uint32_t top = metasd_float_bits(top_of(storage, scale)) >> spare_bits(storage);

    return is_shaped(storage) ? top << SHAPE_BITS | shape_of(storage, scale) : top;
}

#define INFINITE 0x7f800000u

float
metasd_row_levels_unpack_scale(MetasdStorage storage, uint32_t bits)
{
    uint32_t top = (is_shaped(storage) ? bits >> SHAPE_BITS : bits) << spare_bits(storage);

    if (top < metasd_float_bits(METASD_LEAST_SCALE) || top >= INFINITE)
        return NAN;
    return make_scale(storage, metasd_float_of_bits(top), bits & SHAPE_MASK);
}

/* The highest weight reaches the highest level. All shapes are the same where all weights do. */
bool
metasd_row_levels_fits(MetasdStorage storage, float scale, uint32_t lowest, uint32_t highest)
{
    uint32_t last = kinds[storage].levels - 1;

    return (highest == last || top_of(storage, scale) == METASD_LEAST_SCALE) &&
           (lowest < last || shape_of(storage, scale) == 0);
}

MetasdRowLevels
metasd_row_levels(MetasdStorage storage, float scale)
{
    float top = top_of(storage, scale);
    int most_code = metasd_row_levels_most_code(storage);
    double apart = kinds[storage].apart;
    MetasdRowLevels levels = {.count = kinds[storage].levels,
                              .apart = kinds[storage].apart,
                              .unit = (double)top / most_code};

    if (is_shaped(storage)) {
        levels.shape = shapes[shape_of(storage, scale)];
        for (int q = 0; q < SHAPED_LEVELS - 1; q++)
            levels.limits[q] = (float)(0.5 * (levels.shape[q] + levels.shape[q + 1]) * levels.unit);
    } else {
        levels.per_weight = most_code / (apart * (double)top);
        levels.shift = 0.5 - 1 / apart;
    }
    return levels;
}

/* ---- rounding: these two decide it, and nothing else does ---- */

static inline uint32_t
even_level(double per_weight, double shift, double last, float weight)
{
    double level = fabs((double)weight) * per_weight + shift;

    return (uint32_t)(int32_t)(level < last ? level : last);
}

/* The code alone. */
static inline int
shaped_code(const MetasdRowLevels *levels, float magnitude)
{
    int code = levels->shape[0];

    for (int q = 0; q < SHAPED_LEVELS - 1; q++)
        code += magnitude >= levels->limits[q] ? levels->shape[q + 1] - levels->shape[q] : 0;
    return code;
}

uint32_t
metasd_row_levels_find(const MetasdRowLevels *levels, float weight)
{
    uint32_t level = 0;

    if (!levels->shape)
        return even_level(levels->per_weight, levels->shift, levels->count - 1, weight);
    while (level + 1 < levels->count && fabsf(weight) >= levels->limits[level])
        level++;
    return level;
}

METASD_VECTORISE static void
round_evenly(const MetasdRowLevels *levels, size_t n, const float *weights, float *rounded)
{
    const double per_weight = levels->per_weight, shift = levels->shift;
    const double last = levels->count - 1, apart = levels->apart, unit = levels->unit;

#pragma omp simd
    for (size_t j = 0; j < n; j++) {
        uint32_t level = even_level(per_weight, shift, last, weights[j]);
        float magnitude = (float)((apart * (int32_t)level + 1) * unit);

        rounded[j] = weights[j] == 0 ? weights[j] : copysignf(magnitude, weights[j]);
    }
}

METASD_VECTORISE static void
round_shaped(const MetasdRowLevels *levels_, size_t n, const float *weights, float *rounded)
{
    const MetasdRowLevels levels = *levels_;

#pragma omp simd
    for (size_t j = 0; j < n; j++) {
        float magnitude = (float)(shaped_code(&levels, fabsf(weights[j])) * levels.unit);

        rounded[j] = weights[j] == 0 ? weights[j] : copysignf(magnitude, weights[j]);
    }
}

void
metasd_row_levels_round(MetasdStorage storage, float scale, size_t n, const float *weights,
                        float *rounded)
{
    MetasdRowLevels levels = metasd_row_levels(storage, scale);

    if (levels.shape)
        round_shaped(&levels, n, weights, rounded);
    else
        round_evenly(&levels, n, weights, rounded);
}

/* ---- fitting a shape ---- */

/* The sum of the squared differences that rounding makes. */
METASD_VECTORISE static double
sum_squares(const MetasdRowLevels *levels_, size_t width, const float *row)
{
    const MetasdRowLevels levels = *levels_;
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (size_t j = 0; j < width; j++) {
        float magnitude = (float)(shaped_code(&levels, fabsf(row[j])) * levels.unit);
        double less = row[j] == 0 ? 0 : fabs((double)row[j]) - (double)magnitude;

        sum += less * less;
    }
    return sum;
}

/* Does rounding change nothing? */
static bool
is_exact(const MetasdRowLevels *levels, size_t width, const float *row)
{
    for (size_t j = 0; j < width; j++)
        if (row[j] != 0 &&
            fabsf(row[j]) != (float)(shaped_code(levels, fabsf(row[j])) * levels->unit))
            return false;
    return true;
}

/* The largest highest level that can be stored and is at most so high. */
static float
top_within(MetasdStorage storage, double high)
{
    float top = metasd_float_of_bits(metasd_float_bits((float)high) >> spare_bits(storage)
                                                                           << spare_bits(storage));

    return top < METASD_LEAST_SCALE ? METASD_LEAST_SCALE : top;
}

/*
 * Highest levels that are tried: parts of the largest magnitude, from all of it down to .41, and
 * not beyond one whose error is so many times the least. Shapes are compared at three of them: the
 * largest weights of a row may be far from the others.
 */
#define TOPS 20
#define TOP_STEP 0x1p-5
#define TOO_MUCH 2
static const int compared[] = {1, 7, 13};

typedef struct Fit {
    MetasdStorage storage;
    size_t width;
    const float *row;
    double high;
} Fit;

static float
scale_at(const Fit *fit, int i, unsigned shape)
{
    return make_scale(fit->storage, top_within(fit->storage, (1 - i * TOP_STEP) * fit->high),
                      shape);
}

static double
error_of(const Fit *fit, float scale)
{
    MetasdRowLevels levels = metasd_row_levels(fit->storage, scale);

    return sum_squares(&levels, fit->width, fit->row);
}

/* The first of shapes of least error. */
static unsigned
choose_shape(const Fit *fit)
{
    double least = INFINITY;
    unsigned best = 0;

    for (unsigned shape = 0; shape < SHAPES; shape++)
        for (int i = 0; i < (int)(sizeof(compared) / sizeof(*compared)); i++) {
            double error = error_of(fit, scale_at(fit, compared[i], shape));

            if (error < least) {
                least = error;
                best = shape;
            }
        }
    return best;
}

/* The highest level of least error, the larger of two as good. */
static float
choose_scale(const Fit *fit, unsigned shape)
{
    double least = INFINITY;
    float best = 0;

    for (int i = 0; i < TOPS; i++) {
        float scale = scale_at(fit, i, shape);
        double error = error_of(fit, scale);

        if (error > TOO_MUCH * least)
            break;
        if (error < least) {
            least = error;
            best = scale;
        }
    }
    return best;
}

/*
 * Some weight reaches the highest level, whichever it is. So the largest magnitude of a row that
 * was rounded before is the highest level, and one shape is exact there: the one that it was
 * rounded with, or the first one if all its weights are that large.
 */
static float
fit_shape(const Fit *fit, float low)
{
    MetasdRowLevels levels;
    float scale;

    for (unsigned shape = 0; shape < SHAPES; shape++) {
        scale = scale_at(fit, 0, shape);
        levels = metasd_row_levels(fit->storage, scale);
        if (is_exact(&levels, fit->width, fit->row))
            return scale;
    }
    scale = choose_scale(fit, choose_shape(fit));
    levels = metasd_row_levels(fit->storage, scale);
    if (metasd_row_levels_find(&levels, low) == levels.count - 1)
        scale = make_scale(fit->storage, top_of(fit->storage, scale), 0);
    return scale;
}

float
metasd_row_levels_fit(MetasdStorage storage, size_t width, const float *row, float high, float low)
{
    Fit fit = {.storage = storage, .width = width, .row = row, .high = (double)high};

    return is_shaped(storage) ? fit_shape(&fit, low) : top_within(storage, (double)high);
}
