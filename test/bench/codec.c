/*
 * codec.c - what stored rows take: bytes, and the time to write and to read them.
 *
 *   build/bench/codec [ROWS]
 *
 * Rows (200) of random weights, pruned together by magnitude; with popular columns the weights of
 * some are preferred, as aligned pruning does, so that most rows keep those. Where kept columns
 * lie side by side (adjacent), preference falls along the row.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "clock.h"
#include "core/base/random.h"
#include "core/codec/row_codec.h"
#include "memory.h"

#define STREAM 90

/* Reading is repeated for so many seconds. */
#define SECONDS 0.05

typedef enum Columns { EVEN, POPULAR, ADJACENT } Columns;

static const char *const column_names[] = {"even", "popular", "adjacent"};
static const char *const storage_names[METASD_STORAGES] = {"float32", "int8", "int6", "int4"};

typedef struct Table {
    size_t rows, width, kept;
    float *weights;
} Table;

static int
compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y;
}

/* How much a column is preferred. */
static double
preference(Columns columns, size_t j, size_t width)
{
    switch (columns) {
        case POPULAR:
            return exp(0.5 * metasd_random_normal(1, STREAM + 1, j));
        case ADJACENT:
            return exp(1.0 - 2.0 * (double)j / (double)width);
        default:
            return 1;
    }
}

static Table
make_table(size_t rows, size_t width, double sparsity, Columns columns)
{
    Table table = {.rows = rows, .width = width};
    size_t n = rows * width;
    float *importance = memory_take(n * sizeof(float)), *sorted = memory_take(n * sizeof(float));
    float cut;

    table.weights = memory_take(n * sizeof(float));
    for (size_t j = 0; j < width; j++) {
        double preferred = preference(columns, j, width);

        for (size_t i = j; i < n; i += width) {
            table.weights[i] = (float)metasd_random_normal(1, STREAM, i);
            importance[i] = (float)(preferred * fabs((double)table.weights[i]));
        }
    }
    memcpy(sorted, importance, n * sizeof(float));
    qsort(sorted, n, sizeof(float), compare_floats);
    cut = sorted[(size_t)(sparsity * (double)n)];
    for (size_t i = 0; i < n; i++)
        if (importance[i] < cut)
            table.weights[i] = 0;
        else
            table.kept++;
    free(importance);
    free(sorted);
    return table;
}

/* The rows of a table as bytes, one after the other from start[i]. */
typedef struct Encoded {
    uint8_t *bytes;
    size_t *start;
    double seconds;
} Encoded;

static Encoded
encode(const Table *table, MetasdStorage storage)
{
    Encoded encoded = {.start = memory_take((table->rows + 1) * sizeof(size_t))};
    size_t size = table->rows * metasd_row_bound(table->width);
    double began;

    encoded.bytes = memory_take(size);
    encoded.start[0] = 0;
    began = clock_now();
    for (size_t i = 0; i < table->rows; i++) {
        size_t used = 0, at = encoded.start[i];

        check(metasd_row_encode(storage, table->width, table->weights + i * table->width,
                                encoded.bytes + at, size - at, &used));
        encoded.start[i + 1] = at + used;
    }
    encoded.seconds = clock_now() - began;
    return encoded;
}

/* Seconds to decode all rows, the best of some times. */
static double
decode(const Table *table, const Encoded *encoded)
{
    MetasdRowSpace space = {.capacity = table->width,
                            .positions = memory_take(table->width * sizeof(uint32_t)),
                            .values = memory_take(table->width * sizeof(float)),
                            .codes = memory_take(table->width * sizeof(int8_t))};
    double best = INFINITY, until = clock_now() + SECONDS;

    do {
        double began = clock_now();

        for (size_t i = 0; i < table->rows; i++) {
            size_t at = encoded->start[i];
            MetasdSparseRow row;

            check(metasd_row_decode_sparse(encoded->bytes + at, encoded->start[i + 1] - at,
                                           table->width, space, &row));
        }
        best = fmin(best, clock_now() - began);
    } while (clock_now() < until);
    free(space.positions);
    free(space.values);
    free(space.codes);
    return best;
}

static void
measure(size_t rows, size_t width, double sparsity, Columns columns)
{
    Table table = make_table(rows, width, sparsity, columns);
    double kept = (double)table.kept / (double)rows;

    for (int s = 0; s < METASD_STORAGES; s++) {
        Encoded encoded = encode(&table, (MetasdStorage)s);
        double bytes = (double)encoded.start[rows] / (double)rows;
        double read = decode(&table, &encoded) / (double)rows;

        printf("%5zu  %.2f  %-8s  %-7s  %7.1f  %6.4f  %5.2f  %6.2f  %6.2f  %6.1f\n", width,
               sparsity, column_names[columns], storage_names[s], bytes,
               bytes / ((double)width * sizeof(float)), 8 * bytes / kept,
               1e6 * encoded.seconds / (double)rows, 1e6 * read, 1e9 * read / kept);
        free(encoded.bytes);
        free(encoded.start);
    }
    fflush(stdout);
    free(table.weights);
}

int
main(int argc, char **argv)
{
    static const size_t widths[] = {400, 2000};
    static const double sparsities[] = {0.8, 0.9, 0.95};
    size_t rows = argc > 1 ? (size_t)atol(argv[1]) : 200;

    if (rows == 0) {
        fprintf(stderr, "usage: %s [ROWS]\n", argv[0]);
        return 2;
    }
    printf("width  pruned  columns  storage  bytes a row  of dense float32  bits a kept weight  "
           "us to encode  us to decode  ns to decode a kept weight\n");
    for (int w = 0; w < 2; w++)
        for (int s = 0; s < 3; s++)
            for (int c = EVEN; c <= ADJACENT; c++)
                measure(rows, widths[w], sparsities[s], (Columns)c);
    return 0;
}
