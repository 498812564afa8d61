/*
 * row_values.h - the values of a row's kept weights: floats, or integers with one scale for the
 * row.
 */
#ifndef METASD_CORE_CODEC_ROW_VALUES_H
#define METASD_CORE_CODEC_ROW_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/codec/bits.h"
#include "core/codec/row_levels.h"

#define METASD_SCALE_BYTES 5 /* of integers, at most */

/* The number of kept weights, and their range. */
typedef struct MetasdRowRange {
    size_t kept;
    uint32_t high, low; /* bits of the largest magnitude, and of the smallest above 0 */
    float scale;        /* of integers (row_levels.h) */
} MetasdRowRange;

/* The result of a decoder: one of the three. */
typedef struct MetasdRowValues {
    float *row;    /* a row with a weight other than 0 in each kept position; or NULL: */
    float *values; /* of floats */
    int8_t *codes; /* of integers: each weight is its code times the step, as float */
} MetasdRowValues;

/*
 * METASD_INVALID if width is 0 or above 2^32 - 1, METASD_NON_FINITE if a weight is. The scale of a
 * row that was rounded in this storage is the same again.
 */
extern MetasdStatus metasd_row_values_measure(MetasdStorage storage, size_t width, const float *row,
                                              MetasdRowRange *range);

/* Bytes of the scale, and the fewest bits of one value. */
extern unsigned metasd_row_values_scale_bytes(MetasdStorage storage);
extern unsigned metasd_row_values_least_bits(MetasdStorage storage);

extern void metasd_row_values_put_scale(MetasdBitWriter *writer, MetasdStorage storage,
                                        const MetasdRowRange *range);
extern void metasd_row_values_put(MetasdBitWriter *writer, MetasdStorage storage, size_t width,
                                  const float *row, const MetasdRowRange *range);

/* False unless the bytes are those of `kept` values with that scale. *step: of integers. */
extern bool metasd_row_values_get(MetasdBitReader *reader, MetasdStorage storage,
                                  const uint8_t *scale, size_t kept, const MetasdRowValues *to,
                                  double *step);

#endif
