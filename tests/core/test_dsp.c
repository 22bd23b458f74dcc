/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of dsp.h against their definitions; exits 1 at the first difference. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../firmware/core/src/dsp.h"
#include "tracekws/rng.h"

#define N 16

static uint64_t n_checked;

static void expect(const char *what, int64_t got, int64_t wanted)
{
    n_checked++;
    if (got == wanted)
        return;
    printf("%s is %" PRId64 ", not %" PRId64 "\n", what, got, wanted);
    exit(1);
}

/* Any int16, the ends and the middle often. */
static int16_t draw(tkws_rng *rng)
{
    static const int16_t special[4] = {INT16_MIN, INT16_MAX, -1, 0};
    uint32_t x = tkws_rng_next(rng);
    int32_t any = (int32_t)(x >> 16) - 32768;
    return (int16_t)((x & 7u) < 4 ? special[x & 3u] : any);
}

static void check_dot(tkws_rng *rng)
{
    int16_t a[N];
    int16_t b[N];
    int64_t dot = 0;
    for (size_t i = 0; i < N; i++) {
        a[i] = draw(rng);
        b[i] = (int16_t)(draw(rng) / N); /* or the sum would not fit */
        dot += (int64_t)a[i] * b[i];
    }
    expect("dot", dsp_dot(a, b, N), dot);
}

static void check_complex_multiply(tkws_rng *rng)
{
    int16_t a[2] = {draw(rng), draw(rng)};
    int16_t b[2] = {draw(rng), draw(rng)};
    int64_t im_wanted = (int64_t)a[0] * b[1] + (int64_t)a[1] * b[0];
    if (im_wanted > INT32_MAX)
        return;
    int32_t re = 0;
    int32_t im = 0;
    dsp_complex_multiply(a, b, &re, &im);
    expect("re", re, (int64_t)a[0] * b[0] - (int64_t)a[1] * b[1]);
    expect("im", im, im_wanted);
}

/* One value that needs all the bits, at any place among smaller ones. */
static void check_bits(tkws_rng *rng)
{
    int16_t values[N];
    for (unsigned bits = 0; bits <= 15; bits++) {
        int32_t limit = 1 << bits;
        for (size_t i = 0; i < N; i++)
            values[i] = (int16_t)(draw(rng) % (limit / 2 + 1));
        values[tkws_rng_below(rng, N)] =
            (int16_t)((tkws_rng_next(rng) & 1u) != 0 ? limit - 1 : -limit);
        expect("bits", dsp_bits(values, N), bits);
    }
}

int main(void)
{
    tkws_rng rng;
    tkws_rng_seed(&rng, 1);
    for (int i = 0; i < 100000; i++) {
        check_dot(&rng);
        check_complex_multiply(&rng);
        check_bits(&rng);
    }
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t lowest = (uint32_t)1 << bit;
        expect("zeros", dsp_leading_zeros(lowest), 31 - bit);
        expect("zeros", dsp_leading_zeros(lowest | (lowest - 1)), 31 - bit);
    }
    printf("%" PRIu64 " results as defined\n", n_checked);
    return 0;
}
