/* SPDX-License-Identifier: Apache-2.0 */
/** @file recognizer.h  The whole path from samples to events: front end, network, detector. */
#ifndef TRACEKWS_RECOGNIZER_H
#define TRACEKWS_RECOGNIZER_H

#include "tracekws/detector.h"
#include "tracekws/frontend.h"
#include "tracekws/network.h"
#include "tracekws/templates.h"

#ifdef __cplusplus
extern "C" {
#endif

/** State of a recognizer, the caller's. */
typedef struct {
    tkws_frontend frontend;
    tkws_network network;
    tkws_detector detector;
    tkws_templates *templates; /**< of the user's takes, or NULL */
} tkws_recognizer;

/** Start at silence, without templates. Arguments and result as for tkws_network_init(). */
int tkws_recognizer_init(tkws_recognizer *recognizer, const tkws_model *model,
                         const tkws_weights *weights, void *memory, size_t n_bytes);

/** Back to silence, with the same model, weights and templates; with the model's own odds and setting of the detector. */
void tkws_recognizer_reset(tkws_recognizer *recognizer);

/** Compare what is heard with templates from now on, and start at silence, as tkws_recognizer_reset() does.
 *  @param templates  of the same model; the caller's, who keeps them while they are used here; NULL for none */
void tkws_recognizer_set_templates(tkws_recognizer *recognizer, tkws_templates *templates);

/** Compare with other templates from now on; the stream goes on, without an event until their window is full.
 *  @param templates  as above, at rest */
void tkws_recognizer_change_templates(tkws_recognizer *recognizer, tkws_templates *templates);

/** Take the features of a step, as tkws_frontend_push() gives them, past the detector.
 *  @param features  n_inputs int8, Q4 */
void tkws_recognizer_step(tkws_recognizer *recognizer, const int8_t *features);

/** Scores of the last second, or of the clip so far: the network's, with what the templates add.
 *  @param scores  n_classes int32, Q10 */
void tkws_recognizer_scores(const tkws_recognizer *recognizer, int32_t *scores);

/** Take PCM until it is used up or a word is heard. The events are the same for any division of the
 *  stream into calls.
 *  @param pcm        n_samples int16 at 16 kHz; read only
 *  @param n_consumed how many samples were taken; call again with the rest
 *  @param event      written only when the result is 1
 *  @return 1 when a word was heard, 0 when all samples are used up */
int tkws_recognizer_push(tkws_recognizer *recognizer, const int16_t *pcm, size_t n_samples,
                         size_t *n_consumed, tkws_event *event);

#ifdef __cplusplus
}
#endif

#endif
