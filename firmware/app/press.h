/* SPDX-License-Identifier: Apache-2.0 */
/** @file press.h  A button, and what is meant by pressing it. Time is counted in samples of the microphone. */
#ifndef TKWS_APP_PRESS_H
#define TKWS_APP_PRESS_H

#include <stdbool.h>
#include <stdint.h>

#define TKWS_APP_PRESS_STEADY 640    /**< 40 ms: so long a contact bounces no more */
#define TKWS_APP_PRESS_LONG 16000    /**< a second */
#define TKWS_APP_PRESS_LONGEST 80000 /**< five */
#define TKWS_APP_PRESS_PAUSE 8000    /**< half a second, at most, between two short presses */

/** What was done with the button. */
typedef enum {
    TKWS_APP_PRESS_NONE,
    TKWS_APP_PRESS_DOWN,   /**< it goes down */
    TKWS_APP_PRESS_HELD,   /**< it is let go after TKWS_APP_PRESS_LONG */
    TKWS_APP_PRESS_STAYS,  /**< it is down for TKWS_APP_PRESS_LONGEST */
    TKWS_APP_PRESS_DOUBLE, /**< it is let go after the second of two short presses */
} tkws_app_press_meaning;

/** State of a button, the caller's. All zero is one that is up. */
typedef struct {
    bool reads;       /**< how it read last */
    bool is_down;     /**< how it is, without bouncing */
    bool is_done;     /**< nothing more is meant until it is up */
    uint8_t n_short;  /**< short presses in a row */
    uint32_t n_reads; /**< samples that it has read so, at most TKWS_APP_PRESS_STEADY */
    uint32_t n_is;    /**< samples that it has been so, at most TKWS_APP_PRESS_LONGEST */
} tkws_app_press;

/** Take a reading. Samples come in pieces, between which time passes: a button is steady only when it reads the same
 *  for more than a piece of the microphone's.
 *  @param reads      whether it reads as down
 *  @param n_samples  heard since the last reading
 *  @return what that makes of it */
tkws_app_press_meaning tkws_app_press_step(tkws_app_press *press, bool reads, uint32_t n_samples);

/** Whether it would be TKWS_APP_PRESS_HELD, were it let go. */
bool tkws_app_press_is_long(const tkws_app_press *press);

/** The press that goes on, if any, means nothing more. */
void tkws_app_press_drop(tkws_app_press *press);

#endif
