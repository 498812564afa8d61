/*
 * kernels.c - what the core's kernels reach, against bounds measured in the same run.
 *
 *   build/bench/kernels [width [queries]]
 *
 * One slice of entities on one core: the student's sparse products, by density, against sgemm of
 * the same shapes; and the passes over scores, against reading and rewriting memory.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "core/math/cblas.h"
#include "core/math/softmax.h"
#include "core/math/pattern.h"
#include "core/base/random.h"

#define ROWS ((size_t)1212) /* of a slice: a twelfth of FB15k-237's entities */
#define REPEATS 7

typedef struct Bench {
    size_t width, queries, stride;
    float *table, *rows, *tiles;      /* ROWS x width; queries x width, and the same in tiles */
    float *scores, *others, *derived; /* ROWS x stride */
    float *dtable, *dqueries;         /* products */
    MetasdSlices slices;
    MetasdTeam team;
} Bench;

static float *
floats(size_t n)
{
    float *x = aligned_alloc(METASD_ALIGN,
                             (n * sizeof(*x) + METASD_ALIGN - 1) / METASD_ALIGN * METASD_ALIGN);

    if (!x)
        exit(1);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)metasd_random_normal(1, 1, i % 100003);
    return x;
}

static void
prepare(Bench *b)
{
    size_t width = b->width;

    b->stride = metasd_tile_whole(b->queries);
    b->team = metasd_team_of_one();
    b->slices = (MetasdSlices){.rows = ROWS, .parts = 1, .count = 1};
    b->table = floats(ROWS * width);
    b->rows = floats(b->queries * width);
    b->tiles = floats(b->stride * width);
    memset(b->tiles, 0, b->stride * width * sizeof(float));
    b->scores = floats(ROWS * b->stride);
    b->others = floats(ROWS * b->stride);
    b->derived = floats(ROWS * b->stride);
    b->dtable = floats(ROWS * width);
    b->dqueries = floats(b->stride * width);
    for (size_t q = 0; q < b->queries; q++)
        for (size_t j = 0; j < width; j++)
            b->tiles[(q / METASD_TILE * width + j) * METASD_TILE + q % METASD_TILE] =
                b->rows[q * width + j];
}

/* ---- products ---- */

static void
dense_product(const Bench *b, int form)
{
    int n = ROWS, q = (int)b->queries, w = (int)b->width, s = (int)b->stride;

    if (form == 0)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, q, w, 1, b->table, w, b->rows, w, 0,
                    b->scores, s);
    else if (form == 1)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, q, w, n, 1, b->others, s, b->table, w,
                    0, b->dqueries, w);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, w, q, 1, b->others, s, b->rows, w,
                    0, b->dtable, w);
}

/* As the core does it: values are packed from the dense table first, and sums unpacked into it. */
static void
sparse_product(Bench *b, const MetasdPattern *pattern, const MetasdPack *pack, int form)
{
    const MetasdSparseKernels *kernels = metasd_sparse_kernels();
    MetasdPacked packed;
    const MetasdKept *kept = &packed.kept;

    metasd_pattern_pack(pattern, &b->team, 0, b->table, NULL, form == 1, pack, &packed);
    if (form == 2)
        memset(pack->sum, 0, kept->row_start[ROWS] * sizeof(float));
    for (size_t i = 0; i < b->stride; i += METASD_TILE) {
        size_t left = b->queries - i;

        if (form == 0)
            kernels->scores(kept, b->tiles + i * b->width, false, b->scores + i, b->stride);
        else if (form == 1)
            kernels->queries(kept, b->others + i, b->stride, false, b->dqueries + i * b->width);
        else
            kernels->weights(kept, b->others + i, b->stride, b->tiles + i * b->width,
                             left < METASD_TILE ? left : METASD_TILE, pack->sum);
    }
    if (form == 2)
        metasd_pattern_unpack(pattern, &b->team, 0, pack->sum, b->dtable);
}

/* A mask that keeps `density` of the weights; the others become 0. */
static uint8_t *
take_mask(Bench *b, double density)
{
    size_t n = ROWS * b->width;
    uint8_t *mask = malloc(n);

    for (size_t i = 0; i < n; i++) {
        mask[i] = (double)metasd_random_below(2, 2, i, 1 << 30) < density * (1 << 30);
        b->table[i] = mask[i] ? (float)metasd_random_normal(1, 3, i) : 0;
    }
    return mask;
}

static void
compare_products(Bench *b, double density)
{
    static const char *const forms[] = {"scores", "query gradient", "weight gradient"};
    uint8_t *mask = take_mask(b, density);
    double dense[3], sparse[3], sums[2] = {0};
    MetasdArena arena = metasd_arena_measure();
    MetasdPattern pattern;
    MetasdPack pack = {floats(ROWS * b->width), floats(ROWS * b->width), floats(ROWS * b->width)};
    bool usable;

    metasd_pattern_take(&pattern, &arena, &b->slices, b->width, 1, 0);
    arena = metasd_arena_over(malloc(arena.used), arena.used);
    metasd_pattern_take(&pattern, &arena, &b->slices, b->width, 1, 0);
    if (metasd_pattern_build(&pattern, &b->team, mask, &usable) != METASD_OK || !usable)
        exit(1);
    printf("%8.2f", density);
    for (int form = 0; form < 3; form++) {
        dense[form] = sparse[form] = INFINITY;
        for (int i = 0; i < REPEATS; i++) {
            double start = clock_now(), middle;

            dense_product(b, form);
            middle = clock_now();
            sparse_product(b, &pattern, &pack, form);
            dense[form] = fmin(dense[form], middle - start);
            sparse[form] = fmin(sparse[form], clock_now() - middle);
        }
        sums[0] += dense[form];
        sums[1] += sparse[form];
        printf("  %s %5.1f GFLOP/s, %4.2fx", forms[form],
               2e-9 * (double)(ROWS * b->width * b->queries) / dense[form],
               dense[form] / sparse[form]);
    }
    printf("  all %4.2fx\n", sums[0] / sums[1]);
    free(mask);
    free(pack.values);
    free(pack.by_column);
    free(pack.sum);
}

/* ---- passes over scores ---- */

static double
seconds_of(Bench *b, int pass)
{
    static MetasdSoftmaxPartial partials[2];
    static double dots[2][METASD_TILE];
    static const float means[2][METASD_TILE];
    static MetasdSoftmaxTile soft;
    MetasdTemperature heat = metasd_softmax_temperature(3);
    double best = INFINITY;

    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = clock_now();

        for (size_t i = 0; i < b->stride; i += METASD_TILE) {
            float *t = b->scores + i, *s = b->others + i, *z = b->derived + i;

            switch (pass) {
                case 0:
                    metasd_softmax_sums(ROWS, b->stride, t, NULL, &partials[0]);
                    break;
                case 1:
                    metasd_softmax_scale(ROWS, b->stride, t, soft.max[0]);
                    break;
                case 2:
                    metasd_softmax_sums_pair(ROWS, b->stride, t, s, NULL, heat, &partials[0],
                                             &partials[1]);
                    break;
                case 3:
                    metasd_softmax_gradient_student(ROWS, b->stride, t, s, NULL, heat, &soft, z);
                    break;
                case 4:
                    metasd_softmax_gradient_mutual(ROWS, b->stride, t, s, NULL, heat, &soft);
                    break;
                case 5:
                    metasd_softmax_quiz_dots(ROWS, b->stride, t, s, z, NULL, heat, &soft, dots);
                    break;
                case 6:
                    metasd_softmax_gradient_quiz(ROWS, b->stride, t, s, means, &soft, z);
                    break;
            }
        }
        best = fmin(best, clock_now() - start);
    }
    return best;
}

/* Seconds to read `n` floats far beyond any cache and write them again. */
static double
seconds_to_rewrite(size_t n, float *x)
{
    double best = INFINITY;

    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = clock_now();

        for (size_t i = 0; i < n; i++)
            x[i] += 1.0f;
        best = fmin(best, clock_now() - start);
    }
    return best;
}

#define FAR_FLOATS ((size_t)64 << 20)

static void
measure_passes(Bench *b)
{
    static const struct {
        const char *name;
        int pass, rewritten; /* blocks that must be read and written */
    } passes[] = {{"sums", 0, 1},
                  {"scale", 1, 1},
                  {"sums, guided", 2, 1},
                  {"gradient of the student", 3, 1},
                  {"gradients, mutual", 4, 2},
                  {"quiz dots", 5, 2},
                  {"gradient, quiz", 6, 1}};
    float *far = floats(FAR_FLOATS);
    double rewrite = seconds_to_rewrite(FAR_FLOATS, far) / (double)FAR_FLOATS;

    printf("rewriting memory: %.2f ns a float, %.1f GB/s\n", 1e9 * rewrite, 8e-9 / rewrite);
    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {
        double each = seconds_of(b, passes[i].pass) / (double)(ROWS * b->stride);

        printf("%-24s %5.2f ns a score, %4.1f times rewriting the %d block%s it must\n",
               passes[i].name, 1e9 * each, each / (rewrite * passes[i].rewritten),
               passes[i].rewritten, passes[i].rewritten > 1 ? "s" : "");
    }
    free(far);
}

int
main(int argc, char **argv)
{
    static const double densities[] = {0.05, 0.1, 0.2, 0.3, 0.35, 0.4, 0.5};
    Bench b = {.width = argc > 1 ? (size_t)atoi(argv[1]) : 400,
               .queries = argc > 2 ? (size_t)atoi(argv[2]) : 1240};

    prepare(&b);
    printf("%zu entities x %zu, %zu queries; sparse kernels %s, crossing kept as %.2f\n", ROWS,
           b.width, b.queries, metasd_sparse_kernels()->name,
           metasd_sparse_kernels()->most_density);
    printf(" density  dense rate, and how many times as fast the sparse product is\n");
    for (size_t i = 0; i < sizeof(densities) / sizeof(densities[0]); i++)
        compare_products(&b, densities[i]);
    measure_passes(&b);
    return 0;
}
