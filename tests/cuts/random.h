/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that look random and are the same each time. */
#ifndef TKWS_CUTS_RANDOM_H
#define TKWS_CUTS_RANDOM_H

#include <stdint.h>

/* Spread a number over all bits. */
static inline uint32_t random_of(uint32_t number)
{
    uint64_t x = (uint64_t)number * 0x9e3779b1u & 0xffffffffu;
    x ^= x >> 15;
    x = x * 0x85ebca77u & 0xffffffffu;
    x ^= x >> 13;
    return (uint32_t)x;
}

/* The state of a generator: never 0. */
static inline uint32_t random_start(uint32_t seed)
{
    return random_of(seed) | 1u;
}

/* 32 bits of an xorshift generator. */
static inline uint32_t random_bits(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#endif
