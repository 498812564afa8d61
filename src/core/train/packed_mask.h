/* packed_mask.h - a row of a mask as bits. */
#ifndef METASD_CORE_TRAIN_PACKED_MASK_H
#define METASD_CORE_TRAIN_PACKED_MASK_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of a row's bits. */
static inline size_t
metasd_packed_mask_bytes(size_t width)
{
    return (width + 7) / 8;
}

/* mask[j] = bit j, as 0 or 1. */
extern void metasd_packed_mask_get(const uint8_t *bits, size_t width, uint8_t *mask);

/* The other way; bits behind the last are 0. */
extern void metasd_packed_mask_put(uint8_t *bits, size_t width, const uint8_t *mask);

#endif
