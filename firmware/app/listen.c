/* SPDX-License-Identifier: Apache-2.0 */
/* Listening: a stream that comes over the line. */
#include "app_internal.h"
#include "tracekws/errors.h"

int tkws_app_listen(tkws_app *app, const uint8_t *body, size_t n_body)
{
    tkws_app_hearing hearing;
    int error = tkws_app_read_hearing(body, n_body, &hearing);
    if (error == TKWS_OK)
        error = tkws_app_open_line(app, TKWS_APP_LISTENING);
    if (error == TKWS_OK)
        tkws_app_set_hearing(app, &hearing);
    return error;
}
