/* SPDX-License-Identifier: Apache-2.0 */
/** @file detector.h  From scores to events: smoothing, thresholds, rejection, refractory time. */
#ifndef TRACEKWS_DETECTOR_H
#define TRACEKWS_DETECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "tracekws/model.h"
#include "tracekws/segmenter.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TKWS_ODDS_ONE 256 /**< odds_q8 at which the model's own thresholds hold */

/** A word was heard. */
typedef struct {
    uint16_t
        word; /**< class, never unknown or silence; or number of a word of the user's own (own.h) */
    int16_t
        score_q15; /**< smoothed posterior of a class; cosine of a word of the user's own, Q15 */
    uint64_t first_sample; /**< start of the window behind the score, from the stream's */
    uint64_t end_sample;   /**< one past the window's last sample */
} tkws_event;

/** State of the detector. The model is the caller's and must outlive it. */
typedef struct {
    const tkws_model *model;
    tkws_segmenter segmenter;
    uint64_t n_steps;        /**< since the stream's start */
    uint16_t odds_q8;        /**< what the thresholds' odds are multiplied by, Q8 */
    bool isolated;           /**< whether only words that stand by themselves are events */
    uint16_t gap;            /**< steps left without any further event, this one with them */
    uint16_t refractory;     /**< the same without a further event of the last one's word */
    uint16_t last;           /**< word of the last event, or n_classes */
    uint16_t fired;          /**< the same until it has faded, or n_classes */
    uint16_t own_refractory; /**< refractory, last and fired of words of the user's own; */
    uint16_t own_last;       /**< UINT16_MAX where there is none */
    uint16_t own_fired;
    uint16_t posterior_q15[TKWS_MAX_CLASSES]; /**< smoothed */
} tkws_detector;

/** Start at silence, with the model's own thresholds and setting. */
void tkws_detector_init(tkws_detector *detector, const tkws_model *model);

/** Hear more, or less: multiply the odds, t / (1 - t), of each threshold t by a factor.
 *  @param odds_q8  the factor in Q8, 1..65535: TKWS_ODDS_ONE is the model's own, less hears more */
void tkws_detector_set_odds(tkws_detector *detector, uint16_t odds_q8);

/** Hear words that stand by themselves (segmenter.h), or words in flowing speech, too. */
void tkws_detector_set_isolated(tkws_detector *detector, bool isolated);

/** Take the scores of one step.
 *  A word is an event when its smoothed posterior is the largest of all classes, unknown and silence
 *  included, and above the word's threshold, and no event came in the last gap_steps. The word of the last event is
 *  one again only when refractory_steps are over and it has faded below its threshold since; this is not asked of
 *  a word before that. Where only words that stand by themselves are heard, the speech before must have ended as such. No event comes
 *  before the window is full.
 *  @param scores    n_classes int32, Q10
 *  @param loudness  of the step, as tkws_frontend has it
 *  @return 1 with event written, else 0 with event untouched */
int tkws_detector_step(tkws_detector *detector, const int32_t *scores, int32_t loudness,
                       tkws_event *event);

/** Give no event in the next steps. @param n_steps  how many; 65,534 of more */
void tkws_detector_hold(tkws_detector *detector, uint32_t n_steps);

/** What the factor of odds adds to the cosine that a word of the user's own needs, Q15: 1024 for each factor of two. */
int32_t tkws_detector_raised(const tkws_detector *detector);

/** Take what tkws_templates_own() says of the same step, behind tkws_detector_step() that gave no event. A word of the
 *  user's own is an event by the same rules, where its own events count. They are no events of classes, of which none
 *  is held back but for gap_steps.
 *  @param word       number of the word, or -1
 *  @param score_q15  its cosine
 *  @return 1 with event written, else 0 with event untouched */
int tkws_detector_own(tkws_detector *detector, int word, int32_t score_q15, tkws_event *event);

#ifdef __cplusplus
}
#endif

#endif
