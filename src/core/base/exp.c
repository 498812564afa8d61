#include "core/base/exp.h"

#include "core/base/simd.h"

METASD_VECTORISE void
metasd_exp(size_t n, float *restrict x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = metasd_exp_small(x[i]);
}

/* Numbers summed as floats before their sum joins one of doubles. */
#define BLOCK ((size_t)128)

METASD_VECTORISE static float
block_sum(size_t n, const float *restrict z, float top)
{
    float sum = 0;

#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += metasd_exp_small(z[i] < top ? z[i] - top : 0.0f);
    return sum;
}

double
metasd_exp_sum(size_t n, const float *z, float top)
{
    double sum = 0;

    for (size_t i = 0; i < n; i += BLOCK)
        sum += (double)block_sum(n - i < BLOCK ? n - i : BLOCK, z + i, top);
    return sum;
}
