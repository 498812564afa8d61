/*
 * row_positions.h - which weights of a row are kept: gaps between positions as Golomb codes.
 *
 * The positions of the kept weights are stored or, if these are more than half, of the pruned ones.
 * A row whose halves keep the same weights stores those of the first half only.
 */
#ifndef METASD_CORE_CODEC_ROW_POSITIONS_H
#define METASD_CORE_CODEC_ROW_POSITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/codec/bits.h"

/* The result of a decoder: a list of positions, or ones in a row of zeros. */
typedef struct MetasdRowPositions {
    uint32_t *list; /* NULL: the row */
    float *row;
} MetasdRowPositions;

/* Do both halves of a row keep the same weights, and not all or none of them? */
extern bool metasd_row_positions_repeat(size_t width, const float *row, size_t kept);

/* The fewest bits that the positions take; `repeated` as metasd_row_positions_repeat says. */
extern uint64_t metasd_row_positions_bits(size_t width, size_t kept, bool repeated);

extern void metasd_row_positions_put(MetasdBitWriter *writer, size_t width, const float *row,
                                     size_t kept, bool repeated);

/* False unless the positions are those of a row of that width, and `repeated` is true of it. */
extern bool metasd_row_positions_get(MetasdBitReader *reader, size_t width, size_t kept,
                                     bool repeated, const MetasdRowPositions *to);

#endif
