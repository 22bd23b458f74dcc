/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/convolution.h"

#include "dsp.h"
#include "tracekws/bytes.h"
#include "tracekws/frontend.h"
#include "tracekws/fx.h"

#define TOGETHER 2 /* kernels, and bands, which share what is loaded of each other */

/* Channels with those of the margins; each has a row of all frames. */
static size_t n_rows(const tkws_convolution_form *form)
{
    return TKWS_CHANNELS + 2u * form->margin;
}

size_t tkws_convolution_numbers(const tkws_convolution_form *form)
{
    return form->n_frames * n_rows(form);
}

/* Frames move to the front by a step; the new ones follow. */
static void take_in(const tkws_convolution_form *form, int16_t *frames, const int8_t *features)
{
    size_t n_frames = form->n_frames;
    size_t n_kept = n_frames - TKWS_STACK;
    int16_t *row = frames + form->margin * n_frames;
    for (size_t i = 0; i < TKWS_CHANNELS; i++, row += n_frames) {
        dsp_copy(row, row + TKWS_STACK, n_kept);
        for (size_t f = 0; f < TKWS_STACK; f++)
            row[n_kept + f] = (int16_t)features[f * TKWS_CHANNELS + i];
    }
}

/* Sums of two kernels at one band and at the next. (No array: compilers keep it in registers.) */
typedef struct {
    int32_t one_here;
    int32_t other_here;
    int32_t one_there;
    int32_t other_there;
} patch_sums;

/* Add two products to each. @param next  numbers to the next band  @param other  bytes to the other kernel */
static inline patch_sums add_pair(patch_sums sums, const int16_t *here, size_t next,
                                  const uint8_t *one, size_t other)
{
#if TKWS_DSP
    int16x2_t heard = dsp_load(here);
    int16x2_t first = dsp_load_bytes(one);
    sums.one_here = __smlad(first, heard, sums.one_here);
    int16x2_t second = dsp_load_bytes(one + other);
    sums.other_here = __smlad(second, heard, sums.other_here);
    heard = dsp_load(here + next);
    sums.one_there = __smlad(first, heard, sums.one_there);
    sums.other_there = __smlad(second, heard, sums.other_there);
#else
    for (size_t i = 0; i < 2; i++) {
        int16_t first = tkws_bytes_get_i16(one + 2 * i);
        int16_t second = tkws_bytes_get_i16(one + other + 2 * i);
        sums.one_here = dsp_add_product(sums.one_here, first, here[i]);
        sums.other_here = dsp_add_product(sums.other_here, second, here[i]);
        sums.one_there = dsp_add_product(sums.one_there, first, here[next + i]);
        sums.other_there = dsp_add_product(sums.other_there, second, here[next + i]);
    }
#endif
    return sums;
}

/* Products are at most 2^15 * 2^7, a kernel has at most 2^8 of them, and a bias is less than 2^27.
 * @param next  numbers from the one band to the next */
static patch_sums apply(const tkws_convolution_form *form, const int16_t *here, size_t next,
                        size_t kernel)
{
    size_t n = (size_t)form->n_frames * form->width;
    const uint8_t *one = form->weights + 2 * kernel * n;
    int32_t bias = tkws_bytes_get_i16(form->bias + 2 * kernel) * form->bias_unit;
    int32_t second = tkws_bytes_get_i16(form->bias + 2 * kernel + 2) * form->bias_unit;
    patch_sums sums = {bias, second, bias, second};
    for (const int16_t *end = here + n; here < end; here += 4, one += 8) {
        sums = add_pair(sums, here, next, one, 2 * n);
        sums = add_pair(sums, here + 2, next, one + 4, 2 * n);
    }
    return sums;
}

static int8_t rectified(int32_t sum, unsigned weight_q)
{
    int16_t y = tkws_fx_sat8(tkws_fx_shr_round(sum, weight_q));
    return (int8_t)(y > 0 ? y : 0);
}

void tkws_convolution_step(const tkws_convolution_form *form, int16_t *frames,
                           const int8_t *features, int8_t *out)
{
    size_t n_bands = form->n_bands;
    size_t to_next = (size_t)form->stride * form->n_frames;
    take_in(form, frames, features);
    for (size_t k = 0; k < form->n_kernels; k += TOGETHER)
        for (size_t b = 0; b < n_bands; b += TOGETHER) {
            size_t after =
                b + 1 < n_bands ? 1 : 0; /* the last band of an odd number is its own next */
            patch_sums sums = apply(form, frames + b * to_next, after * to_next, k);
            int8_t *to = out + k * n_bands + b;
            to[0] = rectified(sums.one_here, form->weight_q);
            to[n_bands] = rectified(sums.other_here, form->weight_q);
            to[after] = rectified(sums.one_there, form->weight_q);
            to[n_bands + after] = rectified(sums.other_there, form->weight_q);
        }
}
