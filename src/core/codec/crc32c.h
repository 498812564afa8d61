/* crc32c.h - the CRC-32C of bytes (Castagnoli 1993), as iSCSI computes it. */
#ifndef METASD_CORE_CODEC_CRC32C_H
#define METASD_CORE_CODEC_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The sum of all bytes so far, N more after those that CRC is the sum of; 0 before the first. */
extern uint32_t metasd_crc32c(uint32_t crc, const uint8_t *bytes, size_t n);

#endif
