/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/detector.h"

#include <stdbool.h>
#include <string.h>

#include "tracekws/bytes.h"
#include "tracekws/frontend.h"
#include "tracekws/softmax.h"

/* The first step needs one frame more than a hop's samples. */
#define LEAD_SAMPLES (TKWS_WINDOW - TKWS_HOP)

void tkws_detector_init(tkws_detector *detector, const tkws_model *model)
{
    memset(detector, 0, sizeof *detector);
    detector->model = model;
    tkws_segmenter_init(&detector->segmenter);
    detector->last = (uint16_t)model->header.n_classes;
    detector->fired = detector->last;
    detector->odds_q8 = TKWS_ODDS_ONE;
    detector->isolated = model->header.isolated != 0;
}

void tkws_detector_set_odds(tkws_detector *detector, uint16_t odds_q8)
{
    detector->odds_q8 = odds_q8;
}

void tkws_detector_set_isolated(tkws_detector *detector, bool isolated)
{
    detector->isolated = isolated;
}

/* Whether p / (1 - p) > factor t / (1 - t), without the divisions; p > t where the factor is one. */
static bool above_threshold(const tkws_detector *d, size_t word)
{
    uint32_t p = d->posterior_q15[word]; /* it and t are below one, Q15 */
    uint32_t t = (uint32_t)tkws_bytes_get_i16(d->model->word_threshold + 2 * word);
    uint64_t heard = (uint64_t)TKWS_ODDS_ONE * (p * (0x8000u - t));
    uint64_t needed = (uint64_t)d->odds_q8 * (t * (0x8000u - p));
    return heard > needed;
}

static void smooth(tkws_detector *d, const int32_t *scores)
{
    const tkws_model_header *h = &d->model->header;
    int16_t p[TKWS_MAX_CLASSES];
    tkws_softmax(scores, h->n_classes, p);
    for (size_t c = 0; c < h->n_classes; c++) {
        uint32_t old = d->posterior_q15[c];
        uint32_t now = (uint32_t)p[c];
        if (now >= old)
            d->posterior_q15[c] = (uint16_t)(old + ((now - old) >> h->smoothing_shift));
        else
            d->posterior_q15[c] = (uint16_t)(old - ((old - now) >> h->smoothing_shift));
    }
}

static size_t largest(const tkws_detector *d)
{
    size_t best = 0;
    for (size_t c = 1; c < d->model->header.n_classes; c++)
        best = d->posterior_q15[c] > d->posterior_q15[best] ? c : best;
    return best;
}

static void count_down(uint16_t *steps)
{
    if (*steps > 0)
        --*steps;
}

/* Whether a word may be an event in this step, whatever its posterior. */
static bool may_fire(const tkws_detector *d, size_t word)
{
    const tkws_model_header *h = &d->model->header;
    if (d->n_steps < h->window_steps || word == h->unknown_class || word == h->silence_class)
        return false;
    if (d->gap > 0 || word == d->fired || (word == d->last && d->refractory > 0))
        return false;
    return !d->isolated || tkws_segmenter_stood_alone(&d->segmenter);
}

int tkws_detector_step(tkws_detector *detector, const int32_t *scores, int32_t loudness,
                       tkws_event *event)
{
    const tkws_model_header *h = &detector->model->header;
    smooth(detector, scores);
    tkws_segmenter_step(&detector->segmenter, loudness);
    detector->n_steps++;
    if (detector->fired < h->n_classes && !above_threshold(detector, detector->fired))
        detector->fired = (uint16_t)h->n_classes;
    size_t word = largest(detector);
    bool fires = may_fire(detector, word) && above_threshold(detector, word);
    count_down(&detector->gap);
    count_down(&detector->refractory);
    if (!fires)
        return 0;
    detector->last = (uint16_t)word;
    detector->fired = (uint16_t)word;
    detector->gap = (uint16_t)h->gap_steps;
    detector->refractory = (uint16_t)h->refractory_steps;
    event->word = (uint16_t)word;
    event->score_q15 = (int16_t)detector->posterior_q15[word];
    event->end_sample = detector->n_steps * TKWS_STEP_SAMPLES + LEAD_SAMPLES;
    event->first_sample = (detector->n_steps - h->window_steps) * TKWS_STEP_SAMPLES;
    return 1;
}
