#include "blas.h"

#include <cblas.h>

/* Two products of this size take at most 20 ms at 20 Gflop/s, the rate of an old core. */
#define CALL_FLOP 4e8

/* Rows of C a call may compute, so that m x n x k x 2 stays below CALL_FLOP; at least 16. */
static size_t
rows_per_call(size_t n, size_t k)
{
    double rows = CALL_FLOP / (2.0 * (double)n * (double)k);

    return rows < 16 ? 16 : rows > 1e6 ? 1000000 : (size_t)rows;
}

static MetasdStatus
product(MetasdTeam *team, CBLAS_TRANSPOSE a_form, CBLAS_TRANSPOSE b_form, size_t m, size_t n,
        size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
        size_t ldc)
{
    size_t most;

    if (m == 0 || n == 0 || k == 0)
        return METASD_OK;
    most = rows_per_call(n, k);
    for (size_t row = 0; row < m; row += most) {
        size_t rows = m - row < most ? m - row : most;
        const float *part = a_form == CblasTrans ? a + row : a + row * lda;

        cblas_sgemm(CblasRowMajor, a_form, b_form, (blasint)rows, (blasint)n, (blasint)k, 1.0f,
                    part, (blasint)lda, b, (blasint)ldb, beta, c + row * ldc, (blasint)ldc);
        METASD_TRY(team->poll(team));
    }
    return METASD_OK;
}

MetasdStatus
metasd_product_abt(MetasdTeam *team, size_t m, size_t n, size_t k, const float *a, size_t lda,
                   const float *b, size_t ldb, bool add, float *c, size_t ldc)
{
    return product(team, CblasNoTrans, CblasTrans, m, n, k, a, lda, b, ldb, add ? 1.0f : 0.0f, c,
                   ldc);
}

MetasdStatus
metasd_product_ab(MetasdTeam *team, size_t m, size_t n, size_t k, const float *a, size_t lda,
                  const float *b, size_t ldb, float *c, size_t ldc)
{
    return product(team, CblasNoTrans, CblasNoTrans, m, n, k, a, lda, b, ldb, 0.0f, c, ldc);
}

MetasdStatus
metasd_product_add_atb(MetasdTeam *team, size_t m, size_t n, size_t k, const float *a, size_t lda,
                       const float *b, size_t ldb, float *c, size_t ldc)
{
    return product(team, CblasTrans, CblasNoTrans, m, n, k, a, lda, b, ldb, 1.0f, c, ldc);
}
