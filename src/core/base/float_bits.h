/* float_bits.h - a float as its 32 bits, and back. */
#ifndef METASD_CORE_BASE_FLOAT_BITS_H
#define METASD_CORE_BASE_FLOAT_BITS_H

#include <stdint.h>
#include <string.h>

static inline uint32_t
metasd_float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static inline float
metasd_float_of_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

#endif
