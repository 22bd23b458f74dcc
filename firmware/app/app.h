/* SPDX-License-Identifier: Apache-2.0 */
/** @file app.h  The device application: requests in, answers out, one session at a time. */
#ifndef TKWS_APP_H
#define TKWS_APP_H

#include <stdbool.h>

#include "board.h"
#include "image.h"
#include "protocol.h"
#include "storage.h"
#include "tracekws/learner.h"
#include "tracekws/recognizer.h"

/** Recorded samples that the host does not have yet, in the learner's memory: no session does both. Templates are
 *  there while the device hears. */
typedef struct {
    int16_t *pcm;
    size_t n_samples; /**< room */
    size_t first;     /**< index of the oldest sample */
    size_t n_held;
} tkws_app_ring;

/** State of the application, the caller's; tkws_app_init() sets every field. */
typedef struct {
    const tkws_board *board;

    tkws_model model;
    int model_error;      /**< why there is no model to run, or TKWS_OK */
    tkws_app_image image; /**< that the model is of */
    tkws_weights weights;
    tkws_recognizer recognizer;
    tkws_templates templates; /**< of the takes, while the device hears */
    tkws_learner learner;
    void *learner_memory;
    tkws_app_storage storage;
    bool changed;  /**< weights in RAM may differ from the generation that was restored or saved */
    bool has_text; /**< plain text is on the line since the last frame */

    uint8_t session;                    /**< TKWS_APP_IDLE ... */
    uint8_t take;                       /**< kind of data of the open take, or 0 */
    uint32_t next;                      /**< number of the next data message */
    uint32_t n_steps;                   /**< of a classification */
    uint32_t n_events;                  /**< heard in this session */
    tkws_event events[TKWS_APP_EVENTS]; /**< the last of them, a ring */

    size_t load_bytes; /**< of the image that is being loaded */
    uint32_t load_crc;
    int load_error; /**< why no more of it can be written, or TKWS_OK */

    uint64_t n_samples;  /**< taken from the board's microphone in this session */
    uint32_t n_overruns; /**< times that it lost some */
    tkws_app_ring ring;

    tkws_app_decoder decoder;
    bool has_last;     /**< a request was answered on this link */
    uint32_t last_crc; /**< of the whole of that request, id included */
    uint32_t id;       /**< of the request being answered */
    uint32_t newest;   /**< id of the newest that was not sent ahead: neither DATA nor READ_PCM */
    uint8_t answer[TKWS_APP_MAX_FRAME];
    size_t n_answer;
    uint8_t encoded[TKWS_APP_ENCODED_BYTES(TKWS_APP_MAX_MESSAGE)]; /**< the last answer */
    size_t n_encoded;
} tkws_app;

/** Start: check the model image, the newest that was loaded or the factory's; lay out the memory, restore
 *  the weights.
 *  @return TKWS_OK; or TKWS_E_MODEL_*, TKWS_E_NO_MODEL or TKWS_E_MODEL_TOO_LARGE: the application then
 *          still answers, but refuses with that error what needs a model */
int tkws_app_init(tkws_app *app, const tkws_board *board);

/** Take what has arrived on the line and answer it; in a session of the board's microphone, take samples
 *  too. Never waits for input.
 *  @return bytes and samples taken, 0 when there was nothing to do, TKWS_E_LINK when the line was closed:
 *          the session was aborted */
int tkws_app_poll(tkws_app *app);

#endif
