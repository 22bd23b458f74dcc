/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/frontend.h"

#include <string.h>

#include "dsp.h"
#include "tracekws/errors.h"
#include "tracekws/fx.h"
#define TKWS_TABLES_FRONTEND
#include "tables.h"

#define POINTS (TKWS_FFT / 2) /* complex points of the half-size FFT that carries the real one */
#define QUARTER (POINTS / 4)
#define ENERGY_FRACTION 4 /* energies are in 1/16 squared PCM steps */
#define MEL_FRACTION 10   /* of the shares in bins[] */
#define BIN_FRACTION 4    /* of a bin's real and imaginary part */

/* The FFT is block floating: every pass sums in int32 and rounds once, to as many bits as are sure to
 * fit. Values below 2^b grow in a pass at most by 1 + 3 sqrt(2) < 5.25: kept to 2^12 before, they are
 * below 21,500 after it, and their sums in Q14 fit the next pass. The windowed frame's first pass sums
 * four samples weighted by at most 1.575 in all: kept to 2^14, they are below 25,800, and the second
 * pass, of few angles, grows by at most 5.03. */
#define PASS_BITS 12
#define FIRST_PASS_BITS 14

typedef struct {
    int32_t re;
    int32_t im;
} wide;

static inline wide add(wide a, wide b)
{
    return (wide){tkws_fx_add(a.re, b.re), tkws_fx_add(a.im, b.im)};
}

static inline wide subtract(wide a, wide b)
{
    return (wide){tkws_fx_sub(a.re, b.re), tkws_fx_sub(a.im, b.im)};
}

static inline wide product(const int16_t *point, const int16_t *factor)
{
    wide z;
    dsp_complex_multiply(point, factor, &z.re, &z.im);
    return z;
}

static inline void put(int16_t *point, wide z, unsigned shift)
{
    point[0] = tkws_fx_to16(tkws_fx_shr(z.re, shift));
    point[1] = tkws_fx_to16(tkws_fx_shr(z.im, shift));
}

/* The DFT of four points, divided by 2^shift and rounded down, or to the nearest when a has half of that
 * added: it is in every result once. Results lie stride points apart. */
static inline void butterfly(wide a, wide b, wide c, wide d, unsigned shift, int16_t *point,
                             size_t stride)
{
    wide even = add(a, c);
    wide even_off = subtract(a, c);
    wide odd = add(b, d);
    wide odd_off = subtract(b, d);
    wide turned = {odd_off.im, -odd_off.re};
    put(point, add(even, odd), shift);
    put(point + 2 * stride, add(even_off, turned), shift);
    put(point + 4 * stride, subtract(even, odd), shift);
    put(point + 6 * stride, subtract(even_off, turned), shift);
}

/* Two samples, windowed, as a complex point in Q15. */
static inline wide windowed(const int16_t *pcm, size_t i)
{
    return (wide){pcm[i] * hann_q15[i], pcm[i + 1] * hann_q15[i + 1]};
}

/* Window the frame and do the FFT's first pass, into digit-reversed order.
 * Returns e: the true number is the stored one times 2^e. */
static int window_pass(const int16_t *pcm, int16_t *fft)
{
    const size_t quarter = 2 * QUARTER; /* in samples */
    unsigned shift = dsp_bits(pcm, TKWS_WINDOW) + 15 - FIRST_PASS_BITS;
    int32_t half = 1 << (shift - 1);
    for (size_t k = 0; k < QUARTER; k++) {
        size_t i = 2 * k;
        wide last = {0, 0};
        if (i + 3 * quarter < TKWS_WINDOW)
            last = windowed(pcm, i + 3 * quarter);
        int16_t *point = fft + (size_t)8 * digit_reverse[k];
        butterfly(add(windowed(pcm, i), (wide){half, half}), windowed(pcm, i + quarter),
                  windowed(pcm, i + 2 * quarter), last, shift, point, 1);
    }
    return (int)shift - 15;
}

/* One of the further passes, which joins DFTs of stride points by fours; returns the exponent added.
 * The last pass rounds down, since to the nearest it would leave exactly nothing of channels that are
 * weak beside others, and their normalised energy would be noise of many decibels. */
static int pass(int16_t *fft, size_t stride)
{
    unsigned bits = dsp_bits(fft, TKWS_FFT);
    unsigned shift = 14 + bits - PASS_BITS;
    int32_t half = stride < QUARTER ? 1 << (shift - 1) : 0;
    size_t turn = QUARTER / stride; /* from one butterfly to the next, in 256ths */
    for (int16_t *block = fft; block < fft + TKWS_FFT; block += 8 * stride) {
        int16_t *point = block;
        const int16_t *w = twiddle_q14;
        for (size_t angle = 0; angle < QUARTER; angle += turn, point += 2) {
            wide first = {tkws_fx_add(point[0] * (1 << 14), half),
                          tkws_fx_add(point[1] * (1 << 14), half)};
            butterfly(first, product(point + 2 * stride, w + 2 * angle),
                      product(point + 4 * stride, w + 4 * angle),
                      product(point + 6 * stride, w + 6 * angle), shift, point, stride);
        }
    }
    return (int)bits - PASS_BITS;
}

/* Power of bin k, 1..255, of the real FFT, from the complex points z of its even and odd samples, whose
 * parts are below 21,500: the bin's magnitude, kept to BIN_FRACTION bits, is below 60,800. */
static inline uint64_t bin_power(const int16_t *z, size_t k, const struct bin *bin)
{
    const int16_t *p = z + 2 * k;
    const int16_t *q = z + 2 * (POINTS - k);
    int32_t odd_r = p[1] + q[1];
    int32_t odd_i = q[0] - p[0];
    int32_t re = tkws_fx_mul(p[0] + q[0], 1 << 14);
    int32_t im = tkws_fx_mul(p[1] - q[1], 1 << 14);
    re = tkws_fx_sub(tkws_fx_add(re, tkws_fx_mul(odd_r, bin->re)), tkws_fx_mul(odd_i, bin->im));
    im = tkws_fx_add(tkws_fx_add(im, tkws_fx_mul(odd_r, bin->im)), tkws_fx_mul(odd_i, bin->re));
    re = tkws_fx_shr(re, 15 - BIN_FRACTION); /* they are twice the bin's, in Q14 */
    im = tkws_fx_shr(im, 15 - BIN_FRACTION);
    return (uint64_t)((int64_t)re * re + (int64_t)im * im);
}

static uint64_t shift_by(uint64_t value, int bits)
{
    return bits >= 0 ? value << bits : bits > -64 ? value >> -bits : 0;
}

/* Mel energies of one frame, in 1/16 squared PCM steps. */
static void mel_energies(const int16_t *pcm, int16_t *fft, uint64_t *energy)
{
    int exponent = window_pass(pcm, fft);
    for (size_t stride = 4; stride < POINTS; stride *= 4)
        exponent += pass(fft, stride);
    int shift = 2 * (exponent - BIN_FRACTION) + ENERGY_FRACTION - MEL_FRACTION;
    const struct bin *bin = bins;
    for (size_t gap = 0; gap <= TKWS_CHANNELS; gap++) {
        uint64_t total = 0;
        uint64_t upper = 0;
        for (size_t k = mel_first[gap]; k < mel_first[gap + 1]; k++) {
            uint64_t power = bin_power(fft, k, bin);
            total += power;
            upper += power * bin->share_q10;
            bin++;
        }
        if (gap > 0)
            energy[gap - 1] = shift_by(energy[gap - 1] + (total << MEL_FRACTION) - upper, shift);
        if (gap < TKWS_CHANNELS)
            energy[gap] = upper;
    }
}

/* log2(value) in Q10; 0 counts as 1. */
static int32_t log2_of(uint64_t value)
{
    if (value == 0)
        return 0;
    uint32_t high = (uint32_t)(value >> 32);
    uint32_t low = (uint32_t)value;
    unsigned zeros = dsp_leading_zeros(high != 0 ? high : low);
    uint32_t mantissa = high != 0 ? (uint32_t)(value << zeros >> 32) : low << zeros;
    int32_t exponent = (int32_t)((high != 0 ? 63 : 31) - zeros);
    /* mantissa 1.xxxxxxxxxxxxxxxx: 6 bits index the table, 10 interpolate */
    uint32_t fraction = mantissa >> 15 & 0xffffu;
    int32_t below = log2_q10[fraction >> 10];
    int32_t above = log2_q10[(fraction >> 10) + 1];
    return exponent * 1024 + below +
           tkws_fx_shr_round((above - below) * (int32_t)(fraction & 1023u), 10);
}

/* The compression of PCEN as a function of d = log2(E / M^alpha), Q10; the result is a feature, Q4. */
static int8_t compress(int32_t d_q10)
{
    int32_t position = d_q10 + 8 * 1024;
    if (position < 0)
        position = 0;
    if (position > 16 * 1024 - 1)
        position = 16 * 1024 - 1;
    int32_t low = compress_q11[position >> 8];
    int32_t high = compress_q11[(position >> 8) + 1];
    int32_t value = low + tkws_fx_shr((high - low) * (position & 255), 8);
    value = tkws_fx_shr_round(value, 7);
    return (int8_t)(value > INT8_MAX ? INT8_MAX : value);
}

/* One channel of a frame: its running mean, and its energy normalised by it and compressed. */
static inline int8_t normalise(tkws_frontend *fe, size_t c, uint64_t e)
{
    uint64_t m = fe->has_mean ? fe->mean[c] : e;
    if (e >= m)
        m += (e - m) >> fe->mean_shift;
    else
        m -= (m - e) >> (e < m >> TKWS_FALL_BITS ? fe->fall_shift : fe->mean_shift);
    fe->mean[c] = m;
    int32_t log_mean = log2_of(m + fe->energy_floor);
    int32_t d_q10 = log2_of(e) - tkws_fx_shr_round(tkws_fx_mul(log_mean, fe->alpha_q15), 15);
    return compress(d_q10);
}

/* One frame: energies, running means, normalised and compressed features. */
static void frame_features(tkws_frontend *fe, int8_t *features)
{
    uint64_t energy[TKWS_CHANNELS];
    mel_energies(fe->window, fe->fft, energy);
    tkws_frontend_normalise(fe, energy, features);
    for (size_t c = 0; c < TKWS_CHANNELS; c++)
        fe->energy += energy[c];
}

int tkws_frontend_init(tkws_frontend *frontend, int16_t alpha_q15, unsigned mean_shift,
                       unsigned fall_shift, uint32_t energy_floor)
{
    if (alpha_q15 < 0 || mean_shift < 1 || mean_shift > 12 || fall_shift < 1 ||
        fall_shift > mean_shift || energy_floor == 0)
        return TKWS_E_ARGUMENT;
    memset(frontend, 0, sizeof *frontend);
    frontend->alpha_q15 = alpha_q15;
    frontend->mean_shift = (uint8_t)mean_shift;
    frontend->fall_shift = (uint8_t)fall_shift;
    frontend->energy_floor = energy_floor;
    return TKWS_OK;
}

void tkws_frontend_reset(tkws_frontend *frontend)
{
    int16_t alpha_q15 = frontend->alpha_q15;
    unsigned mean_shift = frontend->mean_shift;
    unsigned fall_shift = frontend->fall_shift;
    uint32_t energy_floor = frontend->energy_floor;
    (void)tkws_frontend_init(frontend, alpha_q15, mean_shift, fall_shift, energy_floor);
}

int tkws_frontend_push(tkws_frontend *frontend, const int16_t *pcm, size_t n_samples,
                       size_t *n_consumed, int8_t *features)
{
    size_t consumed = 0;
    while (consumed < n_samples) {
        size_t n = TKWS_WINDOW - frontend->n_filled;
        n = n < n_samples - consumed ? n : n_samples - consumed;
        dsp_copy(frontend->window + frontend->n_filled, pcm + consumed, n);
        frontend->n_filled += n;
        consumed += n;
        if (frontend->n_filled < TKWS_WINDOW)
            break;
        frame_features(frontend, frontend->features + frontend->n_stacked * TKWS_CHANNELS);
        frontend->n_filled = TKWS_WINDOW - TKWS_HOP;
        dsp_copy(frontend->window, frontend->window + TKWS_HOP, frontend->n_filled);
        if (++frontend->n_stacked == TKWS_STACK) {
            frontend->n_stacked = 0;
            frontend->loudness = log2_of(frontend->energy);
            frontend->energy = 0;
            dsp_copy_bytes(features, frontend->features, TKWS_FEATURES);
            *n_consumed = consumed;
            return 1;
        }
    }
    *n_consumed = consumed;
    return 0;
}

void tkws_frontend_normalise(tkws_frontend *frontend, const uint64_t *energy, int8_t *features)
{
    for (size_t c = 0; c < TKWS_CHANNELS; c++)
        features[c] = normalise(frontend, c, energy[c]);
    frontend->has_mean = 1;
}
