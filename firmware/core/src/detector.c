/* SPDX-License-Identifier: Apache-2.0 */
#include "tracekws/detector.h"

#include <stdbool.h>
#include <string.h>

#include "tracekws/bytes.h"
#include "tracekws/frontend.h"
#include "tracekws/softmax.h"

/* The first step needs one frame more than a hop's samples. */
#define LEAD_SAMPLES (TKWS_WINDOW - TKWS_HOP)
#define NO_WORD UINT16_MAX
#define RAISED_Q15 1024 /* of a cosine, for twice the odds */

void tkws_detector_init(tkws_detector *detector, const tkws_model *model)
{
    memset(detector, 0, sizeof *detector);
    detector->model = model;
    tkws_segmenter_init(&detector->segmenter);
    detector->last = (uint16_t)model->header.n_classes;
    detector->fired = detector->last;
    detector->own_last = NO_WORD;
    detector->own_fired = NO_WORD;
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

/* Whether any word may be an event in this step. */
static bool may_fire(const tkws_detector *d)
{
    return d->n_steps >= d->model->header.window_steps && d->gap == 0 &&
           (!d->isolated || tkws_segmenter_stood_alone(&d->segmenter));
}

/* Whether a class may be one, whatever its posterior. */
static bool class_may_fire(const tkws_detector *d, size_t word)
{
    const tkws_model_header *h = &d->model->header;
    return may_fire(d) && word != h->unknown_class && word != h->silence_class &&
           word != d->fired && (word != d->last || d->refractory == 0);
}

static int write_event(const tkws_detector *d, size_t word, int32_t score_q15, tkws_event *event)
{
    event->word = (uint16_t)word;
    event->score_q15 = (int16_t)score_q15; /* within it */
    event->end_sample = d->n_steps * TKWS_STEP_SAMPLES + LEAD_SAMPLES;
    event->first_sample = (d->n_steps - d->model->header.window_steps) * TKWS_STEP_SAMPLES;
    return 1;
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
    count_down(&detector->gap);
    count_down(&detector->refractory);
    count_down(&detector->own_refractory);
    size_t word = largest(detector);
    if (!class_may_fire(detector, word) || !above_threshold(detector, word))
        return 0;
    detector->last = (uint16_t)word;
    detector->fired = (uint16_t)word;
    detector->gap = (uint16_t)(h->gap_steps + 1);
    detector->refractory = (uint16_t)(h->refractory_steps + 1);
    return write_event(detector, word, detector->posterior_q15[word], event);
}

void tkws_detector_hold(tkws_detector *detector, uint32_t n_steps)
{
    uint32_t gap = n_steps < UINT16_MAX ? n_steps + 1 : UINT16_MAX;
    if (detector->gap < gap)
        detector->gap = (uint16_t)gap;
}

int32_t tkws_detector_raised(const tkws_detector *detector)
{
    uint32_t odds = detector->odds_q8;
    int32_t raised = 0;
    for (; odds >= 2 * TKWS_ODDS_ONE; odds >>= 1)
        raised += RAISED_Q15;
    for (; odds < TKWS_ODDS_ONE && odds > 0; odds <<= 1)
        raised -= RAISED_Q15;
    return raised + (int32_t)((odds - TKWS_ODDS_ONE) * RAISED_Q15 / TKWS_ODDS_ONE);
}

int tkws_detector_own(tkws_detector *detector, int word, int32_t score_q15, tkws_event *event)
{
    const tkws_model_header *h = &detector->model->header;
    bool same = word >= 0 && (uint16_t)word == detector->own_fired;
    if (!same)
        detector->own_fired = NO_WORD;
    if (word < 0 || same || !may_fire(detector) ||
        ((uint16_t)word == detector->own_last && detector->own_refractory > 0))
        return 0;
    detector->own_last = (uint16_t)word;
    detector->own_fired = (uint16_t)word;
    detector->gap = (uint16_t)(h->gap_steps + 1);
    detector->own_refractory = (uint16_t)(h->refractory_steps + 1);
    return write_event(detector, (size_t)word, score_q15, event);
}
