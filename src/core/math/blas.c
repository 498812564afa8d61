#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr */
#endif
#include "core/math/blas.h"

#include <dlfcn.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/math/cblas.h"

/* A call of this size takes at most 20 ms at 60 Gflop/s, and 60 ms on a core of long ago. */
#define CALL_FLOP 1.25e9

/* Flop of such a core in the time of metasd_team_work's unit. */
#define FLOP_PER_WORK 80

/* The library copies the factors of a product: a call near a cube copies least for its work. */
#define MOST_DEPTH 512

/* Where a product is thin, copies and results take the time: floats of a side, and of an area. */
#define MOST_SIDE 4096
#define MOST_AREA 1.6e6

/* The parts of a product that one call computes: rows x columns of C, from `depth` of A and B. */
typedef struct Cut {
    size_t rows, columns, depth;
} Cut;

/* n in equal parts of at most `most`, and whole tiles of the library's kernels. */
static size_t
equal_parts(size_t n, double most)
{
    size_t parts = (size_t)ceil((double)n / most);

    return parts <= 1 ? n : ((n + parts - 1) / parts + 15) / 16 * 16;
}

/* Depends on the sizes alone, and so does every bit of the result. */
static Cut
cut_product(size_t m, size_t n, size_t k)
{
    Cut cut = {.depth = equal_parts(k, MOST_DEPTH)};
    double area = fmin(CALL_FLOP / (2.0 * (double)cut.depth), MOST_AREA), side = sqrt(area);

    cut.columns = equal_parts(n, fmin((double)m < side ? area / (double)m : side, MOST_SIDE));
    cut.rows = equal_parts(m, fmin(area / (double)cut.columns, MOST_SIDE));
    return cut;
}

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The work of a call: its arithmetic, its copies and its results. */
static size_t
work_of(Cut cut)
{
    return cut.rows * cut.columns * cut.depth / (FLOP_PER_WORK / 2) +
           (cut.rows + cut.columns) * cut.depth + cut.rows * cut.columns;
}

static MetasdStatus
product(MetasdTeam *team, CBLAS_TRANSPOSE a_form, CBLAS_TRANSPOSE b_form, size_t m, size_t n,
        size_t k, const float *a, size_t lda, const float *b, size_t ldb, bool add, float *c,
        size_t ldc)
{
    bool a_turned = a_form == CblasTrans, b_turned = b_form == CblasTrans;
    Cut most;

    for (size_t row = 0; k == 0 && !add && row < m; row++)
        memset(c + row * ldc, 0, n * sizeof(*c));
    if (m == 0 || n == 0 || k == 0)
        return METASD_OK;
    most = cut_product(m, n, k);
    for (size_t row = 0; row < m; row += most.rows)
        for (size_t column = 0; column < n; column += most.columns)
            for (size_t at = 0; at < k; at += most.depth) {
                Cut cut = {.rows = least(most.rows, m - row),
                           .columns = least(most.columns, n - column),
                           .depth = least(most.depth, k - at)};

                cblas_sgemm(CblasRowMajor, a_form, b_form, (int)cut.rows, (int)cut.columns,
                            (int)cut.depth, 1.0f,
                            a_turned ? a + at * lda + row : a + row * lda + at, (int)lda,
                            b_turned ? b + column * ldb + at : b + at * ldb + column, (int)ldb,
                            add || at > 0 ? 1.0f : 0.0f, c + row * ldc + column, (int)ldc);
                METASD_TRY(metasd_team_work(team, work_of(cut)));
            }
    return METASD_OK;
}

MetasdStatus
metasd_blas_abt(MetasdTeam *team, size_t m, size_t n, size_t k, const float *a, size_t lda,
                const float *b, size_t ldb, bool add, float *c, size_t ldc)
{
    return product(team, CblasNoTrans, CblasTrans, m, n, k, a, lda, b, ldb, add, c, ldc);
}

MetasdStatus
metasd_blas_ab(MetasdTeam *team, size_t m, size_t n, size_t k, const float *a, size_t lda,
               const float *b, size_t ldb, bool add, float *c, size_t ldc)
{
    return product(team, CblasNoTrans, CblasNoTrans, m, n, k, a, lda, b, ldb, add, c, ldc);
}

MetasdStatus
metasd_blas_atb(MetasdTeam *team, size_t m, size_t n, size_t k, const float *a, size_t lda,
                const float *b, size_t ldb, bool add, float *c, size_t ldc)
{
    return product(team, CblasTrans, CblasNoTrans, m, n, k, a, lda, b, ldb, add, c, ldc);
}

/* ---- the library ---- */

/* What only some of the libraries have; NULL in the others. */
extern void openblas_set_num_threads(int threads) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));
extern void bli_thread_set_num_threads(long threads) __attribute__((weak));

/* What the libraries read when they are loaded. Later is too late: some start threads then. */
static const char *const variables[] = {"OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS",
                                        "OMP_NUM_THREADS", "BLIS_NUM_THREADS", "MKL_NUM_THREADS"};

#define VARIABLES (sizeof(variables) / sizeof(*variables))

static char *before[VARIABLES]; /* the values of this process, for what else it loads */

/* This library is linked so that it is initialised before those which it needs (initfirst). */
__attribute__((constructor)) static void
limit_threads(void)
{
    for (size_t i = 0; i < VARIABLES; i++) {
        before[i] = getenv(variables[i]);
        setenv(variables[i], "1", 1);
    }
}

void
metasd_blas_loaded(void)
{
    for (size_t i = 0; i < VARIABLES; i++)
        if (before[i])
            setenv(variables[i], before[i], 1);
        else
            unsetenv(variables[i]);
}

/* One that something else has loaded before did not see the limits. */
void
metasd_blas_limit_threads(void)
{
    if (openblas_set_num_threads)
        openblas_set_num_threads(1);
    if (bli_thread_set_num_threads)
        bli_thread_set_num_threads(1);
}

const char *
metasd_blas_library(void)
{
    static char path[PATH_MAX];
    Dl_info info;

    if (dladdr((void *)(uintptr_t)cblas_sgemm, &info) == 0 || !info.dli_fname)
        return "an unknown library";
    return realpath(info.dli_fname, path) ? path : info.dli_fname;
}

const char *
metasd_blas_kernels(void)
{
    return openblas_get_corename ? openblas_get_corename() : NULL;
}
