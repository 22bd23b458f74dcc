/* SPDX-License-Identifier: Apache-2.0 */
/** @file segmenter.h  Where speech begins and ends, by loudness alone: whether a word stood by itself.
 *
 * Speech is what is TKWS_SPEECH_ABOVE louder than a floor, and TKWS_SPEECH_HANG steps more. The floor follows the
 * loudness down in a few steps and up by at most TKWS_FLOOR_RISE a step. A run of speech stood by itself when it was at
 * most TKWS_RUN_LONGEST steps long with TKWS_PAUSE steps of quiet on both sides; that is known when the second pause is
 * over, and holds for TKWS_RUN_LATE steps or until speech goes on. */
#ifndef TRACEKWS_SEGMENTER_H
#define TRACEKWS_SEGMENTER_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TKWS_SPEECH_ABOVE 3402 /**< of the loudness over the floor, TKWS_LOUDNESS_Q: 10 dB */
#define TKWS_SPEECH_HANG 5     /**< steps */
#define TKWS_FLOOR_RISE 41     /**< a step, TKWS_LOUDNESS_Q: 6 dB a second */
#define TKWS_FLOOR_FALL_Q8 77  /**< share of the way down that the floor goes in a step, Q8 */
#define TKWS_FLOOR_LEAST 22528 /**< TKWS_LOUDNESS_Q: of white noise of about 2 PCM steps */
#define TKWS_RUN_LONGEST 50    /**< steps: a second */
#define TKWS_RUN_LATE 40       /**< steps */
#define TKWS_PAUSE 6           /**< steps: 0.12 s */

/** State of a segmenter, the caller's. */
typedef struct {
    int32_t floor;   /**< TKWS_LOUDNESS_Q */
    bool has_floor;  /**< false until the first step */
    uint8_t hang;    /**< steps left that are speech because of what was before them */
    uint16_t run;    /**< steps of the run that goes on, or of the last one; at most UINT16_MAX */
    uint16_t before; /**< steps of quiet before that run */
    uint16_t quiet;  /**< steps of quiet behind it, 0 while it goes on */
} tkws_segmenter;

/** Start at silence: as if it had been quiet for long. */
void tkws_segmenter_init(tkws_segmenter *segmenter);

/** Take the loudness of a step.
 *  @param loudness  0..65535, as tkws_frontend has it */
void tkws_segmenter_step(tkws_segmenter *segmenter, int32_t loudness);

/** Whether a pause behind a sound has just become one, in this step. */
bool tkws_segmenter_ended(const tkws_segmenter *segmenter);

/** Whether speech has just ended that stood by itself. */
bool tkws_segmenter_stood_alone(const tkws_segmenter *segmenter);

#ifdef __cplusplus
}
#endif

#endif
