/* SPDX-License-Identifier: Apache-2.0 */
/** @file lesson.h  A word of the user's own, taught through the board's own microphone, in a session of
 *  TKWS_APP_ALONE.
 *
 * Three takes, each of a second: TKWS_APP_LESSON_BEFORE steps from before speech begins, and what comes then. Before a take
 * there are TKWS_APP_LESSON_PAUSE steps, and as many more as it takes until it is quiet. What is shorter than
 * TKWS_APP_LESSON_LEAST is no word: a click, of which no take is made.
 *
 * The word is known as one of the user's own while the lesson goes on, but is nobody's to hear: the learner has the
 * memory of the templates. tkws_app_lesson_stop() forgets it again. */
#ifndef TKWS_APP_LESSON_H
#define TKWS_APP_LESSON_H

#include "app.h"
#include "tracekws/segmenter.h"

#define TKWS_APP_LESSON_NAME "button-" /**< of the words; a number follows, from 1 on */
#define TKWS_APP_LESSON_TAKES 3
#define TKWS_APP_LESSON_STEPS 49 /**< of a take: those of 16,000 samples */
#define TKWS_APP_LESSON_BEFORE 8 /**< steps of it before speech is noticed, that one included */
#define TKWS_APP_LESSON_PAUSE 25 /**< steps: half a second, in which the button's own click fades */
#define TKWS_APP_LESSON_PATIENCE 250 /**< steps: five seconds, in which a take is to begin */
#define TKWS_APP_LESSON_LEAST 3      /**< steps: 60 ms */
#define TKWS_APP_LESSON_AGREEMENT_Q15                                                              \
    9830 /**< 0.3: what the cosine of a take with those before is to be above */

/** Where a lesson is. */
typedef enum {
    TKWS_APP_LESSON_NONE,    /**< there is no lesson, or it is over */
    TKWS_APP_LESSON_WAITS,   /**< for quiet */
    TKWS_APP_LESSON_LISTENS, /**< for the word */
    TKWS_APP_LESSON_TAKES_IT,
} tkws_app_lesson_state;

/** A lesson, the caller's. All zero is none. */
typedef struct {
    tkws_app_lesson_state state;
    tkws_segmenter segmenter;
    uint16_t n_steps;  /**< of the take, or since the one before */
    uint16_t n_waited; /**< steps since the last take that was kept */
    uint16_t n_speech; /**< steps of the take that are speech */
    uint8_t n_takes;   /**< so far */
    uint8_t n_before;  /**< steps in use of before */
    uint8_t at;        /**< next row of before */
    int8_t before[TKWS_APP_LESSON_BEFORE][TKWS_FEATURES]; /**< the last steps, a ring */
} tkws_app_lesson;

/** Start teaching the first word, TKWS_APP_LESSON_NAME and a number, that is not there.
 *  @return TKWS_OK; or TKWS_E_NO_TRACES or TKWS_E_NO_ROOM, with nothing changed */
int tkws_app_lesson_start(tkws_app_lesson *lesson, tkws_app *app);

/** Take sound.
 *  @return 1 when all takes are there and agree: the word is taught, and the lesson over; 0 when it goes on; or why it
 *          is over and the word forgotten: TKWS_E_TOO_SHORT (nothing was said) or TKWS_E_ARGUMENT (a take is unlike
 *          those before) */
int tkws_app_lesson_push(tkws_app_lesson *lesson, tkws_app *app, const int16_t *pcm,
                         size_t n_samples);

/** Samples were lost. How takes agree takes a slow processor longer than its microphone waits, so that this is usual
 *  between takes. @return whether the lesson, if there is one, goes on: a take with a gap is none */
bool tkws_app_lesson_gap(tkws_app_lesson *lesson);

/** Break a lesson off, if there is one, and forget its word. */
void tkws_app_lesson_stop(tkws_app_lesson *lesson, tkws_app *app);

/** Forget all words that lessons have taught, and all sounds that were taken back, in RAM. */
void tkws_app_lesson_forget(tkws_app *app);

#endif
