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
    float k = (clamped * 1.44269504f + round) - round;
    float r = (clamped - k * 0.693145752f) - k * 1.42860677e-6f;
    float e = 1.0f / 5040.0f;
    int32_t bits;
    float scale;

    e = e * r + 1.0f / 720.0f;
    e = e * r + 1.0f / 120.0f;
    e = e * r + 1.0f / 24.0f;
    e = e * r + 1.0f / 6.0f;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    bits = ((int32_t)k + 127) << 23;
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

METASD_VECTORISE static void
row_sums_guided(size_t n, const float *restrict z, const float *restrict other, float max,
                float per_tau, float *out)
{
    float sum = 0, sum_tau = 0, cross = 0;

#pragma omp simd reduction(+ : sum, sum_tau, cross)
    for (size_t i = 0; i < n; i++) {
        float e = exp_small((z[i] - max) * per_tau);
        float difference = (z[i] - other[i]) * per_tau;

        sum += exp_small(z[i] - max);
        sum_tau += e;
        cross += e > 0.0f ? e * difference : 0.0f;
    }
    out[0] = sum;
    out[1] = sum_tau;
    out[2] = cross;
}

/* Float sums are kept this short, and added up as doubles, so that rounding does not grow with N. */
#define SUM_BLOCK 1024

void
metasd_partial(size_t n, const float *z, const float *other, float tau, MetasdPartial *out)
{
    float max = row_max(n, z);

    *out = (MetasdPartial){.max = max};
    for (size_t i = 0; i < n; i += SUM_BLOCK) {
        size_t m = n - i < SUM_BLOCK ? n - i : SUM_BLOCK;

        if (other) {
            float sums[3];

            row_sums_guided(m, z + i, other + i, max, 1.0f / tau, sums);
            out->sum += sums[0];
            out->sum_tau += sums[1];
            out->cross += sums[2];
        } else
            out->sum += row_sum(m, z + i, max);
    }
}

void
metasd_row_join(const MetasdPartial *parts, size_t stride, int count, float tau, MetasdRow *row,
                double *mean_cross)
{
    double max = parts[0].max, sum = 0, sum_tau = 0, cross = 0;

    for (int i = 1; i < count; i++)
        max = fmax(max, parts[(size_t)i * stride].max);
    for (int i = 0; i < count; i++) {
        const MetasdPartial *part = &parts[(size_t)i * stride];
        double scale = exp((part->max - max) / tau);

        sum += part->sum * exp(part->max - max);
        sum_tau += part->sum_tau * scale;
        cross += part->cross * scale;
    }
    row->lse = max + log(sum);
    row->lse_tau = max / tau + (sum_tau > 0 ? log(sum_tau) : 0);
    row->divergence = 0;
    if (mean_cross)
        *mean_cross = sum_tau > 0 ? cross / sum_tau : 0;
}

METASD_VECTORISE void
metasd_gradient_tail(size_t n, float *restrict z, const MetasdRow *row, float weight)
{
    float lse = (float)row->lse;

    for (size_t i = 0; i < n; i++)
        z[i] = weight * exp_small(z[i] - lse);
}

METASD_VECTORISE void
metasd_gradient_student(size_t n, const float *restrict t, const float *restrict s,
                        const MetasdGuide *guide, float *restrict out)
{
    float weight = guide->weight, forward = guide->forward, reverse = guide->reverse;
    float per_tau = 1.0f / guide->tau, lse = (float)guide->student.lse;
    float lse_t = (float)guide->source.lse_tau, lse_s = (float)guide->student.lse_tau;
    float divergence = (float)guide->student.divergence;

    for (size_t i = 0; i < n; i++) {
        float log_p = t[i] * per_tau - lse_t, log_q = s[i] * per_tau - lse_s;
        float p = exp_small(log_p), q = exp_small(log_q);
        float ratio = q > 0.0f ? q * (log_q - log_p - divergence) : 0.0f;

        out[i] = weight * exp_small(s[i] - lse) + forward * (q - p) + reverse * ratio;
    }
}

METASD_VECTORISE void
metasd_gradient_mutual(size_t n, float *restrict t, float *restrict s, const MetasdGuide *guide)
{
    float weight = guide->weight, forward = guide->forward, reverse = guide->reverse;
    float per_tau = 1.0f / guide->tau;
    float lse_source = (float)guide->source.lse, lse_student = (float)guide->student.lse;
    float lse_t = (float)guide->source.lse_tau, lse_s = (float)guide->student.lse_tau;
    float kl_pq = (float)guide->source.divergence, kl_qp = (float)guide->student.divergence;

    for (size_t i = 0; i < n; i++) {
        float log_p = t[i] * per_tau - lse_t, log_q = s[i] * per_tau - lse_s;
        float p = exp_small(log_p), q = exp_small(log_q);
        float difference = log_p - log_q;
        float ratio_p = p > 0.0f ? p * (difference - kl_pq) : 0.0f;
        float ratio_q = q > 0.0f ? q * (-difference - kl_qp) : 0.0f;
        float source = weight * exp_small(t[i] - lse_source);
        float student = weight * exp_small(s[i] - lse_student);

        t[i] = source + forward * (p - q) + reverse * ratio_p;
        s[i] = student + forward * (q - p) + reverse * ratio_q;
    }
}

METASD_VECTORISE static void
dots(size_t n, const float *restrict t, const float *restrict s, const float *restrict zdot,
     const MetasdGuide *guide, float *out)
{
    float per_tau = 1.0f / guide->tau;
    float lse_t = (float)guide->source.lse_tau, lse_s = (float)guide->student.lse_tau;
    float source = 0, student = 0;

#pragma omp simd reduction(+ : source, student)
    for (size_t i = 0; i < n; i++) {
        source += exp_small(t[i] * per_tau - lse_t) * zdot[i];
        student += exp_small(s[i] * per_tau - lse_s) * zdot[i];
    }
    out[0] = source;
    out[1] = student;
}

void
metasd_meta_dots(size_t n, const float *t, const float *s, const float *zdot,
                 const MetasdGuide *guide, double *source_dot, double *student_dot)
{
    *source_dot = *student_dot = 0;
    for (size_t i = 0; i < n; i += SUM_BLOCK) {
        float sums[2];

        dots(n - i < SUM_BLOCK ? n - i : SUM_BLOCK, t + i, s + i, zdot + i, guide, sums);
        *source_dot += sums[0];
        *student_dot += sums[1];
    }
}

METASD_VECTORISE void
metasd_gradient_meta(size_t n, const float *restrict t, const float *restrict s,
                     float *restrict zdot, const MetasdGuide *guide, double source_dot,
                     double student_dot)
{
    float forward = guide->forward, reverse = guide->reverse, per_tau = 1.0f / guide->tau;
    float lse_t = (float)guide->source.lse_tau, lse_s = (float)guide->student.lse_tau;
    float mean_p = (float)source_dot, mean_q = (float)student_dot;

    for (size_t i = 0; i < n; i++) {
        float p = exp_small(t[i] * per_tau - lse_t), q = exp_small(s[i] * per_tau - lse_s);

        zdot[i] = forward * p * (zdot[i] - mean_p) + reverse * q * (zdot[i] - mean_q);
    }
}
