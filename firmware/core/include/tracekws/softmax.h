/* SPDX-License-Identifier: Apache-2.0 */
/** @file softmax.h  Softmax of a few logits. */
#ifndef TRACEKWS_SOFTMAX_H
#define TRACEKWS_SOFTMAX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** softmax(logits); the error of each result is below 0.001.
 *  @param logits  n int32, Q10, any values
 *  @param n       1..TKWS_MAX_CLASSES
 *  @param p       n int16, Q15, 0..32767 */
void tkws_softmax(const int32_t *logits, size_t n, int16_t *p);

#ifdef __cplusplus
}
#endif

#endif
