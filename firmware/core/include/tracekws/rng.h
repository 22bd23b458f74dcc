/* SPDX-License-Identifier: Apache-2.0 */
/** @file rng.h  The seeded generator (xorshift32, Marsaglia 2003, shifts 13, 17, 5) behind stochastic
 *  rounding and replay draws. Its 32 bits are part of the learner's state: a run can be replayed. */
#ifndef TRACEKWS_RNG_H
#define TRACEKWS_RNG_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t state; /**< never 0 */
} tkws_rng;

/** Start the generator. Any seed is good: small ones are spread over all bits, so that their first
 *  numbers are not all small too, and 0, the generator's fixed point, is replaced. */
static inline void tkws_rng_seed(tkws_rng *rng, uint32_t seed)
{
    uint64_t product = (uint64_t)seed * 0x9e3779b9u;
    uint32_t spread = (uint32_t)product; /* an odd factor, so no two seeds share a state */
    rng->state = spread != 0 ? spread : 0x85ebca6bu;
}

/** Next 32 bits; period 2^32 - 1. (The masks say that bits are meant to be lost; they cost nothing.) */
static inline uint32_t tkws_rng_next(tkws_rng *rng)
{
    uint32_t x = rng->state;
    x ^= (x & 0x7ffffu) << 13;
    x ^= x >> 17;
    x ^= (x & 0x7ffffffu) << 5;
    rng->state = x;
    return x;
}

/** A number in 0..n-1, n 1..65536 (multiply and shift; the bias is below n / 65536). */
static inline uint32_t tkws_rng_below(tkws_rng *rng, uint32_t n)
{
    return ((tkws_rng_next(rng) >> 16) * n) >> 16;
}

#ifdef __cplusplus
}
#endif

#endif
