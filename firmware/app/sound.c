/* SPDX-License-Identifier: Apache-2.0 */
/* What kinds of session that hear have in common: opening, a stream, the steps of a clip. */
#include <string.h>

#include "app_internal.h"
#include "least.h"
#include "tracekws/bytes.h"
#include "tracekws/errors.h"

tkws_templates *tkws_app_make_templates(tkws_app *app)
{
    int error = tkws_templates_init(&app->templates, &app->model, &app->weights,
                                    app->learner_memory, tkws_templates_memory_bytes(&app->model));
    return error == TKWS_OK ? &app->templates : NULL;
}

bool tkws_app_is_stream(uint8_t session)
{
    return session == TKWS_APP_LISTENING || session == TKWS_APP_HEARING ||
           session == TKWS_APP_ALONE;
}

/* Compare what is heard with the takes that there are, where the session hears. What an earlier one heard is gone. */
static void use_takes(tkws_app *app, uint8_t session)
{
    bool hears = tkws_app_is_stream(session) || session == TKWS_APP_CLASSIFYING;
    tkws_recognizer_set_templates(&app->recognizer, hears ? tkws_app_make_templates(app) : NULL);
}

void tkws_app_open(tkws_app *app, uint8_t session)
{
    if (app->model_error == TKWS_OK)
        use_takes(app, session);
    app->session = session;
    app->take = 0;
    app->next = 0;
    app->n_steps = 0;
    app->n_events = 0;
}

int tkws_app_open_line(tkws_app *app, uint8_t session)
{
    if (app->session != TKWS_APP_IDLE)
        return TKWS_E_BUSY;
    tkws_app_open(app, session);
    tkws_bytes_put_u16(tkws_app_reply(app, 2), tkws_app_credit(app));
    return TKWS_OK;
}

int tkws_app_read_hearing(const uint8_t *body, size_t n_body, tkws_app_hearing *hearing)
{
    if (n_body != 0 && n_body != 2 && n_body != 3)
        return TKWS_E_LENGTH;
    uint16_t odds = n_body >= 2 ? tkws_bytes_get_u16(body) : TKWS_ODDS_ONE;
    uint8_t words = n_body == 3 ? body[2] : TKWS_APP_WORDS_MODEL;
    if (odds == 0 || words > TKWS_APP_WORDS_CONNECTED)
        return TKWS_E_ARGUMENT;
    hearing->odds_q8 = odds;
    hearing->words = words;
    return TKWS_OK;
}

void tkws_app_set_hearing(tkws_app *app, const tkws_app_hearing *hearing)
{
    tkws_detector *detector = &app->recognizer.detector;
    tkws_detector_set_odds(detector, hearing->odds_q8);
    if (hearing->words != TKWS_APP_WORDS_MODEL)
        tkws_detector_set_isolated(detector, hearing->words == TKWS_APP_WORDS_ISOLATED);
}

int tkws_app_check_sound(const tkws_app *app, uint32_t number, size_t n_bytes)
{
    (void)number;
    size_t unit = app->take == TKWS_APP_FEATURES ? TKWS_FEATURES : 2;
    bool fits = n_bytes > 0 && n_bytes <= TKWS_APP_MAX_DATA && n_bytes % unit == 0;
    return fits ? TKWS_OK : TKWS_E_LENGTH;
}

/* The first samples of a part. @return how many */
static size_t get_samples(const tkws_app_part *part, int16_t pcm[TKWS_APP_PCM_CHUNK])
{
    size_t n = least(part->n_bytes / 2, TKWS_APP_PCM_CHUNK);
    for (size_t i = 0; i < n; i++)
        pcm[i] = tkws_bytes_get_i16(part->at + 2 * i);
    return n;
}

static void pass(tkws_app_part *part, size_t n_bytes)
{
    part->at += n_bytes;
    part->n_bytes -= n_bytes;
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

int tkws_app_take_line(tkws_app *app, uint32_t number, const uint8_t *data, size_t n_bytes)
{
    (void)number;
    int16_t pcm[TKWS_APP_PCM_CHUNK];
    tkws_app_part part = {data, n_bytes};
    while (part.n_bytes > 0) {
        size_t n = get_samples(&part, pcm);
        tkws_app_take_stream(app, pcm, n);
        pass(&part, 2 * n);
    }
    return TKWS_OK;
}

static bool next_of_pcm(tkws_app *app, tkws_app_part *part, int8_t *features)
{
    int16_t pcm[TKWS_APP_PCM_CHUNK];
    bool complete = false;
    while (!complete && part->n_bytes > 0) {
        size_t n = get_samples(part, pcm);
        complete = tkws_frontend_push(&app->recognizer.frontend, pcm, n, &n, features) != 0;
        pass(part, 2 * n);
    }
    return complete;
}

bool tkws_app_next_step(tkws_app *app, tkws_app_part *part, int8_t *features)
{
    if (app->take != TKWS_APP_FEATURES)
        return next_of_pcm(app, part, features);
    if (part->n_bytes == 0)
        return false;
    memcpy(features, part->at, TKWS_FEATURES);
    pass(part, TKWS_FEATURES);
    return true;
}
