/* SPDX-License-Identifier: Apache-2.0 */
/** @file bytes.h  Little-endian numbers in byte strings, at any alignment. Each takes as many bytes as its
 *  name says; the string is the caller's and must have them. */
#ifndef TRACEKWS_BYTES_H
#define TRACEKWS_BYTES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

static inline int8_t tkws_bytes_get_i8(const uint8_t *at)
{
    return (int8_t)(at[0] < 128 ? at[0] : at[0] - 256);
}

static inline uint16_t tkws_bytes_get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static inline int16_t tkws_bytes_get_i16(const uint8_t *at)
{
    int32_t value = at[0] | at[1] << 8;
    return (int16_t)(value < 32768 ? value : value - 65536);
}

static inline uint32_t tkws_bytes_get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/** The lower 16 bits of value, so of a negative number, too. */
static inline void tkws_bytes_put_u16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value & 0xffu);
    at[1] = (uint8_t)(value >> 8 & 0xffu);
}

static inline void tkws_bytes_put_u32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i) & 0xffu);
}

static inline void tkws_bytes_put_u64(uint8_t *at, uint64_t value)
{
    tkws_bytes_put_u32(at, (uint32_t)(value & 0xffffffffu));
    tkws_bytes_put_u32(at + 4, (uint32_t)(value >> 32));
}

#ifdef __cplusplus
}
#endif

#endif
