/* SPDX-License-Identifier: Apache-2.0 */
/* Little-endian numbers on the wire and in slots. */
#ifndef TKWS_APP_WIRE_H
#define TKWS_APP_WIRE_H

#include <stddef.h>
#include <stdint.h>

static inline uint16_t wire_get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline int16_t wire_get_i16(const uint8_t *p)
{
    int32_t value = p[0] | p[1] << 8;
    return (int16_t)(value < 32768 ? value : value - 65536);
}

static inline uint32_t wire_get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void wire_put_u16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value & 0xffu);
    p[1] = (uint8_t)(value >> 8 & 0xffu);
}

static inline void wire_put_u32(uint8_t *p, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (8 * i) & 0xffu);
}

#endif
