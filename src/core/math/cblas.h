/*
 * cblas.h - the one function of CBLAS that training calls, as OpenBLAS, BLIS, the reference BLAS
 * and others have it. Their own headers differ in the names of types and in where they are.
 */
#ifndef METASD_CORE_MATH_CBLAS_H
#define METASD_CORE_MATH_CBLAS_H

typedef enum CBLAS_ORDER { CblasRowMajor = 101 } CBLAS_ORDER;
typedef enum CBLAS_TRANSPOSE { CblasNoTrans = 111, CblasTrans = 112 } CBLAS_TRANSPOSE;

extern void cblas_sgemm(CBLAS_ORDER order, CBLAS_TRANSPOSE a_form, CBLAS_TRANSPOSE b_form, int m,
                        int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                        float beta, float *c, int ldc);

#endif
