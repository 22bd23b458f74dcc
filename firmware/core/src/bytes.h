/* SPDX-License-Identifier: Apache-2.0 */
/* Little-endian numbers in byte strings. Part of the core, not of its interface. */
#ifndef TRACEKWS_BYTES_H
#define TRACEKWS_BYTES_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void put_u32(uint8_t *p, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (8 * i));
}

static inline int16_t get_i16(const uint8_t *p)
{
    int32_t value = p[0] | p[1] << 8;
    return (int16_t)(value < 32768 ? value : value - 65536);
}

static inline void put_i16(uint8_t *p, int16_t value)
{
    p[0] = (uint8_t)((uint16_t)value & 0xffu);
    p[1] = (uint8_t)((uint16_t)value >> 8);
}

static inline int8_t get_i8(const uint8_t *p)
{
    return (int8_t)(p[0] < 128 ? p[0] : p[0] - 256);
}

#endif
