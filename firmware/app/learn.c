/* SPDX-License-Identifier: Apache-2.0 */
/* Learning: takes, one after the other, each with its word. */
#include "app_internal.h"
#include "tracekws/bytes.h"
#include "tracekws/errors.h"
#include "tracekws/fx.h"
#include "tracekws/own.h"
#include "tracekws/takes.h"

#define TAKE_HEAD 5  /* kind of data, method, scale */
#define TEACH_HEAD 1 /* kind of data */
#define MAX_MESSAGE_STEPS (TKWS_APP_MAX_DATA / TKWS_FEATURES)

int tkws_app_learn(tkws_app *app, const uint8_t *body, size_t n_body)
{
    (void)n_body;
    if (app->session != TKWS_APP_IDLE)
        return TKWS_E_BUSY;
    int error = tkws_learner_init(&app->learner, &app->recognizer.network, app->learner_memory,
                                  tkws_learner_memory_bytes(&app->model), tkws_bytes_get_u32(body));
    return error == TKWS_OK ? tkws_app_open_line(app, TKWS_APP_LEARNING) : error;
}

/* Whether a take with this kind of data may be opened. */
static int may_open(const tkws_app *app, uint8_t kind)
{
    if (app->session != TKWS_APP_LEARNING || app->take != 0)
        return TKWS_E_STATE;
    return kind == TKWS_APP_PCM || kind == TKWS_APP_FEATURES ? TKWS_OK : TKWS_E_ARGUMENT;
}

/* Open a take of a word, by its number, or not where that is an error. */
static int open_take(tkws_app *app, uint8_t kind, int word, uint32_t method, uint32_t scale_q15)
{
    if (word < 0)
        return word;
    int error = tkws_learner_begin(&app->learner, method, (uint32_t)word, scale_q15);
    if (error != TKWS_OK)
        return error;
    tkws_frontend_reset(&app->recognizer.frontend);
    app->take = kind;
    app->next = 0;
    app->changed = true;
    tkws_bytes_put_u16(tkws_app_reply(app, 2), tkws_app_credit(app));
    return TKWS_OK;
}

int tkws_app_take(tkws_app *app, const uint8_t *body, size_t n_body)
{
    if (n_body < TAKE_HEAD)
        return TKWS_E_LENGTH;
    uint32_t method = tkws_bytes_get_u16(body + 1);
    const char *text = (const char *)body + TAKE_HEAD;
    int error = may_open(app, body[0]);
    if (error != TKWS_OK)
        return error;
    if (method == TKWS_APP_MODEL_METHOD)
        method = app->model.header.method;
    int label = tkws_model_class(&app->model, text, n_body - TAKE_HEAD);
    return open_take(app, body[0], label, method, tkws_bytes_get_u16(body + 3));
}

int tkws_app_teach(tkws_app *app, const uint8_t *body, size_t n_body)
{
    if (n_body < TEACH_HEAD)
        return TKWS_E_LENGTH;
    const char *text = (const char *)body + TEACH_HEAD;
    int error = may_open(app, body[0]);
    if (error != TKWS_OK)
        return error;
    if (app->model.traces.rank == 0)
        return TKWS_E_NO_TRACES;
    int word = tkws_own_add(&app->model, &app->weights, text, n_body - TEACH_HEAD);
    return open_take(app, body[0], word, TKWS_LEARN_TAKES, TKWS_Q15_ONE);
}

int tkws_app_learn_check(const tkws_app *app, uint32_t number, size_t n_bytes)
{
    return app->take != 0 ? tkws_app_check_sound(app, number, n_bytes) : TKWS_E_STATE;
}

int tkws_app_learn_data(tkws_app *app, uint32_t number, const uint8_t *data, size_t n_bytes)
{
    (void)number;
    int8_t features[TKWS_FEATURES];
    tkws_app_part part = {data, n_bytes};
    int error = TKWS_OK;
    if (app->learner.n_steps + MAX_MESSAGE_STEPS > UINT16_MAX)
        return TKWS_E_TOO_LONG;
    while (error == TKWS_OK && tkws_app_next_step(app, &part, features))
        error = tkws_learner_step(&app->learner, features);
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
    int error = tkws_learner_end(&app->learner);
    size_t word = app->learner.label;
    bool is_new = word >= app->model.header.n_classes &&
                  tkws_takes_count(&app->model, &app->weights, word) == 0;
    if (error != TKWS_OK && is_new) /* no take made it a word */
        tkws_own_forget(&app->model, &app->weights, word);
    return error;
}

int tkws_app_learn_end(tkws_app *app)
{
    return app->take != 0 ? TKWS_E_STATE : TKWS_OK;
}

void tkws_app_learn_abort(tkws_app *app)
{
    tkws_app_storage_restore(&app->storage);
    app->changed = false;
}
