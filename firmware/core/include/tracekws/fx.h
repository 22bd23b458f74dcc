/* SPDX-License-Identifier: Apache-2.0 */
/** @file fx.h  All fixed-point arithmetic of the core: saturation, rounding shifts, Q15 products.
 *
 * Qn means n fractional bits. Nothing here is undefined or implementation-defined in C11: negative
 * numbers are shifted through their complement, which compilers turn into one arithmetic shift. */
#ifndef TRACEKWS_FX_H
#define TRACEKWS_FX_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#define TKWS_Q15_ONE 32767

/** Clamp to the range of int16. */
static inline int16_t tkws_fx_sat16(int32_t value)
{
#if defined(__ARM_FEATURE_SAT) && defined(__GNUC__)
    return (int16_t)(int32_t)__builtin_arm_ssat(value, 16); /* one instruction */
#else
    return (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
#endif
}

/** Clamp to the range of int8, in an int16. */
static inline int16_t tkws_fx_sat8(int32_t value)
{
#if defined(__ARM_FEATURE_SAT) && defined(__GNUC__)
    return (int16_t)(int32_t)__builtin_arm_ssat(value, 8);
#else
    return (int16_t)(value > INT8_MAX ? INT8_MAX : value < INT8_MIN ? INT8_MIN : value);
#endif
}

/** Clamp to the range of int32. */
static inline int32_t tkws_fx_sat32(int64_t value)
{
    return (int32_t)(value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : value);
}

/** floor(value / 2^bits), bits 0..31. */
static inline int32_t tkws_fx_shr(int32_t value, unsigned bits)
{
    return value < 0 ? ~(~value >> bits) : value >> bits;
}

/** floor(value / 2^bits), bits 0..63. */
static inline int64_t tkws_fx_shr64(int64_t value, unsigned bits)
{
    return value < 0 ? ~(~value >> bits) : value >> bits;
}

/** value / 2^bits to the nearest, halves upward, bits 0..30; no overflow at either end. */
static inline int32_t tkws_fx_shr_round(int32_t value, unsigned bits)
{
    if (bits == 0)
        return value;
    return tkws_fx_shr(value, bits) + (int32_t)((uint32_t)value >> (bits - 1) & 1u);
}

/** a * b / 2^15 to the nearest: the product of two Q15 numbers, or any Qn number scaled by a Q15.
 *  (-32768 * -32768 gives 32768, hence the int32 result.) */
static inline int32_t tkws_fx_mul_q15(int16_t a, int16_t b)
{
    return tkws_fx_shr((int32_t)a * b + (1 << 14), 15);
}

#ifdef TKWS_FX_CHECK

/** For tests: the program's own. It gets each result of the operators below before that is made to fit.
 *  @param n_bits  16 or 32: what it is to fit, as a signed number
 *  @param file, line  where the operator stands */
void tkws_fx_check(int64_t exact, unsigned n_bits, const char *file, int line);

static inline int32_t tkws_fx_checked(int64_t exact, unsigned n_bits, const char *file, int line)
{
    tkws_fx_check(exact, n_bits, file, line);
    return (int32_t)exact;
}

#define tkws_fx_add(a, b) tkws_fx_checked((int64_t)(a) + (b), 32, __FILE__, __LINE__)
#define tkws_fx_sub(a, b) tkws_fx_checked((int64_t)(a) - (b), 32, __FILE__, __LINE__)
#define tkws_fx_mul(a, b) tkws_fx_checked((int64_t)(a) * (b), 32, __FILE__, __LINE__)
#define tkws_fx_to16(a) ((int16_t)tkws_fx_checked(a, 16, __FILE__, __LINE__))

#else

/** a + b; that it fits int32 is the caller's care, as for the next two. */
static inline int32_t tkws_fx_add(int32_t a, int32_t b)
{
    return a + b;
}

/** a - b */
static inline int32_t tkws_fx_sub(int32_t a, int32_t b)
{
    return a - b;
}

/** a * b */
static inline int32_t tkws_fx_mul(int32_t a, int32_t b)
{
    return a * b;
}

/** The same number as an int16; that it fits is the caller's care. */
static inline int16_t tkws_fx_to16(int32_t value)
{
    return (int16_t)value;
}

#endif

#ifdef __cplusplus
}
#endif

#endif
