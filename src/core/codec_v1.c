/*
 * codec_v1.c - rows as version 1 stored them. Nothing writes them any more; they are read for ever.
 *
 *    0  version (1)
 *    1  kind (1: float32)
 *    2  u32  width: weights of the row, kept or not
 *    6  u32  kept: weights stored
 *   10  u32  CRC-32C of bytes 0 .. 9 and 14 .. end
 *   14  kept gaps, each an unsigned LEB128: the zeros between two kept weights
 *    .  kept IEEE 754 singles, finite and not zero
 */
#include "codec_formats.h"

#include <math.h>
#include <string.h>

#define KIND 1

#define WIDTH_AT 2
#define KEPT_AT 6
#define CHECKSUM_AT 10
#define PAYLOAD_AT 14
#define VALUE_BYTES 4

static float
get_float(const uint8_t *bytes)
{
    uint32_t bits = metasd_get_u32(bytes);
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

static bool
header(const uint8_t *bytes, size_t n, size_t *width, size_t *kept)
{
    uint64_t payload;

    if (n < PAYLOAD_AT || bytes[1] != KIND)
        return false;
    payload = n - PAYLOAD_AT;
    *width = metasd_get_u32(bytes + WIDTH_AT);
    *kept = metasd_get_u32(bytes + KEPT_AT);
    /* In 64 bits, so that a count of any size cannot wrap. */
    return *width > 0 && *kept <= *width && payload >= (uint64_t)*kept * (1 + VALUE_BYTES) &&
           payload <= (uint64_t)*kept * (METASD_MAX_LEB + VALUE_BYTES);
}

static bool
body(const uint8_t *bytes, size_t n, const MetasdSink *sink)
{
    size_t width = metasd_get_u32(bytes + WIDTH_AT), kept = metasd_get_u32(bytes + KEPT_AT);
    const uint8_t *at = bytes + PAYLOAD_AT, *values = bytes + n - kept * VALUE_BYTES;
    uint32_t crc = metasd_crc32c(0, bytes, CHECKSUM_AT);
    uint64_t next = 0; /* the lowest position still free */

    crc = metasd_crc32c(crc, bytes + PAYLOAD_AT, n - PAYLOAD_AT);
    if (crc != metasd_get_u32(bytes + CHECKSUM_AT))
        return false;
    for (size_t i = 0; i < kept; i++) {
        float value = get_float(values + i * VALUE_BYTES);
        uint32_t gap;

        if (!metasd_get_leb(&at, values, &gap) || next + gap >= width || !isfinite(value) ||
            value == 0)
            return false;
        next += gap;
        if (sink->row)
            sink->row[next] = value;
        else {
            sink->positions[i] = (uint32_t)next;
            sink->values[i] = value;
        }
        next++;
    }
    return at == values;
}

const MetasdFormat metasd_format_1 = {.version = 1, .header = header, .body = body};
