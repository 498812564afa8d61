/*
 * blas.h - the one door to OpenBLAS, or to what stands in its place.
 *
 * Row-major single-precision products, cut so that no call into the library
 * takes longer than about 20 ms on a core of today, and interrupts are served between the parts.
 */
#ifndef METASD_CORE_MATH_BLAS_H
#define METASD_CORE_MATH_BLAS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/team.h"

/* C[m x n] = (add ? C : 0) + A[m x k] B[n x k]^T; ld is a row's length in floats. */
extern MetasdStatus metasd_blas_abt(MetasdTeam *team, size_t m, size_t n, size_t k, const float *a,
                                    size_t lda, const float *b, size_t ldb, bool add, float *c,
                                    size_t ldc);

/* C[m x n] = (add ? C : 0) + A[m x k] B[k x n]. */
extern MetasdStatus metasd_blas_ab(MetasdTeam *team, size_t m, size_t n, size_t k, const float *a,
                                   size_t lda, const float *b, size_t ldb, bool add, float *c,
                                   size_t ldc);

/* C[m x n] = (add ? C : 0) + A[k x m]^T B[k x n]. */
extern MetasdStatus metasd_blas_atb(MetasdTeam *team, size_t m, size_t n, size_t k, const float *a,
                                    size_t lda, const float *b, size_t ldb, bool add, float *c,
                                    size_t ldc);

/*
 * While the library is loaded, the environment allows it one thread. To be called once after that:
 * the environment is as it was.
 */
extern void metasd_blas_loaded(void);

/* The products of this process are computed by one thread, whatever flavour the library is. */
extern void metasd_blas_limit_threads(void);

/* The file of the library, links followed. */
extern const char *metasd_blas_library(void);

/* The library's name of its kernels for this processor; NULL if it has none. */
extern const char *metasd_blas_kernels(void);

#endif
