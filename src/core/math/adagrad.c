#include "core/math/adagrad.h"

#include <math.h>

#include "core/base/simd.h"

#define EPSILON 1e-10f

METASD_VECTORISE void
metasd_adagrad(size_t n, float *restrict weights, float *restrict sums,
               const float *restrict gradient, const float *restrict masked_gradient,
               const uint8_t *restrict mask, float lr, float *restrict student)
{
    if (masked_gradient) {
        for (size_t i = 0; i < n; i++) {
            float keep = (float)mask[i];
            float g = keep * masked_gradient[i] + (gradient ? gradient[i] : 0.0f);

            sums[i] += g * g;
            weights[i] -= lr * g / (sqrtf(sums[i]) + EPSILON);
            student[i] = keep * weights[i] + 0.0f; /* of a pruned weight +0, whatever its sign */
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        float g = gradient[i];

        sums[i] += g * g;
        weights[i] -= lr * g / (sqrtf(sums[i]) + EPSILON);
    }
    if (mask)
        for (size_t i = 0; i < n; i++)
            student[i] = (float)mask[i] * weights[i] + 0.0f;
}
