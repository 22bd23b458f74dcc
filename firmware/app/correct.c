/* SPDX-License-Identifier: Apache-2.0 */
/* Mistakes taken back: what was heard last was another word, or none. */
#include "app_internal.h"
#include "tracekws/bytes.h"
#include "tracekws/errors.h"
#include "tracekws/own.h"
#include "tracekws/takes.h"

#define STEP_MS 20

int tkws_app_correct_heard(tkws_app *app, const char *word, size_t n_bytes)
{
    const tkws_model *model = &app->model;
    bool hears = tkws_app_is_stream(app->session);
    bool nothing = n_bytes == 0;
    const uint8_t *rates = NULL;
    if (app->session != TKWS_APP_IDLE && !hears)
        return TKWS_E_BUSY;
    if (model->traces.rank == 0)
        return TKWS_E_NO_TRACES;
    if (app->recognizer.templates != NULL)
        rates = tkws_templates_kept(&app->templates, nothing ? TKWS_HEARD_EVENT : TKWS_HEARD_SOUND);
    if (rates == NULL)
        return TKWS_E_NO_SOUND;
    int number = nothing ? tkws_own_add_nothing(model, &app->weights, rates)
                         : tkws_own_add(model, &app->weights, word, n_bytes);
    if (number < 0)
        return number;
    tkws_takes_add(model, &app->weights, (size_t)number, rates);
    app->changed = true;
    tkws_templates_drop(&app->templates);
    if (hears)
        tkws_recognizer_change_templates(&app->recognizer, tkws_app_make_templates(app));
    return number;
}

int tkws_app_correct(tkws_app *app, const uint8_t *body, size_t n_body)
{
    int number = tkws_app_correct_heard(app, (const char *)body, n_body);
    if (number < 0)
        return number;
    bool hears = tkws_app_is_stream(app->session);
    uint8_t *at = tkws_app_reply(app, 5);
    tkws_bytes_put_u16(at, (uint32_t)number);
    at[2] = (uint8_t)tkws_takes_count(&app->model, &app->weights, (size_t)number);
    tkws_bytes_put_u16(at + 3, hears ? STEP_MS * app->model.header.window_steps : 0);
    return TKWS_OK;
}
