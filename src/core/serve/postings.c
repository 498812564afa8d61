#include "core/serve/postings.h"

#include "core/base/simd.h"

#if METASD_DISPATCH
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

/* The place COUNT weights on; in a damaged list at most its end. */
INLINE const float *
forward(const MetasdPosting *list, size_t count)
{
    return count < (size_t)(list->end - list->at) ? list->at + count : list->end;
}

static void
add_plain(size_t words, MetasdPosting *lists, size_t count, float *scores)
{
    for (size_t i = 0; i < count; i++) {
        MetasdPosting *list = &lists[i];

        for (size_t w = 0; w < words; w++) {
            uint64_t bits = *list->bits++;
            float *to = scores + w * METASD_WORD;
            size_t n = 0;

            for (; bits != 0; bits &= bits - 1)
                to[__builtin_ctzll(bits)] += list->weight * list->at[n++];
            list->at = forward(list, n);
        }
    }
}

static const MetasdPostingKernels plain = {"plain", add_plain};

#if METASD_DISPATCH

/* The number of weights before a place in a word: the set bits below it. */
#define BEFORE(bits, place) __builtin_popcountll((bits) & ((UINT64_C(1) << (place)) - 1))

/*
 * For each byte of bits: the index among the next eight weights of each of eight entities, one byte
 * each. An entity without a weight gets an index beyond them, with the sign bit set.
 */
#define PLACE(b, j)                                                                                \
    ((uint64_t)((b) >> (j)&1 ? __builtin_popcount((b) & ((1 << (j)) - 1)) : 0x88) << 8 * (j))
#define PLACES(b)                                                                                  \
    PLACE(b, 0) | PLACE(b, 1) | PLACE(b, 2) | PLACE(b, 3) | PLACE(b, 4) | PLACE(b, 5) |            \
        PLACE(b, 6) | PLACE(b, 7)
#define PLACES4(b) PLACES(b), PLACES((b) + 1), PLACES((b) + 2), PLACES((b) + 3)
#define PLACES16(b) PLACES4(b), PLACES4((b) + 4), PLACES4((b) + 8), PLACES4((b) + 12)
#define PLACES64(b) PLACES16(b), PLACES16((b) + 16), PLACES16((b) + 32), PLACES16((b) + 48)

static const uint64_t places[256] = {PLACES64(0), PLACES64(64), PLACES64(128), PLACES64(192)};

/*
 * Weights are prefetched so many bytes in advance. Lists are too short for the processor to predict
 * several streams, and it forgets them at every page.
 */
#define AHEAD 2048

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define NAMED(x) x##_v3
#define SPREAD(next, place)                                                                        \
    _mm256_blendv_ps(_mm256_permutevar8x32_ps(next, place), _mm256_setzero_ps(),                   \
                     _mm256_castsi256_ps(place))
#include "core/serve/postings_body.h"
#pragma GCC pop_options

/* vexpandps is made for this, but takes 1.5 times the time on a Zen; a mask register does, too. */
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4")
#define NAMED(x) x##_v4
#define SPREAD(next, place) _mm256_permutex2var_ps(next, place, _mm256_setzero_ps())
#include "core/serve/postings_body.h"
#pragma GCC pop_options

static const MetasdPostingKernels v3 = {"x86-64-v3", add_v3};
static const MetasdPostingKernels v4 = {"x86-64-v4", add_v4};

#endif

METASD_KERNEL_CHOICE(MetasdPostingKernels, metasd_postings_kernels)
