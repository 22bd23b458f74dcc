/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: a stream to listen to, a clip to classify, takes to learn from. */
#include <string.h>

#include "app.h"
#include "tracekws/bytes.h"
#include "tracekws/errors.h"

#define TAKE_HEAD 5  /* kind of data, method, scale */
#define DATA_HEAD 8  /* number of the message, events seen */
#define PCM_CHUNK 80 /* samples turned from bytes at a time */
#define MAX_MESSAGE_STEPS (TKWS_APP_MAX_DATA / TKWS_FEATURES)

void tkws_app_open(tkws_app *app, uint8_t session)
{
    if (app->model_error == TKWS_OK)
        tkws_recognizer_reset(&app->recognizer);
    app->session = session;
    app->take = 0;
    app->next = 0;
    app->n_steps = 0;
    app->n_events = 0;
}

static int open_stream(tkws_app *app, uint8_t session)
{
    if (app->session != TKWS_APP_IDLE)
        return TKWS_E_BUSY;
    tkws_app_open(app, session);
    tkws_bytes_put_u16(tkws_app_reply(app, 2), tkws_app_credit(app));
    return TKWS_OK;
}

int tkws_app_odds(const uint8_t *body, size_t n_body, uint16_t *odds_q8)
{
    if (n_body != 0 && n_body != 2)
        return TKWS_E_LENGTH;
    uint16_t odds = n_body == 2 ? tkws_bytes_get_u16(body) : TKWS_ODDS_ONE;
    if (odds == 0)
        return TKWS_E_ARGUMENT;
    *odds_q8 = odds;
    return TKWS_OK;
}

int tkws_app_listen(tkws_app *app, const uint8_t *body, size_t n_body)
{
    uint16_t odds_q8 = 0;
    int error = tkws_app_odds(body, n_body, &odds_q8);
    if (error == TKWS_OK)
        error = open_stream(app, TKWS_APP_LISTENING);
    if (error == TKWS_OK)
        tkws_detector_set_odds(&app->recognizer.detector, odds_q8);
    return error;
}

int tkws_app_classify(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)body;
    (void)n_body;
    return open_stream(app, TKWS_APP_CLASSIFYING);
}

int tkws_app_learn(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)n_body;
    if (app->session != TKWS_APP_IDLE)
        return TKWS_E_BUSY;
    int error = tkws_learner_init(&app->learner, &app->recognizer.network, app->learner_memory,
                                  tkws_learner_memory_bytes(&app->model), tkws_bytes_get_u32(body));
    return error == TKWS_OK ? open_stream(app, TKWS_APP_LEARNING) : error;
}

int tkws_app_take(tkws_app *app, const uint8_t *body, size_t n_body)
{
    if (n_body < TAKE_HEAD)
        return TKWS_E_LENGTH;
    uint8_t kind = body[0];
    uint32_t method = tkws_bytes_get_u16(body + 1);
    uint32_t scale_q15 = tkws_bytes_get_u16(body + 3);
    const uint8_t *text = body + TAKE_HEAD;
    if (app->session != TKWS_APP_LEARNING || app->take != 0)
        return TKWS_E_STATE;
    if (kind != TKWS_APP_PCM && kind != TKWS_APP_FEATURES)
        return TKWS_E_ARGUMENT;
    if (method == TKWS_APP_MODEL_METHOD)
        method = app->model.header.method;
    int label = tkws_model_class(&app->model, (const char *)text, n_body - TAKE_HEAD);
    if (label < 0)
        return label;
    int error = tkws_learner_begin(&app->learner, method, (uint32_t)label, scale_q15);
    if (error != TKWS_OK)
        return error;
    tkws_frontend_reset(&app->recognizer.frontend);
    app->take = kind;
    app->next = 0;
    app->changed = true;
    tkws_bytes_put_u16(tkws_app_reply(app, 2), tkws_app_credit(app));
    return TKWS_OK;
}

/* One network step of a session that has no detector. */
static int step(tkws_app *app, const int8_t *features)
{
    if (app->session == TKWS_APP_LEARNING)
        return tkws_learner_step(&app->learner, features);
    tkws_network_step(&app->recognizer.network, features);
    app->n_steps++;
    return TKWS_OK;
}

static int take_clip(tkws_app *app, const int16_t *pcm, size_t n_samples)
{
    int8_t features[TKWS_FEATURES];
    while (n_samples > 0) {
        size_t n = 0;
        int complete = tkws_frontend_push(&app->recognizer.frontend, pcm, n_samples, &n, features);
        int error = complete != 0 ? step(app, features) : TKWS_OK;
        if (error != TKWS_OK)
            return error;
        pcm += n;
        n_samples -= n;
    }
    return TKWS_OK;
}

void tkws_app_take_stream(tkws_app *app, const int16_t *pcm, size_t n_samples)
{
    while (n_samples > 0) {
        size_t n = 0;
        tkws_event *event = &app->events[app->n_events % TKWS_APP_EVENTS];
        if (tkws_recognizer_push(&app->recognizer, pcm, n_samples, &n, event) != 0)
            app->n_events++;
        pcm += n;
        n_samples -= n;
    }
}

static int take_pcm(tkws_app *app, const uint8_t *data, size_t n_bytes)
{
    int16_t pcm[PCM_CHUNK];
    size_t n_samples = n_bytes / 2;
    size_t n = 0;
    for (size_t at = 0; at < n_samples; at += n) {
        n = n_samples - at;
        if (n > PCM_CHUNK)
            n = PCM_CHUNK;
        for (size_t i = 0; i < n; i++)
            pcm[i] = tkws_bytes_get_i16(data + 2 * (at + i));
        int error = TKWS_OK;
        if (app->session == TKWS_APP_LISTENING)
            tkws_app_take_stream(app, pcm, n);
        else
            error = take_clip(app, pcm, n);
        if (error != TKWS_OK)
            return error;
    }
    return TKWS_OK;
}

static int take_features(tkws_app *app, const uint8_t *data, size_t n_bytes)
{
    int8_t features[TKWS_FEATURES];
    for (size_t at = 0; at < n_bytes; at += TKWS_FEATURES) {
        memcpy(features, data + at, TKWS_FEATURES);
        int error = step(app, features);
        if (error != TKWS_OK)
            return error;
    }
    return TKWS_OK;
}

void tkws_app_reply_events(tkws_app *app, uint32_t n_seen)
{
    uint32_t first = n_seen;
    if (app->n_events - first > TKWS_APP_EVENTS)
        first = app->n_events - TKWS_APP_EVENTS;
    uint8_t *at = tkws_app_reply(app, 5);
    tkws_bytes_put_u32(at, first);
    at[4] = (uint8_t)(app->n_events - first);
    for (uint32_t i = first; i != app->n_events; i++) {
        const tkws_event *event = &app->events[i % TKWS_APP_EVENTS];
        at = tkws_app_reply(app, TKWS_APP_EVENT_BYTES);
        tkws_bytes_put_u16(at, event->word);
        tkws_bytes_put_u16(at + 2, (uint32_t)event->score_q15);
        tkws_bytes_put_u64(at + 4, event->first_sample);
        tkws_bytes_put_u64(at + 12, event->end_sample);
    }
}

/* Where the stream stands, and the events that the host has not seen. */
static void reply_position(tkws_app *app, uint32_t n_seen)
{
    uint8_t *at = tkws_app_reply(app, 6);
    tkws_bytes_put_u32(at, app->next);
    tkws_bytes_put_u16(at + 4, tkws_app_credit(app));
    tkws_app_reply_events(app, n_seen);
}

static int check_length(const tkws_app *app, uint32_t number, size_t n_data)
{
    if (app->session == TKWS_APP_LOADING)
        return n_data > 0 && n_data == tkws_app_load_part(app, number) ? TKWS_OK : TKWS_E_LENGTH;
    size_t unit = app->take == TKWS_APP_FEATURES ? TKWS_FEATURES : 2;
    bool fits = n_data > 0 && n_data <= TKWS_APP_MAX_DATA && n_data % unit == 0;
    return fits ? TKWS_OK : TKWS_E_LENGTH;
}

static int take_data(tkws_app *app, uint32_t number, const uint8_t *data, size_t n_bytes)
{
    if (app->session == TKWS_APP_LOADING)
        return tkws_app_load_data(app, number, data, n_bytes);
    return app->take == TKWS_APP_FEATURES ? take_features(app, data, n_bytes)
                                          : take_pcm(app, data, n_bytes);
}

int tkws_app_data(tkws_app *app, const uint8_t *body, size_t n_body)
{
    bool receiving = app->session == TKWS_APP_LISTENING || app->session == TKWS_APP_CLASSIFYING ||
                     app->session == TKWS_APP_LOADING || app->take != 0;
    if (!receiving)
        return TKWS_E_STATE;
    if (n_body < DATA_HEAD)
        return TKWS_E_LENGTH;
    uint32_t number = tkws_bytes_get_u32(body);
    uint32_t n_seen = tkws_bytes_get_u32(body + 4);
    int error = check_length(app, number, n_body - DATA_HEAD);
    if (error == TKWS_OK && n_seen > app->n_events)
        error = TKWS_E_ARGUMENT;
    if (error != TKWS_OK)
        return error;
    if (number > app->next)
        error = number - app->next < tkws_app_credit(app) ? TKWS_E_SEQUENCE : TKWS_E_CREDIT;
    else if (number == app->next && app->session == TKWS_APP_LEARNING &&
             app->learner.n_steps + MAX_MESSAGE_STEPS > UINT16_MAX)
        error = TKWS_E_TOO_LONG;
    else if (number == app->next) {
        error = take_data(app, number, body + DATA_HEAD, n_body - DATA_HEAD);
        if (error == TKWS_OK)
            app->next++;
    }
    reply_position(app, n_seen);
    return error;
}

int tkws_app_take_end(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)body;
    (void)n_body;
    if (app->session != TKWS_APP_LEARNING || app->take == 0)
        return TKWS_E_STATE;
    tkws_app_working(app);
    app->take = 0;
    return tkws_learner_end(&app->learner);
}

static void close_session(tkws_app *app)
{
    if (app->session == TKWS_APP_HEARING || app->session == TKWS_APP_RECORDING)
        tkws_app_microphone_stop(app);
    app->session = TKWS_APP_IDLE;
    app->take = 0;
}

static int reply_scores(tkws_app *app)
{
    int32_t scores[TKWS_MAX_CLASSES];
    size_t n_classes = app->model.header.n_classes;
    if (app->n_steps == 0)
        return TKWS_E_TOO_SHORT;
    tkws_network_scores(&app->recognizer.network, scores);
    size_t best = 0;
    for (size_t c = 1; c < n_classes; c++)
        best = scores[c] > scores[best] ? c : best;
    tkws_bytes_put_u16(tkws_app_reply(app, 2), (uint32_t)best);
    for (size_t c = 0; c < n_classes; c++)
        tkws_bytes_put_u32(tkws_app_reply(app, 4), (uint32_t)scores[c]);
    return TKWS_OK;
}

int tkws_app_end(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)body;
    (void)n_body;
    if (app->session == TKWS_APP_IDLE || app->take != 0)
        return TKWS_E_STATE;
    int error = TKWS_OK;
    if (app->session == TKWS_APP_LOADING && tkws_app_load_part(app, app->next) != 0)
        return TKWS_E_STATE;
    if (app->session == TKWS_APP_LOADING)
        error = tkws_app_load_end(app);
    else if (app->session == TKWS_APP_CLASSIFYING)
        error = reply_scores(app);
    close_session(app);
    return error;
}

void tkws_app_session_abort(tkws_app *app)
{
    if (app->session == TKWS_APP_LEARNING) {
        tkws_app_storage_restore(&app->storage);
        app->changed = false;
    }
    close_session(app);
}

int tkws_app_abort(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)body;
    (void)n_body;
    tkws_app_session_abort(app);
    return TKWS_OK;
}
