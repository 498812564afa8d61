/*
 * exp.h - the exponential function of float, in a form that loops make vector code of.
 */
#ifndef METASD_CORE_BASE_EXP_H
#define METASD_CORE_BASE_EXP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define METASD_INLINE static inline __attribute__((always_inline))

/*
 * exp(x) = 2^k exp(r), |r| <= ln 2 / 2: k by adding and taking off 1.5 x 2^23,
 * which rounds to the nearest integer, r by a two-part ln 2, exp(r) by its Taylor
 * polynomial of degree 7 (remainder below 6e-9). Written without branches so that
 * loops over it become vector code. Not valid under -ffast-math.
 */
METASD_INLINE float
metasd_exp_small(float x)
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
    /* 0 below the end; a mask, since the compiler would make a branch of a choice. */
    bits = ((bits + 127) << 23) & -(uint32_t)(x >= -87.3f);
    memcpy(&scale, &bits, sizeof(scale));
    return e * scale;
}

/*
 * Sum of exp(min(z - top, 0)) over n scores of one query, which lie one after another; -infinity
 * among them counts nothing.
 */
extern double metasd_exp_sum(size_t n, const float *z, float top);

/* x[i] = exp(x[i]) for x <= 88, relative error below 2e-7; 0 below -87.3. For tests. */
extern void metasd_exp(size_t n, float *x);

#endif
