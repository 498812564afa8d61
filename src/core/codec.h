/*
 * codec.h - one embedding row as bytes.
 *
 * Pruned weights are zeros and are not stored. Byte 0 of a value is its version,
 * byte 1 its kind; the rest belongs to the kind. Kind "sparse float32" is, all
 * integers little-endian on every host:
 *
 *    0  version (1)
 *    1  kind (1)
 *    2  u32  width: weights of the row, kept or not
 *    6  u32  kept: weights stored
 *   10  u32  CRC-32C of bytes 0 .. 9 and 14 .. end
 *   14  kept gaps, each an unsigned LEB128: the zeros between two kept weights
 *    .  kept IEEE 754 singles, finite and not zero
 *
 * A row has exactly one encoding. The decoders accept that one and nothing else,
 * whatever bytes they are given: everything else is METASD_CORRUPT.
 */
#ifndef METASD_CODEC_H
#define METASD_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* Bytes that metasd_encode writes for a row of WIDTH weights. */
extern size_t metasd_codec_bytes(size_t width, const float *row);

/*
 * Writes the row to OUT, which has SIZE bytes, and its length to *used.
 * METASD_NON_FINITE if a weight is; METASD_INVALID if width is 0 or above 2^32 - 1,
 * or if SIZE is below metasd_codec_bytes.
 */
extern MetasdStatus metasd_encode(size_t width, const float *row, uint8_t *out, size_t size,
                                  size_t *used);

/*
 * Width and number of kept weights, for sizing. Both are bounded by what N bytes
 * can hold (kept) and 2^32 - 1 (width), but only a decoder verifies the checksum.
 */
extern MetasdStatus metasd_decode_header(const uint8_t *bytes, size_t n, size_t *width,
                                         size_t *kept);

/*
 * The kept weights: positions[capacity] strictly ascending, values[capacity]. A
 * row of another width than WIDTH is METASD_CORRUPT, more kept weights than
 * CAPACITY are METASD_INVALID. On failure the arrays hold nothing of use.
 */
extern MetasdStatus metasd_decode_sparse(const uint8_t *bytes, size_t n, size_t width,
                                         uint32_t *positions, float *values, size_t capacity,
                                         size_t *kept);

/* The whole row, zeros included: row[width]. On failure it holds nothing of use. */
extern MetasdStatus metasd_decode_dense(const uint8_t *bytes, size_t n, size_t width, float *row);

#endif
