#include "core/math/softmax.h"

#include <math.h>
#include <string.h>

#include "core/base/exp.h"

/* exp(z) of a score, given exp(z / tau) and z, which the compiler leaves out where it can. */
METASD_INLINE float
power_of_exp(float exp_tau, float z, int power)
{
    return power == 1   ? exp_tau
           : power == 2 ? exp_tau * exp_tau
           : power == 3 ? exp_tau * exp_tau * exp_tau
                        : metasd_exp_small(z);
}

/*
 * The factor of entity e is factor[e * step], step 1 or 0. (A choice within the loop makes the
 * compiler split it, and of the half where the factor is 1 it makes branches, not vectors.)
 */
METASD_INLINE const float *
factors(const float *each, size_t *step)
{
    static const float one = 1.0f;

    *step = each ? 1 : 0;
    return each ? each : &one;
}

/* Calls a kernel with the power as a constant, so that each form is compiled on its own. */
#define BY_POWER(temperature, kernel, ...)                                                         \
    ((temperature).power == 3   ? kernel(3, __VA_ARGS__)                                           \
     : (temperature).power == 2 ? kernel(2, __VA_ARGS__)                                           \
     : (temperature).power == 1 ? kernel(1, __VA_ARGS__)                                           \
                                : kernel(0, __VA_ARGS__))

MetasdTemperature
metasd_softmax_temperature(float tau)
{
    return (MetasdTemperature){.per_tau = 1.0f / tau,
                               .power = tau == 1.0f   ? 1
                                        : tau == 2.0f ? 2
                                        : tau == 3.0f ? 3
                                                      : 0};
}

/* ---- sums ---- */

METASD_VECTORISE static void
tile_max(size_t rows, size_t stride, const float *restrict z, float *restrict max)
{
    for (size_t b = 0; b < METASD_TILE; b++)
        max[b] = -INFINITY;
    for (size_t e = 0; e < rows; e++)
#pragma omp simd
        for (size_t b = 0; b < METASD_TILE; b++)
            max[b] = z[e * stride + b] > max[b] ? z[e * stride + b] : max[b];
}

METASD_VECTORISE static void
sums(size_t rows, size_t stride, float *restrict z, const float *each, const float *max,
     float *restrict sum)
{
    size_t step;
    const float *factor = factors(each, &step);
    float top[METASD_TILE], all[METASD_TILE] = {0}; /* apart from z, as the compiler can see */

    memcpy(top, max, sizeof(top));
    for (size_t e = 0; e < rows; e++) {
        float by = factor[e * step], *at = z + e * stride;

#pragma omp simd
        for (size_t b = 0; b < METASD_TILE; b++) {
            float x = by * metasd_exp_small(at[b] - top[b]);

            at[b] = x;
            all[b] += x;
        }
    }
    memcpy(sum, all, sizeof(all));
}

/* The sums of one block of rows: of t and s in turn, sum, sum_tau and cross. */
typedef struct Sums {
    float of[2][3][METASD_TILE];
} Sums;

METASD_INLINE void
pair_sums_by(int power, size_t rows, size_t stride, const float *restrict t,
             const float *restrict s, const float *restrict each, float per_tau,
             const float *restrict t_max, const float *restrict s_max, Sums *restrict out)
{
    size_t step;
    const float *factor = factors(each, &step);

    for (size_t e = 0; e < rows; e++) {
        float by = factor[e * step];

#pragma omp simd
        for (size_t b = 0; b < METASD_TILE; b++) {
            float a = t[e * stride + b] - t_max[b], c = s[e * stride + b] - s_max[b];
            float p = metasd_exp_small(a * per_tau), q = metasd_exp_small(c * per_tau);

            out->of[0][0][b] += by * power_of_exp(p, a, power);
            out->of[1][0][b] += by * power_of_exp(q, c, power);
            out->of[0][1][b] += by * p;
            out->of[1][1][b] += by * q;
            out->of[0][2][b] += p > 0.0f ? by * p * (a - c) : 0.0f;
            out->of[1][2][b] += q > 0.0f ? by * q * (c - a) : 0.0f;
        }
    }
}

METASD_VECTORISE static void
pair_sums(size_t rows, size_t stride, const float *t, const float *s, const float *each,
          MetasdTemperature temperature, const float *t_max, const float *s_max, Sums *out)
{
    BY_POWER(temperature, pair_sums_by, rows, stride, t, s, each, temperature.per_tau, t_max, s_max,
             out);
}

/*
 * Float sums are kept this short, and added up as doubles, so that rounding does not grow with N.
 */
#define SUM_ROWS ((size_t)128)

static size_t
block_rows(size_t rows, size_t e)
{
    return rows - e < SUM_ROWS ? rows - e : SUM_ROWS;
}

void
metasd_softmax_sums(size_t rows, size_t stride, float *z, const float *each,
                    MetasdSoftmaxPartial *out)
{
    memset(out, 0, sizeof(*out));
    tile_max(rows, stride, z, out->max);
    for (size_t e = 0; e < rows; e += SUM_ROWS) {
        float sum[METASD_TILE] = {0};

        sums(block_rows(rows, e), stride, z + e * stride, each ? each + e : NULL, out->max, sum);
        for (size_t b = 0; b < METASD_TILE; b++)
            out->sum[b] += (double)sum[b];
    }
}

static void
add_sums(MetasdSoftmaxPartial *out, float of[3][METASD_TILE])
{
    for (size_t b = 0; b < METASD_TILE; b++) {
        out->sum[b] += (double)of[0][b];
        out->sum_tau[b] += (double)of[1][b];
        out->cross[b] += (double)of[2][b];
    }
}

void
metasd_softmax_sums_pair(size_t rows, size_t stride, const float *t, const float *s,
                         const float *each, MetasdTemperature temperature,
                         MetasdSoftmaxPartial *full, MetasdSoftmaxPartial *student)
{
    memset(full, 0, sizeof(*full));
    memset(student, 0, sizeof(*student));
    tile_max(rows, stride, t, full->max);
    tile_max(rows, stride, s, student->max);
    for (size_t e = 0; e < rows; e += SUM_ROWS) {
        Sums block = {0};

        pair_sums(block_rows(rows, e), stride, t + e * stride, s + e * stride,
                  each ? each + e : NULL, temperature, full->max, student->max, &block);
        add_sums(full, block.of[0]);
        add_sums(student, block.of[1]);
    }
}

/* ---- joining slices ---- */

static double
largest_max(const MetasdSoftmaxPartial *parts, size_t step, int count, size_t lane)
{
    double max = (double)parts[0].max[lane];

    /* Not fmax: gcc 12 for arm64 breaks down over that. A maximum is never NaN; see tile_max. */
    for (int i = 1; i < count; i++) {
        double next = (double)parts[(size_t)i * step].max[lane];

        max = next > max ? next : max;
    }
    return max;
}

void
metasd_softmax_join(const MetasdSoftmaxPartial *parts, size_t step, int count, size_t lane,
                    MetasdSoftmaxRow *row)
{
    *row = (MetasdSoftmaxRow){.max = largest_max(parts, step, count, lane), .sum_tau = 1};
    for (int i = 0; i < count; i++) {
        const MetasdSoftmaxPartial *part = &parts[(size_t)i * step];

        if (part->max[lane] == -INFINITY) /* a slice without rows */
            continue;
        row->sum += part->sum[lane] * exp((double)part->max[lane] - row->max);
    }
}

/* Joins one of a pair; returns the mean of `cross`, from the maxima of all scores. */
static double
join_paired(const MetasdSoftmaxPartial *parts, const MetasdSoftmaxPartial *others, size_t step,
            int count, size_t lane, double tau, double other_max, MetasdSoftmaxRow *row)
{
    double cross = 0;

    metasd_softmax_join(parts, step, count, lane, row);
    row->sum_tau = 0;
    for (int i = 0; i < count; i++) {
        const MetasdSoftmaxPartial *part = &parts[(size_t)i * step];
        double below = (double)part->max[lane] - row->max, scale = exp(below / tau);
        double apart = below - ((double)others[(size_t)i * step].max[lane] - other_max);

        if (part->max[lane] == -INFINITY)
            continue;
        row->sum_tau += part->sum_tau[lane] * scale;
        cross += (part->cross[lane] + part->sum_tau[lane] * apart) * scale;
    }
    return cross / row->sum_tau;
}

void
metasd_softmax_join_pair(const MetasdSoftmaxPartial *full_parts,
                         const MetasdSoftmaxPartial *student_parts, size_t step, int count,
                         size_t lane, float tau, MetasdSoftmaxRow *full, MetasdSoftmaxRow *student)
{
    double full_max = largest_max(full_parts, step, count, lane);
    double student_max = largest_max(student_parts, step, count, lane);
    double of_full =
        join_paired(full_parts, student_parts, step, count, lane, (double)tau, student_max, full);
    double of_student =
        join_paired(student_parts, full_parts, step, count, lane, (double)tau, full_max, student);
    double ratio = log(student->sum_tau / full->sum_tau);

    full->divergence = of_full / (double)tau + ratio;
    student->divergence = of_student / (double)tau - ratio;
    /* Rounding may go below 0; what is not a number must stay so. */
    full->divergence = full->divergence < 0 ? 0 : full->divergence;
    student->divergence = student->divergence < 0 ? 0 : student->divergence;
}

void
metasd_softmax_prepare(const MetasdSoftmaxPair *pairs, size_t n, MetasdSoftmaxTile *tile)
{
    memset(tile, 0, sizeof(*tile));
    for (size_t b = 0; b < n; b++) {
        const MetasdSoftmaxPair *pair = &pairs[b];
        const MetasdSoftmaxRow *rows[2] = {&pair->full, &pair->student};
        double ratio = log(pair->student.sum_tau / pair->full.sum_tau);

        for (int i = 0; i < 2; i++) {
            tile->max[i][b] = (float)rows[i]->max;
            tile->per_sum_tau[i][b] = (float)(1 / rows[i]->sum_tau);
            tile->weight[i][b] = (float)((double)pair->weight / rows[i]->sum);
            tile->shift[i][b] = (float)(rows[i]->divergence + (i == 0 ? -ratio : ratio));
        }
        tile->forward[b] = pair->forward;
        tile->reverse[b] = pair->reverse;
    }
}

/* ---- gradients ---- */

METASD_VECTORISE void
metasd_softmax_scale(size_t rows, size_t stride, float *restrict z, const float *restrict scale)
{
    for (size_t e = 0; e < rows; e++)
#pragma omp simd
        for (size_t b = 0; b < METASD_TILE; b++)
            z[e * stride + b] *= scale[b];
}

/*
 * The gradient of both divergences by a learner's score; gap = log(mine / other) - KL(mine ||
 * other).
 */
METASD_INLINE float
divergence_gradient(float mine, float other, float gap, float forward, float reverse)
{
    return forward * (mine - other) + reverse * (mine * (mine > 0.0f ? gap : 0.0f));
}

METASD_INLINE void
student_by(int power, size_t rows, size_t stride, const float *restrict t, const float *restrict s,
           const float *restrict each, float per_tau, const MetasdSoftmaxTile *restrict tile,
           float *restrict out)
{
    size_t step;
    const float *factor = factors(each, &step);

    for (size_t e = 0; e < rows; e++) {
        float by = factor[e * step];

#pragma omp simd
        for (size_t b = 0; b < METASD_TILE; b++) {
            float above = s[e * stride + b] - tile->max[1][b];
            float a = (t[e * stride + b] - tile->max[0][b]) * per_tau, c = above * per_tau;
            float exp_q = metasd_exp_small(c),
                  p = by * metasd_exp_small(a) * tile->per_sum_tau[0][b];
            float q = by * exp_q * tile->per_sum_tau[1][b];
            out[e * stride + b] = by * tile->weight[1][b] * power_of_exp(exp_q, above, power) +
                                  divergence_gradient(q, p, c - a - tile->shift[1][b],
                                                      tile->forward[b], tile->reverse[b]);
        }
    }
}

METASD_VECTORISE void
metasd_softmax_gradient_student(size_t rows, size_t stride, const float *t, const float *s,
                                const float *each, MetasdTemperature temperature,
                                const MetasdSoftmaxTile *tile, float *out)
{
    BY_POWER(temperature, student_by, rows, stride, t, s, each, temperature.per_tau, tile, out);
}

METASD_INLINE void
mutual_by(int power, size_t rows, size_t stride, float *restrict t, float *restrict s,
          const float *restrict each, float per_tau, const MetasdSoftmaxTile *restrict tile)
{
    size_t step;
    const float *factor = factors(each, &step);

    for (size_t e = 0; e < rows; e++) {
        float by = factor[e * step];

#pragma omp simd
        for (size_t b = 0; b < METASD_TILE; b++) {
            float above_t = t[e * stride + b] - tile->max[0][b];
            float above_s = s[e * stride + b] - tile->max[1][b];
            float a = above_t * per_tau, c = above_s * per_tau;
            float soft_p = metasd_exp_small(a), exp_q = metasd_exp_small(c);
            float p = by * soft_p * tile->per_sum_tau[0][b];
            float q = by * exp_q * tile->per_sum_tau[1][b];
            t[e * stride + b] = by * tile->weight[0][b] * power_of_exp(soft_p, above_t, power) +
                                divergence_gradient(p, q, a - c - tile->shift[0][b],
                                                    tile->forward[b], tile->reverse[b]);
            s[e * stride + b] = by * tile->weight[1][b] * power_of_exp(exp_q, above_s, power) +
                                divergence_gradient(q, p, c - a - tile->shift[1][b],
                                                    tile->forward[b], tile->reverse[b]);
        }
    }
}

METASD_VECTORISE void
metasd_softmax_gradient_mutual(size_t rows, size_t stride, float *t, float *s, const float *each,
                               MetasdTemperature temperature, const MetasdSoftmaxTile *tile)
{
    BY_POWER(temperature, mutual_by, rows, stride, t, s, each, temperature.per_tau, tile);
}

METASD_VECTORISE static void
quiz_dots(size_t rows, size_t stride, float *restrict t, float *restrict s,
          const float *restrict zdot, const float *restrict each, float per_tau,
          const MetasdSoftmaxTile *restrict tile, float *restrict by_p, float *restrict by_q)
{
    size_t step;
    const float *factor = factors(each, &step);

    for (size_t e = 0; e < rows; e++) {
        float by = factor[e * step];

#pragma omp simd
        for (size_t b = 0; b < METASD_TILE; b++) {
            float p = by * metasd_exp_small((t[e * stride + b] - tile->max[0][b]) * per_tau) *
                      tile->per_sum_tau[0][b];
            float q = by * metasd_exp_small((s[e * stride + b] - tile->max[1][b]) * per_tau) *
                      tile->per_sum_tau[1][b];

            t[e * stride + b] = p;
            s[e * stride + b] = q;
            by_p[b] += p * zdot[e * stride + b];
            by_q[b] += q * zdot[e * stride + b];
        }
    }
}

void
metasd_softmax_quiz_dots(size_t rows, size_t stride, float *t, float *s, const float *zdot,
                         const float *each, MetasdTemperature temperature,
                         const MetasdSoftmaxTile *tile, double dots[2][METASD_TILE])
{
    for (size_t e = 0; e < rows; e += SUM_ROWS) {
        float by_p[METASD_TILE] = {0}, by_q[METASD_TILE] = {0};
        size_t at = e * stride;

        quiz_dots(block_rows(rows, e), stride, t + at, s + at, zdot + at, each ? each + e : NULL,
                  temperature.per_tau, tile, by_p, by_q);
        for (size_t b = 0; b < METASD_TILE; b++) {
            dots[0][b] += (double)by_p[b];
            dots[1][b] += (double)by_q[b];
        }
    }
}

METASD_VECTORISE void
metasd_softmax_gradient_quiz(size_t rows, size_t stride, const float *restrict p,
                             const float *restrict q, const float means[2][METASD_TILE],
                             const MetasdSoftmaxTile *restrict tile, float *restrict zdot)
{
    for (size_t e = 0; e < rows; e++)
#pragma omp simd
        for (size_t b = 0; b < METASD_TILE; b++) {
            float dot = zdot[e * stride + b];

            zdot[e * stride + b] = tile->forward[b] * p[e * stride + b] * (dot - means[0][b]) +
                                   tile->reverse[b] * q[e * stride + b] * (dot - means[1][b]);
        }
}
