/*
 * adagrad.h - Adagrad (Duchi et al. 2011) on shared weights, and the student that follows them.
 */
#ifndef METASD_CORE_MATH_ADAGRAD_H
#define METASD_CORE_MATH_ADAGRAD_H

#include <stddef.h>
#include <stdint.h>

/*
 * One step on n weights: g = gradient + mask x masked_gradient (either gradient
 * may be NULL, the second needs the mask), sum += g^2, weight -= lr g / (sqrt(sum)
 * + epsilon). Then, unless mask is NULL, student = mask x weight.
 */
extern void metasd_adagrad(size_t n, float *weights, float *sums, const float *gradient,
                           const float *masked_gradient, const uint8_t *mask, float lr,
                           float *student);

#endif
