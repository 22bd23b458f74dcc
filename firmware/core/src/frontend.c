/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/frontend.h"

#include <string.h>

#include "tracekws/errors.h"
#include "tracekws/fx.h"
#define TKWS_TABLES_FRONTEND
#include "tables.h"

#define POINTS (TKWS_FFT / 2) /* complex points of the half-size FFT that carries the real one */
#define ENERGY_FRACTION 4     /* energies are in 1/16 squared PCM steps */
#define MEL_FRACTION 10       /* of mel_share_q10 */

/* A radix-2 butterfly multiplies a component by at most 1 + sqrt(2): below this it cannot overflow. */
#define BUTTERFLY_LIMIT 13572
/* The step from 256 complex to 512 real points needs sums of two components to fit, halved, in int16,
 * and the power of the result in uint32. */
#define UNPACK_LIMIT 16383
/* The frame enters the FFT scaled so that its largest sample is in this limit's upper half. */
#define INPUT_LIMIT BUTTERFLY_LIMIT

static uint32_t magnitude(int32_t value)
{
    return value < 0 ? (uint32_t)(-(value + 1)) + 1u : (uint32_t)value;
}

static uint32_t largest_magnitude(const int16_t *values, size_t n)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t m = magnitude(values[i]);
        largest = m > largest ? m : largest;
    }
    return largest;
}

/* Halve all values until the largest is within the limit; returns how often. */
static unsigned scale_below(int16_t *values, uint32_t limit)
{
    unsigned shift = 0;
    for (uint32_t largest = largest_magnitude(values, TKWS_FFT); largest > limit; shift++)
        largest = (largest >> 1) + 1;
    if (shift != 0)
        for (size_t i = 0; i < TKWS_FFT; i++)
            values[i] = (int16_t)tkws_fx_shr_round(values[i], shift);
    return shift;
}

/* Window the frame into the FFT's buffer in bit-reversed order, scaled up or down to use int16 well.
 * Returns e: the true sample is the stored one times 2^e. */
static int load_frame(const int16_t *pcm, int16_t *fft)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < TKWS_WINDOW; i++) {
        uint32_t m = magnitude((int32_t)pcm[i] * hann_q15[i]);
        largest = m > largest ? m : largest;
    }
    unsigned shift = 0; /* the products are Q15: shift 15 would give back PCM steps */
    while ((largest >> shift) >= INPUT_LIMIT)
        shift++;
    for (size_t k = 0; k < POINTS; k++) {
        int16_t *point = fft + 2u * bit_reverse[k];
        for (size_t part = 0; part < 2; part++) {
            size_t i = 2 * k + part;
            int32_t product = i < TKWS_WINDOW ? (int32_t)pcm[i] * hann_q15[i] : 0;
            point[part] = (int16_t)tkws_fx_shr_round(product, shift);
        }
    }
    return (int)shift - 15;
}

/* In-place FFT of 256 complex points in bit-reversed order, block floating: returns the exponent added. */
static int complex_fft(int16_t *fft)
{
    int exponent = 0;
    for (size_t half = 1; half < POINTS; half *= 2) {
        exponent += (int)scale_below(fft, BUTTERFLY_LIMIT);
        size_t stride = POINTS / half; /* in the table of 512ths of a turn */
        for (size_t j = 0; j < half; j++) {
            int32_t wr = twiddle_q15[2 * j * stride];
            int32_t wi = twiddle_q15[2 * j * stride + 1];
            for (size_t k = j; k < POINTS; k += 2 * half) {
                int16_t *a = fft + 2 * k;
                int16_t *b = fft + 2 * (k + half);
                int32_t tr = tkws_fx_shr_round(b[0] * wr - b[1] * wi, 15);
                int32_t ti = tkws_fx_shr_round(b[0] * wi + b[1] * wr, 15);
                b[0] = (int16_t)(a[0] - tr);
                b[1] = (int16_t)(a[1] - ti);
                a[0] = (int16_t)(a[0] + tr);
                a[1] = (int16_t)(a[1] + ti);
            }
        }
    }
    return exponent;
}

/* Power of bin k, 1..255, of the real FFT, from the complex points z of its even and odd samples. */
static uint32_t real_bin_power(const int16_t *z, size_t k)
{
    const int16_t *p = z + 2 * k;
    const int16_t *q = z + 2 * (POINTS - k);
    int32_t even_r = tkws_fx_shr_round(p[0] + q[0], 1);
    int32_t even_i = tkws_fx_shr_round(p[1] - q[1], 1);
    int32_t odd_r = tkws_fx_shr_round(p[1] + q[1], 1);
    int32_t odd_i = tkws_fx_shr_round(q[0] - p[0], 1);
    int32_t wr = twiddle_q15[2 * k];
    int32_t wi = twiddle_q15[2 * k + 1];
    int32_t re = even_r + tkws_fx_shr_round(odd_r * wr - odd_i * wi, 15);
    int32_t im = even_i + tkws_fx_shr_round(odd_r * wi + odd_i * wr, 15);
    uint32_t abs_re = magnitude(re);
    uint32_t abs_im = magnitude(im);
    return abs_re * abs_re + abs_im * abs_im;
}

static uint64_t shift_by(uint64_t value, int bits)
{
    return bits >= 0 ? value << bits : bits > -64 ? value >> -bits : 0;
}

/* Mel energies of one frame, in 1/16 squared PCM steps. */
static void mel_energies(const int16_t *pcm, int16_t *fft, uint64_t *energy)
{
    int exponent = load_frame(pcm, fft);
    exponent += complex_fft(fft);
    exponent += (int)scale_below(fft, UNPACK_LIMIT);
    memset(energy, 0, TKWS_CHANNELS * sizeof *energy);
    for (size_t k = 1; k < POINTS; k++) {
        unsigned channel = mel_channel[k];
        if (channel > TKWS_CHANNELS)
            continue;
        uint64_t power = real_bin_power(fft, k);
        if (channel < TKWS_CHANNELS)
            energy[channel] += power * mel_share_q10[k];
        if (channel > 0)
            energy[channel - 1] += power * ((1u << MEL_FRACTION) - mel_share_q10[k]);
    }
    for (size_t c = 0; c < TKWS_CHANNELS; c++)
        energy[c] = shift_by(energy[c], 2 * exponent + ENERGY_FRACTION - MEL_FRACTION);
}

/* log2(value) in Q10; 0 counts as 1. */
static int32_t log2_of(uint64_t value)
{
    if (value == 0)
        return 0;
    unsigned exponent = 0;
    for (unsigned step = 32; step > 0; step /= 2) {
        if (value >> (exponent + step) != 0)
            exponent += step;
    }
    /* mantissa 1.xxxxxxxxxxxxxxxx: 6 bits index the table, 10 interpolate */
    uint32_t fraction = (uint32_t)shift_by(value, 16 - (int)exponent) & 0xffffu;
    int32_t low = log2_q10[fraction >> 10];
    int32_t high = log2_q10[(fraction >> 10) + 1];
    return (int32_t)exponent * 1024 + low +
           tkws_fx_shr_round((high - low) * (int32_t)(fraction & 1023u), 10);
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

/* One frame: energies, running means, normalised and compressed features. */
static void frame_features(tkws_frontend *fe, int8_t *features)
{
    uint64_t energy[TKWS_CHANNELS];
    mel_energies(fe->window, fe->fft, energy);
    for (size_t c = 0; c < TKWS_CHANNELS; c++) {
        uint64_t e = energy[c];
        uint64_t m = fe->has_mean ? fe->mean[c] : e;
        if (e >= m)
            m += (e - m) >> fe->mean_shift;
        else
            m -= (m - e) >> fe->mean_shift;
        fe->mean[c] = m;
        int32_t log_mean = log2_of(m + fe->energy_floor);
        int32_t d_q10 = log2_of(e) - tkws_fx_shr_round(log_mean * fe->alpha_q15, 15);
        features[c] = compress(d_q10);
    }
    fe->has_mean = 1;
}

int tkws_frontend_init(tkws_frontend *frontend, int16_t alpha_q15, unsigned mean_shift,
                       uint32_t energy_floor)
{
    if (alpha_q15 < 0 || mean_shift < 1 || mean_shift > 12 || energy_floor == 0)
        return TKWS_E_ARGUMENT;
    memset(frontend, 0, sizeof *frontend);
    frontend->alpha_q15 = alpha_q15;
    frontend->mean_shift = (uint8_t)mean_shift;
    frontend->energy_floor = energy_floor;
    return TKWS_OK;
}

void tkws_frontend_reset(tkws_frontend *frontend)
{
    int16_t alpha_q15 = frontend->alpha_q15;
    unsigned mean_shift = frontend->mean_shift;
    uint32_t energy_floor = frontend->energy_floor;
    (void)tkws_frontend_init(frontend, alpha_q15, mean_shift, energy_floor);
}

int tkws_frontend_push(tkws_frontend *frontend, const int16_t *pcm, size_t n_samples,
                       size_t *n_consumed, int8_t *features)
{
    size_t consumed = 0;
    while (consumed < n_samples) {
        size_t n = TKWS_WINDOW - frontend->n_filled;
        n = n < n_samples - consumed ? n : n_samples - consumed;
        memcpy(frontend->window + frontend->n_filled, pcm + consumed, n * sizeof *pcm);
        frontend->n_filled += n;
        consumed += n;
        if (frontend->n_filled < TKWS_WINDOW)
            break;
        frame_features(frontend, frontend->features + frontend->n_stacked * TKWS_CHANNELS);
        frontend->n_filled = TKWS_WINDOW - TKWS_HOP;
        memmove(frontend->window, frontend->window + TKWS_HOP,
                frontend->n_filled * sizeof *frontend->window);
        if (++frontend->n_stacked == TKWS_STACK) {
            frontend->n_stacked = 0;
            memcpy(features, frontend->features, TKWS_FEATURES);
            *n_consumed = consumed;
            return 1;
        }
    }
    *n_consumed = consumed;
    return 0;
}
