/* SPDX-License-Identifier: Apache-2.0 */
/* Every operator of fx.h against its definition by 64-bit division; exits 1 at the first difference.
 * Exhaustive in 16-bit arguments, and over each region of a 32-bit argument where carries happen. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tracekws/fx.h"
#include "tracekws/rng.h"

static uint64_t n_checked;

static void expect(const char *what, int64_t a, int64_t b, int64_t got, int64_t wanted)
{
    n_checked++;
    if (got == wanted)
        return;
    printf("%s(%" PRId64 ", %" PRId64 ") is %" PRId64 ", not %" PRId64 "\n", what, a, b, got,
           wanted);
    exit(1);
}

/* floor(value / 2^bits) by division, which C rounds toward zero. */
static int64_t floor_div(int64_t value, unsigned bits)
{
    if (bits == 63) /* 2^63 is no int64 */
        return value < 0 ? -1 : 0;
    int64_t divisor = (int64_t)1 << bits;
    int64_t quotient = value / divisor;
    return value % divisor < 0 ? quotient - 1 : quotient;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static void check_int32(int32_t value)
{
    expect("sat16", value, 0, tkws_fx_sat16(value), clamp(value, INT16_MIN, INT16_MAX));
    for (unsigned bits = 0; bits <= 31; bits++)
        expect("shr", value, bits, tkws_fx_shr(value, bits), floor_div(value, bits));
    for (unsigned bits = 0; bits <= 30; bits++) {
        int64_t half = bits == 0 ? 0 : (int64_t)1 << (bits - 1);
        expect("shr_round", value, bits, tkws_fx_shr_round(value, bits),
               floor_div(value + half, bits));
    }
}

static void check_int64(int64_t value)
{
    expect("sat32", value, 0, tkws_fx_sat32(value), clamp(value, INT32_MIN, INT32_MAX));
    for (unsigned bits = 0; bits <= 63; bits++)
        expect("shr64", value, bits, tkws_fx_shr64(value, bits), floor_div(value, bits));
}

static void check_mul_q15(void)
{
    for (int32_t a = INT16_MIN; a <= INT16_MAX; a++) {
        for (int32_t b = INT16_MIN; b <= INT16_MAX; b += STRIDE) {
            int32_t got = tkws_fx_mul_q15((int16_t)a, (int16_t)b);
            int64_t twice = 2 * (int64_t)a * b + 32768; /* nearest, halves upward */
            expect("mul_q15", a, b, got, floor_div(twice, 16));
        }
        expect("mul_q15", a, INT16_MAX, tkws_fx_mul_q15((int16_t)a, INT16_MAX),
               floor_div(2 * (int64_t)a * INT16_MAX + 32768, 16));
    }
}

int main(void)
{
    check_mul_q15();
    for (int32_t i = -70000; i <= 70000; i++)
        check_int32(i);
    for (int32_t i = 0; i <= 1000; i++) {
        check_int32(INT32_MAX - i);
        check_int32(INT32_MIN + i);
    }
    for (unsigned bit = 0; bit < 63; bit++) {
        for (int64_t i = -40; i <= 40; i++) {
            int64_t value = (int64_t)((uint64_t)1 << bit) + (bit == 62 && i > 0 ? -i : i);
            check_int64(value);
            check_int64(-value);
            check_int32((int32_t)clamp(value, INT32_MIN, INT32_MAX));
            check_int32((int32_t)clamp(-value, INT32_MIN, INT32_MAX));
        }
    }
    for (int64_t i = 0; i < 100; i++) {
        check_int64(INT64_MAX - i);
        check_int64(INT64_MIN + i);
    }
    tkws_rng rng;
    tkws_rng_seed(&rng, 1);
    for (int i = 0; i < 200000; i++) {
        int64_t high = (int64_t)tkws_rng_next(&rng) - ((int64_t)1 << 31);
        check_int32((int32_t)high);
        check_int64(high * ((int64_t)1 << 31) + (int64_t)(tkws_rng_next(&rng) >> 1));
    }
    printf("%" PRIu64 " results as defined\n", n_checked);
    return 0;
}
