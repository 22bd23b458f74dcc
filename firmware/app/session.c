/* SPDX-License-Identifier: Apache-2.0 */
/* The session that is open, of whatever kind. */
#include "session.h"

#include "tracekws/bytes.h"
#include "tracekws/errors.h"

#define DATA_HEAD 8 /* number of the message, events seen */

/* What a kind of session does; NULL where it has nothing to do. */
typedef struct {
    /* Whether data of n_bytes may be message number; without, the kind takes none.
     * @return TKWS_OK, TKWS_E_STATE, or TKWS_E_LENGTH, so for no bytes */
    int (*check)(const tkws_app *app, uint32_t number, size_t n_bytes);
    /* Take it. @return TKWS_OK, or why it is not done */
    int (*data)(tkws_app *app, uint32_t number, const uint8_t *data, size_t n_bytes);
    /* @return TKWS_OK, TKWS_E_STATE: it cannot end yet, or what went wrong; then it is over all the same */
    int (*end)(tkws_app *app);
    void (*abort)(tkws_app *app);
    int (*hear)(tkws_app *app); /* take samples from the board's microphone: @return how many */
} session_kind;

/* An idle device takes nothing. */
static const session_kind kinds[] = {
    [TKWS_APP_LISTENING] = {.check = tkws_app_check_sound, .data = tkws_app_take_line},
    [TKWS_APP_CLASSIFYING] = {.check = tkws_app_check_sound,
                              .data = tkws_app_classify_data,
                              .end = tkws_app_classify_end},
    [TKWS_APP_LEARNING] = {.check = tkws_app_learn_check,
                           .data = tkws_app_learn_data,
                           .end = tkws_app_learn_end,
                           .abort = tkws_app_learn_abort},
    [TKWS_APP_LOADING] = {.check = tkws_app_load_check,
                          .data = tkws_app_load_data,
                          .end = tkws_app_load_end},
    [TKWS_APP_HEARING] = {.end = tkws_app_microphone_end,
                          .abort = tkws_app_microphone_stop,
                          .hear = tkws_app_microphone_hear},
    [TKWS_APP_RECORDING] = {.end = tkws_app_microphone_end,
                            .abort = tkws_app_microphone_stop,
                            .hear = tkws_app_microphone_hear},
    [TKWS_APP_ALONE] = {.abort = tkws_app_alone_abort},
};

/* Where the stream stands, and the events that the host has not seen. */
static void reply_position(tkws_app *app, uint32_t n_seen)
{
    uint8_t *at = tkws_app_reply(app, 6);
    tkws_bytes_put_u32(at, app->next);
    tkws_bytes_put_u16(at + 4, tkws_app_credit(app));
    tkws_app_reply_events(app, n_seen);
}

int tkws_app_data(tkws_app *app, const uint8_t *body, size_t n_body)
{
    const session_kind *kind = &kinds[app->session];
    bool whole = n_body >= DATA_HEAD;
    uint32_t number = whole ? tkws_bytes_get_u32(body) : 0;
    uint32_t n_seen = whole ? tkws_bytes_get_u32(body + 4) : 0;
    size_t n_data = whole ? n_body - DATA_HEAD : 0;
    int error = kind->check != NULL ? kind->check(app, number, n_data) : TKWS_E_STATE;
    if (error == TKWS_OK && n_seen > app->n_events)
        error = TKWS_E_ARGUMENT;
    if (error != TKWS_OK)
        return error;
    if (number > app->next)
        error = number - app->next < tkws_app_credit(app) ? TKWS_E_SEQUENCE : TKWS_E_CREDIT;
    else if (number == app->next) {
        error = kind->data(app, number, body + DATA_HEAD, n_data);
        if (error == TKWS_OK)
            app->next++;
    }
    reply_position(app, n_seen);
    return error;
}

static void close_session(tkws_app *app)
{
    app->session = TKWS_APP_IDLE;
    app->take = 0;
}

int tkws_app_end(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)body;
    (void)n_body;
    const session_kind *kind = &kinds[app->session];
    if (app->session == TKWS_APP_IDLE)
        return TKWS_E_STATE;
    int error = kind->end != NULL ? kind->end(app) : TKWS_OK;
    if (error != TKWS_E_STATE)
        close_session(app);
    return error;
}

void tkws_app_session_abort(tkws_app *app)
{
    const session_kind *kind = &kinds[app->session];
    if (kind->abort != NULL)
        kind->abort(app);
    close_session(app);
}

int tkws_app_abort(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)body;
    (void)n_body;
    tkws_app_session_abort(app);
    return TKWS_OK;
}

int tkws_app_session_hear(tkws_app *app)
{
    const session_kind *kind = &kinds[app->session];
    return kind->hear != NULL ? kind->hear(app) : 0;
}
