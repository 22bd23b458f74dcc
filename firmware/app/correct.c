/* SPDX-License-Identifier: Apache-2.0 */
/* Mistakes taken back: what was heard last was another word, or none. */
#include "app_internal.h"
#include "tracekws/bytes.h"
#include "tracekws/errors.h"
#include "tracekws/takes.h"

#define STEP_MS (TKWS_STEP_SAMPLES / 16) /* of 16 kHz */

int tkws_app_correct_heard(tkws_app *app, const char *word, size_t n_bytes)
{
    bool hears = tkws_app_is_stream(app->session);
    if (app->session != TKWS_APP_IDLE && !hears)
        return TKWS_E_BUSY;
    if (app->model.traces.rank == 0)
        return TKWS_E_NO_TRACES;
    if (app->recognizer.templates == NULL)
        return TKWS_E_NO_SOUND;
    int number = tkws_templates_correct(&app->templates, &app->weights, word, n_bytes);
    if (number < 0)
        return number;
    app->changed = true;
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
