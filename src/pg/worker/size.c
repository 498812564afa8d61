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

double
metasd_size_stored(uint32 entities, uint32 relations, const MetasdTrainOptions *options,
                   MetasdStorage storage)
{
    const MetasdFamily *family = options->family;
    double width = (double)options->rank * (double)family->reals_per_rank;
    double rows = (double)entities + 2.0 * (double)relations;
    double weights = rows * width;
    double kept = weights * (1 - options->sparsity);
    double row = ROW_BYTES + count_number_bytes(width) + count_number_bytes(kept / rows) +
                 stored_as[storage].scale;
    /* the reals of a component are kept or pruned together */
    double flags =
        options->pruning.by_component ? weights / (double)family->reals_per_rank : weights;

    return rows * row + (flags * entropy(kept / weights) + kept * stored_as[storage].bits) / 8;
}
