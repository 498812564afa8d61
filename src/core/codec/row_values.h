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

/* How weights are stored, and how far they may be from their values before. */
typedef enum MetasdStorage {
    METASD_FLOAT32, /* exactly */
    METASD_INT8,    /* half a step, a 254th of the row's largest; below half a step a whole one */
    METASD_INT6,    /* half a step: a 63rd of it */
    METASD_INT4 /* half a step: at most a 15th of it; the largest ones any way down to the top */
} MetasdStorage;

#define METASD_STORAGES 4

/*
 * The highest level of a row is at least this: steps could be 0 otherwise. Magnitudes of
 * a row without any so large do not reach it.
 */
#define METASD_LEAST_SCALE 0x1p-100f

#define METASD_SCALE_BYTES 5 /* of integers, at most */

/* The number of kept weights, and their range. */
typedef struct MetasdRowRange {
    size_t kept;
    uint32_t high, low; /* bits of the largest magnitude, and of the smallest above 0 */
    float top;          /* the highest level of integers: larger magnitudes become this one */
} MetasdRowRange;

/* The result of a decoder: one of the three. */
typedef struct MetasdRowValues {
    float *row;    /* a row with a weight other than 0 in each kept position; or NULL: */
    float *values; /* of floats */
    int8_t *codes; /* of integers: each weight is its code times the step, as float */
} MetasdRowValues;

/*
 * METASD_INVALID if width is 0 or above 2^32 - 1, METASD_NON_FINITE if a weight is. The highest
 * level of a row that was rounded in this storage is the same again.
 */
extern MetasdStatus metasd_row_values_measure(MetasdStorage storage, size_t width, const float *row,
                                              MetasdRowRange *range);

/* The largest magnitude of a code; 0 if weights are stored as floats, which have no codes. */
extern int metasd_row_values_most_code(MetasdStorage storage);

/* Bytes of the scale, and the fewest bits of one value. */
extern unsigned metasd_row_values_scale_bytes(MetasdStorage storage);
extern unsigned metasd_row_values_least_bits(MetasdStorage storage);

extern void metasd_row_values_put_scale(MetasdBitWriter *writer, MetasdStorage storage,
                                        const MetasdRowRange *range);
extern void metasd_row_values_put(MetasdBitWriter *writer, MetasdStorage storage, size_t width,
                                  const float *row, const MetasdRowRange *range);

/*
 * What a decoder returns for each of n weights of a row with that highest level; of 0 it is 0.
 * Integers only; ROUNDED may be WEIGHTS.
 */
extern void metasd_row_values_round(MetasdStorage storage, float top, size_t n,
                                    const float *weights, float *rounded);

/* False unless the bytes are those of `kept` values with that scale. *step: of integers. */
extern bool metasd_row_values_get(MetasdBitReader *reader, MetasdStorage storage,
                                  const uint8_t *scale, size_t kept, const MetasdRowValues *to,
                                  double *step);

#endif
