/* SPDX-License-Identifier: Apache-2.0 */
/** @file alone.h  A board that works without a host: it listens from power-on, and a button teaches it words.
 *
 * A word that is heard calls the board's on_event(), raises its output for TKWS_APP_ALONE_PULSE samples, and writes a line
 * of plain text, such as "heard yes 0.93", ended by CR and LF: its name, and the score of its event.
 *
 * The button: held for a second, it teaches a word (lesson.h), which is saved with the third take; held for five, it
 * forgets all words that it has taught, and all sounds that were taken back; pressed twice, it takes back the word that
 * was heard last, and saves that; any press while it teaches breaks that off. The LED: a short flash every four
 * seconds while the board listens; on while a word is to be said, and off while it is taken; on for two seconds after
 * what went well; eight fast flashes after what did not; on all the time when the board cannot listen.
 *
 * A request of a host stops all that, whatever it is doing, and the board is the host's. It listens alone again when
 * the line is closed, or the host has not asked for anything for TKWS_APP_ALONE_SILENCE. */
#ifndef TKWS_APP_ALONE_H
#define TKWS_APP_ALONE_H

#include "app.h"
#include "lesson.h"
#include "press.h"

#define TKWS_APP_ALONE_PULSE 1600 /**< samples: a tenth of a second */
#define TKWS_APP_ALONE_SILENCE                                                                     \
    960000 /**< samples: a minute; by quiet polls where the microphone rests */
#define TKWS_APP_ALONE_DEAF_POLLS 64 /**< until a microphone that did not start is tried again */

/** What goes on on a board that works alone, the caller's; tkws_app_alone_init() sets every field. */
typedef struct {
    tkws_app *app;
    tkws_app_press press;
    tkws_app_lesson lesson;

    uint32_t n_told; /**< events of app->n_events that were told */
    uint32_t pulse;  /**< samples until the output goes off; 0 when it is off */

    uint32_t
        pattern; /**< that the LED shows for a while: a bit for an eighth of a second, the lowest first */
    uint32_t n_shown; /**< samples that it is still shown; 0: the LED shows what the board does */
    uint32_t n_lit;   /**< samples of what the LED shows */
    bool is_lit;

    bool was_quiet; /**< the last poll brought nothing */
    bool had_host;  /**< at the last poll */
    uint8_t n_deaf; /**< polls until the microphone is tried again */
    uint32_t id;    /**< of the host's last request, and its CRC */
    uint32_t crc;
    uint64_t n_samples; /**< of its session */
    uint32_t silence;   /**< samples since that request */
} tkws_app_alone;

/** Start. @param app  started by tkws_app_init(), and kept by the caller */
void tkws_app_alone_init(tkws_app_alone *alone, tkws_app *app);

/** In place of tkws_app_poll(), with the same result; listens while there is no host. */
int tkws_app_alone_poll(tkws_app_alone *alone);

#endif
