/* SPDX-License-Identifier: Apache-2.0 */
/** @file convolution.h  Small filters over time and frequency, the same ones in every band, with a rectifier.
 *
 *     y_kb = max(0, bias_k + sum_fw weights_kfw e(b stride - margin + w, last frame - n_frames + 1 + f))
 *
 * for each kernel k and band b, with e the frames' channels, zero beside the first and the last one and before
 * the first frame. A step of features is two frames, and gives as many numbers as it has. What it says is in
 * section Conv of a model (model.h); it is not learned. */
#ifndef TRACEKWS_CONVOLUTION_H
#define TRACEKWS_CONVOLUTION_H

#include <stddef.h>
#include <stdint.h>

#include "tracekws/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Numbers that tkws_convolution_step() needs of memory; 0 without a convolution. */
size_t tkws_convolution_numbers(const tkws_convolution_form *form);

/** Run one step.
 *  @param form      of a checked model, with a convolution
 *  @param frames    tkws_convolution_numbers() int16, the caller's, all 0 before the first step
 *  @param features  TKWS_FEATURES int8, Q4
 *  @param out       TKWS_FEATURES int8, Q4, at least 0: the bands of the first kernel first */
void tkws_convolution_step(const tkws_convolution_form *form, int16_t *frames,
                           const int8_t *features, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
