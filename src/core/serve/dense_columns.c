#include "core/serve/dense_columns.h"

#include <math.h>
#include <string.h>

#include "core/base/simd.h"

#if METASD_DISPATCH
#include <immintrin.h>
#endif

const size_t metasd_dense_code_bytes[METASD_CODES] = {sizeof(uint8_t), sizeof(float)};

/* ---- whole weights ---- */

/* Adding this to a number below 2^51, and subtracting it, rounds as rint does, and is no call. */
#define ROUNDING 6755399441055744.0 /* 1.5 x 2^52 */

/* A weight in whole steps. */
static inline int32_t
whole_weight(float weight, double step)
{
    return (int32_t)((double)weight / step + ROUNDING - ROUNDING);
}

/* The largest weight, without a sign. Their bits are ordered as they are. */
METASD_VECTORISE static float
find_largest(const MetasdDenseColumn *columns, size_t count)
{
    uint32_t most = 0;
    float largest;

    for (size_t i = 0; i < count; i++) {
        uint32_t bits;

        memcpy(&bits, &columns[i].weight, sizeof(bits));
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    memcpy(&largest, &most, sizeof(largest));
    return largest;
}

/* Numbers and weights, these in whole steps, of full quads: in part[i] that of column i. */
METASD_VECTORISE static void
round_weights(const MetasdDenseColumn *columns, size_t quads, double step, MetasdDenseQuad *quad)
{
    for (size_t q = 0; q < quads; q++)
        for (size_t i = 0; i < 4; i++) {
            quad[q].number[i] = columns[4 * q + i].number;
            quad[q].part[i] = whole_weight(columns[4 * q + i].weight, step);
        }
}

/* Likewise of a quad of fewer columns: a last column with weight 0 in place of others. */
static void
round_rest(const MetasdDenseColumn *columns, size_t count, double step, MetasdDenseQuad *quad)
{
    MetasdDenseColumn rest[4];

    for (size_t i = 0; i < 4; i++)
        rest[i] = (MetasdDenseColumn){.number = columns[i < count ? i : count - 1].number,
                                      .weight = i < count ? columns[i].weight : 0};
    round_weights(rest, 1, step, quad);
}

/* The lowest parts of a weight are balanced around 0: with these in each, no part is negative. */
#define HALVES_8 0x808080u
#define HALVES_12 0x800800u

/*
 * Splits the whole weights in place. part[p]: the bytes p of the four weights; or part[0] and [1]:
 * the low halves, of 16 bits, of the first two and the last two, and then the high ones.
 */
METASD_VECTORISE static void
split_weights(unsigned bits, size_t quads, MetasdDenseQuad *quad)
{
    for (size_t q = 0; q < quads && bits == 8; q++) {
        uint32_t w[4], parts[4];

        for (int i = 0; i < 4; i++)
            w[i] = ((uint32_t)quad[q].part[i] + HALVES_8) ^ HALVES_8;
        for (int p = 0; p < 4; p++)
            parts[p] = (w[0] >> 8 * p & 0xff) | (w[1] >> 8 * p & 0xff) << 8 |
                       (w[2] >> 8 * p & 0xff) << 16 | (w[3] >> 8 * p & 0xff) << 24;
        memcpy(quad[q].part, parts, sizeof(parts));
    }
    for (size_t q = 0; q < quads && bits == 12; q++) {
        uint32_t low[4], high[4], parts[4];

        for (int i = 0; i < 4; i++) {
            uint32_t w = (uint32_t)quad[q].part[i] + HALVES_12;

            low[i] = ((w & 0xfff) - 0x800) & 0xffff;
            high[i] = ((w >> 12 & 0xfff) - 0x800) & 0xffff;
        }
        for (int i = 0; i < 2; i++) {
            parts[i] = low[2 * i] | low[2 * i + 1] << 16;
            parts[2 + i] = high[2 * i] | high[2 * i + 1] << 16;
        }
        memcpy(quad[q].part, parts, sizeof(parts));
    }
}

/* The sum of the whole weights. */
METASD_VECTORISE static int64_t
sum_weights(size_t quads, const MetasdDenseQuad *quad)
{
    int64_t sum = 0;

    for (size_t q = 0; q < quads; q++)
        for (int i = 0; i < 4; i++)
            sum += quad[q].part[i];
    return sum;
}

void
metasd_dense_prepare(const MetasdDenseKernels *kernels, MetasdCodes kind, MetasdDenseQuery *query)
{
    size_t quads = query->count / 4, rest = query->count % 4;
    float largest;

    if (kind == METASD_CODES_FLOAT)
        return;
    largest = find_largest(query->columns, query->count);
    query->step = largest > 0 ? (double)largest / METASD_DENSE_MOST : 1;
    round_weights(query->columns, quads, query->step, query->quads);
    if (rest > 0)
        round_rest(query->columns + 4 * quads, rest, query->step, query->quads + quads);
    quads += rest > 0;
    query->bias = METASD_CODE_ZERO * sum_weights(quads, query->quads);
    split_weights(kernels->part_bits, quads, query->quads);
}

/* ---- plain sums ---- */

static void
add_plain(const uint8_t *tile, const uint8_t *next, const MetasdDenseQuad *quads, size_t count,
          int32_t sums[3][METASD_WORD])
{
    (void)next;
    memset(sums, 0, 2 * sizeof(*sums));
    for (size_t q = 0; q < count; q++)
        for (size_t i = 0; i < 4; i++) {
            const uint8_t *codes = tile + quads[q].number[i] * METASD_WORD;

            for (size_t p = 0; p < 2; p++) {
                uint32_t both = (uint32_t)quads[q].part[2 * p + i / 2];
                int16_t part = (int16_t)(both >> 16 * (i % 2));

                for (size_t e = 0; e < METASD_WORD; e++)
                    sums[p][e] += part * codes[e];
            }
        }
}

static void
add_floats_plain(const MetasdDenseColumns *tiles, size_t count, const MetasdDenseQuery *query,
                 float *scores)
{
    const float *tile = tiles->codes;

    memset(scores, 0, count * METASD_WORD * sizeof(*scores));
    for (size_t t = 0; t < count; t++, tile += tiles->columns * METASD_WORD) {
        float *to = scores + t * METASD_WORD;

        for (size_t i = 0; i < query->count; i++)
            for (size_t e = 0; e < METASD_WORD; e++)
                to[e] +=
                    query->columns[i].weight * tile[query->columns[i].number * METASD_WORD + e];
        for (size_t e = 0; e < METASD_WORD; e++)
            to[e] += 0.0f;
    }
}

static const MetasdDenseKernels plain = {"plain", 12, add_plain, add_floats_plain};

/* ---- vectors ---- */

#if METASD_DISPATCH

/*
 * Codes are prefetched so many quads in advance. The processor does not foresee the next line,
 * because a query leaves columns out.
 */
#define AHEAD ((size_t)48)

static inline __attribute__((always_inline)) void
prefetch(const uint8_t *tile, const uint8_t *next, const MetasdDenseQuad *quads, size_t count,
         size_t q)
{
    size_t at = q + (count < AHEAD ? count : AHEAD);
    const uint8_t *from = at < count ? tile : next;
    const MetasdDenseQuad *quad = &quads[at < count ? at : at - count];

    for (int i = 0; i < 4; i++)
        __builtin_prefetch(from + quad->number[i] * METASD_WORD);
}

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")

static inline __m256i
join(const int32_t *low, const int32_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
                                   _mm_loadu_si128((const __m128i *)high), 1);
}

/* Codes of two columns side by side, as numbers of 16 bits: vector k has entities 4 k to 4 k + 3,
 * and these + 16. */
static inline void
widen_pair(const uint8_t *a, const uint8_t *b, __m256i codes[4])
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i first = _mm256_loadu_si256((const __m256i *)a);
    __m256i second = _mm256_loadu_si256((const __m256i *)b);
    __m256i low = _mm256_unpacklo_epi8(first, second), high = _mm256_unpackhi_epi8(first, second);

    codes[0] = _mm256_unpacklo_epi8(low, zero);
    codes[1] = _mm256_unpackhi_epi8(low, zero);
    codes[2] = _mm256_unpacklo_epi8(high, zero);
    codes[3] = _mm256_unpackhi_epi8(high, zero);
}

/*
 * For quads FROM to END - 1 and 32 entities of a tile, FIRST and those behind. Codes are multiplied
 * and added in pairs.
 */
static inline __attribute__((always_inline)) void
add_half_v3(const uint8_t *tile, const uint8_t *next, const MetasdDenseQuad *quads, size_t count,
            size_t from, size_t end, size_t first, int32_t sums[3][METASD_WORD])
{
    __m256i sum[2][4];

    for (size_t p = 0; p < 2; p++)
        for (size_t k = 0; k < 4; k++)
            sum[p][k] = join(&sums[p][first + 4 * k], &sums[p][first + 16 + 4 * k]);
    for (size_t q = from; q < end; q++) {
        const MetasdDenseQuad *quad = &quads[q];

        if (first == 0)
            prefetch(tile, next, quads, count, q);
        for (size_t pair = 0; pair < 2; pair++) {
            __m256i codes[4];

            widen_pair(tile + quad->number[2 * pair] * METASD_WORD + first,
                       tile + quad->number[2 * pair + 1] * METASD_WORD + first, codes);
            for (size_t p = 0; p < 2; p++) {
                __m256i weights = _mm256_set1_epi32(quad->part[2 * p + pair]);

                for (size_t k = 0; k < 4; k++)
                    sum[p][k] = _mm256_add_epi32(sum[p][k], _mm256_madd_epi16(codes[k], weights));
            }
        }
    }
    for (size_t p = 0; p < 2; p++)
        for (size_t k = 0; k < 4; k++) {
            int32_t *to = &sums[p][first + 4 * k];

            _mm_storeu_si128((__m128i *)to, _mm256_castsi256_si128(sum[p][k]));
            _mm_storeu_si128((__m128i *)(to + 16), _mm256_extracti128_si256(sum[p][k], 1));
        }
}

static void
add_v3(const uint8_t *tile, const uint8_t *next, const MetasdDenseQuad *quads, size_t count,
       int32_t sums[3][METASD_WORD])
{
    memset(sums, 0, 2 * sizeof(*sums));
    for (size_t q = 0; q < count; q += AHEAD) { /* both halves from the first cache */
        size_t end = count - q < AHEAD ? count : q + AHEAD;

        add_half_v3(tile, next, quads, count, q, end, 0, sums);
        add_half_v3(tile, next, quads, count, q, end, METASD_WORD / 2, sums);
    }
}

#define NAMED(x) x##_v3
#define VECTOR __m256
#define LANES 8
#define SPLAT _mm256_set1_ps
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#include "core/serve/dense_columns_body.h"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,avx512vnni")

/*
 * Four columns side by side, four bytes for each entity, are multiplied with a byte of each weight
 * and added at once. Lane l of vector k has entity 16 (l / 4) + 4 k + l % 4.
 */
static void
add_v4(const uint8_t *tile, const uint8_t *next, const MetasdDenseQuad *quads, size_t count,
       int32_t sums[3][METASD_WORD])
{
    __m512i sum[3][4];

    for (size_t p = 0; p < 3; p++)
        for (size_t k = 0; k < 4; k++)
            sum[p][k] = _mm512_setzero_si512();
    for (size_t q = 0; q < count; q++) {
        const MetasdDenseQuad *quad = &quads[q];
        __m512i column[4], pair[4], codes[4];

        prefetch(tile, next, quads, count, q);
        for (size_t i = 0; i < 4; i++)
            column[i] = _mm512_loadu_si512(tile + quad->number[i] * METASD_WORD);
        for (size_t i = 0; i < 2; i++) {
            pair[2 * i] = _mm512_unpacklo_epi8(column[2 * i], column[2 * i + 1]);
            pair[2 * i + 1] = _mm512_unpackhi_epi8(column[2 * i], column[2 * i + 1]);
        }
        for (size_t i = 0; i < 2; i++) {
            codes[2 * i] = _mm512_unpacklo_epi16(pair[i], pair[i + 2]);
            codes[2 * i + 1] = _mm512_unpackhi_epi16(pair[i], pair[i + 2]);
        }
        for (size_t p = 0; p < 3; p++) {
            __m512i weights = _mm512_set1_epi32(quad->part[p]);

            for (size_t k = 0; k < 4; k++)
                sum[p][k] = _mm512_dpbusd_epi32(sum[p][k], codes[k], weights);
        }
    }
    for (size_t p = 0; p < 3; p++)
        for (size_t k = 0; k < 4; k++) {
            int32_t *to = &sums[p][4 * k];

            _mm_storeu_si128((__m128i *)to, _mm512_castsi512_si128(sum[p][k]));
            _mm_storeu_si128((__m128i *)(to + 16), _mm512_extracti32x4_epi32(sum[p][k], 1));
            _mm_storeu_si128((__m128i *)(to + 32), _mm512_extracti32x4_epi32(sum[p][k], 2));
            _mm_storeu_si128((__m128i *)(to + 48), _mm512_extracti32x4_epi32(sum[p][k], 3));
        }
}

#define NAMED(x) x##_v4
#define VECTOR __m512
#define LANES 16
#define SPLAT _mm512_set1_ps
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#include "core/serve/dense_columns_body.h"
#pragma GCC pop_options

static const MetasdDenseKernels v3 = {"x86-64-v3", 12, add_v3, add_floats_v3};
static const MetasdDenseKernels v4 = {"x86-64-v4 with VNNI", 8, add_v4, add_floats_v4};

#endif

const MetasdDenseKernels *
metasd_dense_kernels_at(int i)
{
    static const MetasdDenseKernels *const kernels[METASD_SETS + 1] = {METASD_KERNEL_SETS};
    MetasdSet set = metasd_simd_instruction_set(i);

#if METASD_DISPATCH
    if (set == METASD_SET_V4 && !__builtin_cpu_supports("avx512vnni"))
        set = METASD_SET_V3;
#endif
    return kernels[set];
}

const MetasdDenseKernels *
metasd_dense_kernels(void)
{
    return metasd_dense_kernels_at(0);
}

/* ---- scores ---- */

/* total[e] += the sums of all parts. Exact, so in any order, below 2^53: for 2^22 columns. */
METASD_VECTORISE static void
add_parts(unsigned bits, int32_t sums[3][METASD_WORD], double *total)
{
    double unit = 1 << bits, square = bits == 8 ? unit * unit : 0;

#pragma omp simd
    for (size_t e = 0; e < METASD_WORD; e++)
        total[e] += sums[0][e] + unit * sums[1][e] + square * sums[2][e];
}

/* The only place that makes a score of a sum, so that one entity gets the bits of all. */
static inline float
score_of(const MetasdDenseQuery *query, double scale, double total)
{
    return (float)(scale * (query->step * (total - (double)query->bias))) + 0.0f;
}

METASD_VECTORISE static void
scale_totals(const MetasdDenseQuery *query_, const double *scales, const double *total,
             float *scores)
{
    const MetasdDenseQuery query = *query_;

#pragma omp simd
    for (size_t e = 0; e < METASD_WORD; e++)
        scores[e] = score_of(&query, scales[e], total[e]);
}

void
metasd_dense_scores(const MetasdDenseKernels *kernels, const MetasdDenseColumns *tiles,
                    size_t count, const MetasdDenseQuery *query, float *scores)
{
    const uint8_t *tile = tiles->codes;
    size_t quads = metasd_dense_quads(query->count), bytes = tiles->columns * METASD_WORD;
    int32_t sums[3][METASD_WORD] = {0};

    if (tiles->kind == METASD_CODES_FLOAT) {
        kernels->add_floats(tiles, count, query, scores);
        return;
    }
    for (size_t t = 0; t < count; t++, tile += bytes) {
        const uint8_t *next = t + 1 < count ? tile + bytes : tile;
        double total[METASD_WORD] = {0};

        for (size_t q = 0; q < quads; q += METASD_DENSE_BLOCK) {
            size_t block = quads - q < METASD_DENSE_BLOCK ? quads - q : METASD_DENSE_BLOCK;

            kernels->add(tile, next, query->quads + q, block, sums);
            add_parts(kernels->part_bits, sums, total);
        }
        scale_totals(query, tiles->scales + t * METASD_WORD, total, scores + t * METASD_WORD);
    }
}

void
metasd_dense_touch(const MetasdDenseColumns *tiles, size_t t)
{
    size_t bytes = tiles->columns * METASD_WORD * metasd_dense_code_bytes[tiles->kind];
    const volatile uint8_t *tile = (const uint8_t *)tiles->codes + t * bytes;

    for (size_t at = 0; at < bytes; at += 64)
        (void)tile[at];
}

float
metasd_dense_score(const MetasdDenseColumns *tiles, size_t e, const MetasdDenseQuery *query)
{
    size_t first = e / METASD_WORD * tiles->columns * METASD_WORD + e % METASD_WORD;
    float sum = 0;
    int64_t total = 0;

    if (tiles->kind == METASD_CODES_FLOAT) {
        for (size_t i = 0; i < query->count; i++)
            sum += query->columns[i].weight *
                   ((const float *)tiles->codes)[first + query->columns[i].number * METASD_WORD];
        return sum + 0.0f;
    }
    for (size_t i = 0; i < query->count; i++)
        total += (int64_t)whole_weight(query->columns[i].weight, query->step) *
                 ((const uint8_t *)tiles->codes)[first + query->columns[i].number * METASD_WORD];
    return score_of(query, tiles->scales[e], (double)total);
}
