#include "core/math/sparse_products.h"

#include <string.h>

#include "core/base/simd.h"
#include "core/math/tile.h"

/* Vectors of 16 bytes are there on any processor worth the name. */
#define VECTOR 16
#define HELD 8
#define NAMED(x) x##_plain
#include "core/math/sparse_products_body.h"

static const MetasdSparseKernels plain = {"plain", 0.5, scores_plain, queries_plain, weights_plain};

#if METASD_DISPATCH

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define VECTOR 32
#define HELD 8
#define NAMED(x) x##_v3
#include "core/math/sparse_products_body.h"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4")
#define VECTOR 64
#define HELD 4
#define NAMED(x) x##_v4
#include "core/math/sparse_products_body.h"
#pragma GCC pop_options

static const MetasdSparseKernels v3 = {"x86-64-v3", 0.35, scores_v3, queries_v3, weights_v3};
static const MetasdSparseKernels v4 = {"x86-64-v4", 0.4, scores_v4, queries_v4, weights_v4};

#endif

METASD_KERNEL_CHOICE(MetasdSparseKernels, metasd_sparse_kernels)
