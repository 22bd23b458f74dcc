/* SPDX-License-Identifier: Apache-2.0 */
/** @file session.h  The session that is open, of whatever kind: requests in, and what else comes to it. */
#ifndef TKWS_APP_SESSION_H
#define TKWS_APP_SESSION_H

#include "app_internal.h"

/** Handlers of the requests that any kind may get: body in, status out. */
int tkws_app_data(tkws_app *app, const uint8_t *body, size_t n_body);
int tkws_app_end(tkws_app *app, const uint8_t *body, size_t n_body);
int tkws_app_abort(tkws_app *app, const uint8_t *body, size_t n_body);

/** Close the session. A learning one goes back to the weights saved last. */
void tkws_app_session_abort(tkws_app *app);

/** Take samples from the board's microphone, where the session hears it. @return samples taken */
int tkws_app_session_hear(tkws_app *app);

#endif
