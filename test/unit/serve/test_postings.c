/*
 * Lists of kept weights are added up to the same bits by every instruction set of this processor,
 * and those are the bits of plain sums; a damaged list does no harm.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/serve/postings.h"
#include "core/base/random.h"

#define STREAM 81
#define WORDS ((size_t)9)
#define ENTITIES (WORDS * METASD_WORD)
#define LISTS 13

typedef struct Fixture {
    float dense[LISTS][ENTITIES]; /* 0 where there is no weight */
    float by[LISTS];
    uint64_t bits[LISTS][WORDS];
    float values[LISTS * ENTITIES + METASD_WORD];
    float *start[LISTS], *end;
    float expected[ENTITIES], scores[ENTITIES];
} Fixture;

/* Part of list l that is there: none, few, half, most, all. */
static Fixture *
make(uint64_t seed)
{
    static const uint64_t parts[] = {0, 2, 50, 97, 100};
    Fixture *f = calloc(1, sizeof(*f));
    size_t n = 0;

    assert_non_null(f);
    for (size_t l = 0; l < LISTS; l++) {
        f->start[l] = f->values + n;
        f->by[l] = (float)metasd_random_normal(seed, STREAM, l);
        for (size_t e = 0; e < ENTITIES; e++) {
            uint64_t at = l * ENTITIES + e;

            if (metasd_random_below(seed, STREAM + 1, at, 100) >= parts[(l + seed) % 5])
                continue;
            f->dense[l][e] = (float)metasd_random_normal(seed, STREAM + 2, at);
            f->bits[l][e / METASD_WORD] |= UINT64_C(1) << e % METASD_WORD;
            f->values[n++] = f->dense[l][e];
        }
    }
    f->end = f->values + n;
    return f;
}

/* Adds all lists, some words and some lists at a time. */
static void
add(Fixture *f, const MetasdPostingKernels *kernels, size_t words, size_t group)
{
    MetasdPosting lists[LISTS];

    for (size_t l = 0; l < LISTS; l++)
        lists[l] = (MetasdPosting){
            .bits = f->bits[l], .at = f->start[l], .end = f->end, .weight = f->by[l]};
    for (size_t w = 0; w < WORDS; w += words)
        for (size_t l = 0; l < LISTS; l += group)
            kernels->add(WORDS - w < words ? WORDS - w : words, lists + l,
                         LISTS - l < group ? LISTS - l : group, f->scores + w * METASD_WORD);
}

static void
sums_are_the_same_bits(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        Fixture *f = make(seed);

        for (size_t e = 0; e < ENTITIES; e++)
            for (size_t l = 0; l < LISTS; l++) {
                volatile float product = f->by[l] * f->dense[l][e]; /* rounded */

                f->expected[e] += product;
            }
        for (int i = 0; metasd_postings_kernels_at(i); i++)
            for (size_t words = 1; words <= WORDS; words += 4)
                for (size_t group = 1; group <= LISTS; group += 6) {
                    memset(f->scores, 0, sizeof(f->scores));
                    add(f, metasd_postings_kernels_at(i), words, group);
                    assert_memory_equal(f->scores, f->expected, sizeof(f->scores));
                }
        free(f);
    }
}

/* More bits than there are weights: read is what there is, and METASD_WORD more. */
static void
too_many_bits_do_no_harm(void **state)
{
    (void)state;
    for (int i = 0; metasd_postings_kernels_at(i); i++)
        for (size_t kept = 0; kept < 2 * METASD_WORD; kept += 31) {
            float *values = calloc(kept + METASD_WORD, sizeof(*values)), scores[ENTITIES] = {0};
            uint64_t bits[WORDS];
            MetasdPosting list = {.bits = bits, .at = values, .end = values + kept, .weight = 1};

            memset(bits, 0xff, sizeof(bits));
            metasd_postings_kernels_at(i)->add(WORDS, &list, 1, scores);
            assert_ptr_equal(list.at, list.end);
            free(values);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_the_same_bits),
        cmocka_unit_test(too_many_bits_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
