/* SPDX-License-Identifier: Apache-2.0 */
/** @file network.h  A filter in time of each input, maybe behind a convolution, one recurrent layer of leaky integrate-and-fire
 * neurons, and a linear readout.
 *
 *     x_i = sum_k taps[k][i] f_i(t - k)        f the features, or what a convolution makes of them
 *                                              (convolution.h), zero before the first step
 *     u = decay v + W x + R s' + b      s = 1 where u > threshold      v = u - threshold s
 *
 * with s' the spikes of the step before (arXiv 2509.13053, eq. 1-2). W x is dense; R and the readout are
 * driven by spikes: a spike costs one row, a silent neuron nothing. Scores are the readout's mean over
 * the last window_steps steps; listening never resets anything. */
#ifndef TRACEKWS_NETWORK_H
#define TRACEKWS_NETWORK_H

#include "tracekws/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/** State of the layer. Model, weights and memory are the caller's and must outlive it. */
typedef struct {
    const tkws_model *model;
    tkws_weights weights;
    int16_t *frames;  /**< that the convolution hears, if there is one */
    int8_t *features; /**< f of the last n_taps steps, a ring with the older behind the newer, Q4 */
    int16_t *inputs;  /**< x of the last step, within int8, Q4 */
    int16_t *membrane;  /**< v after reset, Q membrane_q */
    int16_t *potential; /**< u before reset, Q membrane_q */
    int16_t *decay;     /**< Q15 */
    int32_t *current;   /**< scratch: recurrent input, Q recurrent_q; zero between steps */
    int32_t *history;   /**< readout of each step in the window, a ring of n_classes, Q10 */
    int32_t *total;     /**< their sum */
    uint16_t *spikes;   /**< neurons that fired in this step, ascending */
    uint16_t *previous; /**< those of the step before */
    uint16_t n_spikes;
    uint16_t n_previous;
    uint16_t newest;  /**< row of features */
    uint16_t at;      /**< next row of history */
    uint16_t n_steps; /**< rows in use, at most window_steps */
} tkws_network;

/** Bytes of memory that tkws_network_init() needs for a model. */
size_t tkws_network_memory_bytes(const tkws_model *model);

/** Start a network at rest. The weights' contents are not touched and may be changed between steps.
 *  @param memory  n_bytes, aligned to 4
 *  @return TKWS_OK, or TKWS_E_MEMORY with network untouched */
int tkws_network_init(tkws_network *network, const tkws_model *model, const tkws_weights *weights,
                      void *memory, size_t n_bytes);

/** Back to rest: no features heard, membranes zero, no spikes, empty window. */
void tkws_network_reset(tkws_network *network);

/** Run one step. @param features  n_inputs int8, Q4 */
void tkws_network_step(tkws_network *network, const int8_t *features);

/** Scores, the logits of the classes: mean readout over the window plus bias.
 *  @param scores  n_classes int32, Q10 */
void tkws_network_scores(const tkws_network *network, int32_t *scores);

#ifdef __cplusplus
}
#endif

#endif
