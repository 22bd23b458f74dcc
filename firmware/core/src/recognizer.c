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

void tkws_recognizer_change_templates(tkws_recognizer *recognizer, tkws_templates *templates)
{
    recognizer->templates = templates;
    tkws_detector_hold(&recognizer->detector, recognizer->network.model->header.window_steps);
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

/* Whether what was detected is to be told; what was said is kept, should the user take it back. */
static int tell(tkws_recognizer *r, int heard, const tkws_event *event)
{
    if (r->templates == NULL)
        return heard;
    if (heard != 0 || tkws_segmenter_ended(&r->detector.segmenter))
        tkws_templates_keep(r->templates, TKWS_HEARD_SOUND);
    if (heard == 0 || tkws_templates_nothing(r->templates, event->word))
        return 0;
    tkws_templates_keep(r->templates, TKWS_HEARD_EVENT);
    return heard;
}

/* Field by field: small libraries copy a struct byte by byte. */
static void give(tkws_event *event, const tkws_event *found)
{
    event->word = found->word;
    event->score_q15 = found->score_q15;
    event->first_sample = found->first_sample;
    event->end_sample = found->end_sample;
}

int tkws_recognizer_push(tkws_recognizer *recognizer, const int16_t *pcm, size_t n_samples,
                         size_t *n_consumed, tkws_event *event)
{
    int8_t features[TKWS_FEATURES];
    tkws_event found;
    size_t consumed = 0;
    while (consumed < n_samples) {
        size_t n = 0;
        int step = tkws_frontend_push(&recognizer->frontend, pcm + consumed, n_samples - consumed,
                                      &n, features);
        consumed += n;
        if (step == 0)
            continue;
        tkws_recognizer_step(recognizer, features);
        if (tell(recognizer, detect(recognizer, &found), &found) != 0) {
            give(event, &found);
            *n_consumed = consumed;
            return 1;
        }
    }
    *n_consumed = consumed;
    return 0;
}
