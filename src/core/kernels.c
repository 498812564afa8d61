#include "kernels.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/*
 * exp(x) = 2^k exp(r), |r| <= ln 2 / 2: k by adding and taking off 1.5 x 2^23,
 * which rounds to the nearest integer, r by a two-part ln 2, exp(r) by its Taylor
 * polynomial of degree 7 (remainder below 6e-9). Written without branches so that
 * loops over it become vector code. Not valid under -ffast-math.
 */
static inline __attribute__((always_inline)) float
exp_small(float x)
{
    const float round = 12582912.0f;
    float clamped = x < -87.3f ? -87.3f : x > 88.0f ? 88.0f : x;
    float rounded = clamped * 1.44269504f + round, k = rounded - round;
    float r = (clamped - k * 0.693145752f) - k * 1.42860677e-6f;
    float e = 1.0f / 5040.0f, scale;
    uint32_t bits;

    e = e * r + 1.0f / 720.0f;
    e = e * r + 1.0f / 120.0f;
    e = e * r + 1.0f / 24.0f;
    e = e * r + 1.0f / 6.0f;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    /* The low bits of `rounded` are k; to convert it would be undefined for what is no number. */
    memcpy(&bits, &rounded, sizeof(bits));
    bits = (bits + 127) << 23;
    memcpy(&scale, &bits, sizeof(scale));
    return x < -87.3f ? 0.0f : e * scale;
}

METASD_VECTORISE void
metasd_exp(size_t n, float *restrict x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = exp_small(x[i]);
}

METASD_VECTORISE static float
row_max(size_t n, const float *restrict z)
{
    float max = -INFINITY;

#pragma omp simd reduction(max : max)
    for (size_t i = 0; i < n; i++)
        max = z[i] > max ? z[i] : max;
    return max;
}

METASD_VECTORISE static float
row_sum(size_t n, const float *restrict z, float max)
{
    float sum = 0;

#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += exp_small(z[i] - max);
    return sum;
}

/* Sums of exp(z - max), of exp((z - max) / tau), and `cross` of both rows. */
METASD_VECTORISE static void
pair_sums(size_t n, const float *restrict t, const float *restrict s, float t_max, float s_max,
          float per_tau, float source[3], float student[3])
{
    float sum_t = 0, sum_s = 0, soft_t = 0, soft_s = 0, cross_t = 0, cross_s = 0;

#pragma omp simd reduction(+ : sum_t, sum_s, soft_t, soft_s, cross_t, cross_s)
    for (size_t i = 0; i < n; i++) {
        float a = t[i] - t_max, b = s[i] - s_max;
        float p = exp_small(a * per_tau), q = exp_small(b * per_tau);

        sum_t += exp_small(a);
        sum_s += exp_small(b);
        soft_t += p;
        soft_s += q;
        cross_t += p > 0.0f ? p * (a - b) : 0.0f;
        cross_s += q > 0.0f ? q * (b - a) : 0.0f;
    }
    source[0] = sum_t;
    source[1] = soft_t;
    source[2] = cross_t;
    student[0] = sum_s;
    student[1] = soft_s;
    student[2] = cross_s;
}

/* Float sums are kept this short, and added up as doubles, so that rounding does not grow with N. */
#define SUM_BLOCK 1024

void
metasd_partial(size_t n, const float *z, MetasdPartial *out)
{
    float max = row_max(n, z);

    *out = (MetasdPartial){.max = (double)max};
    for (size_t i = 0; i < n; i += SUM_BLOCK)
        out->sum += (double)row_sum(n - i < SUM_BLOCK ? n - i : SUM_BLOCK, z + i, max);
}

static void
add_sums(MetasdPartial *out, const float sums[3])
{
    out->sum += (double)sums[0];
    out->sum_tau += (double)sums[1];
    out->cross += (double)sums[2];
}

void
metasd_partial_pair(size_t n, const float *t, const float *s, float tau, MetasdPartial *source,
                    MetasdPartial *student)
{
    float t_max = row_max(n, t), s_max = row_max(n, s);

    *source = (MetasdPartial){.max = (double)t_max};
    *student = (MetasdPartial){.max = (double)s_max};
    for (size_t i = 0; i < n; i += SUM_BLOCK) {
        float of_t[3], of_s[3];

        pair_sums(n - i < SUM_BLOCK ? n - i : SUM_BLOCK, t + i, s + i, t_max, s_max, 1.0f / tau,
                  of_t, of_s);
        add_sums(source, of_t);
        add_sums(student, of_s);
    }
}

static double
largest(const MetasdPartial *parts, size_t stride, int count)
{
    double max = parts[0].max;

    for (int i = 1; i < count; i++)
        max = fmax(max, parts[(size_t)i * stride].max);
    return max;
}

void
metasd_row_join(const MetasdPartial *parts, size_t stride, int count, MetasdRow *row)
{
    *row = (MetasdRow){.max = largest(parts, stride, count), .sum_tau = 1};
    for (int i = 0; i < count; i++) {
        const MetasdPartial *part = &parts[(size_t)i * stride];

        row->sum += part->sum * exp(part->max - row->max);
    }
}

/* Joins one row of a pair; returns the mean of `cross`, from the maxima of the whole rows. */
static double
join_guided(const MetasdPartial *parts, const MetasdPartial *others, size_t stride, int count,
            double tau, double other_max, MetasdRow *row)
{
    double cross = 0;

    metasd_row_join(parts, stride, count, row);
    row->sum_tau = 0;
    for (int i = 0; i < count; i++) {
        const MetasdPartial *part = &parts[(size_t)i * stride];
        double below = part->max - row->max, scale = exp(below / tau);
        double apart = below - (others[(size_t)i * stride].max - other_max);

        row->sum_tau += part->sum_tau * scale;
        cross += (part->cross + part->sum_tau * apart) * scale;
    }
    return cross / row->sum_tau;
}

void
metasd_row_join_pair(const MetasdPartial *source_parts, const MetasdPartial *student_parts,
                     size_t stride, int count, float tau, MetasdRow *source, MetasdRow *student)
{
    double source_max = largest(source_parts, stride, count);
    double student_max = largest(student_parts, stride, count);
    double of_source =
        join_guided(source_parts, student_parts, stride, count, (double)tau, student_max, source);
    double of_student =
        join_guided(student_parts, source_parts, stride, count, (double)tau, source_max, student);
    double ratio = log(student->sum_tau / source->sum_tau);

    source->divergence = of_source / (double)tau + ratio;
    student->divergence = of_student / (double)tau - ratio;
    /* Rounding may go below 0; what is not a number must stay so. */
    source->divergence = source->divergence < 0 ? 0 : source->divergence;
    student->divergence = student->divergence < 0 ? 0 : student->divergence;
}

/* What the elementwise kernels need of a row of scores, as floats. */
typedef struct Soft {
    float max, per_sum;         /* softmax(z) = exp(z - max) per_sum */
    float per_tau, per_sum_tau; /* softmax(z / tau) = exp((z - max) per_tau) per_sum_tau */
} Soft;

static Soft
soft_of(const MetasdRow *row, float tau)
{
    return (Soft){.max = (float)row->max,
                  .per_sum = (float)(1 / row->sum),
                  .per_tau = 1 / tau,
                  .per_sum_tau = (float)(1 / row->sum_tau)};
}

/* log(q / p) = b - a - this, with a and b the exponents of p and q. */
static float
log_ratio(const MetasdGuide *guide)
{
    return (float)log(guide->student.sum_tau / guide->source.sum_tau);
}

METASD_VECTORISE void
metasd_gradient_tail(size_t n, float *restrict z, const MetasdRow *row, float weight)
{
    float max = (float)row->max, by = (float)(weight / row->sum);

    for (size_t i = 0; i < n; i++)
        z[i] = by * exp_small(z[i] - max);
}

METASD_VECTORISE void
metasd_gradient_student(size_t n, const float *restrict t, const float *restrict s,
                        const MetasdGuide *guide, float *restrict out)
{
    Soft source = soft_of(&guide->source, guide->tau),
         student = soft_of(&guide->student, guide->tau);
    float weight = guide->weight * student.per_sum;
    float forward = guide->forward, reverse = guide->reverse;
    float shift = log_ratio(guide) + (float)guide->student.divergence;

    for (size_t i = 0; i < n; i++) {
        float above = s[i] - student.max;
        float a = (t[i] - source.max) * source.per_tau, b = above * student.per_tau;
        float p = exp_small(a) * source.per_sum_tau, q = exp_small(b) * student.per_sum_tau;
        float ratio = q > 0.0f ? q * (b - a - shift) : 0.0f;

        out[i] = weight * exp_small(above) + forward * (q - p) + reverse * ratio;
    }
}

METASD_VECTORISE void
metasd_gradient_mutual(size_t n, float *restrict t, float *restrict s, const MetasdGuide *guide)
{
    Soft source = soft_of(&guide->source, guide->tau),
         student = soft_of(&guide->student, guide->tau);
    float source_weight = guide->weight * source.per_sum;
    float student_weight = guide->weight * student.per_sum;
    float forward = guide->forward, reverse = guide->reverse;
    float source_shift = -log_ratio(guide) + (float)guide->source.divergence;
    float student_shift = log_ratio(guide) + (float)guide->student.divergence;

    for (size_t i = 0; i < n; i++) {
        float source_above = t[i] - source.max, student_above = s[i] - student.max;
        float a = source_above * source.per_tau, b = student_above * student.per_tau;
        float p = exp_small(a) * source.per_sum_tau, q = exp_small(b) * student.per_sum_tau;
        float source_ratio = p > 0.0f ? p * (a - b - source_shift) : 0.0f;
        float student_ratio = q > 0.0f ? q * (b - a - student_shift) : 0.0f;

        t[i] = source_weight * exp_small(source_above) + forward * (p - q) + reverse * source_ratio;
        s[i] =
            student_weight * exp_small(student_above) + forward * (q - p) + reverse * student_ratio;
    }
}

METASD_VECTORISE static void
dots(size_t n, const float *restrict t, const float *restrict s, const float *restrict zdot,
     Soft source, Soft student, float *out)
{
    float by_source = 0, by_student = 0;

#pragma omp simd reduction(+ : by_source, by_student)
    for (size_t i = 0; i < n; i++) {
        by_source += exp_small((t[i] - source.max) * source.per_tau) * zdot[i];
        by_student += exp_small((s[i] - student.max) * student.per_tau) * zdot[i];
    }
    out[0] = by_source * source.per_sum_tau;
    out[1] = by_student * student.per_sum_tau;
}

void
metasd_meta_dots(size_t n, const float *t, const float *s, const float *zdot,
                 const MetasdGuide *guide, double *source_dot, double *student_dot)
{
    Soft source = soft_of(&guide->source, guide->tau),
         student = soft_of(&guide->student, guide->tau);

    *source_dot = *student_dot = 0;
    for (size_t i = 0; i < n; i += SUM_BLOCK) {
        float sums[2];

        dots(n - i < SUM_BLOCK ? n - i : SUM_BLOCK, t + i, s + i, zdot + i, source, student, sums);
        *source_dot += sums[0];
        *student_dot += sums[1];
    }
}

METASD_VECTORISE void
metasd_gradient_meta(size_t n, const float *restrict t, const float *restrict s,
                     float *restrict zdot, const MetasdGuide *guide, double source_dot,
                     double student_dot)
{
    Soft source = soft_of(&guide->source, guide->tau),
         student = soft_of(&guide->student, guide->tau);
    float forward = guide->forward * source.per_sum_tau;
    float reverse = guide->reverse * student.per_sum_tau;
    float mean_p = (float)source_dot, mean_q = (float)student_dot;

    for (size_t i = 0; i < n; i++) {
        float p = exp_small((t[i] - source.max) * source.per_tau);
        float q = exp_small((s[i] - student.max) * student.per_tau);

        zdot[i] = forward * p * (zdot[i] - mean_p) + reverse * q * (zdot[i] - mean_q);
    }
}
