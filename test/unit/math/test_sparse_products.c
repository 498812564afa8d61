/*
 * Products with the kept weights of a slice are those with all its weights, for every instruction
 * set that this processor has, every density, and tiles that are full or not.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/math/softmax.h"
#include "core/math/pattern.h"
#include "core/base/random.h"
#include "tools.h"

#define ROWS ((uint32_t)150)
#define STRIDE (2 * METASD_TILE)
#define MOST_WIDTH ((size_t)70)

typedef struct Fixture {
    size_t width;
    MetasdSlices slices;
    MetasdTeam team;
    uint8_t mask[ROWS * MOST_WIDTH];
    float table[ROWS * MOST_WIDTH]; /* 0 where the mask is */
    float gradient[ROWS * MOST_WIDTH];
    float tile[MOST_WIDTH * METASD_TILE];
    float out[MOST_WIDTH * METASD_TILE];
    float z[ROWS * STRIDE];
    float room[3][ROWS * MOST_WIDTH];
    MetasdPattern pattern;
    MetasdPack pack;
    void *memory;
} Fixture;

static float
normal(uint64_t stream, size_t i)
{
    return (float)metasd_random_normal(33, stream, i);
}

/* Some rows and columns keep nothing, some all. */
static Fixture *
make(size_t width, double density, double room, double whole_from)
{
    Fixture *f = tools_alloc(sizeof(*f));
    MetasdArena arena = metasd_arena_measure();
    bool sparse;

    memset(f, 0, sizeof(*f));
    f->width = width;
    f->slices = (MetasdSlices){.rows = ROWS, .parts = 1, .count = 3};
    f->team = metasd_team_of_one();
    for (size_t i = 0; i < ROWS * width; i++) {
        size_t e = i / width, j = i % width;

        f->mask[i] = (double)metasd_random_below(33, 1, i, 1000) < 1000 * density;
        if (density < 1 && (e == 7 || j == 3))
            f->mask[i] = 0;
        if (density > 0 && e == 9)
            f->mask[i] = 1;
        f->table[i] = f->mask[i] ? normal(2, i) : 0.0f;
    }
    for (size_t i = 0; i < width * METASD_TILE; i++)
        f->tile[i] = normal(3, i);
    for (size_t i = 0; i < ROWS * STRIDE; i++)
        f->z[i] = normal(4, i);
    metasd_pattern_take(&f->pattern, &arena, &f->slices, width, room, whole_from);
    f->memory = tools_alloc(arena.used);
    arena = metasd_arena_over(f->memory, arena.used);
    metasd_pattern_take(&f->pattern, &arena, &f->slices, width, room, whole_from);
    assert_true(metasd_arena_ok(&arena));
    f->pack = (MetasdPack){f->room[0], f->room[1], f->room[2]};
    assert_int_equal(metasd_pattern_build(&f->pattern, &f->team, f->mask, &sparse), METASD_OK);
    assert_int_equal(sparse, room == 1);
    return f;
}

static void
unmake(Fixture *f)
{
    free(f->memory);
    free(f);
}

/* Slice s, packed; *first is its first row. */
static MetasdPacked
pack_whole(Fixture *f, int s, size_t *first)
{
    MetasdPacked packed;

    assert_int_equal(
        metasd_pattern_pack(&f->pattern, &f->team, s, f->table, NULL, true, &f->pack, &packed),
        METASD_OK);
    *first = metasd_team_slice_start(&f->slices, s);
    return packed;
}

/* The kept weights of slice s, where no column is whole. */
static MetasdKept
pack(Fixture *f, int s, size_t *first)
{
    MetasdPacked packed = pack_whole(f, s, first);

    assert_int_equal(f->pattern.whole, 0);
    return packed.kept;
}

static void
check(const char *what, double ours, double wanted, double terms)
{
    if (!(fabs(ours - wanted) <= 1e-5 * terms + 1e-6))
        fail_msg("%s: %g is not %g", what, ours, wanted);
}

static void
check_scores(Fixture *f, const MetasdSparseKernels *kernels, int s, bool add)
{
    static float before[ROWS * STRIDE];
    size_t first;
    MetasdKept kept = pack(f, s, &first);
    float *z = f->z + first * STRIDE + METASD_TILE;

    memcpy(before, f->z, sizeof(before));
    kernels->scores(&kept, f->tile, add, z, STRIDE);
    for (size_t e = 0; e < kept.rows; e++)
        for (size_t b = 0; b < METASD_TILE; b++) {
            size_t at = (first + e) * STRIDE + METASD_TILE + b;
            double wanted = add ? (double)before[at] : 0, terms = fabs(wanted);

            for (size_t j = 0; j < f->width; j++) {
                double term = (double)f->table[(first + e) * f->width + j] *
                              (double)f->tile[j * METASD_TILE + b];

                wanted += term;
                terms += fabs(term);
            }
            check("score", (double)f->z[at], wanted, terms);
            before[at] = f->z[at];
        }
    assert_memory_equal(before, f->z, sizeof(before)); /* and nothing else changed */
}

static void
check_queries(Fixture *f, const MetasdSparseKernels *kernels, int s, bool add)
{
    size_t first;
    MetasdKept kept = pack(f, s, &first);
    const float *g = f->z + first * STRIDE;

    for (size_t i = 0; i < f->width * METASD_TILE; i++)
        f->out[i] = normal(5, i);
    kernels->queries(&kept, g, STRIDE, add, f->out);
    for (size_t j = 0; j < f->width; j++)
        for (size_t b = 0; b < METASD_TILE; b++) {
            double wanted = add ? (double)normal(5, j * METASD_TILE + b) : 0, terms = fabs(wanted);

            for (size_t e = 0; e < kept.rows; e++) {
                double term =
                    (double)f->table[(first + e) * f->width + j] * (double)g[e * STRIDE + b];

                wanted += term;
                terms += fabs(term);
            }
            check("query gradient", (double)f->out[j * METASD_TILE + b], wanted, terms);
        }
}

/* Lanes beyond the last query may hold anything. */
static void
check_weights(Fixture *f, const MetasdSparseKernels *kernels, int s, size_t lanes)
{
    size_t first;
    MetasdKept kept = pack(f, s, &first);
    float g[ROWS * METASD_TILE];

    for (size_t i = 0; i < kept.rows * METASD_TILE; i++)
        g[i] = i % METASD_TILE < lanes ? normal(6, i) : NAN;
    memset(f->pack.sum, 0, kept.row_start[kept.rows] * sizeof(float));
    kernels->weights(&kept, g, METASD_TILE, f->tile, lanes, f->pack.sum);
    memset(f->gradient, 0, sizeof(f->gradient));
    assert_int_equal(metasd_pattern_unpack(&f->pattern, &f->team, s, f->pack.sum, f->gradient),
                     METASD_OK);
    for (size_t i = 0; i < ROWS * f->width; i++) {
        size_t e = i / f->width, j = i % f->width;
        double wanted = 0, terms = 0;

        for (size_t b = 0; e >= first && e < first + kept.rows && f->mask[i] && b < lanes; b++) {
            double term =
                (double)g[(e - first) * METASD_TILE + b] * (double)f->tile[j * METASD_TILE + b];

            wanted += term;
            terms += fabs(term);
        }
        check("weight gradient", (double)f->gradient[i], wanted, terms);
    }
}

static void
products_are_those_of_all_weights(void **state)
{
    static const size_t widths[] = {6, 33, 70};
    static const double densities[] = {0, 0.02, 0.1, 0.5, 1};
    const MetasdSparseKernels *kernels;

    (void)state;
    for (int k = 0; (kernels = metasd_sparse_kernels_at(k)) != NULL; k++)
        for (size_t i = 0; i < 15; i++) {
            Fixture *f = make(widths[i / 5], densities[i % 5], 1, 0);

            for (int s = 0; s < f->slices.count; s++)
                for (int add = 0; add < 2; add++) {
                    check_scores(f, kernels, s, add);
                    check_queries(f, kernels, s, add);
                    check_weights(f, kernels, s, add ? METASD_TILE : 1 + i % METASD_TILE);
                }
            unmake(f);
        }
}

/* Whole columns are the first 35 that at least a part of the rows keeps. */
static void
check_whole_columns(const Fixture *f, double part)
{
    const MetasdPattern *pattern = &f->pattern;
    size_t whole = 0;

    assert_int_equal(pattern->most_whole, 35);
    for (size_t j = 0; j < f->width; j++) {
        size_t n = 0;

        for (size_t e = 0; e < ROWS; e++)
            n += f->mask[e * f->width + j];
        assert_int_equal(pattern->listed[j], whole == 35 || n == 0 || (double)n < part * ROWS);
        if (!pattern->listed[j])
            assert_int_equal(pattern->whole_column[whole++], j);
    }
    assert_int_equal(pattern->whole, whole);
}

/*
 * Columns that enough rows keep are whole; every weight is packed once, and unpacked where it was.
 */
static void
columns_of_many_rows_are_whole(void **state)
{
    static const double from[] = {0.01, 0.1, 0.5, 1};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        Fixture *f = make(70, 0.1, 1, from[i]);
        const MetasdPattern *pattern = &f->pattern;
        float packed_table[ROWS * MOST_WIDTH], sum[ROWS * MOST_WIDTH];
        size_t place = 0;

        check_whole_columns(f, from[i]);
        for (uint32_t e = 0; e < ROWS; e++)
            metasd_pattern_gather(pattern, e, f->table + e * f->width, false, packed_table);
        for (int s = 0; s < f->slices.count; s++) {
            size_t first, n;
            MetasdPacked packed = pack_whole(f, s, &first);

            n = packed.kept.rows * pattern->whole + packed.kept.row_start[packed.kept.rows];
            assert_int_equal(metasd_pattern_place(pattern, s), place);
            assert_memory_equal(packed.whole, packed_table + place, n * sizeof(float));
            place += n;
            for (size_t k = 0; k < n; k++)
                sum[k] = 3;
            memset(f->gradient, 0, sizeof(f->gradient));
            assert_int_equal(metasd_pattern_unpack(pattern, &f->team, s, sum, f->gradient),
                             METASD_OK);
            for (size_t w = 0; w < ROWS * f->width; w++) {
                size_t e = w / f->width;

                assert_true(f->gradient[w] ==
                            (e >= first && e < first + packed.kept.rows && f->mask[w] ? 3 : 0));
            }
            assert_int_equal(metasd_pattern_mask(pattern, &f->team, s, sum), METASD_OK);
            for (size_t k = 0; k < packed.kept.rows * pattern->whole; k++) {
                size_t e = first + k / pattern->whole;

                assert_true(
                    sum[k] ==
                    (f->mask[e * f->width + pattern->whole_column[k % pattern->whole]] ? 3 : 0));
            }
        }
        assert_int_equal(metasd_pattern_place(pattern, f->slices.count), place);
        for (uint32_t e = 0; e < ROWS; e++) {
            float row[MOST_WIDTH] = {0};

            metasd_pattern_scatter(pattern, e, packed_table, row);
            assert_memory_equal(row, f->table + e * f->width, f->width * sizeof(float));
        }
        unmake(f);
    }
}

static void
too_many_kept_weights_are_noticed(void **state)
{
    (void)state;
    unmake(make(33, 0.5, 0.3, 0));
    unmake(make(33, 0.5, 0, 0));
}

static void
there_are_kernels_for_this_processor(void **state)
{
    (void)state;
    assert_non_null(metasd_sparse_kernels());
    assert_ptr_equal(metasd_sparse_kernels(), metasd_sparse_kernels_at(0));
    for (int k = 0; metasd_sparse_kernels_at(k); k++)
        assert_true(metasd_sparse_kernels_at(k)->most_density > 0 &&
                    metasd_sparse_kernels_at(k)->most_density < 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_those_of_all_weights),
        cmocka_unit_test(columns_of_many_rows_are_whole),
        cmocka_unit_test(too_many_kept_weights_are_noticed),
        cmocka_unit_test(there_are_kernels_for_this_processor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
