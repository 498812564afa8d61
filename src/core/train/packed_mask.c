#include "core/train/packed_mask.h"

#include <string.h>

void
metasd_packed_mask_get(const uint8_t *bits, size_t width, uint8_t *mask)
{
    for (size_t j = 0; j < width; j++)
        mask[j] = bits[j / 8] >> j % 8 & 1;
}

void
metasd_packed_mask_put(uint8_t *bits, size_t width, const uint8_t *mask)
{
    memset(bits, 0, metasd_packed_mask_bytes(width));
    for (size_t j = 0; j < width; j++)
        bits[j / 8] |= (uint8_t)(mask[j] << j % 8);
}
