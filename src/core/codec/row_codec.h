/*
 * row_codec.h - one embedding row as bytes.
 *
 * Pruned weights are zeros and are not stored. Integers are little-endian on every host:
 *
 *    0  version of the format: 1
 *    1  kind: 1 + MetasdStorage; + 128 if both halves of the row keep the same weights, some but
 *       not all. Rows of complex numbers do so if they were pruned by component
 *    2  u32  CRC-32C of bytes 0, 1 and 6 .. end
 *    6  width: weights of the row, kept or not; unsigned LEB128
 *    .  kept: weights stored; unsigned LEB128
 *    .  scale: 5 bytes for integers, 2 for those of 4 bits, nothing for float32 or if no weight is
 *       kept
 *    .  a stream of bits (bits.h): which weights are kept, then their values in ascending order of
 *       positions; zeros fill the last byte
 *
 * Kept weights: the positions of the kept weights or, if these are more than half, of the pruned
 * ones; those of the first half only if the halves keep the same. Each position is stored as the
 * gap to the one before, in a Golomb code whose divisor follows from their number. This is within
 * 1 % of the entropy if columns are kept at random.
 *
 * Values: a float32 has 32 bits. Of integers of B bits, the magnitude is one of L levels, of which
 * none is 0. For B = 6 and 4, L = 2^(B-1), and level q is the middle of a step: (2 q + 1) half
 * steps. For B = 8, L = 127, and level q is q + 1 steps: so all codes fit in 8 bits with their
 * sign. The highest level is the row's largest magnitude m. It is stored as float32, the lowest q
 * in use as a byte; each value as q above the lowest, with a sign, in minimal binary. (The values
 * of a row are too few, and too evenly spread, for entropy coding to pay.)
 *
 * For B = 4 the highest level is that of m, 31/32 m, ..., 13/32 m, each rounded to float32 and then
 * towards 0 to 16 bits, of which the row's sum of squared errors is least, the largest of several;
 * magnitudes above it become the highest level. These 16 bits are stored, the upper ones of a
 * float32, and no lowest q: it counts as 0.
 *
 * A row has exactly one encoding of each kind. The decoders accept these encodings and nothing
 * else: all other bytes are METASD_CORRUPT. A decoded row has the same encoding, in the same kind,
 * that it was decoded from.
 */
#ifndef METASD_CORE_CODEC_ROW_CODEC_H
#define METASD_CORE_CODEC_ROW_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/codec/row_values.h"

/* Bytes that hold every row of WIDTH weights, in every kind. */
extern size_t metasd_row_bound(size_t width);

/*
 * Writes the row to OUT, which has SIZE bytes, and its length to *used. METASD_NON_FINITE if a
 * weight is; METASD_INVALID if width is 0 or above 2^32 - 1, or if SIZE is too small:
 * metasd_row_bound(width) is enough.
 */
extern MetasdStatus metasd_row_encode(MetasdStorage storage, size_t width, const float *row,
                                      uint8_t *out, size_t size, size_t *used);

/*
 * Sets each weight to the value that a decoder returns for it; the row's encoding stays the same.
 * Fails as metasd_row_encode does, and then leaves the row as it is.
 */
extern MetasdStatus metasd_row_round(MetasdStorage storage, size_t width, float *row);

/*
 * The scale of a row, which metasd_row_levels_round takes: what metasd_row_round does in two steps.
 * Integers only. Fails as metasd_row_encode does.
 */
extern MetasdStatus metasd_row_fit(MetasdStorage storage, size_t width, const float *row,
                                   float *scale);

/*
 * Width and number of kept weights, for sizing. The checksum is right, but only a decoder looks at
 * positions and weights.
 */
extern MetasdStatus metasd_row_decode_header(const uint8_t *bytes, size_t n, size_t *width,
                                             size_t *kept);

/*
 * The kept weights of a row, positions strictly ascending. Weights that were stored as integers
 * are codes times a step, rounded to float; they keep their codes.
 */
typedef struct MetasdSparseRow {
    const uint32_t *positions;
    const float *values; /* if most_code is 0 */
    size_t kept;
    const int8_t *codes; /* otherwise */
    int most_code;       /* the largest magnitude that a code of this storage has */
    double step;
} MetasdSparseRow;

static inline float
metasd_row_weight(const MetasdSparseRow *row, size_t i)
{
    return row->most_code != 0 ? (float)(row->codes[i] * row->step) : row->values[i];
}

/* Arrays of `capacity` elements for a row. */
typedef struct MetasdRowSpace {
    size_t capacity;
    uint32_t *positions;
    float *values;
    int8_t *codes;
} MetasdRowSpace;

/*
 * The kept weights, in the arrays of SPACE. A row of another width than WIDTH is METASD_CORRUPT;
 * more kept weights than there is room for are METASD_INVALID. On failure the arrays hold nothing
 * of use.
 */
extern MetasdStatus metasd_row_decode_sparse(const uint8_t *bytes, size_t n, size_t width,
                                             MetasdRowSpace space, MetasdSparseRow *row);

/*
 * The positions of the kept weights alone, of a row that metasd_row_decode_header accepts: in less
 * time, as neither weights nor the checksum are looked at. The row has no weights, but most_code.
 * Fails as metasd_row_decode_sparse does.
 */
extern MetasdStatus metasd_row_decode_positions(const uint8_t *bytes, size_t n, size_t width,
                                                MetasdRowSpace space, MetasdSparseRow *row);

/* The whole row with its zeros: row[width]. On failure it holds nothing of use. */
extern MetasdStatus metasd_row_decode_dense(const uint8_t *bytes, size_t n, size_t width,
                                            float *row);

#endif
