/* SPDX-License-Identifier: Apache-2.0 */
/** @file frontend.h  From 16 kHz PCM to energy-normalised mel features, streaming.
 *
 * Each 10 ms hop: Hann window of 25 ms, 512-point block-floating FFT, 40 mel channels, and per-channel
 * energy normalisation (PCEN: Wang et al., arXiv 1607.05666): y = (E / M^alpha + 2)^0.5 - 2^0.5 with M
 * the slow running mean of the channel's energy E. A loud second would hold M up for seconds: while E is far
 * below M, M falls faster. Two hops are stacked to one network step. */
#ifndef TRACEKWS_FRONTEND_H
#define TRACEKWS_FRONTEND_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TKWS_SAMPLE_RATE 16000 /**< Hz */
#define TKWS_WINDOW 400        /**< samples a frame, 25 ms */
#define TKWS_HOP 160           /**< samples between frames, 10 ms */
#define TKWS_CHANNELS 40       /**< mel channels a frame */
#define TKWS_STACK 2           /**< frames a network step */
#define TKWS_FEATURES 80       /**< features a network step: TKWS_CHANNELS * TKWS_STACK */
#define TKWS_STEP_SAMPLES 320  /**< samples a network step: TKWS_HOP * TKWS_STACK */
#define TKWS_FEATURE_Q 4       /**< features are int8 in Q4, 0..127 */
#define TKWS_FFT 512           /**< points of the FFT */
#define TKWS_FALL_BITS 8   /**< energies 2^-8 of the mean, 24 dB below it, make it fall faster */
#define TKWS_LOUDNESS_Q 10 /**< loudness is a logarithm to base 2 in Q10: 340 is 1 dB */

/** Streaming state. The caller owns it; tkws_frontend_init() sets every field. */
typedef struct {
    int16_t alpha_q15;              /**< exponent of the running mean */
    uint8_t mean_shift;             /**< running mean: M += (E - M) / 2^mean_shift each hop */
    uint8_t fall_shift;             /**< in its place while E < M / 2^TKWS_FALL_BITS */
    uint8_t has_mean;               /**< 0 until the first frame has set the means */
    uint8_t n_stacked;              /**< frames waiting in features */
    uint32_t energy_floor;          /**< added to M, in units of 1/16 squared PCM step */
    int32_t loudness;               /**< of the last step that was complete; see TKWS_LOUDNESS_Q */
    uint64_t energy;                /**< of the frames of the step being filled, all channels */
    size_t n_filled;                /**< samples waiting in window */
    int16_t window[TKWS_WINDOW];    /**< PCM of the frame being filled */
    int8_t features[TKWS_FEATURES]; /**< frames of the step being filled */
    uint64_t mean[TKWS_CHANNELS];   /**< running mean of the channel's energy */
    int16_t fft[TKWS_FFT];          /**< scratch: 256 complex points, real and imaginary in turn */
} tkws_frontend;

/** Start at silence: as after a reset of the device.
 *  @param alpha_q15    0..32767; 32113 is 0.98
 *  @param mean_shift   1..12; 6 is a time constant of 0.64 s
 *  @param fall_shift   1..mean_shift; 3 is one of 80 ms; mean_shift makes no difference of what is far below
 *  @param energy_floor 1..2^32-1, in units of 1/16 squared PCM step after window and FFT
 *  @return TKWS_OK, or TKWS_E_ARGUMENT with frontend untouched */
int tkws_frontend_init(tkws_frontend *frontend, int16_t alpha_q15, unsigned mean_shift,
                       unsigned fall_shift, uint32_t energy_floor);

/** Back to the state after tkws_frontend_init(), with the same constants. */
void tkws_frontend_reset(tkws_frontend *frontend);

/** Take PCM until it is used up or one step is complete. The features are the same, to the bit, for any
 *  division of the stream into calls.
 *  @param pcm        n_samples int16 at 16 kHz; read only; may be null when n_samples is 0
 *  @param n_consumed how many samples were taken; call again with the rest
 *  @param features   TKWS_FEATURES int8, Q4; written only when the result is 1
 *  @return 1 when a step is complete, 0 when more samples are needed. The first step is complete after
 *          TKWS_WINDOW + TKWS_HOP samples, each further one after TKWS_STEP_SAMPLES more. frontend->loudness
 *          is then the step's: log2 of the energy of its frames, all channels together. */
int tkws_frontend_push(tkws_frontend *frontend, const int16_t *pcm, size_t n_samples,
                       size_t *n_consumed, int8_t *features);

/** What tkws_frontend_push() does with the mel energies of each window: the features of a frame, and the
 *  running means after it. For those who change energies before; the state's PCM is not touched.
 *  @param energy   TKWS_CHANNELS energies below 2^63, in 1/16 squared PCM steps
 *  @param features TKWS_CHANNELS int8, Q4 */
void tkws_frontend_normalise(tkws_frontend *frontend, const uint64_t *energy, int8_t *features);

#ifdef __cplusplus
}
#endif

#endif
