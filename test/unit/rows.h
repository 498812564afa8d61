/* rows.h - what tests and the fuzzer of the row codec share. */
#ifndef METASD_ROWS_H
#define METASD_ROWS_H

#include <stdbool.h>

#include "core/codec/row_codec.h"

/* Rows that rows_accepted is asked of are at most as wide. */
#define ROWS_WIDEST 4096

/* Bytes that hold any row of such a width. */
#define ROWS_BYTES (ROWS_WIDEST * 6 + 64)

extern const MetasdStorage rows_storages[METASD_STORAGES];

/* The encoded row, to be freed; aborts if it is not encoded in the bytes that it may have. */
extern uint8_t *rows_encode(MetasdStorage storage, size_t width, const float *row, size_t *n);

/* Weights as they come of a normal distribution, a part of them pruned at random. */
extern void rows_random(float *row, size_t width, double density, uint64_t seed);

/* Keeps in the second half what is kept in the first; a width is even, or its last weight stays. */
extern void rows_mirror(float *row, size_t width);

/* Puts the right checksum to bytes; too few are left as they are. */
extern void rows_seal(uint8_t *bytes, size_t n);

/*
 * Do the decoders accept a row of this width? NULL in *wrong, or what they do that they must not:
 * differ from each other, leave what no row can have, or accept what is not the one encoding.
 */
extern bool rows_accepted(const uint8_t *bytes, size_t n, size_t width, const char **wrong);

#endif
