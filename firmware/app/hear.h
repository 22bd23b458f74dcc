/* SPDX-License-Identifier: Apache-2.0 */
/** @file hear.h  What a board does by itself, in a session of TKWS_APP_ALONE: what it hears, its button, its LED. */
#ifndef TKWS_APP_HEAR_H
#define TKWS_APP_HEAR_H

#include "alone.h"

/** Take samples from the board's microphone, and look at its button. @return samples taken */
int tkws_app_hear(tkws_app_alone *alone);

/** Switch the LED. */
void tkws_app_hear_light(tkws_app_alone *alone, bool on);

/** The session is over: nothing is lit, and what was begun is not gone on with. */
void tkws_app_hear_rest(tkws_app_alone *alone);

#endif
