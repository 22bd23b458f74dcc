/* SPDX-License-Identifier: Apache-2.0 */
#include "alone.h"

#include <string.h>

#include "app_internal.h"
#include "hear.h"
#include "tracekws/errors.h"

#define MS_SAMPLES 16u
#define QUIET_POLL_MS 1000u /* where the board does not say */

void tkws_app_alone_init(tkws_app_alone *alone, tkws_app *app)
{
    memset(alone, 0, sizeof *alone);
    alone->app = app;
}

/* @return whether the board can listen */
static bool start(tkws_app_alone *alone)
{
    tkws_app *app = alone->app;
    if (alone->n_deaf > 0) {
        alone->n_deaf--;
        return false;
    }
    if (app->model_error == TKWS_OK && tkws_app_microphone_open(app, TKWS_APP_ALONE) == TKWS_OK) {
        alone->n_told = 0;
        return true;
    }
    tkws_app_hear_light(alone, true);
    alone->n_deaf = TKWS_APP_ALONE_DEAF_POLLS;
    return false;
}

/* Time since the last poll, in samples. */
static uint32_t time_passed(const tkws_app_alone *alone, bool is_quiet)
{
    tkws_app *app = alone->app;
    uint32_t quiet_ms = app->board->quiet_poll_ms;
    if (app->session == TKWS_APP_HEARING || app->session == TKWS_APP_RECORDING)
        return (uint32_t)(app->n_samples - alone->n_samples) +
               (uint32_t)tkws_app_microphone_drop(app);
    if (!is_quiet || !alone->was_quiet) /* a quiet poll follows each that was not */
        return 0;
    return (quiet_ms > 0 ? quiet_ms : QUIET_POLL_MS) * MS_SAMPLES;
}

/* @return whether the board is a host's */
static bool has_host(tkws_app_alone *alone, bool is_quiet)
{
    tkws_app *app = alone->app;
    bool had_host = alone->had_host;
    alone->had_host = app->has_last;
    if (!app->has_last) {
        alone->silence = 0;
        return false;
    }
    bool asked = !had_host || app->id != alone->id || app->last_crc != alone->crc;
    alone->silence = asked ? 0 : alone->silence + time_passed(alone, is_quiet);
    alone->id = app->id;
    alone->crc = app->last_crc;
    alone->n_samples = app->n_samples;
    alone->was_quiet = is_quiet;
    if (alone->silence < TKWS_APP_ALONE_SILENCE)
        return true;
    tkws_app_lose_host(app);
    return false;
}

int tkws_app_alone_poll(tkws_app_alone *alone)
{
    tkws_app *app = alone->app;
    int n = tkws_app_poll(app);
    if (has_host(alone, n == 0) || n < 0) {
        tkws_app_hear_rest(alone);
        return n;
    }
    if (app->session != TKWS_APP_ALONE && !start(alone))
        return n;
    return n + tkws_app_hear(alone);
}
