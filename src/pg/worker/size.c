#include "pg/worker/size.h"

#include <math.h>

/* Bits per value, which were measured, and bytes of a row's scale. */
static const struct {
    double bits, scale;
} stored_as[METASD_STORAGES] = {
    [METASD_FLOAT32] = {32, 0},
    [METASD_INT8] = {7.7, 5},
    [METASD_INT6] = {5.7, 5},
    [METASD_INT4] = {4, 2},
};

/* Of each row: version, kind, checksum, and half a byte of padding bits. */
#define ROW_BYTES 6.5

/* Bytes that a row spends on a number of its weights. */
static double
count_number_bytes(double n)
{
    return n < 128 ? 1 : n < 16384 ? 2 : 3;
}

/* Bits per weight that say whether it is kept, where a part p of the weights is. */
static double
entropy(double p)
{
    return p <= 0 || p >= 1 ? 0 : -(p * log2(p) + (1 - p) * log2(1 - p));
}

/* Rows of which that part of the weights is kept, and of each `flags` positions are told. */
static double
count_rows(double rows, double width, double flags, double part, MetasdStorage storage)
{
    double row = ROW_BYTES + count_number_bytes(width) + count_number_bytes(part * width) +
                 stored_as[storage].scale;

    return rows * (row + (flags * entropy(part) + part * width * stored_as[storage].bits) / 8);
}

double
metasd_size_stored(uint32 entities, uint32 relations, const MetasdTrainOptions *options,
                   MetasdStorage storage)
{
    const MetasdFamily *family = options->family;
    double width = (double)options->rank * (double)family->reals_per_rank;
    /* the reals of a component are kept or pruned together */
    double flags = options->pruning.by_component ? (double)options->rank : width;
    double part = 1 - options->sparsity;

    return count_rows(entities, width, flags, part, storage) +
           count_rows(2.0 * relations, width, flags, part, metasd_row_levels_of_relations(storage));
}
