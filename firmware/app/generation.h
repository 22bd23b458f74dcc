/* SPDX-License-Identifier: Apache-2.0 */
/* Generations of saves and of loads count up without an end: behind the last number comes 1 again. 0 is the
 * factory's. */
#ifndef TKWS_APP_GENERATION_H
#define TKWS_APP_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#define GENERATION_HALF 0x80000000u

static inline uint32_t generation_after(uint32_t generation)
{
    return generation < UINT32_MAX ? generation + 1 : 1;
}

/* Whether a came after b, in less than half of all numbers: those of two slots are next to each other. */
static inline bool generation_is_newer(uint32_t a, uint32_t b)
{
    return a > b ? a - b < GENERATION_HALF : b - a > GENERATION_HALF;
}

#endif
