#include "core/serve/dense_columns.h"

#include <string.h>

#include "core/base/simd.h"
#include "core/serve/postings.h"

#if METASD_DISPATCH
#include <immintrin.h>
#endif

const size_t metasd_dense_code_bytes[METASD_CODES] = {sizeof(int8_t), sizeof(int16_t),
                                                      sizeof(float)};

/* ---- plain sums ---- */

static inline float
of_int8(int8_t code)
{
    return code;
}

static inline float
of_int16(int16_t code)
{
    return code;
}

static inline float
of_float(float code)
{
    return code;
}

#define PLAIN(name, type, value_of)                                                                \
    static void name(const MetasdDenseColumns *tiles, size_t count,                                \
                     const MetasdDenseColumn *asked, size_t asked_count, float *scores)            \
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
PLAIN(int16_plain, int16_t, of_int16)
PLAIN(float_plain, float, of_float)

static const MetasdDenseKernels plain = {"plain", {int8_plain, int16_plain, float_plain}};

float
metasd_dense_code_product(MetasdCodes kind, const void *codes, size_t at, float weight)
{
    return weight * (kind == METASD_CODES_INT8    ? of_int8(((const int8_t *)codes)[at])
                     : kind == METASD_CODES_INT16 ? of_int16(((const int16_t *)codes)[at])
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
#include "core/serve/dense_columns_body.h"

#define NAMED(x) int16_##x##_v3
#define CODE int16_t
#define LOAD(at) _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(at))))
#include "core/serve/dense_columns_body.h"

#define NAMED(x) float_##x##_v3
#define CODE float
#define LOAD(at) _mm256_loadu_ps(at)
#include "core/serve/dense_columns_body.h"

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
#include "core/serve/dense_columns_body.h"

#define NAMED(x) int16_##x##_v4
#define CODE int16_t
#define LOAD(at)                                                                                   \
    _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(at))))
#include "core/serve/dense_columns_body.h"

#define NAMED(x) float_##x##_v4
#define CODE float
#define LOAD(at) _mm512_loadu_ps(at)
#include "core/serve/dense_columns_body.h"
#pragma GCC pop_options

static const MetasdDenseKernels v3 = {"x86-64-v3",
                                      {int8_scores_v3, int16_scores_v3, float_scores_v3}};
static const MetasdDenseKernels v4 = {"x86-64-v4",
                                      {int8_scores_v4, int16_scores_v4, float_scores_v4}};

#endif

METASD_KERNEL_CHOICE(MetasdDenseKernels, metasd_dense_kernels)
