/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/recognizer.h"

#include "tracekws/errors.h"

int tkws_recognizer_init(tkws_recognizer *recognizer, const tkws_model *model,
                         const tkws_weights *weights, void *memory, size_t n_bytes)
{
    const tkws_model_header *h = &model->header;
    int error = tkws_network_init(&recognizer->network, model, weights, memory, n_bytes);
    if (error != TKWS_OK)
        return error;
    recognizer->templates = NULL;
    tkws_detector_init(&recognizer->detector, model);
    return tkws_frontend_init(&recognizer->frontend, (int16_t)h->alpha_q15, h->mean_shift,
                              h->fall_shift, h->energy_floor);
}

void tkws_recognizer_reset(tkws_recognizer *recognizer)
{
    tkws_frontend_reset(&recognizer->frontend);
    tkws_network_reset(&recognizer->network);
    if (recognizer->templates != NULL)
        tkws_templates_reset(recognizer->templates);
    tkws_detector_init(&recognizer->detector, recognizer->network.model);
}

void tkws_recognizer_set_templates(tkws_recognizer *recognizer, tkws_templates *templates)
{
    recognizer->templates = templates;
    tkws_recognizer_reset(recognizer);
}

void tkws_recognizer_step(tkws_recognizer *recognizer, const int8_t *features)
{
    tkws_network_step(&recognizer->network, features);
    if (recognizer->templates != NULL)
        tkws_templates_step(recognizer->templates, &recognizer->network);
}

void tkws_recognizer_scores(const tkws_recognizer *recognizer, int32_t *scores)
{
    tkws_network_scores(&recognizer->network, scores);
    if (recognizer->templates != NULL)
        tkws_templates_add(recognizer->templates, scores);
}

/* What the detector makes of a step that the network has run. */
static int detect(tkws_recognizer *r, tkws_event *event)
{
    int32_t scores[TKWS_MAX_CLASSES];
    tkws_recognizer_scores(r, scores);
    int heard = tkws_detector_step(&r->detector, scores, r->frontend.loudness, event);
    if (heard != 0 || r->templates == NULL || !r->templates->has_own)
        return heard;
    int32_t cosine_q15 = 0;
    int word = tkws_templates_own(r->templates, tkws_detector_raised(&r->detector), &cosine_q15);
    return tkws_detector_own(&r->detector, word, cosine_q15, event);
}

int tkws_recognizer_push(tkws_recognizer *recognizer, const int16_t *pcm, size_t n_samples,
                         size_t *n_consumed, tkws_event *event)
{
    int8_t features[TKWS_FEATURES];
    size_t consumed = 0;
    while (consumed < n_samples) {
        size_t n = 0;
        int step = tkws_frontend_push(&recognizer->frontend, pcm + consumed, n_samples - consumed,
                                      &n, features);
        consumed += n;
        if (step == 0)
            continue;
        tkws_recognizer_step(recognizer, features);
        if (detect(recognizer, event) != 0) {
            *n_consumed = consumed;
            return 1;
        }
    }
    *n_consumed = consumed;
    return 0;
}
