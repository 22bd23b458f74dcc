/* SPDX-License-Identifier: Apache-2.0 */
/** @file takes.h  What is kept of what the user said: a row of tkws_weights.takes a word, the mean of its takes.
 *
 * A take is r, its mean spikes a step of each neuron, a byte a neuron, Q8. The rows are the caller's, as all weights. */
#ifndef TRACEKWS_TAKES_H
#define TRACEKWS_TAKES_H

#include "tracekws/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Mean spikes a step, Q8, at most 255. @param n_steps  1 and up */
uint8_t tkws_takes_rate(uint32_t n_spikes, uint32_t n_steps);

/** How many takes a word has, at most TKWS_TAKES_COUNTED; 0 where the image keeps none.
 *  @param word  number of it, below tkws_model_words() */
uint32_t tkws_takes_count(const tkws_model *model, const tkws_weights *weights, size_t word);

/** The mean of a word's takes, n_neurons bytes, Q8: a part of weights. The image keeps takes. @param word  as above */
const uint8_t *tkws_takes_mean(const tkws_model *model, const tkws_weights *weights, size_t word);

/** Make a take part of the mean of its word's, and of how they agree where the word is the user's own (own.h).
 *  @param word   as above; the image keeps takes
 *  @param rates  n_neurons bytes, Q8; read only */
void tkws_takes_add(const tkws_model *model, const tkws_weights *weights, size_t word,
                    const uint8_t *rates);

#ifdef __cplusplus
}
#endif

#endif
