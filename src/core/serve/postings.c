#include "core/serve/postings.h"

#include "core/base/simd.h"

#if METASD_DISPATCH
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

/* The weights behind COUNT more; a damaged list stays at its end. */
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

/* Of the bits of a word below a place: how many weights come before it. */
#define BEFORE(bits, place) __builtin_popcountll((bits) & ((UINT64_C(1) << (place)) - 1))

/*
 * Which of the next eight weights each of eight entities has, by their bits, a byte each. One that
 * has none gets a place beyond them, with a sign.
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
 * Bytes by which weights are asked for in advance. Lists are shorter than what makes a processor
 * see where each of several is going, which it forgets at every page.
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

/*
 * vexpandps is made for this, but takes half as long again on a Zen, and so does a mask register.
 */
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
