/*
 * sparse_products_body.h - the kernels of sparse_products.h for one width of vectors; included once
 * for each.
 *
 * The includer defines VECTOR (bytes of a vector), HELD (vectors of queries held in registers)
 * and NAMED(x), the name of a function of this width.
 */
#define LANES ((size_t)VECTOR / sizeof(float))
#define SPAN (HELD * LANES) /* queries held at once; divides METASD_TILE */

typedef float NAMED(vec) __attribute__((vector_size(VECTOR), aligned(4), may_alias));
typedef int NAMED(order) __attribute__((vector_size(VECTOR)));
#define VEC NAMED(vec)
#define COMBINE NAMED(combine)
#define AT(p) (*(VEC *)(p))
#define FROM(p) (*(const VEC *)(p))

/*
 * out = (add ? out : 0) + sum over k of value[k] from[index[k] x stride], each of them a tile of
 * queries.
 */
static inline __attribute__((always_inline)) void
NAMED(combine)(uint32_t start, uint32_t end, const uint16_t *index, const float *value,
               const float *from, size_t stride, bool add, float *out)
{
    for (size_t b = 0; b < METASD_TILE; b += SPAN) {
        VEC sum[HELD];

        for (size_t v = 0; v < HELD; v++)
            sum[v] = add ? FROM(out + b + v * LANES) : (VEC){0};
        for (uint32_t k = start; k < end; k++) {
            const float *queries = from + index[k] * stride + b;
            float weight = value[k];

            for (size_t v = 0; v < HELD; v++)
                sum[v] += weight * FROM(queries + v * LANES);
        }
        for (size_t v = 0; v < HELD; v++)
            AT(out + b + v * LANES) = sum[v];
    }
}

static void
NAMED(scores)(const MetasdKept *kept, const float *tile, bool add, float *z, size_t stride)
{
    const uint32_t *start = kept->row_start;

    for (size_t e = 0; e < kept->rows; e++)
        COMBINE(start[e], start[e + 1], kept->column, kept->by_row, tile, METASD_TILE, add,
                z + e * stride);
}

static void
NAMED(queries)(const MetasdKept *kept, const float *g, size_t stride, bool add, float *out)
{
    const uint32_t *start = kept->column_start;

    for (size_t j = 0; j < kept->width; j++)
        COMBINE(start[j], start[j + 1], kept->row, kept->by_column, g, stride, add,
                out + j * METASD_TILE);
}

/* One stage of a sum across lanes: pairs of vectors become vectors of sums of neighbours. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif
#endif
#ifndef SHUFFLE
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (NAMED(order)){__VA_ARGS__})
#endif
#define FOLD(n, even, odd)                                                                         \
    for (size_t i = 0; i < (n); i++)                                                               \
    a[i] = SHUFFLE(a[2 * i], a[2 * i + 1], even) + SHUFFLE(a[2 * i], a[2 * i + 1], odd)
#define LIST(...) __VA_ARGS__

/* Lane i of the result is the sum of all lanes of a[i], for LANES vectors; a is used up. */
static inline __attribute__((always_inline)) VEC
NAMED(fold)(VEC *a)
{
#if VECTOR == 64
    FOLD(8, LIST(0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30),
         LIST(1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31));
    FOLD(4, LIST(0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),
         LIST(2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31));
    FOLD(2, LIST(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27),
         LIST(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31));
    FOLD(1, LIST(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
         LIST(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
#elif VECTOR == 32
    FOLD(4, LIST(0, 8, 2, 10, 4, 12, 6, 14), LIST(1, 9, 3, 11, 5, 13, 7, 15));
    FOLD(2, LIST(0, 1, 8, 9, 4, 5, 12, 13), LIST(2, 3, 10, 11, 6, 7, 14, 15));
    FOLD(1, LIST(0, 1, 2, 3, 8, 9, 10, 11), LIST(4, 5, 6, 7, 12, 13, 14, 15));
#else
    FOLD(2, LIST(0, 4, 2, 6), LIST(1, 5, 3, 7));
    FOLD(1, LIST(0, 1, 4, 5), LIST(2, 3, 6, 7));
#endif
    return a[0];
}

/* The products of the held part of one row of gradients with component `column` of the queries. */
static inline __attribute__((always_inline)) VEC
NAMED(product)(const VEC *held, const float *tile, uint16_t column, size_t b)
{
    const float *q = tile + column * METASD_TILE + b;
    VEC sum = held[0] * FROM(q);

    for (size_t v = 1; v < HELD; v++)
        sum += held[v] * FROM(q + v * LANES);
    return sum;
}

/* Adds to sum[k] for the kept weights of one row. */
static inline __attribute__((always_inline)) void
NAMED(row_weights)(const MetasdKept *kept, size_t e, const float *g, const float *tile, float *sum)
{
    for (size_t b = 0; b < METASD_TILE; b += SPAN) {
        uint32_t k = kept->row_start[e], end = kept->row_start[e + 1];
        VEC held[HELD];

        for (size_t v = 0; v < HELD; v++)
            held[v] = FROM(g + b + v * LANES);
        for (; k + LANES <= end; k += LANES) {
            VEC a[LANES];

            for (size_t i = 0; i < LANES; i++)
                a[i] = NAMED(product)(held, tile, kept->column[k + i], b);
            AT(sum + k) += NAMED(fold)(a);
        }
        if (k < end) { /* the last ones, repeated to fill a vector */
            VEC a[LANES], total;

            for (size_t i = 0; i < LANES; i++)
                a[i] = NAMED(product)(held, tile, kept->column[k + i < end ? k + i : k], b);
            total = NAMED(fold)(a);
            for (size_t i = 0; i < end - k; i++)
                sum[k + i] += total[i];
        }
    }
}

static void
NAMED(weights)(const MetasdKept *kept, const float *g, size_t stride, const float *tile,
               size_t lanes, float *sum)
{
    float last[METASD_TILE] = {0}; /* a row of a tile that is not full, with 0 in empty lanes */

    for (size_t e = 0; e < kept->rows; e++) {
        const float *row = g + e * stride;

        if (lanes < METASD_TILE)
            row = memcpy(last, row, lanes * sizeof(float));
        NAMED(row_weights)(kept, e, row, tile, sum);
    }
}

#undef LANES
#undef SPAN
#undef VEC
#undef COMBINE
#undef AT
#undef FROM
#undef SHUFFLE
#undef FOLD
#undef LIST
#undef VECTOR
#undef HELD
#undef NAMED
