/* SPDX-License-Identifier: Apache-2.0 */
/* Listening: a stream that comes over the line. */
#include "app_internal.h"
#include "tracekws/errors.h"

int tkws_app_listen(tkws_app *app, const uint8_t *body, size_t n_body)
{
    uint16_t odds_q8 = 0;
    int error = tkws_app_odds(body, n_body, &odds_q8);
    if (error == TKWS_OK)
        error = tkws_app_open_line(app, TKWS_APP_LISTENING);
    if (error == TKWS_OK)
        tkws_detector_set_odds(&app->recognizer.detector, odds_q8);
    return error;
}
