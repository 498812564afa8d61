#include "columns.h"

#include <math.h>
#include <string.h>

#include "simd.h"
#include "postings.h"

#if METASD_DISPATCH
#include <immintrin.h>
#endif

const size_t metasd_code_bytes[METASD_CODES] = {sizeof(int8_t), sizeof(uint16_t), sizeof(float)};

/* ---- halves ---- */

#define HALF_SIGN 0x8000u
#define HALF_MOST 0x7bffu /* the largest finite one */

/* A half's bits in a float's places are a float 2^-112 times it, the lowest halves as well. */
static inline float
of_half(uint16_t half)
{
    uint32_t bits = (uint32_t)(half & ~HALF_SIGN) << 13 | (uint32_t)(half & HALF_SIGN) << 16;
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value * 0x1p112f;
}

float
metasd_of_half(uint16_t half)
{
    return of_half(half);
}

uint16_t
metasd_half_of(float value)
{
    float magnitude = fabsf(value), least = magnitude * 0x1p-112f;
    uint32_t bits;
    uint16_t half;

    memcpy(&bits, &least, sizeof(bits));
    if (!(magnitude <= 65504) || bits >> 13 > HALF_MOST)
        return UINT16_MAX;
    half = (uint16_t)(bits >> 13 | (signbit(value) ? HALF_SIGN : 0));
    return of_half(half) == value ? half : UINT16_MAX;
}

/* ---- plain sums ---- */

static inline float
of_int8(int8_t code)
{
    return code;
}

static inline float
of_float(float code)
{
    return code;
}

#define PLAIN(name, type, value_of)                                                                \
    static void name(const MetasdColumns *tiles, size_t count, const MetasdColumn *asked,          \
                     size_t asked_count, float *scores)                                            \
    {                                                                                              \
        const type *tile = tiles->codes;                                                           \
                                                                                                   \
        memset(scores, 0, count *METASD_WORD * sizeof(*scores));                                   \
        for (size_t t = 0; t < count; t++, tile += tiles->columns * METASD_WORD) {                 \
            float *to = scores + t * METASD_WORD;                                                  \
                                                                                                   \
            for (size_t i = 0; i < asked_count; i++)                                               \
                for (size_t e = 0; e < METASD_WORD; e++)                                           \
                    to[e] += asked[i].weight * value_of(tile[asked[i].number * METASD_WORD + e]);  \
            for (size_t e = 0; e < METASD_WORD; e++)                                               \
                to[e] = tiles->scales[t * METASD_WORD + e] * to[e] + 0.0f;                         \
        }                                                                                          \
    }

PLAIN(int8_plain, int8_t, of_int8)
PLAIN(half_plain, uint16_t, of_half)
PLAIN(float_plain, float, of_float)

static const MetasdColumnKernels plain = {"plain", {int8_plain, half_plain, float_plain}};

float
metasd_code_product(MetasdCodes kind, const void *codes, size_t at, float weight)
{
    return weight * (kind == METASD_CODES_INT8   ? of_int8(((const int8_t *)codes)[at])
                     : kind == METASD_CODES_HALF ? of_half(((const uint16_t *)codes)[at])
                                                 : ((const float *)codes)[at]);
}

/* ---- vectors ---- */

#if METASD_DISPATCH

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define VECTOR __m256
#define LANES 8
#define SPLAT _mm256_set1_ps
#define LOAD_FLOATS _mm256_loadu_ps
#define STORE_FLOATS _mm256_storeu_ps

#define NAMED(x) int8_##x##_v3
#define CODE int8_t
#define LOAD(at) _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(at))))
#include "columns_body.h"

#define NAMED(x) half_##x##_v3
#define CODE uint16_t
#define LOAD(at) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(at)))
#include "columns_body.h"

#define NAMED(x) float_##x##_v3
#define CODE float
#define LOAD(at) _mm256_loadu_ps(at)
#include "columns_body.h"

#undef VECTOR
#undef LANES
#undef SPLAT
#undef LOAD_FLOATS
#undef STORE_FLOATS
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4")
#define VECTOR __m512
#define LANES 16
#define SPLAT _mm512_set1_ps
#define LOAD_FLOATS _mm512_loadu_ps
#define STORE_FLOATS _mm512_storeu_ps

#define NAMED(x) int8_##x##_v4
#define CODE int8_t
#define LOAD(at) _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(at))))
#include "columns_body.h"

#define NAMED(x) half_##x##_v4
#define CODE uint16_t
#define LOAD(at) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(at)))
#include "columns_body.h"

#define NAMED(x) float_##x##_v4
#define CODE float
#define LOAD(at) _mm512_loadu_ps(at)
#include "columns_body.h"
#pragma GCC pop_options

static const MetasdColumnKernels v3 = {"x86-64-v3",
                                       {int8_scores_v3, half_scores_v3, float_scores_v3}};
static const MetasdColumnKernels v4 = {"x86-64-v4",
                                       {int8_scores_v4, half_scores_v4, float_scores_v4}};

#endif

METASD_KERNEL_CHOICE(MetasdColumnKernels, metasd_column_kernels)
