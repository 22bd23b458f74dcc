/* SPDX-License-Identifier: Apache-2.0 */
/** @file crc32.h  CRC-32 as in zlib and Ethernet (polynomial 0xEDB88320, reflected). */
#ifndef TRACEKWS_CRC32_H
#define TRACEKWS_CRC32_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** CRC of n_bytes of data, continuing from crc (0 at the start). Any n_bytes; reads data only. */
uint32_t tkws_crc32(uint32_t crc, const uint8_t *data, size_t n_bytes);

#ifdef __cplusplus
}
#endif

#endif
