/* SPDX-License-Identifier: Apache-2.0 */
/** @file app_internal.h  What the application's own files share; none of it is for a board or a user.
 *
 * A file calls only those that stand before it in this list:
 * frame, units, image, log, storage, boot, answer, sound, listen, correct, classify, learn, microphone, load, session,
 * app, press, lesson, hear, alone. */
#ifndef TKWS_APP_INTERNAL_H
#define TKWS_APP_INTERNAL_H

#include "app.h"

/* --- boot.c --- */

/** Start the newest image that can run, without a session; model_error says how it went. */
void tkws_app_start(tkws_app *app);

/** Whether an image is whole, and the board's memories have room for its model.
 *  @return TKWS_OK, TKWS_E_MODEL_*, or TKWS_E_MODEL_TOO_LARGE */
int tkws_app_check_image(const tkws_board *board, const uint8_t *image, size_t n_bytes);

/* --- answer.c --- */

/** Where the next n_bytes of the answer go. */
uint8_t *tkws_app_reply(tkws_app *app, size_t n_bytes);

/** Answer the events from number n_seen on, which are at most n_events. */
void tkws_app_reply_events(tkws_app *app, uint32_t n_seen);

/** Data messages that the receive ring has room for; one while an image is loaded, since a board may not
 *  receive while it programs. */
uint32_t tkws_app_credit(const tkws_app *app);

/** Send a frame. One behind plain text begins with a 00, which ends that. */
void tkws_app_send(tkws_app *app, const uint8_t *encoded, size_t n_bytes);

/** Send a notice.
 *  @param kind    TKWS_APP_DAMAGED or TKWS_APP_WORKING
 *  @param id      of the request that it is about, or 0
 *  @param status  TKWS_OK or an error */
void tkws_app_notice(tkws_app *app, uint8_t kind, uint32_t id, int status);

/** Tell the host that the request being answered needs time. */
void tkws_app_working(tkws_app *app);

/* --- sound.c --- */

/** Samples that are taken from a message or from the microphone at a time. */
#define TKWS_APP_PCM_CHUNK 64

/** Open a session, the recognizer at silence. */
void tkws_app_open(tkws_app *app, uint8_t session);

/** Open one whose data comes over the line, and answer the credit. @return TKWS_OK, or TKWS_E_BUSY */
int tkws_app_open_line(tkws_app *app, uint8_t session);

/** How a stream is heard: what a request to listen asks for. */
typedef struct {
    uint16_t odds_q8; /**< of the detector */
    uint8_t words;    /**< TKWS_APP_WORDS_* */
} tkws_app_hearing;

/** Read the body of a request to listen: nothing, or u16 odds_q8, or these and u8 words.
 *  @return TKWS_OK; TKWS_E_LENGTH or TKWS_E_ARGUMENT with hearing untouched */
int tkws_app_read_hearing(const uint8_t *body, size_t n_body, tkws_app_hearing *hearing);

/** Set the detector, which is at rest. */
void tkws_app_set_hearing(tkws_app *app, const tkws_app_hearing *hearing);

/** Whether a session hears a stream. */
bool tkws_app_is_stream(uint8_t session);

/** Make the templates of the takes that there are, in the learner's memory.
 *  @return app's own, or NULL where the image keeps no takes */
tkws_templates *tkws_app_make_templates(tkws_app *app);

/** Whether data is of whole samples or steps, and fits a message. @return TKWS_OK or TKWS_E_LENGTH */
int tkws_app_check_sound(const tkws_app *app, uint32_t number, size_t n_bytes);

/** Let the recognizer hear samples of the stream. */
void tkws_app_take_stream(tkws_app *app, const int16_t *pcm, size_t n_samples);

/** Let it hear those of a data message. @return TKWS_OK */
int tkws_app_take_line(tkws_app *app, uint32_t number, const uint8_t *data, size_t n_bytes);

/** What is left of a data message: whole samples or, in a take of them, steps of features. */
typedef struct {
    const uint8_t *at;
    size_t n_bytes;
} tkws_app_part;

/** Take from the part what the next network step of a clip needs, or all of it when that is less.
 *  @param features  TKWS_FEATURES of them
 *  @return whether they are written */
bool tkws_app_next_step(tkws_app *app, tkws_app_part *part, int8_t *features);

/* --- correct.c --- */

/** Learn that what was heard last was another word, or none: the last sound is a take of the word, or the last event is
 *  no word (own.h). A stream goes on with it after a window.
 *  @param word  n_bytes of its name; none for no word
 *  @return number of the word; TKWS_E_BUSY, TKWS_E_NO_TRACES, TKWS_E_NO_SOUND, or as tkws_own_add(), with nothing changed */
int tkws_app_correct_heard(tkws_app *app, const char *word, size_t n_bytes);

/* --- handlers of requests: body in, status out --- */

int tkws_app_listen(tkws_app *app, const uint8_t *body, size_t n_body);
int tkws_app_correct(tkws_app *app, const uint8_t *body, size_t n_body);
int tkws_app_classify(tkws_app *app, const uint8_t *body, size_t n_body);
int tkws_app_learn(tkws_app *app, const uint8_t *body, size_t n_body);
int tkws_app_take(tkws_app *app, const uint8_t *body, size_t n_body);
int tkws_app_teach(tkws_app *app, const uint8_t *body, size_t n_body);
int tkws_app_take_end(tkws_app *app, const uint8_t *body, size_t n_body);
int tkws_app_load(tkws_app *app, const uint8_t *body, size_t n_body);
int tkws_app_live(tkws_app *app, const uint8_t *body, size_t n_body);
int tkws_app_poll_events(tkws_app *app, const uint8_t *body, size_t n_body);
int tkws_app_record(tkws_app *app, const uint8_t *body, size_t n_body);
int tkws_app_read_pcm(tkws_app *app, const uint8_t *body, size_t n_body);

/* --- functions of the kinds of session; session.c says what each is for --- */

int tkws_app_classify_data(tkws_app *app, uint32_t number, const uint8_t *data, size_t n_bytes);

/** Answer the scores. @return TKWS_OK, or TKWS_E_TOO_SHORT */
int tkws_app_classify_end(tkws_app *app);

int tkws_app_learn_check(const tkws_app *app, uint32_t number, size_t n_bytes);

/** @return TKWS_OK, or TKWS_E_TOO_LONG */
int tkws_app_learn_data(tkws_app *app, uint32_t number, const uint8_t *data, size_t n_bytes);

/** @return TKWS_OK, or TKWS_E_STATE while a take is open */
int tkws_app_learn_end(tkws_app *app);

/** Go back to the weights saved last. */
void tkws_app_learn_abort(tkws_app *app);

int tkws_app_load_check(const tkws_app *app, uint32_t number, size_t n_bytes);

/** @return TKWS_OK; or TKWS_E_STORAGE, from then on: flash that may be half written is not written again
 *          without an erase */
int tkws_app_load_data(tkws_app *app, uint32_t number, const uint8_t *data, size_t n_bytes);

/** Check the image, make it count and start it. @return TKWS_OK; TKWS_E_STATE before all of it has come;
 *  TKWS_E_MODEL_*, TKWS_E_MODEL_TOO_LARGE or TKWS_E_STORAGE with the image before still running */
int tkws_app_load_end(tkws_app *app);

/** Start the board's microphone and open a session that hears it.
 *  @return TKWS_OK; TKWS_E_BUSY, TKWS_E_UNSUPPORTED or TKWS_E_MICROPHONE with nothing changed */
int tkws_app_microphone_open(tkws_app *app, uint8_t session);

int tkws_app_microphone_hear(tkws_app *app);

/** Take samples for which a recording has no room, if it has none, and count them as lost. @return how many */
int tkws_app_microphone_drop(tkws_app *app);

/** Stop the board's microphone, whose session is still open; nothing recorded stays in memory. */
void tkws_app_microphone_stop(tkws_app *app);

/** The same. @return TKWS_OK */
int tkws_app_microphone_end(tkws_app *app);

/** Stop listening alone. A word whose takes are not all there, that of the learner's label, is forgotten. */
void tkws_app_alone_abort(tkws_app *app);

/* --- app.c --- */

/** The host has gone: its session is aborted, and the next request is a new host's. */
void tkws_app_lose_host(tkws_app *app);

#endif
