/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on pairs of int16. Part of the core, not of its interface.
 *
 * On an Arm with the DSP extension (Cortex-M4, M7, M33) a pair is one load and one instruction multiplies
 * both halves; elsewhere the same is plain C. Both give the same bits. */
#ifndef TRACEKWS_DSP_H
#define TRACEKWS_DSP_H

#include <stddef.h>
#include <stdint.h>

#include "tracekws/fx.h"

/* Define TKWS_NO_DSP to have the plain C there too. */
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && !defined(__ARM_BIG_ENDIAN) &&               \
    !defined(TKWS_NO_DSP)
#define TKWS_DSP 1
#include <arm_acle.h>
#else
#define TKWS_DSP 0
#endif

#if TKWS_DSP
/* Two numbers as one word, the first in the lower half. (The builtin, since in a freestanding build
 * memcpy is a call.) */
static inline int16x2_t dsp_load(const int16_t *pair)
{
    int16x2_t word;
    __builtin_memcpy(&word, pair, sizeof word);
    return word;
}

/* The same from little-endian bytes of any alignment. */
static inline int16x2_t dsp_load_bytes(const uint8_t *pair)
{
    int16x2_t word;
    __builtin_memcpy(&word, pair, sizeof word);
    return word;
}

static inline void dsp_store(int16_t *pair, int16x2_t word)
{
    __builtin_memcpy(pair, &word, sizeof word);
}
#endif

/* to[i] = from[i], for ranges that may overlap when to is the lower one. Eight at a time, which compilers
 * leave as it is: a plain loop becomes a call of memcpy, and that goes byte by byte in small libraries. */
static inline void dsp_copy(int16_t *to, const int16_t *from, size_t n)
{
    for (; n >= 8; n -= 8, to += 8, from += 8) {
#if TKWS_DSP
        dsp_store(to, dsp_load(from));
        dsp_store(to + 2, dsp_load(from + 2));
        dsp_store(to + 4, dsp_load(from + 4));
        dsp_store(to + 6, dsp_load(from + 6));
#else
        for (size_t i = 0; i < 8; i++)
            to[i] = from[i];
#endif
    }
    for (size_t i = 0; i < n; i++)
        to[i] = from[i];
}

/* The same of bytes. @param n  a multiple of 8 */
static inline void dsp_copy_bytes(int8_t *to, const int8_t *from, size_t n)
{
    for (; n > 0; n -= 8, to += 8, from += 8)
        for (size_t i = 0; i < 8; i++)
            to[i] = from[i];
}

static inline int32_t dsp_add_product(int32_t sum, int16_t a, int16_t b)
{
    return tkws_fx_add(sum, a * b);
}

static inline int32_t dsp_dot_8(int32_t sum, const int16_t *a, const int16_t *b)
{
#if TKWS_DSP
    sum = __smlad(dsp_load(a), dsp_load(b), sum);
    sum = __smlad(dsp_load(a + 2), dsp_load(b + 2), sum);
    sum = __smlad(dsp_load(a + 4), dsp_load(b + 4), sum);
    return __smlad(dsp_load(a + 6), dsp_load(b + 6), sum);
#else
    sum = dsp_add_product(sum, a[0], b[0]);
    sum = dsp_add_product(sum, a[1], b[1]);
    sum = dsp_add_product(sum, a[2], b[2]);
    sum = dsp_add_product(sum, a[3], b[3]);
    sum = dsp_add_product(sum, a[4], b[4]);
    sum = dsp_add_product(sum, a[5], b[5]);
    sum = dsp_add_product(sum, a[6], b[6]);
    return dsp_add_product(sum, a[7], b[7]);
#endif
}

/* The sum of a[i] b[i]; no overflow is the caller's care. @param n  a multiple of 16 */
static inline int32_t dsp_dot(const int16_t *a, const int16_t *b, size_t n)
{
    int32_t sum = 0;
    for (size_t i = 0; i < n; i += 16)
        sum = dsp_dot_8(dsp_dot_8(sum, a + i, b + i), a + i + 8, b + i + 8);
    return sum;
}

/* The same of two rows that lie one behind the other. */
static inline void dsp_dot_rows(const int16_t *rows, const int16_t *b, size_t n, int32_t sums[2])
{
#if TKWS_DSP
    const int16_t *second = rows + n;
    int32_t upper = 0;
    int32_t lower = 0;
    for (size_t i = 0; i < n; i += 4) {
        int16x2_t left = dsp_load(b + i);
        int16x2_t right = dsp_load(b + i + 2);
        upper = __smlad(dsp_load(rows + i), left, upper);
        lower = __smlad(dsp_load(second + i), left, lower);
        upper = __smlad(dsp_load(rows + i + 2), right, upper);
        lower = __smlad(dsp_load(second + i + 2), right, lower);
    }
    sums[0] = upper;
    sums[1] = lower;
#else
    sums[0] = dsp_dot(rows, b, n);
    sums[1] = dsp_dot(rows + n, b, n);
#endif
}

/* sums[i] += a[i] + b[i]; no overflow is the caller's care. */
static inline void dsp_add_two(int32_t *sums, const int16_t *a, const int16_t *b, size_t n)
{
    size_t i = 0;
#if TKWS_DSP
    for (; i + 2 <= n; i += 2) {
        int16x2_t first = dsp_load(a + i);
        int16x2_t second = dsp_load(b + i);
        sums[i] += (int16_t)(first & 0xffff) + (int16_t)(second & 0xffff);
        sums[i + 1] += (first >> 16) + (second >> 16);
    }
#endif
    for (; i < n; i++)
        sums[i] = tkws_fx_add(sums[i], a[i] + b[i]);
}

/* a b as complex numbers, real parts first; not all four parts may be -32768. */
static inline void dsp_complex_multiply(const int16_t *a, const int16_t *b, int32_t *re,
                                        int32_t *im)
{
#if TKWS_DSP
    *re = __smusd(dsp_load(a), dsp_load(b));
    *im = __smuadx(dsp_load(a), dsp_load(b));
#else
    *re = tkws_fx_sub(a[0] * b[0], a[1] * b[1]);
    *im = tkws_fx_add(a[0] * b[1], a[1] * b[0]);
#endif
}

/* Zero bits above the highest one; value is not 0. */
static inline unsigned dsp_leading_zeros(uint32_t value)
{
#if TKWS_DSP
    return (unsigned)__builtin_clz(value);
#else
    unsigned zeros = 0;
    for (unsigned step = 16; step > 0; step /= 2)
        if (value >> (32 - step) == 0) {
            zeros += step;
            value <<= step;
        }
    return zeros;
#endif
}

/* The least b for which all values are in -2^b .. 2^b - 1. @param n  a multiple of 4 */
static inline unsigned dsp_bits(const int16_t *values, size_t n)
{
    uint32_t changes = 0; /* of a bit from its lower neighbour */
#if TKWS_DSP
    for (size_t i = 0; i < n; i += 4) {
        uint32_t first = (uint32_t)dsp_load(values + i);
        uint32_t second = (uint32_t)dsp_load(values + i + 2);
        changes |= (first ^ (first << 1)) | (second ^ (second << 1));
    }
    changes = (changes >> 16 | changes) & 0xfffeu; /* the lowest bits have no neighbour */
#else
    for (size_t i = 0; i < n; i++) {
        uint32_t value = (uint32_t)values[i];
        changes |= value ^ (value & 0x7fffffffu) << 1;
    }
#endif
    return 31 - dsp_leading_zeros(changes | 1u);
}

#endif
